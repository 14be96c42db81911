//! `Dial`: all targets at once, the first that answers wins, the others are given up.

use std::{sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};

use super::{
    Shared, cause,
    channel::Channel,
    dialplan::arguments,
    phone::{LegEnd, PhoneScript},
    sip::Leg,
};

/// What answered.
struct Answered {
    /// Contact or URI.
    by: String,
    line: Line,
    own: LegChannel,
}

/// How its end will be noticed.
enum Line {
    /// A scripted phone at this server, hanging up after the time given.
    Phone(Option<Duration>),
    /// Something reached over SIP.
    Sip(Leg),
}

/// Legs that failed, by what `Dial` counts.
#[derive(Default)]
struct Failures {
    busy: usize,
    congestion: usize,
    unavailable: usize,
    cause: u16,
}

impl Failures {
    fn count(&mut self, q850: u16) {
        self.cause = q850;
        match q850 {
            17 => self.busy += 1,
            34 | 42 => self.congestion += 1,
            16 | 19 => {}
            _ => self.unavailable += 1,
        }
    }

    fn status(&self, legs: usize) -> &'static str {
        if self.busy + self.congestion + self.unavailable < legs {
            "NOANSWER"
        } else if self.busy > 0 {
            "BUSY"
        } else if self.congestion > 0 {
            "CONGESTION"
        } else {
            "CHANUNAVAIL"
        }
    }
}

/// Dials `TARGET[&TARGET..][,TIMEOUT[,OPTIONS]]` and stays until the call ends; sets `DIALSTATUS` and `HANGUPCAUSE`. A cause where the
/// caller's call ends with it: it was answered, and no option `g` says to go on.
pub(crate) async fn dial(shared: &Arc<Shared>, channel: &Arc<Channel>, args: &str) -> Option<u16> {
    let mut args = arguments(args).into_iter();
    let targets: Vec<&str> = args
        .next()
        .unwrap_or_default()
        .split('&')
        .filter(|t| !t.is_empty())
        .collect();
    let timeout = args
        .next()
        .and_then(|t| t.trim().parse::<f64>().ok())
        .filter(|s| *s > 0.0)
        .unwrap_or(86_400.0);
    let goes_on = args.next().is_some_and(|options| options.contains('g'));
    let deadline = tokio::time::sleep(Duration::from_secs_f64(timeout));
    tokio::pin!(deadline);
    let mut legs: FuturesUnordered<_> = targets.iter().map(|target| leg(shared, channel, target)).collect();
    let mut failures = Failures::default();
    let (status, q850) = loop {
        tokio::select! {
            () = channel.ended.cancelled() => break ("CANCEL", 0),
            () = &mut deadline => break ("NOANSWER", 0),
            end = legs.next() => match end {
                None => break (failures.status(targets.len().max(1)), failures.cause),
                Some(Err(q850)) => failures.count(q850),
                Some(Ok(answered)) => {
                    // The others stop ringing now.
                    drop(legs);
                    talk(channel, answered).await;
                    break ("ANSWER", 16);
                }
            },
        }
    };
    let status = if targets.is_empty() { "CHANUNAVAIL" } else { status };
    channel.set("DIALSTATUS", status);
    channel.set("HANGUPCAUSE", &q850.to_string());
    (status == "ANSWER" && !goes_on).then_some(q850)
}

async fn talk(channel: &Channel, answered: Answered) {
    let Answered { by, line, own } = answered;
    own.0.answer(&by);
    channel.answer(&by);
    let end = async {
        match line {
            Line::Phone(talk) => tokio::time::sleep(talk.unwrap_or(Duration::from_secs(86_400))).await,
            Line::Sip(leg) => leg.talk(&channel.ended).await,
        }
    };
    tokio::select! {
        () = end => {}
        () = channel.ended.cancelled() => {}
        () = own.0.ended.cancelled() => {}
    }
    own.0.hang_up(16);
}

