//! A running node: its parts, in the order in which they start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fed_ari::bridge::{Bridge, BridgeConfig};
use fed_ari::client::{AriClient, AriConfig, AriError};
use fed_ari::port::MapPort;
use fed_ari::router::{FastAgi, Router};
use fed_core::map::{FederationMap, MapView};
use fed_core::records::{Node, NodeState};
use fed_raft::security::Security;
use fed_raft::{Cluster, StartError};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use super::asterisk::{self, Bridged, NoAsterisk};
use super::leave::Leaver;
use super::observer::Observer;
use super::record::{self, Told};
use super::{RaftPort, founder, removed, session};
use crate::api::{self, ApiService, AsteriskSide, Door, Guard, Limits, NodeView, Refusals, ServeError};
use crate::backup::{Schedule, Scheduled, Source};
use crate::config::{Config, RedirectTransport};
use crate::diary::Diary;
use crate::redirect::{self, MapLocator, RedirectServer, Stamp, Stamper};
use crate::security::{self, Admission, FileError, LocalToken, Vault};
use crate::{founding, install, metrics, workplace};

/// Longest wait for the parts to end; with the cluster's own, a stop takes 5 s at most.
const STOPPING: Duration = Duration::from_secs(2);

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The data folder, or the peers' address.
    #[error(transparent)]
    Cluster(#[from] StartError),
    /// The client API's address.
    #[error(transparent)]
    Api(#[from] ServeError),
    /// The redirect server's address.
    #[error(transparent)]
    Redirect(#[from] redirect::StartError),
    /// The FastAGI server's address.
    #[error("cannot serve FastAGI on {address}: {source}; change agi.listen or stop what uses it")]
    Agi {
        /// The address.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// What is said of the Asterisk cannot be used.
    #[error("{0}")]
    Asterisk(#[from] AriError),
    /// No password for the Asterisk.
    #[error(
        "there is no password for the ARI user {user:?}: run `fed-node asterisk-config --write`, or set asterisk.password_file (a node without an Asterisk: asterisk.enabled = false)"
    )]
    NoPassword {
        /// The ARI user.
        user: String,
    },
    /// A secret of this node.
    #[error("{0}")]
    Secret(String),
    /// Certificates or keys.
    #[error(transparent)]
    Security(#[from] FileError),
    /// A file of the data folder.
    #[error("{path}: {source}")]
    File {
        /// The file or folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
}

/// A node that serves.
pub struct Running {
    cluster: Cluster<FederationMap>,
    bridge: Option<Bridge>,
    redirect: RedirectServer,
    api: JoinHandle<()>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    left: CancellationToken,
    addresses: Addresses,
}

/// Where a node really listens, also where port 0 was asked for.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// The other nodes.
    pub peer: SocketAddr,
    /// Clients.
    pub client: SocketAddr,
    /// SIP redirects; none when nothing was to be listened on.
    pub redirect: Option<SocketAddr>,
    /// FastAGI.
    pub agi: SocketAddr,
    /// Metrics; none when they are not served.
    pub metrics: Option<SocketAddr>,
}

impl Running {
    /// Starts every part. Local answers are given from then on, with or without a quorum.
    ///
    /// # Errors
    /// [`RunError`] naming what is in the way and the remedy; nothing is left running.
    pub async fn start(config: Config) -> Result<Self, RunError> {
        let client = ari_client(&config)?;
        let realm = founding::founding_realm(&config.data_dir).map_err(|source| RunError::File {
            path: config.data_dir.display().to_string(),
            source,
        })?;
        // Before anything is asked of a folder that holds no node.
        let cluster_dir = founding::cluster_dir(&config.data_dir);
        if fed_raft::inspect(&cluster_dir)?.is_none() {
            return Err(StartError::Empty(cluster_dir).into());
        }
        if let Err(error) = workplace::sweep(&config.data_dir) {
            tracing::warn!(folder = %config.data_dir.display(), %error, "what an interrupted command left there cannot be removed");
        }
        let vault = Arc::new(Vault::open(&config.data_dir).map_err(RunError::Secret)?);
        let mut raft = founding::raft_config(&config);
        raft.security = security::security(&config)?;
        let protection = raft.security.clone();
        let cluster = Cluster::start(raft, FederationMap).await?;
        let started = Self::around(&config, client, realm, cluster.clone(), vault, &protection).await;
        if started.is_err() {
            cluster.shutdown().await;
        }
        started
    }

    /// Everything around the cluster's member.
    async fn around(
        config: &Config,
        client: Option<AriClient>,
        realm: Option<String>,
        cluster: Cluster<FederationMap>,
        vault: Arc<Vault>,
        protection: &Security,
    ) -> Result<Self, RunError> {
        let port: Arc<dyn MapPort> = Arc::new(RaftPort::new(cluster.clone(), vault.clone()));
        #[cfg(feature = "otel")]
        let port = crate::traces::around(port, &cluster, &config.node.name);
        let (refusals, refused) = Refusals::channel();
        let refusals = Arc::new(refusals);
        let door = Arc::new(door(config, &cluster, refusals.clone())?);
        let used = founding::used_capabilities(&config.data_dir);
        let router = Arc::new(Router::remembering(port.clone(), used));
        let agi = bind_agi(config).await?;
        let agi_address = agi.local_addr().map_err(|source| agi_failed(config, source))?;
        let redirect = start_redirect(config, &port, &router).await?;
        let redirect_address = redirect.addresses().first().copied();

        let (stop, left) = (CancellationToken::new(), CancellationToken::new());
        let (leaving, is_leaving) = watch::channel(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(security::keep(cluster.clone(), vault.clone()));
        tasks.spawn(security::write_refusals(cluster.clone(), refused));
        tasks.spawn(security::write_waiting(cluster.clone(), config.data_dir.clone()));
        let has_asterisk = client.is_some();
        let certificates = security::Source::of(config);
        if let (Some(source), Security::Tls(keyring)) = (&certificates, protection) {
            cluster.admit_with(Arc::new(Admission {
                cluster: cluster.clone(),
                source: source.clone(),
                vault: vault.clone(),
                refusals: refusals.clone(),
            }));
            tasks.spawn(security::keep_fresh(cluster.clone(), keyring.clone(), source.clone()));
        }
        let (told, telling) = watch::channel(Told::default());
        let (bridge, asterisk): (Option<Bridge>, Arc<dyn AsteriskSide>) = match client {
            Some(client) => {
                let redirect = redirect_reached(config, redirect_address);
                let bridge = start_bridge(config, &client, &port, &router, &redirect, &cluster);
                tasks.spawn(asterisk::tell(bridge.watch_status(), told));
                tasks.spawn(asterisk::log(bridge.watch_status()));
                let (status, written) = (bridge.watch_status(), bridge.watch_written());
                (
                    Some(bridge),
                    Arc::new(Bridged {
                        status,
                        written,
                        client,
                        port: port.clone(),
                        redirect,
                    }),
                )
            }
            None => {
                let rhythm = session::rhythm(Duration::from_millis(config.raft.session_ttl_ms));
                let (port, stop) = (port.clone(), stop.clone());
                tasks.spawn(async move { session::hold(&*port, rhythm, stop).await });
                // Nobody tells anything, but the record is kept all the same.
                tasks.spawn(async move { told.closed().await });
                (None, Arc::new(NoAsterisk))
            }
        };

        let diary = Arc::new(Diary::default());
        let observer = Observer {
            cluster: cluster.clone(),
            name: config.node.name.clone(),
            asterisk: asterisk.clone(),
            diary: diary.clone(),
        };
        let source = Source::new(cluster.clone(), &config.data_dir, &config.node.name);
        let view = NodeView {
            cluster: cluster.clone(),
            name: config.node.name.clone(),
            asterisk,
            diary,
            data_dir: config.data_dir.clone(),
            raft: config.raft.clone(),
            has_asterisk,
            door: door.clone(),
            vault: vault.clone(),
            certificates,
            leave: Arc::new(Leaver {
                cluster: cluster.clone(),
                vault: vault.clone(),
                leaving,
                left: left.clone(),
            }),
            backups: source.clone(),
            started: Instant::now(),
            stop: stop.clone(),
        };
        let service = ApiService::new(view);
        service.answer_members();
        let (client_address, api) = api::serve(&config.client.listen, service, protection, stop.clone()).await?;
        let scheduled = Scheduled::of(&config.backup);
        let metrics = match &config.metrics.listen {
            Some(listen) => {
                let sources = metrics::Sources {
                    cluster: cluster.clone(),
                    backups: scheduled.clone(),
                    limits: door.limits().clone(),
                    refusals,
                    redirect: redirect.stats().clone(),
                    agi: agi.stats(),
                    certificate: security::Validity::of(config, protection),
                };
                metrics::serve(listen, sources, protection, &mut tasks, stop.clone()).await
            }
            None => None,
        };
        let addresses = Addresses {
            peer: cluster.address(),
            client: client_address,
            redirect: redirect_address,
            agi: agi_address,
            metrics,
        };

        let wanted = node_record(config, &cluster, &addresses);
        record::warn_of_another_address(&cluster.members(), &wanted);
        let founding = port.clone();
        tasks.spawn(async move { record::keep_while_staying(&*port, &wanted, &telling, is_leaving).await });
        if let Some(realm) = realm {
            tasks.spawn(async move { founder::found(&*founding, &vault, realm).await });
        }
        if let Some(key) = config.backup.key.clone().filter(|_| !config.backup.every.is_zero()) {
            let schedule = Schedule {
                cluster: cluster.clone(),
                source,
                config: config.backup.clone(),
                key,
                scheduled,
            };
            tasks.spawn(schedule.run(stop.clone()));
        }
        tasks.spawn(agi.run(router));
        tasks.spawn(observer.look_around());
        tracing::info!(
            node = %cluster.id(), name = config.node.name, peer = %addresses.peer, client = %addresses.client,
            redirect = addresses.redirect.map(tracing::field::display), agi = %addresses.agi, metrics = addresses.metrics.map(tracing::field::display), "serving"
        );
        Ok(Self {
            cluster,
            bridge,
            redirect,
            api,
            tasks,
            stop,
            left,
            addresses,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// The cluster's member.
    pub(super) fn cluster(&self) -> &Cluster<FederationMap> {
        &self.cluster
    }

    /// Waits until this node ends by itself: it left the federation (`Ok` with the words), or had to stop (`Err` with why).
    ///
    /// # Errors
    /// Why it had to stop.
    pub async fn ended(&self) -> Result<&'static str, String> {
        tokio::select! {
            () = self.left.cancelled() => Ok("left the federation"),
            why = self.cluster.stopped() => {
                if self.left.is_cancelled() { Ok("left the federation") } else { Err(why) }
            }
            why = removed::told(&self.cluster) => Err(why),
        }
    }

    /// Stops within 5 s: clients and watches first, then the bridge (its Asterisk keeps its objects and calls), then the cluster's
    /// member, which hands leadership over.
    pub async fn stop(mut self) {
        self.stop.cancel();
        let parts = async {
            asterisk::stop(self.bridge.take()).await;
            let _ = (&mut self.api).await;
        };
        if tokio::time::timeout(STOPPING, parts).await.is_err() {
            self.api.abort();
            tracing::warn!("some clients were cut off");
        }
        self.tasks.shutdown().await;
        self.redirect.stop().await;
        self.cluster.shutdown().await;
        tracing::info!("stopped");
    }
}

fn ari_client(config: &Config) -> Result<Option<AriClient>, RunError> {
    let asterisk = &config.asterisk;
    if !asterisk.enabled {
        return Ok(None);
    }
    if asterisk.password.is_empty() {
        return Err(RunError::NoPassword {
            user: asterisk.username.clone(),
        });
    }
    let mut ari = AriConfig::new(
        &asterisk.url,
        &asterisk.username,
        asterisk.password.reveal(),
        &asterisk.app,
    );
    ari.timeouts.request = Duration::from_millis(asterisk.timeout_ms);
    Ok(Some(AriClient::new(ari)?))
}

/// Who comes in: those with a token, or with `security.plaintext` everybody on this machine.
fn door(config: &Config, cluster: &Cluster<FederationMap>, refusals: Arc<Refusals>) -> Result<Door, RunError> {
    let limits = Arc::new(Limits::new(config.client.calls_per_s, config.client.calls_at_once));
    let guard = if config.security.plaintext {
        tracing::warn!("security.plaintext: nobody is asked who they are");
        None
    } else {
        let map = cluster.clone();
        Some(Guard {
            local: LocalToken::make(&config.data_dir).unwrap_or_else(|why| {
                // A full disk is no reason to serve no calls.
                tracing::error!("the command line cannot ask this node without a token of its own: {why}");
                LocalToken::nobodys()
            }),
            look_up: Box::new(move |id| MapView::new(&map.local()).token(id)),
        })
    };
    Ok(Door::new(cluster.id(), guard, limits, refusals))
}

fn agi_failed(config: &Config, source: std::io::Error) -> RunError {
    RunError::Agi {
        address: config.agi.listen.to_string(),
        source,
    }
}

async fn bind_agi(config: &Config) -> Result<FastAgi, RunError> {
    let address = config
        .agi
        .listen
        .resolve_one()
        .await
        .map_err(|source| agi_failed(config, source))?;
    FastAgi::bind(address)
        .await
        .map_err(|source| agi_failed(config, source))
}

/// Capabilities given out by the redirect server draw from the router's nonces: one sequence for the whole node.
struct RouterStamper(Arc<Router>);

impl Stamper for RouterStamper {
    fn stamp(&self) -> Stamp {
        let elapsed = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        let now_unix_s = u32::try_from(elapsed.as_secs()).unwrap_or(u32::MAX);
        Stamp {
            now_unix_s,
            nonce: self.0.next_nonce(),
        }
    }

    fn redirected(&self, call_id: &str) {
        self.0.redirected(call_id);
    }
}

async fn start_redirect(
    config: &Config,
    port: &Arc<dyn MapPort>,
    router: &Arc<Router>,
) -> Result<RedirectServer, redirect::StartError> {
    let locator = MapLocator::new(port.clone(), Duration::from_millis(config.redirect.budget_ms));
    for warning in config.redirect.warnings() {
        tracing::warn!("{warning}");
    }
    let listen = redirect::RedirectConfig {
        listen: vec![config.redirect.listen.to_string()],
        allow: redirect::LOOPBACK
            .into_iter()
            .chain(config.redirect.allow.iter().copied())
            .collect(),
        sip_port: config.sip_advertised().port(),
        ..Default::default()
    };
    RedirectServer::start(listen, port.here(), locator, RouterStamper(router.clone())).await
}

/// Where this host's own Asterisk reaches what listens there.
fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

/// The redirect server as this host's own Asterisk reaches it; empty where nothing is listened on.
fn redirect_reached(config: &Config, address: Option<SocketAddr>) -> String {
    let transport = match install::redirect_transport(config) {
        (RedirectTransport::Tcp, _) => ";transport=tcp",
        (RedirectTransport::Udp | RedirectTransport::Auto, _) => "",
    };
    address
        .map(|address| format!("{}{transport}", reachable(address)))
        .unwrap_or_default()
}

fn start_bridge(
    config: &Config,
    client: &AriClient,
    port: &Arc<dyn MapPort>,
    router: &Arc<Router>,
    redirect: &str,
    cluster: &Cluster<FederationMap>,
) -> Bridge {
    let identity = format!("{}/{}", cluster.identity().cluster, cluster.id());
    let mut bridge = BridgeConfig::new(redirect, identity);
    bridge.settled_file = Some(founding::settled(&config.data_dir));
    bridge.rhythm.keep_alive = session::rhythm(Duration::from_millis(config.raft.session_ttl_ms));
    Bridge::start(client.clone(), port.clone(), router.clone(), bridge)
}

/// The record of this node, with the ports really bound where the configuration left them open.
fn node_record(config: &Config, cluster: &Cluster<FederationMap>, addresses: &Addresses) -> Node {
    let peer = config.peer_advertised();
    let client = config.client_advertised();
    let bound = |address: crate::address::Address, port| {
        if address.port() == 0 {
            address.with_port(port)
        } else {
            address
        }
    };
    Node {
        id: cluster.id(),
        name: config.node.name.clone(),
        peer_address: bound(peer, addresses.peer.port()).to_string(),
        client_address: bound(client, addresses.client.port()).to_string(),
        sip_address: config.sip_advertised().to_string(),
        asterisk_version: None,
        capabilities: Vec::new(),
        state: NodeState::Up,
        weight: config.node.weight,
        zone: config.node.zone.clone(),
    }
}
