//! Names for requests. The cluster remembers the last [`WINDOW`] sequence numbers of a client, so this node must
//! not be that far ahead of a request that it may still have to send again.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use fed_core::ids::ClientId;
use fed_core::machine::WINDOW;
use parking_lot::Mutex;

use crate::platform::chance;

const LANES: usize = 16;

struct Lane {
    client: ClientId,
    next: u64,
    waiting: BTreeSet<u64>,
}

impl Lane {
    fn has_room(&self, count: u64) -> bool {
        self.waiting
            .first()
            .is_none_or(|oldest| self.next + count - oldest < WINDOW)
    }
}

/// The clients that this node is, from its start to its end. A second one is used only while a request of the
/// first hangs and thousands of newer ones do not.
#[derive(Clone)]
pub(crate) struct Lanes {
    lanes: Arc<Mutex<Vec<Lane>>>,
}

/// Names in use; given back when dropped.
pub(crate) struct Names {
    lanes: Lanes,
    lane: usize,
    pub(crate) client: ClientId,
    pub(crate) sequences: Range<u64>,
}

impl Lanes {
    pub(crate) fn new() -> Self {
        Self {
            lanes: Arc::new(Mutex::new(Vec::new())),
        }
    }

    /// Names for `count` requests; `None` when too many hang.
    pub(crate) fn take(&self, count: usize) -> Option<Names> {
        let count = count as u64;
        let mut lanes = self.lanes.lock();
        let lane = match lanes.iter().position(|lane| lane.has_room(count)) {
            Some(lane) => lane,
            None if lanes.len() < LANES && count < WINDOW => {
                lanes.push(Lane {
                    client: ClientId(chance::draw_u128()),
                    next: 1,
                    waiting: BTreeSet::new(),
                });
                lanes.len() - 1
            }
            None => return None,
        };
        let chosen = &mut lanes[lane];
        let sequences = chosen.next..chosen.next + count;
        chosen.next = sequences.end;
        chosen.waiting.extend(sequences.clone());
        Some(Names {
            lanes: self.clone(),
            lane,
            client: chosen.client,
            sequences,
        })
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        let mut lanes = self.lanes.lanes.lock();
        let lane = &mut lanes[self.lane];
        for sequence in self.sequences.clone() {
            lane.waiting.remove(&sequence);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_never_given_twice() {
        let lanes = Lanes::new();
        let first = lanes.take(3).expect("room");
        let second = lanes.take(2).expect("room");
        assert_eq!(first.client, second.client);
        assert_eq!(first.sequences, 1..4);
        assert_eq!(second.sequences, 4..6);
        drop(first);
        assert_eq!(lanes.take(1).expect("room").sequences, 6..7);
    }

    #[test]
    fn a_request_that_hangs_is_never_left_a_window_behind() {
        let lanes = Lanes::new();
        let hanging = lanes.take(1).expect("room");
        for _ in 0..(2 * WINDOW) {
            let names = lanes.take(1).expect("another lane has room");
            if names.client == hanging.client {
                assert!(names.sequences.end - hanging.sequences.start <= WINDOW);
            }
        }
    }

    #[test]
    fn there_is_an_end_to_what_may_hang() {
        let lanes = Lanes::new();
        let mut hanging = Vec::new();
        while let Some(names) = lanes.take(1000) {
            hanging.push(names);
            assert!(hanging.len() < 1000, "the names must run out");
        }
        hanging.clear();
        assert!(lanes.take(1000).is_some());
    }
}
