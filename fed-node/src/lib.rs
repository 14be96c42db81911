//! The node of a federation: configuration, wiring, client API and command line.
//!
//! One `fed-node` runs beside each Asterisk. [`run`] ties the cluster (fed-raft), the bridge and router (fed-ari), the SIP
//! [`redirect`] server and the client [`api`] together; [`cli`] is the command line, a client of that API.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test that cannot go on fails"))]
#![deny(
    clippy::print_stderr,
    reason = "a stderr that cannot be written would be a panic: talk! bears it"
)]

pub mod address;
pub mod api;
pub mod backup;
pub mod cli;
pub mod config;
pub mod dev;
pub mod diary;
pub mod doctor;
pub mod explain;
pub mod founding;
pub mod install;
mod leftovers;
pub mod membership;
pub mod metrics;
pub mod owner;
pub mod recovery;
pub mod redirect;
pub mod roster;
pub mod run;
pub mod security;
pub mod talk;
#[cfg(feature = "otel")]
mod traces;
mod workplace;

pub use leftovers::give_way_to_an_interruption;

#[cfg(test)]
#[allow(clippy::print_stderr, reason = "how much was tried is for whoever runs them")]
#[path = "../../tests/fuzz/mod.rs"]
mod fuzzing;
