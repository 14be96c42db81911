//! What somebody was refused, or was given to read that opens lines, on its way into the audit log: so much of it, and no more.
//!
//! Who tries what they may not is worth knowing on every node and afterwards. But the log keeps a certain number of entries, and whoever has
//! a small role must not push out those of changes by being refused often. So the same refusal is noted once in a while, and all of
//! a node's together at a rate at which it takes five weeks to fill the log; what is left out is counted. The node's own log is spared in the
//! same way; its metrics count them all. Whoever shows no token that is known is nobody, and is in metrics only.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use fed_core::audit::Actor;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The same caller's refusal of the same call is noted once in this time.
const SAME: Duration = Duration::from_secs(600);
/// So many are noted at once.
const BURST: u32 = 10;
/// And one in this time from then on.
const EVERY: Duration = Duration::from_secs(60);
/// Different refusals remembered.
const REMEMBERED: usize = 256;
/// Notes that wait to be written.
const WAITING: usize = 16;

/// A refusal, or what somebody read, to be noted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Who was refused, or read.
    pub who: Actor,
    /// What, in words.
    pub text: String,
}

/// Where refusals are told.
#[derive(Debug)]
pub struct Refusals {
    notes: mpsc::Sender<Refusal>,
    sieve: Mutex<Sieve>,
    logged: Mutex<Sieve>,
    reads: Mutex<Sieve>,
}

impl Refusals {
    /// With the other end, from which they are written into the log.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Refusal>) {
        let (notes, written) = mpsc::channel(WAITING);
        let now = Instant::now();
        let [sieve, logged, reads] = [(); 3].map(|()| Mutex::new(Sieve::new(now)));
        let told = Self {
            notes,
            sieve,
            logged,
            reads,
        };
        (told, written)
    }

    /// The words for this node's own log, when this refusal is to be there: the disk is not for whoever is refused to fill.
    pub(super) fn worth_logging(&self, who: &Actor, call: &str) -> Option<String> {
        let before = self.logged.lock().take(who, call, Instant::now())?;
        Some(worded(format!("refused {call}"), before, "refusals"))
    }

    /// Somebody was refused a call.
    pub(super) fn tell(&self, who: &Actor, call: &str) {
        let before = self.sieve.lock().take(who, call, Instant::now());
        if let Some(before) = before {
            self.note(who, worded(format!("refused {call}"), before, "refusals"));
        }
    }

    /// Somebody read what opens lines, page by page perhaps: once in a while.
    pub(super) fn tell_read(&self, who: &Actor, what: &str) {
        let before = self.reads.lock().take(who, what, Instant::now());
        if let Some(before) = before {
            self.note(who, worded(format!("read {what}"), before, "reads"));
        }
    }

    /// Has something written down; what cannot be in time is in this node's log.
    pub(super) fn note(&self, who: &Actor, text: String) {
        let who = who.clone();
        if let Err(mpsc::error::TrySendError::Full(Refusal { who, text })) = self.notes.try_send(Refusal { who, text })
        {
            tracing::warn!(%who, text, "not in the audit log: too much waits to be written there");
        }
    }
}

fn worded(text: String, before: u64, what: &str) -> String {
    match before {
        0 => text,
        before => format!("{text}; {before} {what} before were not noted"),
    }
}

/// Decides which refusals are noted.
#[derive(Debug)]
struct Sieve {
    left: u32,
    filled_at: Instant,
    lately: HashMap<(String, String), Instant>,
    left_out: u64,
}

impl Sieve {
    fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled_at: now,
            lately: HashMap::new(),
            left_out: 0,
        }
    }

    /// How many before were left out, if this one is noted.
    fn take(&mut self, who: &Actor, call: &str, now: Instant) -> Option<u64> {
        let due = now.saturating_duration_since(self.filled_at).as_secs() / EVERY.as_secs();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        if due > 0 {
            self.left = self.left.saturating_add(due).min(BURST);
            self.filled_at += EVERY * due;
        }
        self.lately.retain(|_, at| now.saturating_duration_since(*at) < SAME);
        let key = (who.to_string(), call.to_owned());
        if self.left == 0 || self.lately.len() >= REMEMBERED || self.lately.contains_key(&key) {
            self.left_out += 1;
            return None;
        }
        self.left -= 1;
        self.lately.insert(key, now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(id: usize) -> Actor {
        Actor::Token(fed_core::ids::TokenId::new(format!("t{id}")).unwrap())
    }

    #[test]
    fn the_same_refusal_is_noted_once_in_a_while_and_the_others_are_counted() {
        let now = Instant::now();
        let mut sieve = Sieve::new(now);
        assert_eq!(sieve.take(&token(1), "PutUser", now), Some(0));
        for _ in 0..1_000 {
            assert_eq!(sieve.take(&token(1), "PutUser", now), None);
        }
        let other = sieve.take(&token(1), "DeleteUser", now).unwrap();
        assert_eq!(
            worded("refused DeleteUser".to_owned(), other, "refusals"),
            "refused DeleteUser; 1000 refusals before were not noted"
        );
        assert!(sieve.take(&token(2), "PutUser", now).is_some());
        assert!(sieve.take(&token(1), "PutUser", now + SAME).is_some());
    }

    #[test]
    fn however_many_are_refused_the_log_grows_slowly() {
        let start = Instant::now();
        let mut sieve = Sieve::new(start);
        let mut noted = 0;
        // A thousand seconds, a hundred refusals of different callers in each.
        for second in 0..1_000 {
            for n in 0..100 {
                let now = start + Duration::from_secs(second);
                noted += usize::from(sieve.take(&token(second as usize * 100 + n), "Write", now).is_some());
            }
        }
        assert!((20..=27).contains(&noted), "{noted}");
        assert!(sieve.lately.len() <= REMEMBERED);
    }

    #[test]
    fn the_log_of_the_node_has_few_of_many_refusals_and_says_how_many_there_were() {
        let (refusals, _written) = Refusals::channel();
        let said = |who| refusals.worth_logging(&token(who), "/x/Status");
        assert_eq!(said(1).as_deref(), Some("refused /x/Status"));
        assert!((0..1_000).all(|_| said(1).is_none()));
        let next = said(2).unwrap();
        assert!(next.contains("1000 refusals before"), "{next}");
    }

    #[test]
    fn notes_that_nobody_writes_do_not_gather() {
        let (refusals, mut written) = Refusals::channel();
        for n in 0..100 {
            refusals.tell(&token(n), "Write");
        }
        written.close();
        let mut count = 0;
        while written.try_recv().is_ok() {
            count += 1;
        }
        assert_eq!(count, BURST);
    }
}
