//! Running a channel through the dialplan, one step after the other, until it ends.

use std::{future::pending, sync::Arc, time::Duration};

use serde_json::json;

use super::{
    Step, arguments,
    expand::{choose, expand},
};
use crate::sim::{
    Shared, agi,
    channel::{Channel, Place},
    dial,
};

/// Steps of one call; more is a loop.
const MOST_STEPS: usize = 10_000;

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Run {
    /// With this Q.850 cause.
    Ended(u16),
    /// There was no such extension.
    NoExtension,
}

/// Runs the channel from its place to its end.
pub(crate) async fn run(shared: &Arc<Shared>, channel: &Arc<Channel>) -> Run {
    for step_number in 0..MOST_STEPS {
        let place = channel.place.lock().clone();
        let step = {
            let dialplan = shared.dialplan.lock();
            match dialplan.find(&place.context, &place.exten) {
                None if step_number == 0 => return Run::NoExtension,
                None => None,
                Some(extension) => extension.step(place.priority).cloned(),
            }
        };
        let Some(step) = step else {
            return Run::Ended(fall_through(channel));
        };
        if let Some(cause) = channel.ended_with() {
            return Run::Ended(cause);
        }
        channel.place.lock().priority += 1;
        let args = expand(&step.args, channel, shared);
        channel.note(&step.app, &args);
        let cause = tokio::select! {
            cause = perform(shared, channel, &step, &args) => cause,
            () = over(channel, &step) => match out_of_time(shared, channel) {
                true => continue,
                false => Some(16),
            },
        };
        if let Some(cause) = cause {
            return Run::Ended(cause);
        }
    }
    Run::Ended(41)
}

/// Comes back when the call's limit is over. A question over AGI is waited for all the same, unless a variable says otherwise.
async fn over(channel: &Channel, step: &Step) {
    let waits = step.app.eq_ignore_ascii_case("agi") && channel.get("AGIEXITONHANGUP").as_deref() != Some("yes");
    match channel.limit() {
        Some(limit) if !waits => tokio::time::sleep_until(limit).await,
        _ => pending().await,
    }
}

/// A call whose limit is over goes on at the extension `T` of its context, without a limit; false where there is none.
fn out_of_time(shared: &Shared, channel: &Channel) -> bool {
    let app = channel.app.lock().take();
    if let Some(app) = app {
        tell_end(shared, channel, &app);
    }
    let mut place = channel.place.lock();
    let found = shared.dialplan.lock().find(&place.context, "T").is_some();
    if found {
        channel.set_limit("0");
        place.exten = "T".to_owned();
        place.priority = 1;
    }
    found
}

/// One application; a cause where the call ends with it.
async fn perform(shared: &Arc<Shared>, channel: &Arc<Channel>, step: &Step, args: &str) -> Option<u16> {
    match step.app.to_ascii_lowercase().as_str() {
        "noop" | "verbose" | "log" => {}
        "answer" => channel.answer("the dialplan"),
        "set" => {
            let (name, value) = args.split_once('=').unwrap_or((args, ""));
            assign(shared, channel, name.trim(), value);
        }
        "mset" => {
            for (name, value) in arguments(args).into_iter().filter_map(|pair| pair.split_once('=')) {
                assign(shared, channel, name.trim(), value);
            }
        }
        "gosub" => return gosub(shared, channel, args),
        "return" => return (!channel.go_back()).then_some(16),
        "goto" => return jump(shared, channel, args),
        "gotoif" => {
            let target = choose(args).to_owned();
            if !target.is_empty() {
                return jump(shared, channel, &target);
            }
        }
        "wait" => {
            let pause = Duration::from_secs_f64(args.parse::<f64>().unwrap_or(0.0).clamp(0.0, 60.0));
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = channel.ended.cancelled() => {}
            }
        }
        "stasis" => return stasis(shared, channel, args).await,
        "agi" => {
            let status = tokio::select! {
                status = agi::ask(shared, channel, args) => status,
                () = channel.ended.cancelled() => return Some(channel.cause()),
            };
            channel.set("AGISTATUS", status);
        }
        "dial" => return dial::dial(shared, channel, args).await,
        // 0 is no cause.
        "hangup" => return Some(args.trim().parse().ok().filter(|cause| *cause > 0).unwrap_or(16)),
        // Asterisk ends a call at an application that it does not have.
        _ => return Some(16),
    }
    None
}

