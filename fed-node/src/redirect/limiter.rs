//! How much one source may ask: a token bucket per address.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

use fed_raft::security::network_of;

/// Sources remembered at once; further ones share one bucket until older ones have filled up again.
const SOURCES: usize = 4_096;

/// Looking through all of them costs time: at most this often, whatever comes in.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

struct Bucket {
    tokens: f64,
    filled_at: Duration,
}

/// Token buckets, one per source address (IPv6: per /64, for a host owns all of it). Memory is bounded.
pub(super) struct Limiter {
    rate: f64,
    burst: f64,
    buckets: HashMap<IpAddr, Bucket>,
    swept_at: Option<Duration>,
}

impl Limiter {
    /// `rate` messages a second on average, `burst` at once.
    pub(super) fn new(rate: u32, burst: u32) -> Self {
        Self {
            rate: f64::from(rate),
            burst: f64::from(burst.max(1)),
            buckets: HashMap::new(),
            swept_at: None,
        }
    }

    /// Takes one token of `source`; false when it has none left. `now` is any clock that never goes back.
    pub(super) fn admit(&mut self, source: IpAddr, now: Duration) -> bool {
        let mut key = network_of(source);
        if self.buckets.len() >= SOURCES && !self.buckets.contains_key(&key) {
            if self
                .swept_at
                .is_none_or(|swept_at| now.saturating_sub(swept_at) >= SWEEP_EVERY)
            {
                self.swept_at = Some(now);
                self.forget_full_buckets(now);
            }
            if self.buckets.len() >= SOURCES {
                key = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
            }
        }
        let (rate, burst) = (self.rate, self.burst);
        let bucket = self.buckets.entry(key).or_insert(Bucket {
            tokens: burst,
            filled_at: now,
        });
        bucket.tokens = level(bucket, rate, burst, now);
        bucket.filled_at = now;
        if bucket.tokens < 1.0 {
            return false;
        }
        bucket.tokens -= 1.0;
        true
    }

    fn forget_full_buckets(&mut self, now: Duration) {
        let (rate, burst) = (self.rate, self.burst);
        self.buckets.retain(|_, bucket| level(bucket, rate, burst, now) < burst);
    }
}

fn level(bucket: &Bucket, rate: f64, burst: f64, now: Duration) -> f64 {
    (bucket.tokens + now.saturating_sub(bucket.filled_at).as_secs_f64() * rate).min(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_source_over_its_rate_is_held_back_and_others_are_not() {
        let mut limiter = Limiter::new(10, 3);
        let start = Duration::ZERO;
        assert_eq!((0..5).filter(|_| limiter.admit(ip("192.0.2.1"), start)).count(), 3);
        assert!(limiter.admit(ip("192.0.2.2"), start));
        let later = Duration::from_millis(250);
        assert_eq!((0..5).filter(|_| limiter.admit(ip("192.0.2.1"), later)).count(), 2);
    }

    #[test]
    fn addresses_of_one_ipv6_network_share_a_bucket() {
        let mut limiter = Limiter::new(1, 1);
        assert!(limiter.admit(ip("2001:db8::1"), Duration::ZERO));
        assert!(!limiter.admit(ip("2001:db8::2"), Duration::ZERO));
        assert!(limiter.admit(ip("2001:db8:0:1::2"), Duration::ZERO));
        assert!(limiter.admit(ip("192.0.2.1"), Duration::ZERO));
        assert!(!limiter.admit(ip("::ffff:192.0.2.1"), Duration::ZERO));
    }

    #[test]
    fn a_flood_from_invented_addresses_costs_bounded_memory_and_recovers() {
        let mut limiter = Limiter::new(1, 2);
        for n in 0..100_000_u32 {
            limiter.admit(IpAddr::from(n.to_be_bytes()), Duration::ZERO);
        }
        assert!(limiter.buckets.len() <= SOURCES + 1);
        assert!(
            !limiter.admit(ip("203.0.113.9"), Duration::ZERO),
            "new sources share what is left"
        );
        assert!(limiter.admit(ip("203.0.113.9"), Duration::from_secs(10)));
        assert!(limiter.buckets.len() < 10, "full buckets are forgotten");
    }
}
