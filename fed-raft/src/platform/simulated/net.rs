//! Sockets: those of turmoil.

use std::io;
use std::net::SocketAddr;

use turmoil::net::TcpListener;
pub(crate) use turmoil::net::TcpStream as Stream;

/// A socket that takes connections.
pub(crate) struct Listener {
    listener: TcpListener,
}

impl Listener {
    pub(crate) async fn bind(address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self { listener })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection, and where it comes from.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        self.listener.accept().await
    }
}

/// A connection to `host:port`.
pub(crate) async fn connect(address: &str) -> io::Result<Stream> {
    Stream::connect(address).await
}

/// Turmoil knows all names.
pub(crate) fn look_ahead(_address: &str) {}
