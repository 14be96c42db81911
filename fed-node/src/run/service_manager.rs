//! What systemd is told (`Type=notify`): that the node serves, that it stops, and, as long as it works, that it lives.
//!
//! The watchdog is fed only after the consensus task took its turn and the state could be read. A node that hangs is therefore
//! killed and started again; one that merely has no quorum, no Asterisk or no leader is not: a restart would not help it.

use std::time::Duration;

use fed_core::map::FederationMap;
use fed_raft::Cluster;
use sd_notify::NotifyState;
use tokio::task::JoinHandle;

use super::Running;

/// Says that the node serves, and goes on saying that it lives where the service manager asks for it.
pub(super) fn serving(running: &Running) -> Option<JoinHandle<()>> {
    let cluster = running.cluster().clone();
    let words = format!("serving as node {}", cluster.id());
    tell(&[NotifyState::Ready, NotifyState::Status(&words)]);
    sd_notify::watchdog_enabled().map(|deadline| tokio::spawn(live(cluster, deadline)))
}

/// Says that the node stops: from now on its silence is no hang.
pub(super) async fn stopping(watched: Option<JoinHandle<()>>) {
    if let Some(watched) = watched {
        watched.abort();
        // Its handle of the cluster keeps the data folder taken until it is gone.
        let _ = watched.await;
    }
    tell(&[NotifyState::Stopping]);
}

/// Feeds the watchdog while the node responds. Three looks fit into its deadline: two may be late.
async fn live(cluster: Cluster<FederationMap>, deadline: Duration) {
    let pause = deadline / 3;
    let mut ticks = tokio::time::interval(pause);
    loop {
        ticks.tick().await;
        if cluster.responds(pause).await {
            tell(&[NotifyState::Watchdog]);
        } else {
            tracing::error!(?pause, "this node did not respond to itself; the watchdog is not fed");
        }
    }
}

/// Without a service manager nobody listens, and nothing is sent.
fn tell(words: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(words) {
        tracing::warn!(%error, "the service manager cannot be told");
    }
}
