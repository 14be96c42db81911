//! An embedded Raft cluster library: a replicated state machine on RocksDB, with reads, watch and sessions.
//!
//! Bring a [`Machine`](fed_core::machine::Machine); this crate replicates it. Every node has the whole state on
//! its own disk, takes commands and reads, and answers them as if there were one copy.
//!
//! [`Cluster`] is the handle; [`Config`] says how a node runs; `DESIGN.md` in the crate's folder says why it
//! is built the way it is.

mod config;
mod error;
mod identity;
mod status;

pub use config::{Config, OnFailure};
pub use error::{ConfigError, KeepAliveError, MembersError, ProposeError, ReadError, StartError};
pub use identity::{ClusterId, Identity, inspect};
pub use status::{Member, Role, Status};
