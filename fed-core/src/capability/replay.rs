//! Each capability is good for one call.

use std::collections::BTreeSet;

use super::{CapabilityError, Claims, Path};

/// A capability that was used, as far as it tells one from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Spent {
    /// The second of Unix time from which it is good no more. First: in order of expiry, what is over stands in front.
    pub expires_unix_s: u32,
    /// The path in it, the last node of which issued it.
    pub path: Path,
    /// Its number.
    pub nonce: u32,
}

impl Spent {
    /// Length of its stored form.
    pub const BYTES: usize = 20;

    /// What is remembered of these claims.
    #[must_use]
    pub fn of(claims: &Claims) -> Self {
        Self {
            expires_unix_s: claims.expires_unix_s,
            path: claims.path,
            nonce: claims.nonce,
        }
    }

    /// Its stored form, with a checksum.
    #[must_use]
    pub fn to_bytes(self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..4].copy_from_slice(&self.expires_unix_s.to_be_bytes());
        bytes[4..12].copy_from_slice(&self.path.to_bits().to_be_bytes());
        bytes[12..16].copy_from_slice(&self.nonce.to_be_bytes());
        let sum = crc32c::crc32c(&bytes[..16]);
        bytes[16..].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// Reads the stored form; `None` where it is not what was stored.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| bytes[range].iter().fold(0u64, |sum, &b| sum << 8 | u64::from(b));
        let spent = Self {
            expires_unix_s: number(0..4) as u32,
            path: Path::from_bits(number(4..12)),
            nonce: number(12..16) as u32,
        };
        (spent.to_bytes() == *bytes).then_some(spent)
    }
}

/// The capabilities seen that are still good. Memory is bounded by the capacity (about 40 bytes each).
///
/// A capability names its node, so no other node needs to know; a later process of this one is told by [`Self::remember`].
#[derive(Debug)]
pub struct ReplayGuard {
    seen: BTreeSet<Spent>,
    capacity: usize,
    /// What expires up to this second may have been used without this guard's knowledge.
    doubtful_until_unix_s: u32,
}

impl ReplayGuard {
    /// What [`Self::default`] watches: with a life of 30 seconds, 2,000 calls a second from other nodes.
    pub const CAPACITY: usize = 1 << 16;

    /// Watches up to `capacity` capabilities at a time.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            seen: BTreeSet::new(),
            capacity,
            doubtful_until_unix_s: 0,
        }
    }

    /// Takes note of verified `claims` at second `now_unix_s` of Unix time.
    ///
    /// # Errors
    /// [`CapabilityError::Replayed`] when they were seen before, [`CapabilityError::Expired`] when their time is over,
    /// [`CapabilityError::Overloaded`] when the capacity is full of capabilities still good, [`CapabilityError::Doubtful`]
    /// when they may have been used without its knowledge ([`Self::doubt`]).
    pub fn check(&mut self, claims: &Claims, now_unix_s: u32) -> Result<(), CapabilityError> {
        if claims.expires_unix_s <= now_unix_s {
            return Err(CapabilityError::Expired);
        }
        let over = Spent {
            expires_unix_s: now_unix_s.saturating_add(1),
            path: Path::default(),
            nonce: 0,
        };
        self.seen = self.seen.split_off(&over);
        let spent = Spent::of(claims);
        if self.seen.contains(&spent) {
            return Err(CapabilityError::Replayed);
        }
        if claims.expires_unix_s <= self.doubtful_until_unix_s {
            return Err(CapabilityError::Doubtful);
        }
        if self.seen.len() >= self.capacity {
            return Err(CapabilityError::Overloaded);
        }
        self.seen.insert(spent);
        Ok(())
    }

    /// Takes note of one that was used before this guard was made.
    pub fn remember(&mut self, spent: Spent) {
        self.seen.insert(spent);
    }

    /// Nobody knows what was used before this guard was made: takes none that expires by this second of Unix time.
    pub fn doubt(&mut self, until_unix_s: u32) {
        self.doubtful_until_unix_s = until_unix_s;
    }
}

impl Default for ReplayGuard {
    /// Of [`Self::CAPACITY`].
    fn default() -> Self {
        Self::new(Self::CAPACITY)
    }
}
