//! What somebody was refused, was given to read that opens lines, or tried with a guess, on its way into the audit log: so much of it, and no more.
//!
//! Who tries what they may not is worth knowing on every node and afterwards. But the log keeps a certain number of entries, and whoever has
//! a small role must not push out those of changes by being refused often. So the same refusal is noted once in a while, and all of
//! a node's together at a rate at which it takes five weeks to fill the log; what is left out is counted. The node's own log is spared in the
//! same way; its metrics count them all. What the map refuses, to those who may ask it, has a measure of its own, so that nobody hides the one
//! behind the other. Whoever shows no token that is known is nobody, and is in the node's log and in metrics only; whoever guesses at
//! tokens that let a node in is in the audit log too, very few times, since anybody who reaches a node can.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fed_core::audit::Actor;
use fed_core::ids::NodeId;
use fed_raft::security::network_of;
use parking_lot::Mutex;
use tokio::sync::mpsc;

/// The same caller's refusal of the same call is noted once in this time.
const SAME: Duration = Duration::from_secs(600);
/// So many are noted at once.
const BURST: u32 = 10;
/// And one in this time from then on.
const EVERY: Duration = Duration::from_secs(60);
/// The same for what strangers do.
const EVERY_OF_STRANGERS: Duration = Duration::from_secs(600);
/// Different refusals remembered.
const REMEMBERED: usize = 256;
/// Characters that the map takes in a note.
const LONGEST: usize = 200;
/// Characters of a text from elsewhere, so that there is room for how many were left out.
const WITH_ROOM: usize = 150;
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
    by_map: Mutex<Sieve>,
    logged: Mutex<Sieve>,
    reads: Mutex<Sieve>,
    strangers: Mutex<Sieve>,
    joins: Mutex<Sieve>,
    /// Guesses at tokens that let a node in.
    guesses: AtomicU64,
}

impl Refusals {
    /// With the other end, from which they are written into the log.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Refusal>) {
        let (notes, written) = mpsc::channel(WAITING);
        let now = Instant::now();
        let [sieve, by_map, logged, reads, strangers] = [(); 5].map(|()| Mutex::new(Sieve::new(EVERY, now)));
        let told = Self {
            notes,
            sieve,
            by_map,
            logged,
            reads,
            strangers,
            joins: Mutex::new(Sieve::new(EVERY_OF_STRANGERS, now)),
            guesses: AtomicU64::new(0),
        };
        (told, written)
    }

    /// The words for this node's own log, when this refusal is to be there: the disk is not for whoever is refused to fill.
    pub(super) fn worth_logging(&self, who: &Actor, call: &str) -> Option<String> {
        let before = self.logged.lock().take(&who.to_string(), call, Instant::now())?;
        Some(worded(format!("refused {call}"), before, "refusals"))
    }

    /// The same for a wrong token shown by somebody at this address.
    pub(super) fn guess_worth_logging(&self, source: IpAddr) -> Option<String> {
        let source = network_of(source).to_string();
        let before = self.strangers.lock().take(&source, "", Instant::now())?;
        Some(worded("a wrong token was shown".to_owned(), before, "of them"))
    }

    /// Somebody tried to bring a node in with a token that does not do it; `how` says with which, and comes from a few texts only.
    pub(crate) fn tell_guess(&self, here: NodeId, from: IpAddr, how: &str) {
        self.guesses.fetch_add(1, Ordering::Relaxed);
        let network = network_of(from).to_string();
        let before = self.joins.lock().take(&network, how, Instant::now());
        if let Some(before) = before {
            let text = worded(format!("refused a node from or by way of {from} {how}"), before, "such");
            tracing::warn!("{text}");
            self.note(&Actor::Node(here), text);
        }
    }

    /// The counter as metrics.
    #[must_use]
    pub fn metrics(&self) -> String {
        format!(
            "# HELP fed_node_join_guesses Attempts to join with a token that lets no node in, judged here.\n\
             # TYPE fed_node_join_guesses counter\n\
             fed_node_join_guesses_total {}\n",
            self.guesses.load(Ordering::Relaxed)
        )
    }

    /// The map refused a change, in these words.
    pub(super) fn tell_by_map(&self, who: &Actor, refused: &str) {
        let before = self.by_map.lock().take(&who.to_string(), refused, Instant::now());
        if let Some(before) = before {
            self.note(who, worded(cut(refused), before, "of them"));
        }
    }

    /// Somebody was refused a call.
    pub(super) fn tell(&self, who: &Actor, call: &str) {
        let before = self.sieve.lock().take(&who.to_string(), call, Instant::now());
        if let Some(before) = before {
            self.note(who, worded(format!("refused {call}"), before, "refusals"));
        }
    }

    /// Somebody read what opens lines, page by page perhaps: once in a while.
    pub(super) fn tell_read(&self, who: &Actor, what: &str) {
        let before = self.reads.lock().take(&who.to_string(), what, Instant::now());
        if let Some(before) = before {
            self.note(who, worded(format!("read {what}"), before, "reads"));
        }
    }

    /// Has something written down; what cannot be in time is in this node's log.
    pub(super) fn note(&self, who: &Actor, text: String) {
        let who = who.clone();
        let text: String = text.chars().take(LONGEST).collect();
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

fn cut(text: &str) -> String {
    match text.char_indices().nth(WITH_ROOM) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text.to_owned(),
    }
}

