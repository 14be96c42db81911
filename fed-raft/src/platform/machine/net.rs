//! Sockets: TCP.

use std::io;
use std::net::SocketAddr;

pub(crate) use tokio::net::TcpStream as Stream;

use super::names::NAMES;

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

    /// The next connection, and where it comes from.
    pub(crate) async fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (stream, from) = self.listener.accept().await?;
        stream.set_nodelay(true)?;
        Ok((stream, from))
    }
}

/// A connection to `host:port`.
pub(crate) async fn connect(address: &str) -> io::Result<Stream> {
    let stream = Stream::connect(&*NAMES.addresses(address).await?).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Has the name in `host:port` looked up, so that a connection need not wait for that.
pub(crate) fn look_ahead(address: &str) {
    NAMES.look_ahead(address);
}
