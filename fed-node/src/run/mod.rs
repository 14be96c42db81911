//! `run`: everything a node is, started in order and stopped in the reverse.

mod asterisk;
mod founder;
mod leave;
mod logging;
mod node;
mod observer;
mod port;
mod record;
mod removed;
mod service_manager;
mod session;

pub use node::{RunError, Running};
pub use port::RaftPort;

use fed_raft::StartError;
use tokio::signal::unix::{SignalKind, signal};

use crate::cli::{Exit, Failure, Outcome};
use crate::config::Config;
use crate::explain::Code;

/// Serves until SIGTERM, SIGINT, or until this node has left the federation.
///
/// # Errors
/// When the node cannot start, or had to stop by itself.
pub async fn run(config: Config) -> Outcome {
    logging::start(&config.log);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let running = Running::start(config).await.map_err(|error| not_started(&error))?;
    let watched = service_manager::serving(&running);
    let stopped = tokio::select! {
        _ = terminate.recv() => { tracing::info!("SIGTERM: stopping"); None }
        _ = interrupt.recv() => { tracing::info!("interrupted: stopping"); None }
        why = running.ended() => Some(why),
    };
    service_manager::stopping(watched).await;
    running.stop().await;
    match stopped {
        Some(Err(why)) => Err(ended(why)),
        Some(Ok(why)) => {
            tracing::info!("{why}");
            Ok(())
        }
        None => Ok(()),
    }
}

/// How a node that cannot start ends. What may pass by itself is tried again by the service manager: an address that this host has
/// not got yet, a port or folder that another process still holds. What stays so until somebody mends it is not.
fn not_started(error: &RunError) -> Failure {
    let exit = match error {
        RunError::Cluster(
            StartError::InUse(_) | StartError::Listen { .. } | StartError::Io { .. } | StartError::Core(_),
        )
        | RunError::Api(_)
        | RunError::Redirect(_)
        | RunError::Agi { .. }
        | RunError::File { .. } => Exit::Failed,
        RunError::Cluster(_)
        | RunError::Asterisk(_)
        | RunError::NoPassword { .. }
        | RunError::Secret(_)
        | RunError::Security(_) => Exit::Usage,
    };
    Failure::of(exit, error)
}

/// Why a node ended by itself. One that the others speak to no more would end the same way at every start.
fn ended(why: String) -> Failure {
    let (exit, code) = if why.contains("was removed from the cluster") {
        (Exit::Refused, Code::NodeRemoved)
    } else if why.contains("has lost entries that it had confirmed") {
        (Exit::Refused, Code::FolderOutOfDate)
    } else {
        (Exit::Failed, Code::NodeStopped)
    };
    Failure::new(exit, why).coded(code)
}
