//! Connecting: TCP, and TLS over it where [`Trust`] says whom to expect.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::codegen::Service;
use tonic::codegen::http::Uri;

use super::Trust;
use crate::platform::net;

/// Makes the connections of a tonic or hyper client to `http://host:port`; with [`Connector::tls`] there is TLS inside, whatever
/// the address says.
#[derive(Debug, Clone)]
pub struct Connector {
    tls: Option<Arc<ClientConfig>>,
}

impl Connector {
    /// Unprotected connections.
    #[must_use]
    pub fn plain() -> Self {
        Self { tls: None }
    }

    /// Connections to whoever can prove what is expected.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn tls(trust: Trust) -> io::Result<Self> {
        let config = trust.connecting().map_err(io::Error::other)?;
        Ok(Self { tls: Some(config) })
    }
}

/// Stands for a host that no certificate can hold; neither can one hold this.
const UNNAMED: &str = "unnamed.invalid";

type Connecting = Pin<Box<dyn Future<Output = io::Result<TokioIo<Outgoing>>> + Send>>;

impl Service<Uri> for Connector {
    type Response = TokioIo<Outgoing>;
    type Error = io::Error;
    type Future = Connecting;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Connecting {
        let tls = self.tls.clone();
        Box::pin(async move {
            let address = to.authority().ok_or_else(|| io::Error::other("no address"))?;
            let stream = net::connect(address.as_str()).await?;
            let Some(config) = tls else {
                return Ok(TokioIo::new(Outgoing::Plain(stream)));
            };
            // Not sent: compared with the certificate, where nothing else is known of the other side.
            let host = address.host().trim_start_matches('[').trim_end_matches(']');
            let name = ServerName::try_from(host).or_else(|_| ServerName::try_from(UNNAMED));
            let name = name.map_err(io::Error::other)?.to_owned();
            let stream = TlsConnector::from(config).connect(name, stream).await?;
            Ok(TokioIo::new(Outgoing::Tls(Box::new(stream))))
        })
    }
}

/// A connection that was made.
#[derive(Debug)]
pub enum Outgoing {
    /// Unprotected.
    Plain(net::Stream),
    /// With TLS.
    Tls(Box<TlsStream<net::Stream>>),
}

impl AsyncRead for Outgoing {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
