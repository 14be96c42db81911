//! Who talks to the FastAGI server, and who gives way when every place is taken.
//!
//! Asterisk says everything about a call at once and answers at once, so whoever says nothing is the first to lose its place, and
//! whoever takes long over it is next. Nobody is cut off while there is room.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long a call that has asked keeps its place whatever happens.
const PATIENCE: Duration = Duration::from_millis(500);

/// What became of connections to the FastAGI server.
#[derive(Debug, Default)]
pub struct FastAgiStats {
    gave_way: AtomicU64,
}

impl FastAgiStats {
    /// Connections that gave way to newer ones since the start.
    pub fn gave_way(&self) -> u64 {
        self.gave_way.load(Ordering::Relaxed)
    }

    /// The counters as metrics.
    #[must_use]
    pub fn metrics(&self) -> String {
        format!(
            "# HELP fed_node_agi_gave_way Connections to the FastAGI server that gave way to newer ones.\n\
             # TYPE fed_node_agi_gave_way counter\n\
             fed_node_agi_gave_way_total {}\n",
            self.gave_way()
        )
    }
}

/// The places of one server.
#[derive(Debug)]
pub(super) struct Places {
    most: usize,
    open: Mutex<Open>,
    freed: Notify,
    pub(super) stats: Arc<FastAgiStats>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    /// By number: the oldest first.
    talks: BTreeMap<u64, Talk>,
}

#[derive(Debug)]
struct Talk {
    since: Instant,
    asked: Arc<AtomicBool>,
    cut: CancellationToken,
}

/// One conversation's place, given back when dropped.
#[derive(Debug)]
pub(super) struct Place {
    places: Arc<Places>,
    number: u64,
    asked: Arc<AtomicBool>,
    /// Cancelled when it has to give way.
    pub(super) cut: CancellationToken,
}

impl Places {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            open: Mutex::default(),
            freed: Notify::new(),
            stats: Arc::default(),
        }
    }

    /// A place, as soon as there is one: at once unless all are taken by calls that have asked just now.
    pub(super) async fn take(self: &Arc<Self>) -> Place {
        loop {
            match self.try_take(Instant::now()) {
                Ok(place) => return place,
                Err(until) => tokio::select! {
                    () = self.freed.notified() => {}
                    () = sleep_until(until) => {}
                },
            }
        }
    }

    /// A place, or the time at which the oldest gives way.
    fn try_take(self: &Arc<Self>, now: Instant) -> Result<Place, Instant> {
        let mut open = self.open.lock();
        if open.talks.len() >= self.most {
            let silent = open.talks.iter().find(|(_, talk)| !talk.asked.load(Ordering::Relaxed));
            let Some((number, talk)) = silent.or_else(|| open.talks.first_key_value()) else {
                return Err(now + PATIENCE);
            };
            let kept_until = talk.since + PATIENCE;
            if talk.asked.load(Ordering::Relaxed) && now < kept_until {
                return Err(kept_until);
            }
            let number = *number;
            if let Some(talk) = open.talks.remove(&number) {
                talk.cut.cancel();
                self.stats.gave_way.fetch_add(1, Ordering::Relaxed);
            }
        }
        let number = open.next;
        open.next += 1;
        let (asked, cut) = (Arc::<AtomicBool>::default(), CancellationToken::new());
        let talk = Talk {
            since: now,
            asked: asked.clone(),
            cut: cut.clone(),
        };
        open.talks.insert(number, talk);
        Ok(Place {
            places: self.clone(),
            number,
            asked,
            cut,
        })
    }
}

impl Place {
    /// Takes note that the whole question is here.
    pub(super) fn has_asked(&self) {
        self.asked.store(true, Ordering::Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.open.lock().talks.remove(&self.number);
        self.places.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places() -> (Arc<Places>, Instant) {
        (Arc::new(Places::new(2)), Instant::now())
    }

    #[test]
    fn the_oldest_that_says_nothing_gives_way_and_whoever_has_asked_does_not() {
        let (places, now) = places();
        let asking = places.try_take(now).expect("a place");
        asking.has_asked();
        let silent = places.try_take(now).expect("a place");
        let newcomer = places.try_take(now).expect("a place");
        assert!(silent.cut.is_cancelled() && !asking.cut.is_cancelled() && !newcomer.cut.is_cancelled());
        drop(silent);
        newcomer.has_asked();
        let until = places.try_take(now).expect_err("all have asked");
        assert_eq!(until, now + PATIENCE);
        assert_eq!(places.stats.gave_way(), 1);
        drop(newcomer);
        places.try_take(now).expect("a place that was given back");
    }

    #[test]
    fn whoever_takes_long_gives_way_after_a_while() {
        let (places, now) = places();
        let asked: Vec<Place> = (0..2).map(|_| places.try_take(now).expect("a place")).collect();
        asked.iter().for_each(Place::has_asked);
        let until = places.try_take(now).expect_err("all have asked");
        let _newcomer = places.try_take(until).expect("a place");
        assert!(asked[0].cut.is_cancelled() && !asked[1].cut.is_cancelled());
    }

    #[tokio::test]
    async fn a_place_that_is_given_back_is_had_at_once() {
        let places = Arc::new(Places::new(1));
        let first = places.take().await;
        first.has_asked();
        let (second, ()) = tokio::join!(places.take(), async { drop(first) });
        assert!(!second.cut.is_cancelled());
    }
}
