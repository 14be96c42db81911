//! Listens for clients.

use std::net::SocketAddr;
use std::time::Duration;

use fed_proto::client::federation_server::FederationServer;
use fed_proto::client::operations_server::OperationsServer;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;

use super::gate::Gate;
use super::service::ApiService;
use crate::address::Address;

/// Largest request: a full batch of changes with room to spare.
const LARGEST_REQUEST: usize = 8 << 20;

/// Calls at once on one connection; a client waits with the next.
const MOST_CALLS: u32 = 256;

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
    stop: CancellationToken,
) -> Result<(SocketAddr, tokio::task::JoinHandle<()>), ServeError> {
    let failed = |source| ServeError {
        address: listen.clone(),
        source,
    };
    let address = listen.resolve_one().await.map_err(failed)?;
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let bound = listener.local_addr().map_err(failed)?;
    let door = service.0.door.clone();
    let operations = Gate::new(door.clone(), OperationsServer::new(service.clone()));
    let service = FederationServer::new(service).max_decoding_message_size(LARGEST_REQUEST);
    let service = Gate::new(door, service);
    let served = Server::builder()
        .max_concurrent_streams(MOST_CALLS)
        .http2_max_pending_accept_reset_streams(Some(64))
        .timeout(Duration::from_secs(60))
        .add_service(service)
        .add_service(operations)
        .serve_with_incoming_shutdown(
            TcpIncoming::from(listener).with_nodelay(Some(true)),
            stop.cancelled_owned(),
        );
    let task = tokio::spawn(async move {
        if let Err(error) = served.await {
            tracing::error!(%error, "the client API stopped");
        }
    });
    Ok((bound, task))
}
