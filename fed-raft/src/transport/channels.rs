//! Connections to the other nodes: made when first used, kept, made anew when an address changes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_proto::peer::peer_client::PeerClient;
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

use super::confirmed::Confirmed;
use super::{Badge, LARGEST_MESSAGE};
use crate::identity::Identity;
use crate::metrics::Metrics;
use crate::platform::net;
use crate::security::{Connector, NodeName, Security, Trust};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Lane {
    /// Log entries.
    Append,
    /// Heartbeats, votes, transfer of leadership.
    Control,
    /// Snapshots.
    Snapshot,
    /// Proposals, reads and keep-alives of clients, changes of members.
    Client,
}

/// How often a member's name is looked up ahead.
const LOOKED_UP_EVERY: Duration = Duration::from_secs(60);

/// A peer's service as this node calls it.
pub(crate) type Client = PeerClient<Channel>;

/// Where a member is.
struct Place {
    address: String,
    /// When its name was last looked up ahead.
    looked_up: Instant,
}

pub(crate) struct Channels {
    identity: Identity,
    security: Security,
    pub(super) metrics: Arc<Metrics>,
    pub(crate) confirmed: Confirmed,
    open: Mutex<HashMap<(u64, Lane), (String, Channel)>>,
    /// Where each member is now. openraft keeps the address with which it began to replicate.
    book: Mutex<HashMap<u64, Place>>,
}

impl Channels {
    pub(crate) fn new(identity: Identity, security: Security, metrics: Arc<Metrics>) -> Self {
        Self {
            identity,
            security,
            metrics,
            confirmed: Confirmed::default(),
            open: Mutex::new(HashMap::new()),
            book: Mutex::new(HashMap::new()),
        }
    }

    /// Takes note of where a member is, and of what its name means: two followers that never spoke must be able to elect one of
    /// them when the name service is gone together with the leader.
    pub(crate) fn learn(&self, node: u64, address: &str) {
        let mut book = self.book.lock();
        let known = book.get(&node).filter(|place| place.address == address);
        if known.is_some_and(|place| place.looked_up.elapsed() < LOOKED_UP_EVERY) {
            return;
        }
        net::look_ahead(address);
        let address = address.to_owned();
        let looked_up = Instant::now();
        book.insert(node, Place { address, looked_up });
    }

    /// Where a member is, if that was learnt since the start.
    pub(super) fn address(&self, node: u64) -> Option<String> {
        self.book.lock().get(&node).map(|place| place.address.clone())
    }

    /// A client for `node` at `address`. Connecting happens with the first call, and again after a failure.
    pub(crate) fn client(&self, node: u64, address: &str, lane: Lane) -> Result<Client, Status> {
        let mut open = self.open.lock();
        if let Some((known, channel)) = open.get(&(node, lane))
            && known == address
        {
            return Ok(client(channel.clone()));
        }
        let channel = endpoint(address)?.connect_with_connector_lazy(self.connector(node)?);
        open.insert((node, lane), (address.to_owned(), channel.clone()));
        Ok(client(channel))
    }

    /// With certificates the other side must prove to be that node; 0 is whoever of the cluster is there.
    fn connector(&self, node: u64) -> Result<Connector, Status> {
        let Security::Tls(keyring) = &self.security else {
            return Ok(Connector::plain());
        };
        let trust = match node {
            0 => Trust::cluster(keyring),
            node => {
                let cluster = self.identity.cluster;
                let node = NodeId(node);
                Trust::node(keyring, NodeName { cluster, node })
            }
        };
        Connector::tls(trust).map_err(|error| Status::internal(error.to_string()))
    }

    /// A request to `node` with this node's badge on it.
    pub(crate) fn request<T>(&self, node: u64, message: T) -> Request<T> {
        let mut request = Request::new(message);
        Badge::of(&self.identity, node).write(request.metadata_mut());
        request
    }
}

/// Whether there was not even a connection: nobody can have seen the request.
pub(crate) fn never_sent(status: &Status) -> bool {
    let source = std::error::Error::source(status);
    std::iter::successors(source, |error| error.source()).any(|error| error.is::<tonic::ConnectError>())
}

/// A client for whoever is at the address.
pub(crate) fn dial(address: &str, connector: Connector) -> Result<Client, Status> {
    Ok(client(endpoint(address)?.connect_with_connector_lazy(connector)))
}

fn client(channel: Channel) -> Client {
    PeerClient::new(channel)
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE)
}

fn endpoint(address: &str) -> Result<Endpoint, Status> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))
        .map_err(|e| Status::invalid_argument(format!("the address {address}: {e}")))?;
    Ok(endpoint
        .connect_timeout(Duration::from_millis(700))
        .http2_keep_alive_interval(Duration::from_secs(1))
        .keep_alive_timeout(Duration::from_secs(2))
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20))
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use fed_proto::peer as proto;

    use super::*;

    #[tokio::test]
    async fn only_a_call_that_found_nobody_listening_was_certainly_not_sent() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = listener.local_addr().expect("bound").to_string();
        let breaks = std::thread::spawn(move || {
            // Taken and closed at once: the request may have been read.
            drop(listener.accept().expect("a connection"));
        });
        let mut client = dial(&address, Connector::plain()).expect("an address");
        let broken = client
            .propose(proto::ProposeRequest::default())
            .await
            .expect_err("nobody answers");
        assert!(!never_sent(&broken), "{broken:?}");
        breaks.join().expect("ended");
        let mut client = dial(&address, Connector::plain()).expect("an address");
        let refused = client
            .propose(proto::ProposeRequest::default())
            .await
            .expect_err("nobody answers");
        assert!(never_sent(&refused), "{refused:?}");
    }
}
