//! What the redirect server needs from outside: the map, the clock and nonces.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use fed_core::ids::{DeviceId, NodeId};
use fed_core::route::Cause;

/// One device to ring, and where.
#[derive(Clone, PartialEq, Eq)]
pub struct Target {
    /// The device that answers to what was asked for.
    pub device: DeviceId,
    /// The node where it is registered.
    pub node: NodeId,
    /// That node's SIP address, `host:port` (`[..]:port` for IPv6).
    pub sip_address: String,
    /// The federation's capability key, with which the target is signed.
    pub key: [u8; 32],
    /// Those of the same turn ring together, from 0; the next turn when nobody of the one before answered.
    pub turn: u8,
    /// Seconds that the turns before take.
    pub after_s: u32,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("device", &self.device)
            .field("node", &self.node)
            .field("sip_address", &self.sip_address)
            .field("key", &"***")
            .field("turn", &self.turn)
            .field("after_s", &self.after_s)
            .finish()
    }
}

/// Where the map says that whoever was asked for is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Here, in the order in which they are to be tried; never empty.
    At(Vec<Target>),
    /// Not to be reached, and why: unknown, registered nowhere, do not disturb, map not readable ([`Cause::Unavailable`]).
    Nowhere(Cause),
}

/// The answer of the map, and how fresh it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located {
    /// Where to ring.
    pub place: Place,
    /// True when there was no quorum and this node's own, perhaps old, copy of the map answered.
    pub stale: bool,
}

/// Looks a device up in the map.
pub trait Locator: Send + Sync + 'static {
    /// Where `asked` is: a device id, user id, number or alias, 1 to 40 characters of `[0-9A-Za-z+*#._-]`.
    ///
    /// Reads linearizably within a budget of its own and falls back to the local copy, marked stale. Never takes longer than
    /// that budget, and reports trouble as `Nowhere(Cause::Unavailable)`.
    fn locate(&self, asked: &str) -> impl Future<Output = Located> + Send;
}

/// The moment and the nonce of one capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Seconds since 1970, UTC.
    pub now_unix_s: u32,
    /// Never the same twice within the lifetime of a capability, whoever in this node issues it.
    pub nonce: u32,
}

/// Gives out stamps. One for the whole node: everything in it that issues capabilities must draw from the same nonces.
pub trait Stamper: Send + Sync + 'static {
    /// The present moment and a fresh nonce.
    fn stamp(&self) -> Stamp;

    /// The call with this Call-ID is told where to go on; what was stamped for it is on its way.
    fn redirected(&self, call_id: &str) {
        let _ = call_id;
    }
}

/// The system's clock, and nonces counted up from a random start (so they cannot collide with one another).
#[derive(Debug)]
pub struct SystemStamper(AtomicU32);

impl SystemStamper {
    /// Starts at a random nonce.
    pub fn new() -> Self {
        Self(AtomicU32::new(rand::random()))
    }
}

impl Default for SystemStamper {
    fn default() -> Self {
        Self::new()
    }
}

impl Stamper for SystemStamper {
    fn stamp(&self) -> Stamp {
        let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
        Stamp {
            now_unix_s: u32::try_from(elapsed).unwrap_or(u32::MAX),
            nonce: self.0.fetch_add(1, Ordering::Relaxed),
        }
    }
}