fn assign(shared: &Shared, channel: &Channel, name: &str, value: &str) {
    match name.strip_suffix(')').and_then(|n| n.split_once('(')) {
        Some(("GLOBAL", global)) => drop(shared.world.lock().globals.insert(global.to_owned(), value.to_owned())),
        Some(("LOCAL", local)) => channel.set_local(local, value),
        Some(("TIMEOUT", "absolute")) => channel.set_limit(value),
        _ => channel.set(name, value),
    }
}

/// `context,extension,priority(argument,..)`; a bad target ends the call.
fn gosub(shared: &Shared, channel: &Channel, target: &str) -> Option<u16> {
    let (target, arguments) = match target.strip_suffix(')').and_then(|t| t.split_once('(')) {
        Some((target, arguments)) => (target, arguments.split(',').collect()),
        None => (target, Vec::new()),
    };
    let here = channel.place.lock().clone();
    match place(shared, &here, target) {
        Some(place) => {
            channel.gosub(place, &arguments);
            None
        }
        None => Some(16),
    }
}

/// Goes on at another place; a bad target ends the call.
fn jump(shared: &Shared, channel: &Channel, target: &str) -> Option<u16> {
    let mut here = channel.place.lock();
    match place(shared, &here, target) {
        Some(place) => {
            *here = place;
            None
        }
        None => Some(16),
    }
}

/// `[[context,]extension,]priority`, the priority a number or a label.
fn place(shared: &Shared, here: &Place, target: &str) -> Option<Place> {
    let parts: Vec<&str> = target.split(',').map(str::trim).collect();
    let (context, exten, priority) = match parts.as_slice() {
        [priority] => (here.context.clone(), here.exten.clone(), *priority),
        [exten, priority] => (here.context.clone(), (*exten).to_owned(), *priority),
        [context, exten, priority] => ((*context).to_owned(), (*exten).to_owned(), *priority),
        _ => return None,
    };
    let priority = shared
        .dialplan
        .lock()
        .find(&context, &exten)
        .and_then(|e| e.priority(priority))?;
    Some(Place {
        context,
        exten,
        priority,
    })
}

/// Into an application and back. Without one connected, the status says so and the dialplan goes on.
async fn stasis(shared: &Arc<Shared>, channel: &Arc<Channel>, args: &str) -> Option<u16> {
    let mut words = args.split(',').map(str::trim);
    let app = words.next().unwrap_or_default().to_owned();
    let words: Vec<&str> = words.collect();
    let mut way_out = channel.way_out.subscribe();
    let poll = {
        let world = shared.world.lock();
        let Some(listener) = world.apps.get(&app) else {
            channel.set("STASISSTATUS", "FAILED");
            return None;
        };
        *channel.app.lock() = Some(app.clone());
        channel.way_out.send_replace(None);
        if !world.faults.lose_events {
            listener.tell(
                &app,
                &json!({ "type": "StasisStart", "args": words, "channel": channel.describe() }),
            );
        }
        world.version.stasis_poll()
    };
    let left = tokio::select! {
        left = way_out.wait_for(Option::is_some) => left.ok().and_then(|w| w.clone()).flatten(),
        () = channel.ended.cancelled() => None,
    };
    // An unanswered channel is looked after only this often.
    tokio::time::sleep(poll).await;
    *channel.app.lock() = None;
    tell_end(shared, channel, &app);
    channel.set("STASISSTATUS", "SUCCESS");
    if let Some(place) = left {
        *channel.place.lock() = place;
    }
    channel.ended_with()
}

fn tell_end(shared: &Shared, channel: &Channel, app: &str) {
    if let Some(listener) = shared.world.lock().apps.get(app) {
        listener.tell(app, &json!({ "type": "StasisEnd", "channel": channel.describe() }));
    }
}

/// What a call ends with when the dialplan has nothing more to say.
fn fall_through(channel: &Channel) -> u16 {
    match channel.get("DIALSTATUS").as_deref() {
        Some("BUSY") => 17,
        Some("CONGESTION" | "CHANUNAVAIL") => 34,
        _ => 16,
    }
}
