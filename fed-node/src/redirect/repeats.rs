//! Answers given lately: a datagram that is sent again gets the very same one (RFC 3261 section 17.2.1).
//!
//! Without it every repetition would be located anew and answered with a capability of its own, perhaps for another place.
//! Over TCP nothing is repeated. What is forgotten early, because the store is full, is only located once more.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// After this long nobody repeats a request (64 times T1).
const LIFE: Duration = Duration::from_secs(32);
/// Requests remembered at once.
const MOST: usize = 4_096;
/// Bytes of answers remembered at once.
const MOST_BYTES: usize = 4 << 20;

/// What is known of a request.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known<'a> {
    /// It was not seen before.
    New,
    /// It is being looked up; its answer will come.
    Asked,
    /// It was answered so.
    Answered(&'a [u8]),
}

struct Entry {
    /// Which of its entries in the order counts.
    serial: u64,
    answer: Option<Vec<u8>>,
}

/// The store of one socket; its memory is bounded. Times are of any clock that never goes back.
#[derive(Default)]
pub(super) struct Repeats {
    entries: HashMap<u64, Entry>,
    /// The oldest first.
    order: VecDeque<(Duration, u64, u64)>,
    bytes: usize,
    serial: u64,
}

impl Repeats {
    /// What is known of the request with this key.
    pub(super) fn know(&mut self, key: u64, now: Duration) -> Known<'_> {
        while self
            .order
            .front()
            .is_some_and(|(since, ..)| now.saturating_sub(*since) > LIFE)
        {
            self.forget_oldest();
        }
        match self.entries.get(&key) {
            None => Known::New,
            Some(Entry { answer: None, .. }) => Known::Asked,
            Some(Entry {
                answer: Some(answer), ..
            }) => Known::Answered(answer),
        }
    }

    /// The request is being looked up.
    pub(super) fn asked(&mut self, key: u64, now: Duration) {
        self.put(key, None, now);
    }

    /// The request was answered so.
    pub(super) fn answered(&mut self, key: u64, answer: &[u8], now: Duration) {
        self.put(key, Some(answer.to_vec()), now);
    }

    fn put(&mut self, key: u64, answer: Option<Vec<u8>>, now: Duration) {
        self.serial += 1;
        let serial = self.serial;
        self.bytes += answer.as_ref().map_or(0, Vec::len);
        self.order.push_back((now, key, serial));
        let before = self.entries.insert(key, Entry { serial, answer });
        self.bytes -= before.and_then(|entry| entry.answer).map_or(0, |answer| answer.len());
        while self.order.len() > MOST || self.bytes > MOST_BYTES {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        let Some((_, key, serial)) = self.order.pop_front() else {
            return;
        };
        if self.entries.get(&key).is_some_and(|entry| entry.serial == serial) {
            let gone = self.entries.remove(&key).and_then(|entry| entry.answer);
            self.bytes -= gone.map_or(0, |answer| answer.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::ZERO;

    #[test]
    fn a_request_is_new_then_asked_then_answered_and_forgotten_when_nobody_repeats_it() {
        let mut repeats = Repeats::default();
        assert_eq!(repeats.know(1, START), Known::New);
        repeats.asked(1, START);
        assert_eq!(repeats.know(1, START), Known::Asked);
        repeats.answered(1, b"302", START);
        assert_eq!(repeats.know(1, LIFE), Known::Answered(b"302"));
        assert_eq!(repeats.know(2, LIFE), Known::New);
        assert_eq!(repeats.know(1, LIFE + Duration::from_secs(1)), Known::New);
        assert_eq!((repeats.bytes, repeats.entries.len(), repeats.order.len()), (0, 0, 0));
    }

    #[test]
    fn a_flood_forgets_the_oldest_and_costs_bounded_memory() {
        for size in [500, 60_000] {
            let mut repeats = Repeats::default();
            let answer = vec![b'x'; size];
            for key in 0..100_000 {
                repeats.asked(key, START);
                repeats.answered(key, &answer, START);
                assert!(repeats.order.len() <= MOST && repeats.entries.len() <= MOST && repeats.bytes <= MOST_BYTES);
            }
            let held: usize = repeats
                .entries
                .values()
                .filter_map(|e| e.answer.as_ref())
                .map(Vec::len)
                .sum();
            assert_eq!(held, repeats.bytes);
            assert_eq!(repeats.know(0, START), Known::New);
            assert_eq!(repeats.know(99_999, START), Known::Answered(&answer));
        }
    }
}
