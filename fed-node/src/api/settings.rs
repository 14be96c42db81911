//! The settings of the federation: which there are, their defaults, and which are secret.

use std::net::{IpAddr, Ipv4Addr};

use fed_ari::render::{ASKING_CONTEXT, DEVICES_CONTEXT, TRUNK_CONTEXT};
use fed_core::records::setting;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// A setting that the federation itself reads.
pub struct Known {
    /// Its key.
    pub key: &'static str,
    /// What applies while it is not set.
    pub default: &'static str,
    /// What it is for.
    pub help: &'static str,
    /// Its value is never shown.
    pub secret: bool,
}

/// Every setting that the federation itself reads.
pub const KNOWN: &[Known] = &[
    Known {
        key: setting::REALM,
        default: setting::DEFAULT_REALM,
        help: "SIP realm of all digests; it cannot be changed while there are devices, whose passwords are bound to it",
        secret: false,
    },
    Known {
        key: setting::DIALPLAN_CONTEXT,
        default: setting::DEFAULT_DIALPLAN_CONTEXT,
        help: "dialplan context in which devices call",
        secret: false,
    },
    Known {
        key: setting::SIP_PEERS,
        default: "",
        help: "addresses of other SIP software that may bring capabilities, separated by commas",
        secret: false,
    },
    Known {
        key: setting::LOCATE,
        default: setting::LOCATE_BY_REDIRECT,
        help: "redirect: also a plain Dial(PJSIP/alice) finds her elsewhere; ask: only dialplans that ask the federation's context do, and a phone's own 302 leads to no SIP address",
        secret: false,
    },
    Known {
        key: setting::HOP_LIMIT,
        default: "4",
        help: "nodes that a call may cross, 1 to 70",
        secret: false,
    },
    Known {
        key: setting::SEAL_KEY,
        default: "",
        help: "id of the key that seals credentials, which every node has in security/cluster.key; set by the nodes themselves",
        secret: false,
    },
    Known {
        key: setting::CAPABILITY_KEY,
        default: "",
        help: "key that signs the targets of calls between nodes; made by init, never shown",
        secret: true,
    },
];

/// How the key of a note begins, which the federation keeps and does not read.
pub const NOTE: &str = "x-";

/// The keys of all settings that the federation reads, separated by commas.
#[must_use]
pub fn names() -> String {
    let names: Vec<&str> = KNOWN.iter().map(|known| known.key).collect();
    names.join(", ")
}

/// Checks a realm: it stands in SIP headers, in Asterisk's files and in every digest.
///
/// # Errors
/// The rule, with the value.
pub fn check_realm(realm: &str) -> Result<(), String> {
    let fine = (1..=64).contains(&realm.len())
        && realm
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"\\:;,[]".contains(&byte));
    if fine {
        return Ok(());
    }
    Err(format!(
        "{realm:?} cannot be a SIP realm: use 1 to 64 printable characters without blanks, quotes, backslashes, brackets, : ; or ,"
    ))
}

/// Checks how dialplans find somebody elsewhere.
///
/// # Errors
/// When it is neither of the two ways.
pub fn check_locate(how: &str) -> Result<(), String> {
    if [setting::LOCATE_BY_REDIRECT, setting::LOCATE_BY_ASKING].contains(&how) {
        return Ok(());
    }
    Err(format!(
        "use {} or {}",
        setting::LOCATE_BY_REDIRECT,
        setting::LOCATE_BY_ASKING
    ))
}

/// Shortest prefixes of a network in `sip_peers`.
const SHORTEST: (u8, u8) = (8, 16);
/// Longest `sip_peers`, in bytes: as long as any setting may be.
const LONGEST_LIST: usize = 4_096;
/// So many networks of the shortest prefix is the most that all of `sip_peers` may cover, for each kind of address.
const MOST_COVERED: u128 = 16;

/// Checks the dialplan context in which devices call.
///
/// # Errors
/// When calls of other nodes arrive there, who have shown no password: a phone would call as one of them.
pub fn check_dialplan_context(context: &str) -> Result<(), String> {
    let taken = [TRUNK_CONTEXT, ASKING_CONTEXT];
    if !taken.iter().any(|taken| taken.eq_ignore_ascii_case(context)) {
        return Ok(());
    }
    Err(format!(
        "{context} is the federation's own, for calls between servers; name a context of yours, or {DEVICES_CONTEXT}, in which phones call"
    ))
}

