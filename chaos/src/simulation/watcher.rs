//! Watchers: each follows all changes from where it is, at one node after the other, and must miss none.

use fed_core::ids::Revision;
use fed_raft::{Cluster, Consistency, WatchItem};
use std::time::Duration;

use super::cluster::Shared;
use super::machine::{Event, Kv, effects};

/// Where a watcher is. It outlives the nodes it watches at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Position {
    at: u64,
    taken: bool,
}

/// Follows the changes at this node, with a watcher that nobody has, until the node ends.
pub(super) async fn run(world: Shared, host: usize, node: Cluster<Kv>) {
    let held = Held::take(&world);
    let mut watch = node.watch(Revision(held.at()));
    while let Some(item) = watch.next().await {
        match item {
            WatchItem::Events { revision, events } => {
                if let Some(wrong) = judge(held.at(), revision.0, &events) {
                    let what = format!("watches are in order, without gaps or repeats: at node {host} {wrong}");
                    world.borrow_mut().violations.push(what);
                }
                world.borrow_mut().watched += 1;
                held.move_to(revision.0);
            }
            WatchItem::Progress(revision) => {
                if let Some(wrong) = missing(held.at(), revision.0) {
                    let what = format!("watches are in order, without gaps or repeats: at node {host} {wrong}");
                    world.borrow_mut().violations.push(what);
                }
                held.move_to(revision.0);
            }
            WatchItem::Compacted { oldest } => {
                let wanted = Consistency::AtLeast(oldest);
                if let Ok(snapshot) = node.read(wanted, Duration::from_secs(1)).await {
                    held.move_to(snapshot.revision().0);
                }
                watch = node.watch(Revision(held.at()));
            }
            WatchItem::Stopped { .. } => return,
        }
    }
}

/// What is wrong with these events after that position.
fn judge(at: u64, revision: u64, events: &[Event]) -> Option<String> {
    if revision <= at {
        return Some(format!("revision {revision} came after {at}"));
    }
    if let Some(wrong) = missing(at, revision - 1) {
        return Some(wrong);
    }
    effects(|effects| match effects.by_revision.get(&revision) {
        Some(made) if made == events => None,
        made => Some(format!("revision {revision} came as {events:?}, and was {made:?}")),
    })
}

/// A revision after `at` and up to `upto` at which something happened.
fn missing(at: u64, upto: u64) -> Option<String> {
    effects(|effects| {
        let mut between = effects.by_revision.range(at + 1..upto.max(at) + 1);
        let (revision, events) = between.next()?;
        Some(format!("{events:?} of revision {revision} did not come after {at}"))
    })
}

/// A watcher's place, held while it is used.
struct Held {
    world: Shared,
    number: usize,
}

impl Held {
    fn take(world: &Shared) -> Self {
        let mut borrowed = world.borrow_mut();
        let free: Vec<usize> = (0..borrowed.watchers.len())
            .filter(|n| !borrowed.watchers[*n].taken)
            .collect();
        let pick = borrowed.random.below(free.len() as u64) as usize;
        let number = free.get(pick).copied().unwrap_or(0);
        borrowed.watchers[number].taken = true;
        Self {
            world: world.clone(),
            number,
        }
    }

    fn at(&self) -> u64 {
        self.world.borrow().watchers[self.number].at
    }

    fn move_to(&self, at: u64) {
        let mut world = self.world.borrow_mut();
        let position = &mut world.watchers[self.number].at;
        *position = (*position).max(at);
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if let Ok(mut world) = self.world.try_borrow_mut() {
            world.watchers[self.number].taken = false;
        }
    }
}
