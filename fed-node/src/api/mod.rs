//! The client API of a node over gRPC: everything the command line does, typed (`proto/federation.proto`).
//!
//! Data flows one way: [`convert`] checks what comes in, [`write`] makes commands, [`read`] answers from one snapshot,
//! [`failure`] turns refusals and outages into distinct codes, [`service`] ties them to the cluster.

pub(crate) mod about;
mod backup;
mod codecs;
pub mod convert;
pub(crate) mod difference;
mod drift;
mod events;
pub(crate) mod failure;
mod kept;
mod members;
mod operations;
mod perf;
mod pipeline;
mod plan;
mod read;
mod replicas;
mod server;
mod service;
pub mod settings;
mod status;
mod watch;
mod would;
mod write;

pub use convert::BadRequest;
pub use server::{ServeError, serve};
pub use service::{ApiService, AsteriskSide, Drift, Leave, NodeView};
pub(crate) use settings::check_realm;
