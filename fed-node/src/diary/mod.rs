//! What this node saw happen, and since when things are as they are.
//!
//! Everything here is one node's own observation, on its own clock, in memory: it begins with the node's start and nothing
//! of it enters the map. Memory is bounded.

mod lines;
mod ring;
mod sight;
mod standing;

pub use lines::{Line, LineLayer, lines};
pub use ring::Ring;
pub use sight::{AsteriskSeen, Happening, Seen, Sight, State};
pub use standing::{Since, Standing};

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// Happenings of each kind of lane that are kept.
const KEPT: usize = 500;
/// Moves of users are many: they have a lane of their own.
const MOVES: usize = 1;

/// A node's memory of what it saw.
#[derive(Debug)]
pub struct Diary {
    happenings: Ring<(Instant, Happening)>,
    now: Mutex<Option<(Sight, Standing)>>,
}

impl Default for Diary {
    fn default() -> Self {
        Self {
            happenings: Ring::new(2, KEPT),
            now: Mutex::new(None),
        }
    }
}

impl Diary {
    /// Takes note of how things are now, and so of what happened since the last look.
    pub fn look(&self, mut sight: Sight) {
        let at = Instant::now();
        let mut now = self.now.lock();
        let before = now.take();
        let led = sight.leader.map(|leader| (leader, sight.term));
        sight.led = led.or_else(|| before.as_ref().and_then(|(sight, _)| sight.led));
        let happened = sight.since(before.as_ref().map(|(sight, _)| sight));
        let standing = match before {
            None => Standing::first(&sight, at),
            Some((then, standing)) => standing.after(&then, &sight, at),
        };
        *now = Some((sight, standing));
        drop(now);
        for happening in happened {
            self.happenings.push(0, (at, happening));
        }
    }

    /// Takes note of a move.
    pub fn moved(&self, happening: Happening) {
        self.happenings.push(MOVES, (Instant::now(), happening));
    }

    /// The last look, and since when each part of it has been so; none before the first.
    #[must_use]
    pub fn now(&self) -> Option<(Sight, Standing)> {
        self.now.lock().clone()
    }

    /// What happened, in order, with its number and how long ago it was.
    #[must_use]
    pub fn after(&self, number: u64) -> Vec<(u64, Duration, Happening)> {
        let kept = self.happenings.after(number).into_iter();
        kept.map(|(number, (at, happening))| (number, at.elapsed(), happening))
            .collect()
    }

    /// Returns once something happened after this number.
    pub async fn grown(&self, number: u64) {
        self.happenings.grown(number).await;
    }

    /// Leaders that this node came to know within a time.
    #[must_use]
    pub fn leaders_within(&self, time: Duration) -> usize {
        let all = self.after(0);
        all.iter()
            .filter(|(_, ago, happening)| happening.kind == "leader" && *ago <= time)
            .count()
    }
}
