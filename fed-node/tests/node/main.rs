//! `fed-node` as its users run it: whole processes on loopback, driven by the command line and the client API.
//!
//! One binary, so that RocksDB is linked once; a module is a subject: `cargo test --workspace --test node -- backup::`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod asterisk;
mod audit;
mod backup;
mod book;
mod canary;
mod capabilities;
mod certificates;
mod change;
mod containers;
mod dev;
mod doctor;
mod documents;
mod federation;
mod floods;
mod help;
mod interrupted;
mod joining;
mod leave;
mod logging;
mod metrics;
mod monitoring;
mod operations;
mod paused;
mod pipeline;
mod recover;
mod roles;
mod roster;
mod sealing;
mod start;
mod support;
#[cfg(feature = "otel")]
mod traces;
mod upgrade;
mod validation;
