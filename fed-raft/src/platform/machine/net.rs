//! Sockets: TCP.

use std::io;
use std::net::SocketAddr;

use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint};

/// A socket that takes connections.
pub(crate) struct Listener {
    listener: tokio::net::TcpListener,
}

impl Listener {
    pub(crate) async fn bind(address: &str) -> io::Result<Self> {
        let listener = tokio::net::TcpListener::bind(address).await?;
        Ok(Self { listener })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The connections as they come in.
    pub(crate) fn incoming(self) -> TcpIncoming {
        TcpIncoming::from(self.listener).with_nodelay(Some(true))
    }
}

/// A channel that connects with its first call, and again after a failure.
pub(crate) fn connect_lazily(endpoint: &Endpoint) -> Channel {
    endpoint.connect_lazy()
}
