//! Metrics over HTTP, in the text format that Prometheus reads: `GET /metrics`. Asks nobody for a password, and holds
//! no user's data: keep it on loopback or behind a firewall all the same.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use fed_core::map::FederationMap;
use fed_raft::Cluster;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::api::Limits;
use crate::backup::Scheduled;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Serves in the background until `stop`; returns the address really bound. A node whose port for metrics is taken
/// serves calls all the same: it says so, and goes on without (monitoring notices that it is not answered).
pub async fn serve(
    listen: &Address,
    cluster: Cluster<FederationMap>,
    backups: Scheduled,
    limits: Arc<Limits>,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> Option<SocketAddr> {
    let bound = async {
        let listener = TcpListener::bind(listen.resolve_one().await?).await?;
        let address = listener.local_addr()?;
        std::io::Result::Ok((listener, address))
    };
    let (listener, address) = match bound.await {
        Ok(bound) => bound,
        Err(error) => {
            tracing::error!(address = %listen, %error, "metrics are not served: change metrics.listen or stop what uses it");
            return None;
        }
    };
    let page = move || {
        let text = cluster.metrics() + &limits.metrics() + &backups.metrics() + "# EOF\n";
        async move { ([(CONTENT_TYPE, OPEN_METRICS)], text) }
    };
    let router = Router::new().route("/metrics", get(page));
    tasks.spawn(async move {
        let served = axum::serve(listener, router).with_graceful_shutdown(stop.cancelled_owned());
        if let Err(error) = served.await {
            tracing::error!(%error, "metrics are no longer served");
        }
    });
    Some(address)
}
