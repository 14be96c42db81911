//! An embedded Raft cluster library: a replicated state machine on RocksDB, with reads, watch and sessions.
//!
//! Bring a [`Machine`](fed_core::machine::Machine); this crate replicates it. Every node has the whole state on
//! its own disk, takes commands and reads, and answers them as if there were one copy.
//!
//! [`Cluster`] is the handle; [`Config`] says how a node runs; `DESIGN.md` in the crate's folder says why it
//! is built the way it is.

mod ask;
mod backup;
mod batch;
mod cluster;
mod config;
mod disk;
mod doorkeeper;
mod error;
mod health;
mod identity;
mod join;
mod lag;
mod lanes;
mod log;
mod members;
mod metrics;
mod node;
#[cfg(feature = "planted-bugs")]
pub mod planted;
mod platform;
mod propose;
mod raft;
mod raise;
mod read;
mod recover;
pub mod security;
mod session;
#[cfg(feature = "simulation")]
pub mod simulation;
mod start;
mod state;
mod status;
mod tolerance;
mod transport;
mod upkeep;
mod watch;
#[cfg(feature = "simulation")]
mod witness;

/// The example in the README, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

pub use ask::{Answerer, AskError};
pub use backup::{Backup, BackupInfo, Restored, restore};
pub use batch::Proposed;
pub use cluster::Cluster;
pub use config::{Config, OnFailure};
pub use disk::Faults;
pub use doorkeeper::{Doorkeeper, Turned};
pub use error::{BackupError, ConfigError, KeepAliveError, MembersError, ProposeError, ReadError, StartError};
pub use identity::{ClusterId, Identity, inspect};
pub use join::Application;
pub use read::Consistency;
pub use recover::{GivenUp, Recovery, plan_recovery, recover};
pub use state::Snapshot;
pub use status::{Member, MembersChange, Role, Status};
pub use tolerance::can_lose;
pub use watch::{Watch, WatchItem};
