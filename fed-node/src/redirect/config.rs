//! What an administrator can set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The transport that a 302's Contact asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TargetTransport {
    /// None named: the asker picks (UDP, unless its own settings say otherwise).
    #[default]
    Any,
    /// `;transport=udp`
    Udp,
    /// `;transport=tcp`
    Tcp,
}

/// An address from which this node's own Asterisk asks.
///
/// With a port, the port must be the request's source port or the one in its topmost Via (TCP requests come from a changing port).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asker {
    /// The address.
    pub ip: IpAddr,
    /// The port, where only one program of that address is meant.
    pub port: Option<u16>,
}

/// The text is no address.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is no address of an Asterisk: write `127.0.0.1`, `127.0.0.1:5060`, `::1` or `[::1]:5060`")]
pub struct InvalidAsker(String);

impl FromStr for Asker {
    type Err = InvalidAsker;

    fn from_str(text: &str) -> Result<Self, InvalidAsker> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self {
                ip: ip.to_canonical(),
                port: None,
            });
        }
        let address: SocketAddr = text.parse().map_err(|_| InvalidAsker(text.to_owned()))?;
        Ok(Self {
            ip: address.ip().to_canonical(),
            port: Some(address.port()),
        })
    }
}

/// Every address of this machine alone.
pub const LOOPBACK: [IpNet; 2] = [
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
    IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
];

/// Settings of the redirect server; every limit is a hard bound.
#[derive(Clone, Debug)]
pub struct RedirectConfig {
    /// Addresses to listen on, UDP and TCP each: `host:port`, IPv4, `[IPv6]` or a name. Port 0 takes a free one.
    pub listen: Vec<String>,
    /// Who may ask from elsewhere; everybody else hears nothing.
    pub allow: Vec<IpNet>,
    /// Whoever asks from an address of this machine, whichever it is, may: its Asterisk does from that of its transport.
    pub hears_own: bool,
    /// Where this node's own Asterisk asks from. It has already tried the phones registered here, so for these a device at this
    /// node is "unavailable"; everybody else is sent here. Empty: every loopback address.
    pub own_asterisk: Vec<Asker>,
    /// Transport named in the answer's Contact.
    pub target_transport: TargetTransport,
    /// How long a target given out stays valid, in seconds (differences between the nodes' clocks included).
    pub capability_ttl_s: u32,
    /// `Retry-After` when the map cannot be read, in seconds.
    pub retry_after_s: u32,
    /// Requests a second that one source may send on average (IPv6: one /64); more are dropped without an answer.
    pub rate_per_s: u32,
    /// Requests that one source may send at once.
    pub burst: u32,
    /// Lookups in flight per listening UDP socket and per TCP connection; above that UDP requests are dropped (the asker repeats
    /// them) and TCP connections are read no further until one is done.
    pub lookups: usize,
    /// TCP connections in all.
    pub connections: usize,
    /// TCP connections from one source address. Above that the oldest that has asked nothing gives way, if there is one.
    pub connections_per_source: usize,
    /// TCP connections, of those in all, that nobody but this node's own Asterisk may have.
    pub connections_reserved: usize,
    /// A TCP connection that says nothing for this long is closed.
    pub idle: Duration,
    /// A message begun on a TCP connection must be complete, and an answer taken, within this time.
    pub message_timeout: Duration,
}

impl Default for RedirectConfig {
    fn default() -> Self {
        Self {
            listen: vec!["127.0.0.1:5070".to_owned()],
            allow: LOOPBACK.to_vec(),
            hears_own: true,
            own_asterisk: Vec::new(),
            target_transport: TargetTransport::Any,
            capability_ttl_s: 30,
            retry_after_s: 2,
            rate_per_s: 2_000,
            burst: 4_000,
            lookups: 512,
            connections: 256,
            connections_per_source: 32,
            connections_reserved: 32,
            idle: Duration::from_secs(120),
            message_timeout: Duration::from_secs(10),
        }
    }
}

impl RedirectConfig {
    /// Whether a message from `source` is heard at all.
    pub(super) fn may_ask(&self, source: IpAddr) -> bool {
        let source = source.to_canonical();
        self.allow.iter().any(|network| network.contains(&source))
    }

    /// Whether a request from `source`, whose topmost Via names `via_port`, comes from this node's own Asterisk.
    pub(super) fn is_own_asterisk(&self, source: SocketAddr, via_port: u16) -> bool {
        let ip = source.ip().to_canonical();
        if self.own_asterisk.is_empty() {
            return ip.is_loopback();
        }
        self.own_asterisk
            .iter()
            .any(|asker| asker.ip == ip && asker.port.is_none_or(|port| port == source.port() || port == via_port))
    }

    /// Whether connections from `source` may be those of this node's own Asterisk, whatever port it names later.
    pub(super) fn may_be_own_asterisk(&self, source: IpAddr) -> bool {
        let ip = source.to_canonical();
        if self.own_asterisk.is_empty() {
            return ip.is_loopback();
        }
        self.own_asterisk.iter().any(|asker| asker.ip == ip)
    }
}
