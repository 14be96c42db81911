//! How much one client may ask, how often and how much at once, and how slowly wrong tokens are answered. Memory is bounded.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fed_core::audit::Actor;
use fed_core::ids::TokenId;
use fed_raft::security::network_of;
use parking_lot::Mutex;
use tonic::Status;
use tonic::metadata::MetadataValue;

use super::places::{Place, Places};
use crate::explain::{Code, attach};

/// Clients remembered at once; one more takes the place of the fullest.
const CLIENTS: usize = 4_096;
/// Wrong tokens are answered after this for each one before, of the same address within [`FORGIVEN`].
const STEP: Duration = Duration::from_millis(100);
/// But never later than this.
const LONGEST: Duration = Duration::from_secs(2);
/// So long an address is remembered for a wrong token.
const FORGIVEN: Duration = Duration::from_secs(60);
/// Answers that may wait at once; further ones are refused without waiting, or the waiting itself were an attack.
const WAITING: usize = 256;

/// The counters and their limits.
#[derive(Debug)]
pub struct Limits {
    rate: f64,
    spent: Mutex<HashMap<TokenId, Bucket>>,
    places: Arc<Places>,
    wrong: Mutex<HashMap<IpAddr, Wrong>>,
    waiting: tokio::sync::Semaphore,
    /// Calls refused for want of a token, or for a wrong one.
    pub(super) unauthenticated: AtomicU64,
    /// Calls refused for want of a role.
    pub(super) denied: AtomicU64,
    /// Calls refused because there were too many.
    pub(super) limited: AtomicU64,
    /// Changes refused by the map.
    pub(super) by_map: AtomicU64,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    tokens: f64,
    filled_at: Instant,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    times: u32,
    last: Instant,
}

impl Limits {
    /// `calls_per_s` for the bearer of one token, with twice as many at a stroke, and `calls_at_once` of them under way; 0: any number.
    #[must_use]
    pub fn new(calls_per_s: u32, calls_at_once: usize) -> Self {
        Self {
            rate: f64::from(calls_per_s),
            spent: Mutex::default(),
            places: Places::new(calls_at_once),
            wrong: Mutex::default(),
            waiting: tokio::sync::Semaphore::new(WAITING),
            unauthenticated: AtomicU64::new(0),
            denied: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            by_map: AtomicU64::new(0),
        }
    }

    /// Takes `cost` calls. Who may read the data folder is not limited: it is the administrator's own machine.
    pub(super) fn spend(&self, who: &Actor, cost: u32) -> Result<(), Status> {
        match who {
            Actor::Token(id) if self.rate > 0.0 => self.spend_at(id, cost, Instant::now()).map_err(|wait| {
                self.limited.fetch_add(1, Ordering::Relaxed);
                too_many(wait)
            }),
            _ => Ok(()),
        }
    }

    /// A place for a call that begins, to be kept as long as anything of it lasts: none where nobody counts.
    pub(super) fn begin(&self, who: &Actor) -> Result<Option<Arc<Place>>, Status> {
        self.places.take(who).map_err(|most| {
            self.limited.fetch_add(1, Ordering::Relaxed);
            let text = format!(
                "overloaded: {most} calls of this token are under way at this node, watches among them, and one token may have no more (client.calls_at_once); end some of them first"
            );
            attach(Status::resource_exhausted(text), Code::TooManyCalls)
        })
    }

    /// [`Limits::spend`] at a moment; how long to wait where there are none left. One that costs more than the most at once is taken
    /// when the bucket is full, and paid off afterwards.
    fn spend_at(&self, id: &TokenId, cost: u32, now: Instant) -> Result<(), Duration> {
        let most = self.rate * 2.0;
        let level = |bucket: &Bucket| {
            let since = now.saturating_duration_since(bucket.filled_at).as_secs_f64();
            (bucket.tokens + since * self.rate).min(most)
        };
        let mut spent = self.spent.lock();
        if spent.len() >= CLIENTS && !spent.contains_key(id) {
            let fullest = spent.iter().max_by(|a, b| level(a.1).total_cmp(&level(b.1)));
            if let Some(fullest) = fullest.map(|(id, _)| id.clone()) {
                spent.remove(&fullest);
            }
        }
        let bucket = spent.entry(id.clone()).or_insert(Bucket {
            tokens: most,
            filled_at: now,
        });
        let (have, cost) = (level(bucket), f64::from(cost));
        let need = cost.min(most);
        if have < need {
            return Err(Duration::from_secs_f64((need - have) / self.rate));
        }
        *bucket = Bucket {
            tokens: have - cost,
            filled_at: now,
        };
        Ok(())
    }

