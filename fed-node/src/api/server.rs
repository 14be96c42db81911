//! Listens for clients.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fed_proto::client::federation_server::FederationServer;
use fed_proto::client::operations_server::OperationsServer;
use fed_raft::security::{self, Limits, Security};
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;

use super::gate::Gate;
use super::service::ApiService;
use crate::address::Address;

/// Largest request: a full batch of changes with room to spare.
const LARGEST_REQUEST: usize = 8 << 20;
/// Calls at once on one connection; a client waits with the next.
const MOST_CALLS: u32 = 256;
/// Most bytes of the headers of one call.
const LARGEST_HEADERS: u32 = 16 << 10;
/// A connection is ended gracefully after this time, so that a client takes another one and is looked at anew; what it has under
/// way then may take as long again.
const AGE: Duration = Duration::from_secs(24 * 3600);
/// Silence after which the other side is asked whether it is there, and how long it may take to answer: one that reads nothing
/// cannot, and is let go.
const SILENCE: (Duration, Duration) = (Duration::from_secs(20), Duration::from_secs(20));

/// Why the API cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve clients on {address}: {source}; change client.listen or stop what uses it")]
pub struct ServeError {
    address: Address,
    source: std::io::Error,
}

/// Takes the address and serves in the background until `stop`. Returns the address really bound and the task.
///
/// # Errors
/// [`ServeError`] when the address cannot be had.
pub async fn serve(
    listen: &Address,
    service: ApiService,
    security: &Security,
    stop: CancellationToken,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), ServeError> {
    let failed = |source| ServeError {
        address: listen.clone(),
        source,
    };
    let address = listen.resolve_one().await.map_err(failed)?.to_string();
    let cluster = service.0.cluster.clone();
    let gone = Arc::new(move |node| cluster.was_removed(node));
    let listener = security::Door::open(&address, security, &[b"h2"], limits(), gone)
        .await
        .map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let door = service.0.door.clone();
    let operations = Gate::new(door.clone(), OperationsServer::new(service.clone()));
    let service = FederationServer::new(service).max_decoding_message_size(LARGEST_REQUEST);
    let service = Gate::new(door, service);
    let served = Server::builder()
        .max_concurrent_streams(MOST_CALLS)
        .concurrency_limit_per_connection(MOST_CALLS as usize)
        .load_shed(true)
        .http2_max_pending_accept_reset_streams(Some(64))
        .http2_max_header_list_size(LARGEST_HEADERS)
        .http2_keepalive_interval(Some(SILENCE.0))
        .http2_keepalive_timeout(Some(SILENCE.1))
        .max_connection_age(AGE)
        .max_connection_age_grace(AGE)
        .timeout(Duration::from_secs(60))
        .add_service(service)
        .add_service(operations)
        .serve_with_incoming_shutdown(Box::pin(listener.incoming()), stop.cancelled_owned());
    let task = tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "the client API stopped");
        }
    });
    Ok((bound, task))
}

/// Time in which a connection has to make a call that is let in; until then it may send a largest request and its headers.
const FIRST_CALL: Duration = Duration::from_secs(10);

/// Clients need no certificate: who they are is asked with each call, and the gate makes a connection known whose call it lets in.
fn limits() -> Limits {
    Limits {
        strangers_per_network: 512,
        unknown_per_network: 256,
        stranger: Some((2 * LARGEST_REQUEST, FIRST_CALL)),
        ..Limits::default()
    }
}
