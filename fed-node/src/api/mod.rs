//! The client API of a node over gRPC: everything the command line does, typed (`proto/federation.proto`).
//!
//! Data flows one way: [`convert`] checks what comes in, [`write`] makes commands, [`reserved`] looks who has a name already, [`read`] answers from one snapshot,
//! [`failure`] turns refusals and outages into distinct codes, [`service`] ties them to the cluster, of which [`node`] is what it needs. Before all of them is the [`gate`]:
//! [`door`] decides by [`rules`] who comes in, [`limits`] how often and, with [`places`], how much at once; [`refusals`] tell of those who may not, [`account`] of what the map does not write down by itself; [`stay`] ends answers whose caller may no longer have them.

pub(crate) mod about;
mod account;
mod audit;
mod backup;
mod bind;
mod caller;
mod changes;
mod codecs;
pub mod convert;
pub(crate) mod difference;
mod door;
mod drift;
mod events;
pub(crate) mod failure;
mod gate;
mod invitation;
mod kept;
mod limits;
mod lookup;
mod members;
mod node;
mod operations;
pub(crate) mod perf;
mod pipeline;
mod places;
mod plan;
mod read;
mod ready;
mod refusals;
mod replicas;
pub(crate) mod reserved;
mod rules;
mod server;
mod service;
pub mod settings;
mod status;
mod stay;
mod tokens;
mod watch;
mod would;
mod write;

pub use convert::BadRequest;
pub use door::{Door, Guard};
pub(crate) use invitation::check_join_ttl;
pub use limits::Limits;
pub use node::{AsteriskSide, Drift, Leave, NodeView, Removal};
pub use refusals::{Refusal, Refusals};
pub use rules::{RULES, rule};
pub use server::{ServeError, serve};
pub use service::ApiService;
pub(crate) use settings::check_realm;
pub(crate) use tokens::check_token;
