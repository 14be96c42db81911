//! Metrics over HTTP, in the text format that Prometheus reads: `GET /metrics`. Asks nobody for a password, and holds
//! no user's data. In clear text on loopback only; everywhere else it is HTTPS with the node's certificate.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::get;
use fed_ari::router::FastAgiStats;
use fed_core::map::FederationMap;
use fed_raft::Cluster;
use fed_raft::security::{self, Connection, Door, Security};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::address::Address;
use crate::api::{Limits, Refusals};
use crate::backup::Scheduled;
use crate::redirect;
use crate::security::Validity;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Who has metrics to tell.
pub struct Sources {
    /// This node's member.
    pub cluster: Cluster<FederationMap>,
    /// The scheduled backups.
    pub backups: Scheduled,
    /// The client API's.
    pub limits: Arc<Limits>,
    /// What is told of those who may not.
    pub refusals: Arc<Refusals>,
    /// The redirect server.
    pub redirect: Arc<redirect::Stats>,
    /// The FastAGI server.
    pub agi: Arc<FastAgiStats>,
    /// The node's certificate, where it has one.
    pub(crate) certificate: Option<Validity>,
}

impl Sources {
    fn page(&self) -> String {
        let here = [
            self.limits.metrics(),
            self.refusals.metrics(),
            self.redirect.metrics(),
            self.agi.metrics(),
            self.backups.metrics(),
            self.certificate.as_ref().map(Validity::metrics).unwrap_or_default(),
        ];
        self.cluster.metrics() + &here.concat() + "# EOF\n"
    }
}

/// Serves in the background until `stop`; returns the address really bound. A node whose port for metrics is taken
/// serves calls all the same: it says so, and goes on without (monitoring notices that it is not answered).
pub async fn serve(
    listen: &Address,
    sources: Sources,
    security: &Security,
    tasks: &mut JoinSet<()>,
    stop: CancellationToken,
) -> Option<SocketAddr> {
    let members = sources.cluster.clone();
    let gone = Arc::new(move |node| members.was_removed(node));
    let security = if listen.is_loopback() {
        &Security::Plaintext
    } else {
        security
    };
    let bound = async {
        let at = listen.resolve_one().await?.to_string();
        let door = Door::open(&at, security, &[b"http/1.1"], door_limits(), gone).await?;
        let address = door.local_addr()?;
        io::Result::Ok((Entrance(door), address))
    };
    let (listener, address) = match bound.await {
        Ok(bound) => bound,
        Err(error) => {
            tracing::error!(address = %listen, %error, "metrics are not served: change metrics.listen or stop what uses it");
            return None;
        }
    };
    let sources = Arc::new(sources);
    let page = move || {
        let text = sources.page();
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

/// Longest life of a connection. Who fetches metrics makes another one without noticing.
const STAY: Duration = Duration::from_secs(30);

/// Nobody makes himself known here, so everybody gives way to newer ones, and is let go after a while.
fn door_limits() -> security::Limits {
    security::Limits {
        connections: 64,
        strangers_per_network: 16,
        unknown_per_network: 16,
        stranger: Some((64 << 10, STAY)),
        ..security::Limits::default()
    }
}

/// The door, as axum serves it.
struct Entrance(Door);

impl axum::serve::Listener for Entrance {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let connection = self.0.accept().await;
        let from = connection.caller().address;
        (connection, from)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}
