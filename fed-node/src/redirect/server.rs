//! The running server: what UDP and TCP share, starting and stopping.

use std::future::Future;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use fed_core::ids::NodeId;
use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket, lookup_host};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info};

use super::config::RedirectConfig;
use super::connections::Connections;
use super::decision::{Asker, Need, Reply, Status, decide, triage};
use super::limiter::Limiter;
use super::locator::{Locator, Stamper};
use super::message::{Method, Request};
use super::own::is_own;
use super::response;
use super::stats::{Stats, add};
use super::{tcp, udp};

/// Why the redirect server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configured address has no meaning.
    #[error(
        "redirect server: `{address}` is no address to listen on ({source}): write `host:port`, for example `127.0.0.1:5070` or `[::1]:5070`"
    )]
    Address {
        /// As configured.
        address: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The address cannot be listened on.
    #[error(
        "redirect server: cannot listen on {address} ({transport}): {source}; stop what uses it, or set another address with redirect.listen"
    )]
    Bind {
        /// The address.
        address: SocketAddr,
        /// `UDP` or `TCP`.
        transport: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// A running redirect server. Dropping it stops it at once.
#[derive(Debug)]
pub struct RedirectServer {
    addresses: Vec<SocketAddr>,
    stats: Arc<Stats>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl RedirectServer {
    /// Listens on every configured address, by UDP and TCP on the same port, and serves until it is stopped or dropped.
    /// `here` is this node, the issuer of the capabilities given out.
    ///
    /// # Errors
    /// When an address cannot be resolved or listened on; then nothing has been started.
    pub async fn start<L: Locator, S: Stamper>(
        config: RedirectConfig,
        here: NodeId,
        locator: L,
        stamper: S,
    ) -> Result<Self, StartError> {
        let mut sockets = Vec::new();
        for address in &config.listen {
            let found = lookup_host(address).await.map_err(|source| StartError::Address {
                address: address.clone(),
                source,
            })?;
            for address in found {
                sockets.push(bind(address).await?);
            }
        }
        let core = Arc::new(Core {
            limiter: Mutex::new(Limiter::new(config.rate_per_s, config.burst)),
            config,
            here,
            locator,
            stamper,
            tags: RandomState::new(),
            started: Instant::now(),
            stats: Arc::default(),
        });
        let mut server = Self {
            addresses: Vec::new(),
            stats: core.stats.clone(),
            stop: CancellationToken::new(),
            tasks: JoinSet::new(),
        };
        let connections = Connections::new(&core.config, core.stats.clone());
        for (address, datagrams, listener) in sockets {
            info!(%address, "redirect server listens on UDP and TCP");
            server.addresses.push(address);
            let (for_udp, for_tcp) = (core.clone(), core.clone());
            let (udp_stop, tcp_stop) = (server.stop.clone(), server.stop.clone());
            let connections = connections.clone();
            server.tasks.spawn(async move {
                udp_stop.run_until_cancelled_owned(udp::serve(datagrams, for_udp)).await;
            });
            server.tasks.spawn(tcp::serve(listener, for_tcp, connections, tcp_stop));
        }
        Ok(server)
    }

    /// The addresses it listens on, in the configured order; a name may have become several.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The live counters.
    pub fn stats(&self) -> &Arc<Stats> {
        &self.stats
    }

    /// Closes all sockets and connections. Nothing is lost: an unanswered request is repeated by its sender.
    pub async fn stop(mut self) {
        self.stop.cancel();
        while self.tasks.join_next().await.is_some() {}
    }
}

/// How often a port that the system picked for UDP is tried for TCP too.
const PORT_TRIES: usize = 16;

async fn bind(address: SocketAddr) -> Result<(SocketAddr, UdpSocket, TcpListener), StartError> {
    let mut tries = if address.port() == 0 { PORT_TRIES } else { 1 };
    loop {
        tries -= 1;
        let failed = |address, transport| {
            move |source| StartError::Bind {
                address,
                transport,
                source,
            }
        };
        let datagrams = UdpSocket::bind(address).await.map_err(failed(address, "UDP"))?;
        let bound = datagrams.local_addr().map_err(failed(address, "UDP"))?;
        match TcpListener::bind(bound).await {
            Ok(listener) => return Ok((bound, datagrams, listener)),
            Err(_) if tries > 0 => {}
            Err(source) => return Err(failed(bound, "TCP")(source)),
        }
    }
}

/// What all sockets share.
pub(super) struct Core<L, S> {
    pub(super) config: RedirectConfig,
    here: NodeId,
    locator: L,
    stamper: S,
    limiter: Mutex<Limiter>,
    /// Keyed afresh at every start, so that nobody can guess a tag.
    tags: RandomState,
    started: Instant,
    pub(super) stats: Arc<Stats>,
}

/// A request that is to be answered.
pub(super) enum Answer<F> {
    Ready(Vec<u8>),
    /// When the map has been asked.
    Later(F),
}

impl<L: Locator, S: Stamper> Core<L, S> {
    /// How long it has been running.
    pub(super) fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// What is the same in every repetition of one request and in nothing else, hashed with a key that nobody knows.
    pub(super) fn transaction(&self, request: &Request, source: SocketAddr) -> u64 {
        let named = (
            &request.call_id,
            &request.from,
            &request.to,
            &request.cseq,
            &request.asked,
        );
        let method = request.method as u8;
        self.tags.hash_one((source, request.top_via.identity(), method, named))
    }

    /// Whether anything of `source` is looked at.
    pub(super) fn hears(&self, source: IpAddr) -> bool {
        let heard = self.config.may_ask(source) || self.config.hears_own && is_own(source.to_canonical());
        if !heard {
            add(&self.stats.strangers);
        }
        heard
    }

    /// Whether `source` may send one more message now.
    pub(super) fn admit(&self, source: IpAddr) -> bool {
        let admitted = self.limiter.lock().admit(source, self.uptime());
        if !admitted {
            add(&self.stats.dropped);
        }
        admitted
    }

    /// Reads a message; `None` when it deserves no answer.
    pub(super) fn read(&self, bytes: &[u8], source: SocketAddr) -> Option<Request> {
        match Request::parse(bytes) {
            Ok(request) => {
                add(&self.stats.requests);
                Some(request)
            }
            Err(why) => {
                debug!(%source, length = bytes.len(), why, "ignored a message");
                add(&self.stats.ignored);
                None
            }
        }
    }

    /// Answers a request; `None` for one that gets no answer by the rules (ACK).
    pub(super) fn answer(
        self: &Arc<Self>,
        request: Request,
        source: SocketAddr,
    ) -> Option<Answer<impl Future<Output = Vec<u8>> + Send + use<L, S>>> {
        match triage(&request) {
            Need::Silence => None,
            Need::Reply(reply) => Some(Answer::Ready(self.write(&request, &reply, source))),
            Need::Lookup(asked) => {
                let core = self.clone();
                Some(Answer::Later(async move {
                    let located = core.locator.locate(&asked).await;
                    let asker = Asker {
                        source,
                        own: core.config.is_own_asterisk(source, request.top_via.port, is_own),
                    };
                    let reply = decide(&request, &located, asker, core.here, &core.config, &|| {
                        core.stamper.stamp()
                    });
                    if reply.status == Status::MovedTemporarily {
                        core.stamper.redirected(&request.call_id);
                    }
                    core.write(&request, &reply, source)
                }))
            }
        }
    }

    /// Puts an answer into words and counts it.
    pub(super) fn write(&self, request: &Request, reply: &Reply, source: SocketAddr) -> Vec<u8> {
        add(match reply.status {
            Status::MovedTemporarily => &self.stats.redirected,
            Status::Ok => &self.stats.accepted,
            _ => &self.stats.refused,
        });
        self.stats.stale.fetch_add(u64::from(reply.stale), Ordering::Relaxed);
        debug!(%source, asked = request.asked, status = reply.status as u16, why = reply.why, stale = reply.stale, "answered");
        // A CANCEL has its INVITE's branch but is a transaction of its own, with the same To tag (RFC 3261 section 9.2).
        let method = if request.method == Method::Cancel {
            Method::Invite
        } else {
            request.method
        };
        let transaction = (
            request.top_via.identity(),
            &request.call_id,
            &request.from,
            method as u8,
        );
        response::write(request, reply, source, self.tags.hash_one(transaction))
    }
}
