//! `check`: measures and compares the nodes.

mod perf;
mod replicas;

pub use replicas::Compared;
pub(crate) use replicas::compare;

use super::super::args::{CheckCommand, Output};
use super::super::client::Client;
use super::super::exit::Outcome;

pub(super) async fn check(client: &Client, command: &CheckCommand, output: Output) -> Outcome {
    match command {
        CheckCommand::Perf(args) => perf::perf(client, args, output).await,
        CheckCommand::Replicas => replicas::replicas(client, output).await,
    }
}