/// Decides which refusals are noted.
#[derive(Debug)]
struct Sieve {
    every: Duration,
    left: u32,
    filled_at: Instant,
    lately: HashMap<(String, String), Instant>,
    left_out: u64,
}

impl Sieve {
    /// One in each `every`, after the first few.
    fn new(every: Duration, now: Instant) -> Self {
        Self {
            every,
            left: BURST,
            filled_at: now,
            lately: HashMap::new(),
            left_out: 0,
        }
    }

    /// How many before were left out, if this one is noted.
    fn take(&mut self, who: &str, call: &str, now: Instant) -> Option<u64> {
        let due = now.saturating_duration_since(self.filled_at).as_secs() / self.every.as_secs();
        let due = u32::try_from(due).unwrap_or(u32::MAX);
        if due > 0 {
            self.left = self.left.saturating_add(due).min(BURST);
            self.filled_at += self.every * due;
        }
        self.lately.retain(|_, at| now.saturating_duration_since(*at) < SAME);
        let key = (who.to_owned(), call.to_owned());
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

    fn name(id: usize) -> String {
        token(id).to_string()
    }

    fn token(id: usize) -> Actor {
        Actor::Token(fed_core::ids::TokenId::new(format!("t{id}")).unwrap())
    }

    #[test]
    fn the_same_refusal_is_noted_once_in_a_while_and_the_others_are_counted() {
        let now = Instant::now();
        let mut sieve = Sieve::new(EVERY, now);
        assert_eq!(sieve.take(&name(1), "PutUser", now), Some(0));
        for _ in 0..1_000 {
            assert_eq!(sieve.take(&name(1), "PutUser", now), None);
        }
        let other = sieve.take(&name(1), "DeleteUser", now).unwrap();
        assert_eq!(
            worded("refused DeleteUser".to_owned(), other, "refusals"),
            "refused DeleteUser; 1000 refusals before were not noted"
        );
        assert!(sieve.take(&name(2), "PutUser", now).is_some());
        assert!(sieve.take(&name(1), "PutUser", now + SAME).is_some());
    }

    #[test]
    fn however_many_are_refused_the_log_grows_slowly() {
        let start = Instant::now();
        let mut sieve = Sieve::new(EVERY, start);
        let mut noted = 0;
        // A thousand seconds, a hundred refusals of different callers in each.
        for second in 0..1_000 {
            for n in 0..100 {
                let now = start + Duration::from_secs(second);
                noted += usize::from(sieve.take(&name(second as usize * 100 + n), "Write", now).is_some());
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
    fn strangers_who_guess_leave_a_trace_and_cannot_fill_the_log() {
        let (refusals, mut written) = Refusals::channel();
        let guess = |last: u32| {
            refusals.tell_guess(
                NodeId(1),
                IpAddr::from(last.to_be_bytes()),
                "with a token that is not known here",
            )
        };
        (0..1_000).for_each(guess);
        let first = written.try_recv().unwrap();
        assert_eq!(first.who, Actor::Node(NodeId(1)));
        assert_eq!(
            first.text,
            "refused a node from or by way of 0.0.0.0 with a token that is not known here"
        );
        let mut noted = 1;
        while written.try_recv().is_ok() {
            noted += 1;
        }
        assert_eq!(noted, BURST);
        assert!(refusals.metrics().contains("fed_node_join_guesses_total 1000"));
        // A year until a node alone has filled the log with them.
        let start = Instant::now();
        let mut sieve = Sieve::new(EVERY_OF_STRANGERS, start);
        let noted = (0..24 * 3_600).filter(|second| {
            let now = start + Duration::from_secs(*second);
            sieve.take(&second.to_string(), "", now).is_some()
        });
        assert!((140..=155).contains(&noted.count()));
    }

    #[test]
    fn what_the_map_refuses_hides_nobody_who_may_not_ask() {
        let (refusals, mut written) = Refusals::channel();
        for n in 0..100 {
            refusals.tell_by_map(&token(1), &format!("refused user_put: {n}{}", "x".repeat(300)));
        }
        refusals.tell(&token(2), "PutUser");
        let texts: Vec<String> = std::iter::from_fn(|| written.try_recv().ok().map(|note| note.text)).collect();
        assert!(texts.iter().all(|text| text.chars().count() <= 200), "{texts:?}");
        assert_eq!(texts.len(), BURST as usize + 1);
        assert_eq!(texts.last().unwrap(), "refused PutUser");
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
