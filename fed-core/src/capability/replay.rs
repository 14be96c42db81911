//! Each capability is good for one call.

use std::collections::BTreeSet;

use super::{CapabilityError, Claims};

/// The capabilities seen that are still good. Memory is bounded by the capacity (about 40 bytes each).
///
/// It lives in one process: a capability names its node, so no other needs to know.
#[derive(Debug)]
pub struct ReplayGuard {
    /// (expiry, issuer, nonce): in order of expiry, so that what is over is dropped from the front.
    seen: BTreeSet<(u32, u64, u32)>,
    capacity: usize,
}

impl ReplayGuard {
    /// Watches up to `capacity` capabilities at a time.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            seen: BTreeSet::new(),
            capacity,
        }
    }

    /// Takes note of verified `claims` at second `now_unix_s` of Unix time.
    ///
    /// # Errors
    /// [`CapabilityError::Replayed`] when they were seen before, [`CapabilityError::Expired`] when their time is over,
    /// [`CapabilityError::Overloaded`] when the capacity is full of capabilities still good.
    pub fn check(&mut self, claims: &Claims, now_unix_s: u32) -> Result<(), CapabilityError> {
        if claims.expires_unix_s <= now_unix_s {
            return Err(CapabilityError::Expired);
        }
        self.seen = self.seen.split_off(&(now_unix_s.saturating_add(1), 0, 0));
        let name = (claims.expires_unix_s, claims.issuer.0, claims.nonce);
        if self.seen.contains(&name) {
            return Err(CapabilityError::Replayed);
        }
        if self.seen.len() >= self.capacity {
            return Err(CapabilityError::Overloaded);
        }
        self.seen.insert(name);
        Ok(())
    }
}

impl Default for ReplayGuard {
    /// 65,536 capabilities: with a life of 30 seconds, 2,000 calls a second from other nodes.
    fn default() -> Self {
        Self::new(1 << 16)
    }
}
