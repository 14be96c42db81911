//! Level S: a whole cluster in one process, driven by a seed, with disks that forget and a network that loses.
//!
//! The nodes are fed-raft's own code over simulated machines (fed-raft's feature `simulation`). After every simulated
//! millisecond all invariants of `model.rs` are checked; at the end the history of all clients is judged. The same
//! seed gives the same run, in a build with `--cfg tokio_unstable`.
//!
//! Start reading at `run.rs`; `plan.rs` says what happens to the cluster, `cluster.rs` what runs on it. Plans and reports
//! are here in every build; running needs the feature `simulation`.

#[cfg(feature = "simulation")]
mod client;
#[cfg(feature = "simulation")]
mod cluster;
#[cfg(feature = "simulation")]
mod faults;
#[cfg(feature = "simulation")]
mod machine;
#[cfg(feature = "simulation")]
mod model;
pub mod plan;
pub mod report;
#[cfg(feature = "simulation")]
mod run;
#[cfg(feature = "simulation")]
mod watcher;

#[cfg(feature = "simulation")]
pub use run::{Setup, run};
