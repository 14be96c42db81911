//! Watching: what happened, in order, from a revision on, without gaps or repeats.
//!
//! Events are kept once, in a ring, whoever watches: a watcher is a position in it. One that falls behind reads on
//! from where it was; one that falls out of the ring is told so, once, and has to take a snapshot.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use fed_core::ids::Revision;
use parking_lot::Mutex;
use tokio::sync::watch;

/// An idle watcher hears this often how far the state is.
const PROGRESS: Duration = Duration::from_secs(1);
/// Revisions taken out of the ring at once.
const TAKE: usize = 256;

/// What a watcher gets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchItem<E> {
    /// What happened at one revision, the next one at which something happened.
    Events {
        /// The revision.
        revision: Revision,
        /// What happened, in order.
        events: Vec<E>,
    },
    /// Nothing is missing up to this revision. Comes when the watcher is idle.
    Progress(Revision),
    /// Events between the watcher's revision and this one are gone. Read a snapshot, then watch from its
    /// revision; this watch ends.
    Compacted {
        /// Events after this revision are still there.
        oldest: Revision,
    },
    /// The node stops. Everything up to this revision was delivered: watch on from it, here or elsewhere.
    Stopped {
        /// The last revision delivered.
        at: Revision,
    },
}

struct Ring<E> {
    /// All events after this revision are here.
    floor: Revision,
    /// The revision of the state.
    now: Revision,
    events: VecDeque<(Revision, Arc<Vec<E>>)>,
    closed: bool,
    /// How far each watcher was given everything, by its number.
    positions: HashMap<u64, Arc<AtomicU64>>,
    next_watcher: u64,
}

/// Where events come in.
pub(crate) struct Hub<E> {
    ring: Mutex<Ring<E>>,
    capacity: usize,
    changed: watch::Sender<()>,
}

impl<E> Hub<E> {
    pub(crate) fn new(now: Revision, capacity: usize) -> Self {
        Self {
            ring: Mutex::new(Ring {
                floor: now,
                now,
                events: VecDeque::new(),
                closed: false,
                positions: HashMap::new(),
                next_watcher: 0,
            }),
            capacity,
            changed: watch::Sender::new(()),
        }
    }

    /// Adds what happened, by increasing revision; `now` is the revision of the state after it.
    pub(crate) fn push(&self, happened: Vec<(Revision, Vec<E>)>, now: Revision) {
        {
            let mut ring = self.ring.lock();
            if happened.is_empty() && ring.now == now {
                return;
            }
            for (revision, events) in happened {
                ring.events.push_back((revision, Arc::new(events)));
            }
            ring.now = now;
            while ring.events.len() > self.capacity {
                if let Some((revision, _)) = ring.events.pop_front() {
                    ring.floor = revision;
                }
            }
        }
        self.changed.send_replace(());
    }

    /// The state jumped to `now`: how it got there is not known here.
    pub(crate) fn jump(&self, now: Revision) {
        {
            let mut ring = self.ring.lock();
            ring.events.clear();
            ring.floor = now;
            ring.now = now;
        }
        self.changed.send_replace(());
    }

    /// How many watch, and how many revisions the slowest of them was not given yet.
    pub(crate) fn watchers(&self) -> (usize, u64) {
        let ring = self.ring.lock();
        let last = ring.events.back().map_or(0, |(revision, _)| revision.0);
        let lag = ring
            .positions
            .values()
            .map(|at| last.saturating_sub(at.load(Ordering::Relaxed)));
        (ring.positions.len(), lag.max().unwrap_or(0))
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.ring.lock().closed = true;
        self.changed.send_replace(());
    }
}

/// A watch that is under way.
pub struct Watch<E> {
    hub: Arc<Hub<E>>,
    changed: watch::Receiver<()>,
    /// Everything up to here was delivered.
    at: Revision,
    /// The same, for whoever counts watchers.
    told: Arc<AtomicU64>,
    number: u64,
    taken: VecDeque<(Revision, Arc<Vec<E>>)>,
    ended: bool,
}

enum Look {
    Wait,
    Took,
    Compacted(Revision),
    Closed,
}

impl<E: Clone> Watch<E> {
    pub(crate) fn new(hub: Arc<Hub<E>>, after: Revision) -> Self {
        let changed = hub.changed.subscribe();
        #[cfg(feature = "planted-bugs")]
        let after = if after.0 > 0 && crate::planted::is("watch-one-too-far") {
            after.next()
        } else {
            after
        };
        let told = Arc::new(AtomicU64::new(after.0));
        let number = {
            let mut ring = hub.ring.lock();
            ring.next_watcher += 1;
            let number = ring.next_watcher;
            ring.positions.insert(number, told.clone());
            number
        };
        Self {
            hub,
            changed,
            at: after,
            told,
            number,
            taken: VecDeque::new(),
            ended: false,
        }
    }

    /// The revision up to which everything was delivered: where to resume.
    #[must_use]
    pub fn position(&self) -> Revision {
        self.at
    }

    /// The next item; `None` after [`WatchItem::Compacted`] or [`WatchItem::Stopped`]. Waits as long as it takes,
    /// with a [`WatchItem::Progress`] each second.
    ///
    /// May be dropped and called again without losing anything.
    pub async fn next(&mut self) -> Option<WatchItem<E>> {
        loop {
            if self.ended {
                return None;
            }
            if let Some((revision, events)) = self.taken.pop_front() {
                self.move_to(revision);
                let events = Arc::unwrap_or_clone(events);
                return Some(WatchItem::Events { revision, events });
            }
            match self.look() {
                Look::Took => {}
                Look::Compacted(oldest) => {
                    self.ended = true;
                    return Some(WatchItem::Compacted { oldest });
                }
                Look::Closed => {
                    self.ended = true;
                    return Some(WatchItem::Stopped { at: self.at });
                }
                Look::Wait => {
                    let waited = tokio::time::timeout(PROGRESS, self.changed.changed()).await;
                    if waited.is_err()
                        && let Some(now) = self.caught_up()
                    {
                        return Some(WatchItem::Progress(now));
                    }
                }
            }
        }
    }

    fn look(&mut self) -> Look {
        self.changed.mark_unchanged();
        let ring = self.hub.ring.lock();
        if self.at < ring.floor {
            return Look::Compacted(ring.floor);
        }
        let next = ring.events.partition_point(|(revision, _)| *revision <= self.at);
        self.taken.extend(ring.events.iter().skip(next).take(TAKE).cloned());
        if !self.taken.is_empty() {
            Look::Took
        } else if ring.closed {
            Look::Closed
        } else {
            Look::Wait
        }
    }

    /// The revision of the state, when nothing up to it is missing here. A watcher ahead of this node (it came
    /// from another) hears nothing until the node is where it was.
    fn caught_up(&mut self) -> Option<Revision> {
        let ring = self.hub.ring.lock();
        let nothing_new = ring.events.back().is_none_or(|(revision, _)| *revision <= self.at);
        if nothing_new && ring.now >= self.at && ring.floor <= self.at {
            let now = ring.now;
            drop(ring);
            self.move_to(now);
            Some(now)
        } else {
            None
        }
    }

    fn move_to(&mut self, revision: Revision) {
        self.at = revision;
        self.told.store(revision.0, Ordering::Relaxed);
    }
}

impl<E> Drop for Watch<E> {
    fn drop(&mut self) {
        self.hub.ring.lock().positions.remove(&self.number);
    }
}
