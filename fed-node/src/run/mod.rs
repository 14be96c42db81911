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
    let running = Running::start(config).await.map_err(|error| match error {
        RunError::Cluster(error) => crate::founding::start_failure(&error),
        error => Failure::of(Exit::Usage, &error),
    })?;
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

/// Why a node ended by itself.
fn ended(why: String) -> Failure {
    let code = if why.contains("was removed from the cluster") {
        Code::NodeRemoved
    } else if why.contains("has lost entries that it had confirmed") {
        Code::FolderOutOfDate
    } else {
        Code::NodeStopped
    };
    Failure::failed(why).coded(code)
}
