//! The SIP redirect server (RFC 3261 section 8.3): whoever asks for a device is told where it is.
//!
//! It answers an INVITE with `302 Moved Temporarily` and the address of the node where the device is registered, read from the
//! map at that moment, or with the right refusal. It holds no call, carries no media and stands in nobody's
//! path: losing it loses no call. Of transactions it remembers for a while what it answered, so that a datagram sent again gets the
//! very same answer.
//!
//! Data flows one way: `message` reads a request, `decision` says what to answer (pure), `response` writes it (pure),
//! `server` owns the sockets. What the map knows comes in through [`Locator`] ([`MapLocator`] over the
//! node's map); clock and nonces through [`Stamper`].
//!
//! Guarantees: no input makes it panic or answer with more than the request's own headers and 1,200 bytes; an answer goes only to
//! the address the request came from, and to nobody who is not allowed to ask; memory, connections and lookups in flight are bounded; an answer that may be old says so
//! (`X-Fed-Stale: yes`).

mod config;
mod connections;
mod decision;
mod limiter;
mod locator;
mod lookup;
mod message;
mod own;
mod repeats;
mod response;
mod server;
mod stats;
mod stream;
mod tcp;
mod udp;

#[cfg(test)]
mod tests;

pub use config::{LOOPBACK, RedirectConfig, TargetTransport};
pub use locator::{Located, Locator, Place, Stamp, Stamper, SystemStamper, Target};
pub use lookup::MapLocator;
pub use server::{RedirectServer, StartError};
pub use stats::{Counts, Stats};
