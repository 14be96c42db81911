//! What the keys add up to.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;

use super::Secret;
use crate::address::Address;

/// Everything a node needs to know before it has read the map.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the identity, the log and the map.
    pub data_dir: PathBuf,
    /// What this node is called.
    pub node: NodeConfig,
    /// Where the other nodes reach this one.
    pub peer: PeerConfig,
    /// The client API.
    pub client: ClientConfig,
    /// Where the other Asterisks reach this one.
    pub sip: SipConfig,
    /// The SIP redirect server.
    pub redirect: RedirectConfig,
    /// The FastAGI server.
    pub agi: AgiConfig,
    /// Metrics.
    pub metrics: MetricsConfig,
    /// Who is let in.
    pub security: SecurityConfig,
    /// An authority of one's own.
    pub tls: TlsConfig,
    /// The Asterisk beside this node.
    pub asterisk: AsteriskConfig,
    /// Backups.
    pub backup: BackupConfig,
    /// The data folder's disk.
    pub disk: DiskConfig,
    /// Consensus timing.
    pub raft: RaftConfig,
    /// Logs.
    pub log: LogConfig,
}

/// `[node]`
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Unique in the federation.
    pub name: String,
    /// 1..=1000.
    pub weight: u16,
    /// Site or failure domain.
    pub zone: Option<String>,
    /// The id that the data folder must hold.
    pub id: Option<u64>,
}

/// `[peer]`
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Where to listen for the other nodes.
    pub listen: Address,
    /// What the other nodes are told; see [`Config::peer_advertised`].
    pub advertise: Option<Address>,
}

/// `[client]`
#[derive(Debug, Clone)]
pub struct ClientConfig {
    /// Where to listen for clients.
    pub listen: Address,
    /// What the map says about it.
    pub advertise: Option<Address>,
    /// Calls a second of one token; 0: any number.
    pub calls_per_s: u32,
    /// Calls of one token that may be under way at this node; 0: any number.
    pub calls_at_once: usize,
}

/// `[sip]`
#[derive(Debug, Clone)]
pub struct SipConfig {
    /// Where the other Asterisks send calls for this one.
    pub advertise: Option<Address>,
}

/// `[redirect]`
#[derive(Debug, Clone)]
pub struct RedirectConfig {
    /// UDP and TCP.
    pub listen: Address,
    /// Over what the Asterisk beside this node asks it.
    pub transport: RedirectTransport,
    /// Who may ask it from elsewhere.
    pub allow: Vec<IpNet>,
    /// Longest wait for a linearizable read before the local map answers.
    pub budget_ms: u64,
}

impl RedirectConfig {
    /// What whoever starts a node so is to know.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let listen = &self.listen;
        if listen.is_loopback() {
            return Vec::new();
        }
        if self.allow.is_empty() {
            return vec![format!(
                "redirect.listen ({listen}) can be reached from elsewhere, and nobody elsewhere is answered: name the software that may ask in redirect.allow, such as 192.0.2.40,198.51.100.0/24"
            )];
        }
        let everybody = self.allow.iter().filter(|network| network.prefix_len() == 0);
        let told = everybody.map(|network| {
            let kind = if network.addr().is_ipv4() { "IPv4" } else { "IPv6" };
            format!(
                "redirect.allow holds {network}, every {kind} address: whoever can reach redirect.listen ({listen}) is told where a user is and given the right to call there; name the software that may ask, such as 192.0.2.40,198.51.100.0/24"
            )
        });
        told.collect()
    }
}

/// Over what Asterisk asks the redirect server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedirectTransport {
    /// TCP where Asterisk's `pjsip.conf` has a TCP transport, UDP elsewhere.
    Auto,
    /// UDP: works with every Asterisk, but a dead redirect server is noticed late.
    Udp,
    /// TCP: a dead redirect server is noticed at once.
    Tcp,
}

/// `[agi]`
#[derive(Debug, Clone)]
pub struct AgiConfig {
    /// Where Asterisk's dialplan asks.
    pub listen: Address,
}

/// `[metrics]`
#[derive(Debug, Clone)]
pub struct MetricsConfig {
    /// Where they are served; none: nowhere.
    pub listen: Option<Address>,
}