    /// Lets somebody who showed a wrong token wait: each time longer. A right one never waits, whoever guesses beside it.
    ///
    /// # Errors
    /// When too many wait already.
    pub(super) async fn slow_down(&self, source: IpAddr) -> Result<(), Status> {
        let wait = self.wrong_at(source, Instant::now());
        let Ok(_slot) = self.waiting.try_acquire() else {
            self.limited.fetch_add(1, Ordering::Relaxed);
            return Err(too_many(LONGEST));
        };
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn wrong_at(&self, source: IpAddr, now: Instant) -> Duration {
        let key = network_of(source);
        let mut wrong = self.wrong.lock();
        if wrong.len() >= CLIENTS && !wrong.contains_key(&key) {
            wrong.retain(|_, wrong| now.saturating_duration_since(wrong.last) < FORGIVEN);
            if wrong.len() >= CLIENTS {
                return LONGEST;
            }
        }
        let seen = wrong.entry(key).or_insert(Wrong { times: 0, last: now });
        if now.saturating_duration_since(seen.last) >= FORGIVEN {
            seen.times = 0;
        }
        seen.last = now;
        seen.times = seen.times.saturating_add(1);
        STEP.saturating_mul(seen.times).min(LONGEST)
    }

    /// The counters as metrics.
    #[must_use]
    pub fn metrics(&self) -> String {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        format!(
            "# HELP fed_client_refused Calls of the client API that were refused before anything was tried, and changes that the map refused.\n\
             # TYPE fed_client_refused counter\n\
             fed_client_refused_total{{why=\"unauthenticated\"}} {}\n\
             fed_client_refused_total{{why=\"denied\"}} {}\n\
             fed_client_refused_total{{why=\"limited\"}} {}\n\
             fed_client_refused_total{{why=\"map\"}} {}\n",
            count(&self.unauthenticated),
            count(&self.denied),
            count(&self.limited),
            count(&self.by_map)
        )
    }
}

fn too_many(wait: Duration) -> Status {
    let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX).max(1);
    let mut status = Status::resource_exhausted(format!(
        "more calls than one client may make: come again in {millis} ms"
    ));
    status
        .metadata_mut()
        .insert("retry-after-ms", MetadataValue::from(millis));
    attach(status, Code::TooManyCalls)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: usize) -> TokenId {
        TokenId::new(format!("t{n}")).unwrap()
    }

    #[test]
    fn a_client_that_asks_too_much_is_told_when_to_come_again() {
        let (limits, start) = (Limits::new(10, 0), Instant::now());
        for _ in 0..20 {
            limits.spend_at(&id(1), 1, start).unwrap();
        }
        let wait = limits.spend_at(&id(1), 1, start).unwrap_err();
        assert_eq!(wait, Duration::from_millis(100));
        // Another client is not concerned, and this one may come when it was told to.
        limits.spend_at(&id(2), 1, start).unwrap();
        limits.spend_at(&id(1), 1, start + wait).unwrap();
    }

    #[test]
    fn a_call_as_big_as_many_is_paid_for_afterwards() {
        let (limits, start) = (Limits::new(10, 0), Instant::now());
        limits.spend_at(&id(1), 100, start).unwrap();
        let wait = limits.spend_at(&id(1), 1, start).unwrap_err();
        assert!(wait > Duration::from_secs(8), "{wait:?}");
    }

    #[test]
    fn memory_is_bounded_whoever_comes() {
        let (limits, start) = (Limits::new(10, 0), Instant::now());
        for n in 0..CLIENTS + 100 {
            limits.spend_at(&id(n), 1, start).unwrap();
            limits.wrong_at(IpAddr::from((n as u32).to_be_bytes()), start);
        }
        assert_eq!(limits.spent.lock().len(), CLIENTS);
        assert_eq!(limits.wrong.lock().len(), CLIENTS);
    }

    #[test]
    fn guesses_are_answered_ever_later_and_forgiven_in_time() {
        let (limits, start) = (Limits::new(10, 0), Instant::now());
        let source: IpAddr = "2001:db8::1".parse().unwrap();
        let neighbour: IpAddr = "2001:db8::ffff:1".parse().unwrap();
        assert_eq!(limits.wrong_at(source, start), STEP);
        assert_eq!(limits.wrong_at(neighbour, start), STEP * 2);
        for _ in 0..100 {
            limits.wrong_at(source, start);
        }
        assert_eq!(limits.wrong_at(source, start), LONGEST);
        assert_eq!(limits.wrong_at(source, start + FORGIVEN), STEP);
    }

    #[tokio::test]
    async fn the_administrator_of_the_machine_is_not_limited() {
        let limits = Limits::new(1, 0);
        for _ in 0..1_000 {
            limits.spend(&Actor::Local, 1).unwrap();
        }
        let token = Actor::Token(id(1));
        let refused = (0..10).find_map(|_| limits.spend(&token, 1).err()).unwrap();
        assert_eq!(refused.code(), tonic::Code::ResourceExhausted);
        assert!(refused.metadata().get("retry-after-ms").is_some());
        assert!(limits.metrics().contains("{why=\"limited\"} 1"));
    }
}