/// One target: who is behind it, and what becomes of calling there. Fails with a Q.850 cause.
async fn leg(shared: &Arc<Shared>, channel: &Arc<Channel>, target: &str) -> Result<Answered, u16> {
    let mut parts = target.splitn(3, '/');
    let (Some("PJSIP"), Some(endpoint)) = (parts.next(), parts.next()) else {
        return Err(66);
    };
    let (uri, phone, follow) = {
        let world = shared.world.lock();
        let follow = world
            .object("endpoint", endpoint)
            .ok_or(3_u16)?
            .value(world.version, "redirect_method")
            == "uri_pjsip";
        let aors = world.aors_of(endpoint);
        // Without a URI, the first aor that has a contact.
        let uri = parts
            .next()
            .map(str::to_owned)
            .or_else(|| aors.iter().find_map(|aor| world.contacts_of(aor).into_iter().next()));
        let uri = uri.ok_or(20_u16)?;
        let aor = aors.into_iter().find(|aor| world.live_uris(aor).contains(&uri));
        (
            uri,
            aor.map(|aor| (world.phones.get(&aor).cloned().unwrap_or_default(), aor)),
            follow,
        )
    };
    let own = LegChannel::begin(shared, endpoint, channel);
    let ended = Arc::clone(&own.0);
    let called = async {
        match phone {
            Some((script, device)) => here(shared, channel, own, script, device, uri).await,
            None => outside(shared, channel, own, &uri, follow).await,
        }
    };
    tokio::select! {
        result = called => result,
        () = ended.ended.cancelled() => Err(ended.cause()),
    }
}

/// A phone of this server.
async fn here(
    shared: &Shared,
    channel: &Channel,
    own: LegChannel,
    script: PhoneScript,
    device: String,
    uri: String,
) -> Result<Answered, u16> {
    let ringing = || {
        shared.world.lock().rings.push((device, uri.clone()));
        own.0.ring();
        channel.ring();
    };
    match script.play(ringing).await {
        LegEnd::Answered(talk) => Ok(Answered {
            by: uri,
            line: Line::Phone(talk),
            own,
        }),
        LegEnd::Failed(status) => Err(own.fail(status)),
    }
}

/// Something that SIP leads to.
async fn outside(
    shared: &Shared,
    channel: &Channel,
    own: LegChannel,
    uri: &str,
    follow: bool,
) -> Result<Answered, u16> {
    let mut leg = Leg::new(shared.sip_address, &channel.caller, own.0.call_id.clone())
        .await
        .map_err(|_| own.fail(503))?;
    let ringing = || {
        own.0.ring();
        channel.ring();
    };
    match leg.invite(uri, follow, ringing).await {
        Ok(by) => Ok(Answered {
            by,
            line: Line::Sip(leg),
            own,
        }),
        Err(status) => Err(own.fail(status)),
    }
}

/// The channel of one leg, there for as long as it rings and talks.
struct LegChannel(Arc<Channel>, Arc<Shared>);

impl LegChannel {
    fn begin(shared: &Arc<Shared>, endpoint: &str, caller: &Channel) -> Self {
        let mut world = shared.world.lock();
        let number = world.next();
        let place = caller.place.lock().clone();
        let id = format!("{}.{number}", world.started.elapsed().unwrap_or_default().as_millis());
        let name = format!("PJSIP/{endpoint}-{number:08x}");
        let call_id = format!("{}-{number}", caller.id);
        let channel = Arc::new(Channel::leg(id.clone(), name, &caller.caller, call_id, place));
        world.channels.insert(id, Arc::clone(&channel));
        Self(channel, Arc::clone(shared))
    }

    /// Ends it with what a SIP status means, and says what that is.
    fn fail(&self, status: u16) -> u16 {
        let q850 = cause::of_status(status);
        self.0.hang_up(q850);
        q850
    }
}

impl Drop for LegChannel {
    fn drop(&mut self) {
        self.1.world.lock().leave(&self.0);
    }
}
