//! Traces for OpenTelemetry (cargo feature `otel`): what became of a registration, from Asterisk's event through the commit to
//! every node that applied it, as one trace.
//!
//! Nothing travels with a command for this and the state machine knows nothing of it: a trace is named by the revision that the
//! command made ([`ids`]), which whoever proposed it learns from the answer and every node from its own watch of the map. So nodes
//! with and without traces work together, and a command that changed nothing has no trace.
//!
//! On where `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) names a collector that speaks OTLP over gRPC. A
//! collector that is slow or gone costs spans, never a registration.

mod export;
mod ids;
mod port;
mod story;

use std::sync::Arc;

use fed_ari::port::MapPort;
use fed_core::map::FederationMap;
use fed_raft::{Cluster, WatchItem};
use tokio::sync::mpsc;

use export::Exporter;
use story::{Committed, Story};

/// Commits that wait to be told; beyond that they are left out.
const WAITING: usize = 4_096;

/// The port with traces around it, where a collector is named; else as it was. They end with the node.
pub(crate) fn around(port: Arc<dyn MapPort>, cluster: &Cluster<FederationMap>, node: &str) -> Arc<dyn MapPort> {
    let exporter = match Exporter::from_environment(node) {
        Ok(Some(exporter)) => exporter,
        Ok(None) => return port,
        Err(error) => {
            tracing::error!(%error, "there are no traces: the exporter could not be made; look at the OTEL_ variables");
            return port;
        }
    };
    let (committed, told) = mpsc::channel(WAITING);
    tokio::spawn(tell(cluster.clone(), exporter, told));
    Arc::new(port::Traced::new(port, committed))
}

/// Tells the collector what was committed from here and what was applied here, until the node stops.
async fn tell(cluster: Cluster<FederationMap>, exporter: Exporter, mut told: mpsc::Receiver<Committed>) {
    let mut story = Story::new(cluster.identity().cluster.0, cluster.id().0);
    let mut watch = cluster.watch(cluster.local().revision());
    loop {
        let spans = tokio::select! {
            item = watch.next() => match item {
                Some(WatchItem::Events { revision, events }) => story.applied(revision, &events, std::time::SystemTime::now()),
                Some(WatchItem::Progress(_)) => continue,
                Some(WatchItem::Compacted { .. }) => {
                    watch = cluster.watch(cluster.local().revision());
                    continue;
                }
                Some(WatchItem::Stopped { .. }) | None => break,
            },
            Some(committed) = told.recv() => story.committed(committed),
        };
        spans.into_iter().for_each(|span| exporter.send(span));
    }
    // Waits for the collector, a few seconds at most: not on a thread that serves.
    drop(tokio::task::spawn_blocking(move || exporter.end()).await);
}