/// `[backup]`
#[derive(Debug, Clone)]
pub struct BackupConfig {
    /// Between two backups that are made by themselves; zero: none are.
    pub every: Duration,
    /// How many of those are kept.
    pub keep: usize,
    /// Where they are kept.
    pub dir: PathBuf,
    /// The file with the key, for the commands too.
    pub key_file: Option<PathBuf>,
    /// The key in it, read where backups are made by themselves.
    pub key: Option<Secret>,
}

/// `[security]`
#[derive(Debug, Clone)]
pub struct SecurityConfig {
    /// Nobody is asked who they are, and nothing is encrypted on the wire.
    pub plaintext: bool,
}

/// `[tls]`: all three or none.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// Certificates of the authorities that are believed.
    pub ca: Option<PathBuf>,
    /// This node's certificate.
    pub cert: Option<PathBuf>,
    /// This node's key.
    pub key: Option<PathBuf>,
}

/// `[disk]`
#[derive(Debug, Clone)]
pub struct DiskConfig {
    /// Free MiB below which changes are refused.
    pub min_free_mb: u64,
}

/// `[asterisk]`
#[derive(Debug, Clone)]
pub struct AsteriskConfig {
    /// False: a node without an Asterisk; it votes and answers questions.
    pub enabled: bool,
    /// Base of ARI.
    pub url: String,
    /// ARI user.
    pub username: String,
    /// ARI password, already read from its file when one was given.
    pub password: Secret,
    /// File it was read from.
    pub password_file: Option<PathBuf>,
    /// Name of the Stasis application.
    pub app: String,
    /// For one ARI request.
    pub timeout_ms: u64,
    /// Where `asterisk-config --write` installs.
    pub config_dir: PathBuf,
}

impl AsteriskConfig {
    /// The host of [`Self::url`], without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> String {
        let uri = self.url.parse::<axum::http::Uri>().unwrap_or_default();
        let host = uri.host().unwrap_or_default();
        host.trim_start_matches('[').trim_end_matches(']').to_owned()
    }
}

/// `[raft]`
#[derive(Debug, Clone)]
pub struct RaftConfig {
    /// Voters aimed at.
    pub voters: usize,
    /// Silence of a voter after which a learner takes its place; 0: never.
    pub replace_dead_after_s: u64,
    /// Leader to followers.
    pub heartbeat_ms: u64,
    /// Shortest silence before an election.
    pub election_min_ms: u64,
    /// Longest silence before an election.
    pub election_max_ms: u64,
    /// Silence of a node after which its bindings stop counting.
    pub session_ttl_ms: u64,
    /// Longest wait for a write.
    pub write_timeout_ms: u64,
    /// Log entries between two snapshots; 0: by size alone.
    pub snapshot_entries: u64,
    /// Log entries kept after a snapshot.
    pub keep_entries: u64,
}

/// `[log]`
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// A tracing filter.
    pub level: String,
    /// Text for people, JSON for collectors.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One line of text.
    Text,
    /// One JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("must be \"text\" or \"json\"".to_owned()),
        }
    }
}

impl Config {
    /// What the other nodes are told: `peer.advertise`, or `peer.listen` when that is no wildcard, or this host's name
    /// with the port listened on.
    #[must_use]
    pub fn peer_advertised(&self) -> Address {
        self.peer
            .advertise
            .clone()
            .unwrap_or_else(|| concrete(&self.peer.listen))
    }

    /// What the map says about the client API of this node.
    #[must_use]
    pub fn client_advertised(&self) -> Address {
        self.client
            .advertise
            .clone()
            .unwrap_or_else(|| concrete(&self.client.listen))
    }

    /// Where the other Asterisks send calls for this one: `sip.advertise`, or the host of the peer address, port 5060.
    #[must_use]
    pub fn sip_advertised(&self) -> Address {
        self.sip
            .advertise
            .clone()
            .unwrap_or_else(|| self.peer_advertised().with_port(5060))
    }
}

/// A wildcard replaced by this host's name.
fn concrete(listen: &Address) -> Address {
    if !listen.is_wildcard() {
        return listen.clone();
    }
    Address::new(&host_name(), listen.port()).unwrap_or_else(|_| listen.clone())
}

/// The name of this host, as the kernel knows it.
pub(super) fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| "localhost".to_owned())
}
