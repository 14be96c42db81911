//! What an administrator can set.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
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
    /// The port of this node's own Asterisk. It has already tried the phones registered here, so for it a device at this node is
    /// "unavailable"; everybody else is sent here. It asks from the address that its transport is bound to: so whoever asks from any address
    /// of this machine and has this port, as the request's source or in its topmost Via (TCP requests come from a changing port), is it, and
    /// on loopback whoever asks.
    pub sip_port: u16,
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
            sip_port: 5060,
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

    /// Whether a request from `source`, whose topmost Via names `via_port`, comes from this node's own Asterisk; `is_own` tells this
    /// machine's addresses.
    pub(super) fn is_own_asterisk(&self, source: SocketAddr, via_port: u16, is_own: impl Fn(IpAddr) -> bool) -> bool {
        let ip = source.ip().to_canonical();
        ip.is_loopback() || [source.port(), via_port].contains(&self.sip_port) && is_own(ip)
    }
}
