//! A channel of the simulated Asterisk: where it is in the dialplan, its variables, and what can happen to it.

use std::{collections::HashMap, time::Duration};

use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{sync::watch, time::Instant};
use tokio_util::sync::CancellationToken;

use super::dialplan::arguments;

/// A place in the dialplan.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) context: String,
    pub(crate) exten: String,
    pub(crate) priority: usize,
}

/// One `Gosub`: where it goes on afterwards, and what the variables of its own were before.
#[derive(Default)]
struct Frame {
    back: Place,
    before: HashMap<String, Option<String>>,
}

/// A way out of a Stasis application: after `Stasis()`, or to a place.
pub(crate) type WayOut = Option<Place>;

/// How far a call has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Calling,
    Ringing,
    /// By this contact, target or part of the dialplan.
    Answered(String),
}

/// One channel.
pub(crate) struct Channel {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) caller: String,
    pub(crate) call_id: String,
    pub(crate) place: Mutex<Place>,
    pub(crate) variables: Mutex<HashMap<String, String>>,
    /// Where each `Gosub` that has not returned came from, the last one last.
    calls: Mutex<Vec<Frame>>,
    /// `TIMEOUT(absolute)`.
    limit: Mutex<Option<Instant>>,
    /// The application it is in.
    pub(crate) app: Mutex<Option<String>>,
    /// Set by `continue`.
    pub(crate) way_out: watch::Sender<Option<WayOut>>,
    /// Ends the call from either side.
    pub(crate) ended: CancellationToken,
    pub(crate) progress: watch::Sender<Progress>,
    /// Made by `Dial`, not by a caller.
    leg: bool,
    cause: Mutex<Option<u16>>,
    trace: Mutex<Vec<String>>,
}

impl Channel {
    pub(crate) fn new(id: String, name: String, caller: &str, call_id: String, place: Place) -> Self {
        Self {
            id,
            name,
            caller: caller.to_owned(),
            call_id,
            place: Mutex::new(place),
            variables: Mutex::new(HashMap::new()),
            calls: Mutex::default(),
            limit: Mutex::default(),
            app: Mutex::new(None),
            way_out: watch::Sender::new(None),
            ended: CancellationToken::new(),
            progress: watch::Sender::new(Progress::Calling),
            leg: false,
            cause: Mutex::new(None),
            trace: Mutex::new(Vec::new()),
        }
    }

    /// The channel of one that is called.
    pub(crate) fn leg(id: String, name: String, caller: &str, call_id: String, place: Place) -> Self {
        Self {
            leg: true,
            ..Self::new(id, name, caller, call_id, place)
        }
    }

    /// Ends it; the first cause counts.
    pub(crate) fn hang_up(&self, q850: u16) {
        self.cause.lock().get_or_insert(q850);
        self.ended.cancel();
    }

    /// The cause it ended with, 0 while it has none.
    pub(crate) fn cause(&self) -> u16 {
        self.cause.lock().unwrap_or(0)
    }

    /// The cause, once it has ended.
    pub(crate) fn ended_with(&self) -> Option<u16> {
        self.ended.is_cancelled().then(|| self.cause())
    }

    /// The endpoint it is of.
    pub(crate) fn endpoint(&self) -> &str {
        let name = self.name.trim_start_matches("PJSIP/");
        name.rsplit_once('-').map_or(name, |(endpoint, _)| endpoint)
    }

    /// Some phone rings for it.
    pub(crate) fn ring(&self) {
        self.progress.send_if_modified(|progress| {
            let first = *progress == Progress::Calling;
            if first {
                *progress = Progress::Ringing;
            }
            first
        });
    }

    /// Answered; the first counts.
    pub(crate) fn answer(&self, by: &str) {
        self.progress.send_if_modified(|progress| {
            let first = !matches!(progress, Progress::Answered(_));
            if first {
                *progress = Progress::Answered(by.to_owned());
            }
            first
        });
    }

    pub(crate) fn is_answered(&self) -> bool {
        matches!(*self.progress.borrow(), Progress::Answered(_))
    }

    /// Remembers a step for [`Channel::trace`].
    pub(crate) fn note(&self, app: &str, args: &str) {
        self.trace.lock().push(format!("{app}({args})"));
    }

    /// The steps so far.
    pub(crate) fn trace(&self) -> Vec<String> {
        self.trace.lock().clone()
    }

    /// Sets a variable, or several with the function `ARRAY(A,B)`, which empties those that get no value.
    pub(crate) fn set(&self, name: &str, value: &str) {
        if let Some(names) = name.strip_prefix("ARRAY(").and_then(|n| n.strip_suffix(')')) {
            let mut values = arguments(value).into_iter();
            for name in names.split(',') {
                self.set(name, values.next().unwrap_or_default());
            }
            return;
        }
        // Leading underscores ask for inheritance; there is nothing here to inherit to.
        self.variables
            .lock()
            .insert(name.trim_start_matches('_').to_owned(), value.to_owned());
    }

    pub(crate) fn get(&self, name: &str) -> Option<String> {
        self.variables.lock().get(name).cloned()
    }

    /// Goes to a subroutine whose arguments are `ARG1` and on.
    pub(crate) fn gosub(&self, to: Place, arguments: &[&str]) {
        let back = std::mem::replace(&mut *self.place.lock(), to);
        self.calls.lock().push(Frame {
            back,
            ..Frame::default()
        });
        for (number, argument) in arguments.iter().enumerate() {
            self.set_local(&format!("ARG{}", number + 1), argument);
        }
    }

    /// Goes back from a subroutine, and takes its own variables away; false where there is none.
    pub(crate) fn go_back(&self) -> bool {
        let Some(frame) = self.calls.lock().pop() else {
            return false;
        };
        let mut variables = self.variables.lock();
        for (name, before) in frame.before {
            match before {
                Some(value) => variables.insert(name, value),
                None => variables.remove(&name),
            };
        }
        *self.place.lock() = frame.back;
        true
    }

    /// Sets a variable of the subroutine that runs; outside of one, a variable like any other.
    pub(crate) fn set_local(&self, name: &str, value: &str) {
        let before = self.get(name);
        if let Some(frame) = self.calls.lock().last_mut() {
            frame.before.entry(name.to_owned()).or_insert(before);
        }
        self.set(name, value);
    }

    /// Sets when the call ends at the latest, in seconds from now; 0 for no limit.
    pub(crate) fn set_limit(&self, seconds: &str) {
        let seconds = seconds.trim().parse::<f64>().ok().filter(|s| *s > 0.0);
        *self.limit.lock() = seconds.map(|s| Instant::now() + Duration::from_secs_f64(s));
    }

    /// When the call ends at the latest.
    pub(crate) fn limit(&self) -> Option<Instant> {
        *self.limit.lock()
    }

    /// The channel as ARI shows it.
    pub(crate) fn describe(&self) -> Value {
        let place = self.place.lock().clone();
        let state = match (&*self.progress.borrow(), self.leg) {
            (Progress::Answered(_), _) => "Up",
            (_, false) => "Ring",
            (Progress::Calling, true) => "Down",
            (Progress::Ringing, true) => "Ringing",
        };
        json!({ "id": self.id, "name": self.name, "state": state, "protocol_id": self.call_id,
                "caller": { "name": "", "number": self.caller }, "connected": { "name": "", "number": "" }, "accountcode": "",
                "dialplan": { "context": place.context, "exten": place.exten, "priority": place.priority,
                              "app_name": "Stasis", "app_data": "" },
                "language": "en" })
    }
}
