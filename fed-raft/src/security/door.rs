//! A listener that asks who comes, counts, and lets nobody wait for somebody slow.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::NodeId;
use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::{self, FuturesUnordered, Stream};
use rustls::ServerConfig;
use tokio::time::{Interval, MissedTickBehavior};
use tokio_rustls::TlsAcceptor;

use super::connection::{Caller, Connection};
use super::guests::{Guests, Seat, Standing};
use super::{Security, name_in};
use crate::platform::net::{self, Listener};

/// How often connections of nodes that are gone are looked for.
const SWEEP: Duration = Duration::from_millis(500);
/// Pause after the system could not accept, which is mostly for want of file descriptors.
const BREATH: Duration = Duration::from_millis(50);

/// Whether a node is no member any more, and shall be cut off.
pub type Gone = Arc<dyn Fn(NodeId) -> bool + Send + Sync>;

/// What a [`Door`] takes at most. [`Limits::default`] suits the peers' side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Connections in all. Default 2,048.
    pub connections: usize,
    /// Connections of one node. Default 64.
    pub connections_per_node: usize,
    /// Connections from one network without a certificate. Default 8. A network is an IPv4 address, or the /64 of an IPv6 address:
    /// see [`network_of`](super::network_of).
    pub strangers_per_network: usize,
    /// Of those, connections that are not known yet ([`Visit::make_known`](super::Visit::make_known)): a further one takes the place
    /// of the oldest. Default 8.
    pub unknown_per_network: usize,
    /// Handshakes under way: a further one takes the place of the oldest of the network that has the most. Default 256.
    pub arriving: usize,
    /// Handshakes under way from one network: a further one takes the place of the oldest. Default 128.
    pub arriving_per_network: usize,
    /// Longest handshake. Default 3 s.
    pub arrive_within: Duration,
    /// What somebody without a certificate may send, in bytes of all its calls together, and how long it may stay, until it is known.
    /// None: as much and as long as it likes; it counts as known at once. Default 64 KiB and 30 s: enough to join.
    pub stranger: Option<(usize, Duration)>,
}

impl Limits {
    /// Where nobody shows a certificate and all are members: [`Security::Plaintext`] between nodes.
    pub(crate) fn without_certificates() -> Self {
        Self {
            strangers_per_network: usize::MAX,
            unknown_per_network: usize::MAX,
            stranger: None,
            ..Self::default()
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            connections_per_node: 64,
            strangers_per_network: 8,
            unknown_per_network: 8,
            arriving: 256,
            arriving_per_network: 128,
            arrive_within: Duration::from_secs(3),
            stranger: Some((64 << 10, Duration::from_secs(30))),
        }
    }
}

/// A listener for one service.
pub struct Door {
    listener: Listener,
    limits: Limits,
    tls: Option<TlsAcceptor>,
    gone: Gone,
    guests: Arc<Guests>,
    arriving: FuturesUnordered<BoxFuture<'static, Option<Connection>>>,
    sweep: Interval,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Door")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

impl Door {
    /// Listens on `host:port`. `protocols` are those offered inside TLS (ALPN), such as `h2`; `gone` tells whose connections are to be
    /// cut off, at most a second after it becomes true.
    ///
    /// # Errors
    /// When the address cannot be had.
    pub async fn open(
        address: &str,
        security: &Security,
        protocols: &[&[u8]],
        limits: Limits,
        gone: Gone,
    ) -> io::Result<Self> {
        Self::around(Listener::bind(address).await?, security, protocols, limits, gone)
    }

    pub(crate) fn around(
        listener: Listener,
        security: &Security,
        protocols: &[&[u8]],
        limits: Limits,
        gone: Gone,
    ) -> io::Result<Self> {
        let tls = match security {
            Security::Plaintext => None,
            Security::Tls(keyring) => {
                let config: Arc<ServerConfig> = keyring.serving(protocols).map_err(io::Error::other)?;
                Some(TlsAcceptor::from(config))
            }
        };
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self {
            listener,
            limits,
            tls,
            gone,
            guests: Arc::default(),
            arriving: FuturesUnordered::new(),
            sweep,
        })
    }

    /// The address really listened on.
    ///
    /// # Errors
    /// When the system does not say.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// The next connection that was let in. Nothing is lost when the future is dropped.
    pub async fn accept(&mut self) -> Connection {
        loop {
            tokio::select! {
                Some(arrived) = self.arriving.next() => {
                    if let Some(connection) = arrived {
                        return connection;
                    }
                }
                accepted = self.listener.accept() => match accepted {
                    Ok((stream, from)) => {
                        if let Some(connection) = self.greet(stream, from) {
                            return connection;
                        }
                    }
                    Err(error) => {
                        tracing::warn!(%error, "a connection could not be accepted");
                        tokio::time::sleep(BREATH).await;
                    }
                },
                _ = self.sweep.tick() => self.guests.cut(|node| (self.gone)(node)),
            }
        }
    }

    /// The connections as they come in.
    pub fn incoming(self) -> impl Stream<Item = io::Result<Connection>> {
        stream::unfold(self, |mut door| async {
            let connection = door.accept().await;
            Some((Ok(connection), door))
        })
    }

    /// One has come; it is returned at once when nothing has to be asked.
    fn greet(&mut self, stream: net::Stream, from: SocketAddr) -> Option<Connection> {
        let Some(seat) = self.guests.arrive(from.ip(), &self.limits) else {
            tracing::debug!(%from, "a connection was closed: there are too many");
            return None;
        };
        let Some(tls) = &self.tls else {
            let settled = seat.settle(Standing::Stranger, &self.limits);
            return settled.then(|| limited(Connection::plain(stream, from, seat), &self.limits));
        };
        let arrival = arrive(tls.clone(), stream, from, seat, self.limits, self.gone.clone());
        self.arriving.push(Box::pin(arrival));
        None
    }
}

async fn arrive(
    tls: TlsAcceptor,
    stream: net::Stream,
    from: SocketAddr,
    seat: Seat,
    limits: Limits,
    gone: Gone,
) -> Option<Connection> {
    let shaken = tokio::select! {
        shaken = tokio::time::timeout(limits.arrive_within, tls.accept(stream)) => shaken,
        () = seat.cut.cancelled() => {
            tracing::debug!(%from, "a connection was closed: newer ones took its place");
            return None;
        }
    };
    let stream = match shaken {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => {
            tracing::debug!(%from, %error, "a connection was closed: no TLS as it should be");
            return None;
        }
        Err(_) => {
            tracing::debug!(%from, "a connection was closed: its handshake took too long");
            return None;
        }
    };
    let shown = stream.get_ref().1.peer_certificates();
    let name = shown.and_then(|chain| name_in(chain.first()?));
    // What names no node is nobody's here. One that was removed may ask why, and gets no more than that.
    let member = name.filter(|name| !gone(name.node));
    let standing = member.map_or(Standing::Stranger, Standing::Node);
    if !seat.settle(standing, &limits) {
        tracing::debug!(%from, ?name, "a connection was closed: there are too many of this kind");
        return None;
    }
    let caller = Caller {
        name,
        secure: true,
        address: from,
    };
    let connection = Connection::tls(stream, caller, seat);
    Some(if member.is_some() {
        connection
    } else {
        limited(connection, &limits)
    })
}

/// A stranger's connection.
fn limited(mut connection: Connection, limits: &Limits) -> Connection {
    if let Some((bytes, stay)) = limits.stranger {
        connection.limit(bytes, stay);
    }
    connection
}
