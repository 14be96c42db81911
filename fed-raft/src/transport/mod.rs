//! Between the nodes: gRPC as `peer.proto` says.
//!
//! Each pair of nodes has four connections in each direction, so that nothing waits behind something else: log
//! entries, heartbeats and votes, snapshots, and what clients asked for.

mod admit;
mod append;
mod caller;
mod channels;
mod confirmed;
mod network;
mod receive;
mod send;
mod server;

pub(crate) use admit::REMOVED;
pub(crate) use caller::{Badge, PROTOCOL};
pub(crate) use channels::{Channels, Client, Lane, dial, never_sent};
pub(crate) use confirmed::LOST;
pub(crate) use network::Network;
pub(crate) use server::serve;

/// No message is larger. Log entries are at most 1 MiB, and a message carries about 2 MiB of them.
const LARGEST_MESSAGE: usize = 8 << 20;
