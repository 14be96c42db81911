//! The router: calls ask where to go, through FastAGI or through Stasis, and get channel variables back.
//!
//! Both shells ask the same [`decide`]; Asterisk's own `Dial` then connects, so a call outlives fed-node. The answer carries every
//! later stage with it. Asked a second time is only for a device that moved away between the answer and the ringing.

mod decide;
mod fastagi;
mod places;
mod recent;
mod stasis;
mod used;
mod variables;

use std::{
    hash::{BuildHasher, RandomState},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use fed_core::{capability::ReplayGuard, ids::DeviceId, route::Cause};
use parking_lot::Mutex;

pub use decide::{Ask, Decision, Leg, Moment, Question, Stage, decide, in_vain};
pub use fastagi::FastAgi;
pub use places::FastAgiStats;
pub use stasis::answer_stasis;
pub use variables::{Told, Variables, at_once, contacts, devices, question, told, variables};

use self::{recent::Recent, used::UsedFile};
use crate::port::{MapPort, MapSnapshot, fresh_or_stale};

/// Q.850: normal, unspecified. A gateway may refuse a call with it; so does this node when it takes one back.
const NORMAL_UNSPECIFIED: u8 = 31;

/// How long a call may wait for a linearizable read before the last known map has to do.
pub const READ_BUDGET: Duration = Duration::from_millis(50);

/// How many calls asked, and what they were told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RouterCounts {
    /// Calls answered with something to dial.
    pub dialled: u64,
    /// Calls refused.
    pub refused: u64,
    /// Answers from a map that may have been stale.
    pub stale: u64,
}

#[derive(Default)]
struct Counters {
    dialled: AtomicU64,
    refused: AtomicU64,
    stale: AtomicU64,
}

/// Answers calls from the map. One for each node; cheap to share.
pub struct Router {
    port: Arc<dyn MapPort>,
    used: Mutex<ReplayGuard>,
    /// What a later process of this node will know of `used`.
    list: Option<UsedFile>,
    nonce: AtomicU32,
    counters: Counters,
    /// Devices to whose registrations here calls were sent.
    recent: Recent<DeviceId>,
    /// What was dialled by calls that were taken back.
    recalled: Recent<String>,
    /// Calls that the redirect server sent elsewhere, by Call-ID.
    redirected: Recent<String>,
}

impl Router {
    /// A router over this map that remembers in this file which capabilities were used, across restarts.
    ///
    /// Never fails: what is wrong with the file is in the log, and calls go on.
    pub fn remembering(port: Arc<dyn MapPort>, used: PathBuf) -> Self {
        let mut router = Self::new(port);
        router.list = Some(UsedFile::open(used, router.used.get_mut()));
        router
    }

    /// A router over this map that remembers in memory alone which capabilities were used.
    pub fn new(port: Arc<dyn MapPort>) -> Self {
        // Begins anywhere, so that a restart does not repeat what is still good.
        let start = RandomState::new().hash_one(std::process::id()) as u32;
        Self {
            port,
            used: Mutex::new(ReplayGuard::default()),
            list: None,
            nonce: AtomicU32::new(start),
            counters: Counters::default(),
            recent: Recent::default(),
            recalled: Recent::default(),
            redirected: Recent::default(),
        }
    }

    /// A number for the next capability, different from all that this node gives out within the life of one.
    pub fn next_nonce(&self) -> u32 {
        self.nonce.fetch_add(1, Ordering::Relaxed)
    }

    /// What has been answered so far.
    pub fn counts(&self) -> RouterCounts {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        RouterCounts {
            dialled: load(&self.counters.dialled),
            refused: load(&self.counters.refused),
            stale: load(&self.counters.stale),
        }
    }

    /// Decides a call. Never fails: where the map cannot be read, the call is refused as unavailable.
    pub async fn ask(&self, ask: &Ask) -> Decision {
        let snapshot = self.look(ask.question).await;
        self.answer(ask, snapshot).await
    }

    /// The map as a question needs it. May be taken as soon as the call is there, while it still says what it wants.
    async fn look(&self, question: Question) -> MapSnapshot {
        match question {
            Question::Route | Question::Moved => fresh_or_stale(&*self.port, READ_BUDGET).await,
            // Whether a capability is good does not depend on where anybody is.
            Question::Trunk => self.port.local(),
        }
    }

    async fn answer(&self, ask: &Ask, snapshot: MapSnapshot) -> Decision {
        if ask.again && !self.recalled.holds(&ask.dialled) {
            // The cause by which the dialplan knows a call that was taken back came from somewhere else this time.
            return Decision::Refuse {
                cause: NORMAL_UNSPECIFIED,
                why: "the call was not taken back by this node".into(),
            };
        }
        let mut nonce = || self.next_nonce();
        let (decided, spent) = {
            let mut used = self.used.lock();
            let mut moment = Moment {
                unix_s: unix_s(),
                nonce: &mut nonce,
                used: &mut used,
                spent: None,
                stale: snapshot.stale,
            };
            let decided = decide(&snapshot.view(), self.port.here(), ask, &mut moment);
            (decided, moment.spent)
        };
        if let (Some(list), Some(spent)) = (&self.list, spent) {
            list.note(spent).done().await;
        }
        let decision = decided.unwrap_or_else(|error| Decision::Refuse {
            cause: Cause::Unavailable.q850(),
            why: format!("the map cannot be read: {error}"),
        });
        self.count(ask, &decision, snapshot.stale && ask.question == Question::Route);
        for device in devices(&decision) {
            self.recent.note(device);
        }
        decision
    }

    /// Notes that a call to what was dialled is being taken back, from a phone that has gone or a node that has died: the dialplan may ask
    /// about it once more.
    pub fn recalling(&self, dialled: &str) {
        self.recalled.note(dialled.to_owned());
    }

    /// Notes that the redirect server answered a call with the places where the device is now: it is on the right way, whoever moves.
    pub fn redirected(&self, call_id: &str) {
        self.redirected.note(call_id.to_owned());
    }

    /// True where the redirect server sent the call elsewhere a moment ago; never for the empty Call-ID of an Asterisk that does not tell it.
    pub fn was_redirected(&self, call_id: &str) -> bool {
        !call_id.is_empty() && self.redirected.holds(call_id)
    }

    /// True where a call was told to ring this device's registrations here a moment ago: it may be ringing one that has just gone.
    pub fn rang_here(&self, device: &DeviceId) -> bool {
        self.recent.holds(device)
    }

    fn count(&self, ask: &Ask, decision: &Decision, stale: bool) {
        let counter = match decision {
            Decision::Dial { .. } => &self.counters.dialled,
            Decision::Refuse { cause, why } => {
                match ask.question {
                    Question::Route => {
                        let device = ask.device.as_ref().map(tracing::field::display);
                        tracing::info!(dialled = ?ask.dialled, device, cause, why, "call refused");
                    }
                    Question::Trunk | Question::Moved => {
                        tracing::warn!(dialled = ?ask.dialled, cause, why, "call from outside refused");
                    }
                }
                &self.counters.refused
            }
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if stale {
            self.counters.stale.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Now, in Unix seconds; 0 on a machine whose clock is before 1970.
fn unix_s() -> u32 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(now.as_secs()).unwrap_or(u32::MAX)
}
