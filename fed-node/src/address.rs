//! Network addresses as people write them: `host:port` with an IPv4 address, an IPv6 address in brackets, or a name.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

/// A host and a port. The host is kept as written; names are resolved when they are used, so that a changed DNS record
/// is seen without a restart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Address {
    host: String,
    port: u16,
}

/// Why a text is not an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{text:?} is no address: {why}; write host:port, for example 192.0.2.1:7401, [2001:db8::1]:7401 or pbx1.example.org:7401"
)]
pub struct BadAddress {
    text: String,
    why: &'static str,
}

impl Address {
    /// An address from its parts; `host` is a name or an IP address without brackets.
    ///
    /// # Errors
    /// When the host is neither an IP address nor a possible name.
    pub fn new(host: &str, port: u16) -> Result<Self, BadAddress> {
        let is_name = !host.is_empty()
            && host.len() <= 253
            && host.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
            && !host.starts_with(['-', '.']);
        if host.parse::<IpAddr>().is_err() && !is_name {
            return Err(BadAddress {
                text: host.to_owned(),
                why: "the host is neither an IP address nor a name",
            });
        }
        Ok(Self {
            host: host.to_owned(),
            port,
        })
    }

    /// The host without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port; 0 means "any free one" where something listens.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The same host with another port.
    #[must_use]
    pub fn with_port(&self, port: u16) -> Self {
        Self {
            host: self.host.clone(),
            port,
        }
    }

    /// True for 0.0.0.0 and `::`: fine to listen on, useless to tell others.
    #[must_use]
    pub fn is_wildcard(&self) -> bool {
        self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_unspecified())
    }

    /// True when only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
    }

    /// Every socket address behind it, in the resolver's order.
    ///
    /// # Errors
    /// When the name cannot be resolved.
    pub async fn resolve(&self) -> std::io::Result<Vec<SocketAddr>> {
        Ok(tokio::net::lookup_host((self.host.as_str(), self.port))
            .await?
            .collect())
    }

    /// The first socket address behind it.
    ///
    /// # Errors
    /// When the name cannot be resolved; the text names it.
    pub async fn resolve_one(&self) -> std::io::Result<SocketAddr> {
        let found = self.resolve().await.map_err(|why| {
            std::io::Error::new(
                why.kind(),
                format!("{self}: the name does not resolve ({why}); check it or write the IP address"),
            )
        })?;
        found
            .into_iter()
            .next()
            .ok_or_else(|| std::io::Error::other(format!("{self}: the name has no address")))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.parse::<Ipv6Addr>().is_ok() {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl From<SocketAddr> for Address {
    fn from(from: SocketAddr) -> Self {
        Self {
            host: from.ip().to_string(),
            port: from.port(),
        }
    }
}

impl FromStr for Address {
    type Err = BadAddress;

    fn from_str(text: &str) -> Result<Self, BadAddress> {
        let bad = |why| BadAddress {
            text: text.to_owned(),
            why,
        };
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest
                    .split_once("]:")
                    .ok_or_else(|| bad("the port is missing after ]"))?;
                host.parse::<Ipv6Addr>()
                    .map_err(|_| bad("between the brackets is no IPv6 address"))?;
                (host, port)
            }
            None => {
                let (host, port) = text.rsplit_once(':').ok_or_else(|| bad("the port is missing"))?;
                if host.contains(':') {
                    return Err(bad("an IPv6 address needs brackets"));
                }
                (host, port)
            }
        };
        let port = port
            .parse()
            .map_err(|_| bad("the port is not a number from 0 to 65535"))?;
        Self::new(host, port).map_err(|error| bad(error.why))
    }
}

/// An address as somebody wrote it, with what it leads to from here: two may be written in different ways, as a name and as a number,
/// and be one.
#[derive(Debug)]
pub struct Spelt {
    text: String,
    leads_to: Vec<SocketAddr>,
}

/// Longest wait for a name.
const RESOLVED_WITHIN: Duration = Duration::from_secs(1);

impl Spelt {
    /// Looks an address up; one that leads nowhere is still compared by its letters.
    pub async fn of(text: &str) -> Self {
        let found = async {
            match text.parse::<Address>() {
                Ok(address) => address.resolve().await.unwrap_or_default(),
                Err(_) => Vec::new(),
            }
        };
        let leads_to = tokio::time::timeout(RESOLVED_WITHIN, found).await;
        Self {
            text: text.to_owned(),
            leads_to: leads_to.unwrap_or_default(),
        }
    }

    /// Whether both are the same place. Nothing is the same as an empty one.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        !self.text.is_empty()
            && (self.text.eq_ignore_ascii_case(&other.text)
                || self.leads_to.iter().any(|address| other.leads_to.contains(address)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_and_a_number_may_be_one_place() {
        for (one, other, same) in [
            ("127.0.0.1:7401", "127.0.0.1:7401", true),
            ("localhost:7401", "127.0.0.1:7401", true),
            ("PBX1.invalid:7401", "pbx1.invalid:7401", true),
            ("[::1]:7401", "[0:0:0:0:0:0:0:1]:7401", true),
            ("localhost:7401", "127.0.0.1:7402", false),
            ("pbx1.invalid:7401", "pbx2.invalid:7401", false),
            ("", "", false),
        ] {
            assert_eq!(
                Spelt::of(one).await.is_same(&Spelt::of(other).await),
                same,
                "{one} {other}"
            );
        }
    }

    #[test]
    fn every_kind_of_host_survives_a_round_trip() {
        for text in [
            "192.0.2.1:7401",
            "[2001:db8::1]:7401",
            "pbx1.example.org:7401",
            "localhost:0",
            "[::]:1",
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, why) in [
            ("192.0.2.1", "port is missing"),
            ("2001:db8::1:7401", "needs brackets"),
            ("[2001:db8::1]", "port is missing"),
            ("host:99999", "0 to 65535"),
            ("ho st:1", "neither"),
            (":1", "neither"),
            ("[nonsense]:1", "no IPv6"),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
    }
}