/// Whether these may be the addresses of other SIP software, separated by commas: each an address, a network or a name. A network of
/// nearly everything would take the calls of every phone for that software's, since addresses come before user names.
///
/// # Errors
/// What is wrong with the first that is wrong, or with all of them together.
pub fn check_sip_peers(peers: &str) -> Result<(), String> {
    if peers.trim().is_empty() {
        return Ok(());
    }
    if peers.len() > LONGEST_LIST {
        return Err(format!("use up to {LONGEST_LIST} bytes"));
    }
    let mut networks = Vec::new();
    for peer in peers.split(',').map(str::trim) {
        networks.extend(check_sip_peer(peer)?);
    }
    let (mut four, mut six) = (Vec::new(), Vec::new());
    for network in networks {
        match network {
            IpNet::V4(network) => four.push(network),
            IpNet::V6(network) => six.push(network),
        }
    }
    // Of what was joined and is listed once, so that sums are right.
    let four = Ipv4Net::aggregate(&four).into_iter();
    let six = Ipv6Net::aggregate(&six).into_iter();
    let covered = [
        four.map(|network| 1_u128 << (32 - network.prefix_len())).sum::<u128>() >> (32 - SHORTEST.0),
        six.map(|network| 1_u128 << (128 - network.prefix_len())).sum::<u128>() >> (128 - SHORTEST.1),
    ];
    if covered.iter().all(|covered| *covered <= MOST_COVERED) {
        return Ok(());
    }
    Err(
        "together these networks cover so much that phones would be taken for that software; name its own networks alone"
            .to_owned(),
    )
}

/// Checks one; the network, where it is one.
fn check_sip_peer(peer: &str) -> Result<Option<IpNet>, String> {
    if peer.is_empty() {
        return Err("there is nothing between two commas: leave one out".to_owned());
    }
    if peer.contains('/') {
        let network: IpNet = peer
            .parse()
            .map_err(|_| format!("{peer} is no network: use one such as 192.0.2.0/24 or 2001:db8::/32"))?;
        let (shortest, mapped) = match network {
            IpNet::V4(_) => (SHORTEST.0, false),
            IpNet::V6(network) => {
                let of_ipv4 = network.contains(&Ipv4Addr::UNSPECIFIED.to_ipv6_mapped());
                (SHORTEST.1, of_ipv4 || network.addr().to_ipv4_mapped().is_some())
            }
        };
        if network.prefix_len() == 0 {
            return Err(format!(
                "{peer} is every address there is: no phone could register any more; name the networks of that software"
            ));
        }
        if network.prefix_len() < shortest {
            return Err(format!(
                "{peer} is too wide: phones in it could not register any more; name the networks of that software, /{shortest} or narrower"
            ));
        }
        if mapped {
            return Err(format!("{peer} stands for IPv4 addresses: write it as an IPv4 network"));
        }
        return Ok(Some(network.trunc()));
    }
    let host = peer.rsplit_once(':').map_or(peer, |(host, _)| host);
    let digits = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    if digits && host.parse::<IpAddr>().is_err() {
        return Err(format!("{peer} is no IPv4 address"));
    }
    Ok(None)
}

/// Whether this may be the key of the capabilities: 32 bytes in lower-case hexadecimal digits.
#[must_use]
pub fn is_capability_key(value: &str) -> bool {
    value.len() == 64 && value.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The setting of that key, when the federation reads it.
#[must_use]
pub fn known(key: &str) -> Option<&'static Known> {
    KNOWN.iter().find(|known| known.key == key)
}

/// The known key spelt most like `key`, when one is near.
#[must_use]
pub fn nearest(key: &str) -> Option<&'static str> {
    KNOWN
        .iter()
        .map(|known| (strsim::damerau_levenshtein(known.key, key), known.key))
        .min()
        .filter(|(distance, _)| (1..=3).contains(distance))
        .map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_key_finds_its_neighbour() {
        assert_eq!(nearest("relm"), Some("realm"));
        assert_eq!(nearest("hoplimit"), Some("hop_limit"));
        assert_eq!(nearest("my-own-note"), None);
    }

    #[test]
    fn the_documented_defaults_are_the_real_ones() {
        assert_eq!(
            known(setting::HOP_LIMIT).unwrap().default,
            setting::DEFAULT_HOP_LIMIT.to_string()
        );
    }
}
