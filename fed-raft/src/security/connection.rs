//! One connection that was let in, and who is at the other end.

use std::future::Future;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;
use tokio_rustls::server::TlsStream;
use tokio_util::sync::WaitForCancellationFutureOwned;
use tonic::transport::server::Connected;

use super::NodeName;
use super::guests::{Known, Seat};
use crate::platform::net::Stream;

/// Who is at the other end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Caller {
    /// The node that its certificate names; none when it showed none.
    pub name: Option<NodeName>,
    /// Whether nobody else can read along.
    pub secure: bool,
    /// Where it calls from.
    pub address: SocketAddr,
}

/// The connection that a request came over; in the extensions of each.
#[derive(Debug, Clone)]
pub struct Visit {
    /// Who is at the other end.
    pub caller: Caller,
    known: Known,
}

impl Visit {
    /// The service knows whose connection this is: it may stay, and nobody takes its place. Without it a stranger stays no longer than
    /// [`Limits::stranger`](super::Limits) says.
    pub fn make_known(&self) {
        self.known.set();
    }
}

/// A connection that a [`Door`](super::Door) let in.
pub struct Connection {
    stream: Bytes,
    caller: Caller,
    seat: Seat,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    /// None once the connection is known.
    allowance: Option<Allowance>,
}

enum Bytes {
    Plain(Stream),
    Tls(Box<TlsStream<Stream>>),
}

/// What a stranger may use of this node.
struct Allowance {
    bytes: usize,
    until: Pin<Box<Sleep>>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("caller", &self.caller)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn plain(stream: Stream, address: SocketAddr, seat: Seat) -> Self {
        let caller = Caller {
            name: None,
            secure: false,
            address,
        };
        Self::new(Bytes::Plain(stream), caller, seat)
    }

    pub(super) fn tls(stream: TlsStream<Stream>, caller: Caller, seat: Seat) -> Self {
        Self::new(Bytes::Tls(Box::new(stream)), caller, seat)
    }

    fn new(stream: Bytes, caller: Caller, seat: Seat) -> Self {
        let cut = Box::pin(seat.cut.clone().cancelled_owned());
        Self {
            stream,
            caller,
            seat,
            cut,
            allowance: None,
        }
    }

    /// Lets it send so many bytes, and stay so long, until it is known.
    pub(super) fn limit(&mut self, bytes: usize, stay: std::time::Duration) {
        let until = Box::pin(tokio::time::sleep(stay));
        self.allowance = Some(Allowance { bytes, until });
    }

    /// Who is at the other end.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller
    }

    /// Ready when it must end, with the reason.
    fn ended(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        let ended = |why| Poll::Ready(io::Error::new(io::ErrorKind::ConnectionAborted, why));
        if self.cut.as_mut().poll(cx).is_ready() {
            return ended("cut off: it is of a node that was removed, or newer connections took its place");
        }
        if let Some(allowance) = self.allowance()
            && allowance.until.as_mut().poll(cx).is_ready()
        {
            return ended("somebody whom nobody knows stayed too long");
        }
        Poll::Pending
    }

    fn allowance(&mut self) -> Option<&mut Allowance> {
        if self.seat.known.is_set() {
            self.allowance = None;
        }
        self.allowance.as_mut()
    }
}

impl Connected for Connection {
    type ConnectInfo = Visit;

    fn connect_info(&self) -> Visit {
        Visit {
            caller: self.caller,
            known: self.seat.known.clone(),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        // One that never stops sending is cut off too.
        if this.seat.cut.is_cancelled() {
            return this.ended(cx).map(Err);
        }
        let before = buf.filled().len();
        let read = match &mut this.stream {
            Bytes::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Bytes::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        };
        if read.is_pending() {
            return this.ended(cx).map(Err);
        }
        if let Some(allowance) = this.allowance() {
            let read = buf.filled().len() - before;
            let left = allowance.bytes.checked_sub(read);
            allowance.bytes = left.ok_or_else(|| io::Error::other("somebody whom nobody knows sent too much"))?;
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Bytes::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Bytes::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        if written.is_pending() {
            self.ended(cx).map(Err)
        } else {
            written
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = match &mut self.stream {
            Bytes::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
            Bytes::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bytes),
        };
        if written.is_pending() {
            self.ended(cx).map(Err)
        } else {
            written
        }
    }

    fn is_write_vectored(&self) -> bool {
        match &self.stream {
            Bytes::Plain(stream) => stream.is_write_vectored(),
            Bytes::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.stream {
            Bytes::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Bytes::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.seat.cut.is_cancelled() {
            // Nobody waits for one that was cut off.
            return Poll::Ready(ready!(self.ended(cx)).kind().into()).map(Err);
        }
        match &mut self.stream {
            Bytes::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Bytes::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
