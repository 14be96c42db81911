//! Fault tests for clusters: what was done and answered is recorded, and judged afterwards.
//!
//! - [`recorder`] writes a *history*: one JSON line for every operation of every client, safe against a kill at any moment;
//! - [`history`] reads one, and refuses what it cannot understand;
//! - [`linearizability`] says whether the history could have come from one single correct copy of the data, and explains
//!   the smallest part of it that could not;
//! - [`watch`], [`registration`] and [`replica`] judge what that checker cannot see: change streams, where devices are, and
//!   whether all nodes hold the same state;
//! - [`process`] starts, kills, pauses and restarts real `fed-node` processes, whole federations of them;
//! - [`load`] keeps clients of a federation, and of etcd beside it, busy, and measures;
//! - [`disk`] is a file system that forgets what was not synced, and worse;
//! - [`network`] joins nodes by wires that can be cut, clogged, slow and bad; [`plan`] says what is done to whom, and when; [`run`]
//!   does it to real processes under load, and judges;
//! - [`workload`] makes correct histories from a seed, for tests and measurements of the checkers themselves.
//!
//! Every checker answers with a [`Verdict`]: true, false or *unknown*. Unknown is not a pass.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]

pub mod disk;
pub mod history;
pub mod linearizability;
pub mod load;
pub mod network;
pub mod operation;
pub mod plan;
pub mod process;
pub mod recorder;
pub mod registration;
pub mod replica;
pub mod report;
pub mod run;
pub mod seeded;
pub mod simulation;
pub mod verdict;
pub mod watch;
mod words;
pub mod workload;

pub use history::History;
pub use operation::{Call, Operation, Outcome};
pub use recorder::Recorder;
pub use verdict::Verdict;
