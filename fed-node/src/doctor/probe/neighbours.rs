//! Phones whose address is that of a trunk: of another server, or of SIP software in `sip_peers`.

use std::net::IpAddr;

use fed_proto::client as pb;
use ipnet::IpNet;

use crate::cli::{Client, all_devices, all_nodes};

/// More devices than this are not gone through.
const MOST_DEVICES: u64 = 20_000;

/// An address that Asterisks take for a trunk.
struct Trunk {
    /// In words.
    name: String,
    /// The node whose own Asterisk does not.
    of: Option<u64>,
    network: IpNet,
}

/// What is found, with `peers` as the setting has them, or why it was not looked for.
pub(super) async fn phones_at_trunks(client: &Client, peers: &str, devices: u64) -> Result<Vec<String>, String> {
    if devices > MOST_DEVICES {
        return Err(format!("more than {MOST_DEVICES} devices are not gone through"));
    }
    let failed = |failure: crate::cli::Failure| failure.to_string();
    let mut trunks = Vec::new();
    let nodes = all_nodes(client).await.map_err(failed)?;
    for node in nodes.into_iter().filter_map(|record| record.node) {
        for network in networks(&node.sip_address).await {
            trunks.push(Trunk {
                name: format!("the server of {}", node.name),
                of: Some(node.id),
                network,
            });
        }
    }
    for peer in peers.split(',').map(str::trim).filter(|peer| !peer.is_empty()) {
        for network in networks(peer).await {
            trunks.push(Trunk {
                name: format!("{peer} in sip_peers"),
                of: None,
                network,
            });
        }
    }
    let devices = all_devices(client, "", false).await.map_err(failed)?;
    let bindings = devices.iter().flat_map(|device| &device.bindings);
    Ok(found(bindings, &trunks))
}

/// What `10.0.0.0/24`, `10.0.0.1`, `10.0.0.1:5060`, `[2001:db8::1]:5060`, `name` or `name:5060` means; nothing for a name that leads nowhere.
async fn networks(text: &str) -> Vec<IpNet> {
    if let Ok(network) = text.parse() {
        return vec![network];
    }
    let host = host(text);
    if let Ok(ip) = host.parse::<IpAddr>() {
        return vec![ip.into()];
    }
    let found = tokio::net::lookup_host((host, 0)).await;
    found.into_iter().flatten().map(|address| address.ip().into()).collect()
}

/// The host of `host:port`, without brackets.
fn host(text: &str) -> &str {
    if let Some(rest) = text.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match text.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => text,
    }
}

/// The address in a contact; none where it names a host. A phone's is the one that its REGISTER came from (`rewrite_contact`).
fn address(contact: &str) -> Option<IpAddr> {
    let (_, rest) = contact.split_once(':')?;
    let place = rest.split(';').next()?.rsplit('@').next()?;
    host(place).parse().ok()
}

/// The phones at an address that a server other than their own takes for a trunk, and at one that every server does. What is on this machine alone is left out.
fn found<'a>(bindings: impl Iterator<Item = &'a pb::Binding>, trunks: &[Trunk]) -> Vec<String> {
    let mut phones = Vec::new();
    for binding in bindings.filter(|binding| binding.live) {
        let Some(ip) = address(&binding.contact).filter(|ip| !ip.is_loopback()) else {
            continue;
        };
        let trunk = trunks.iter().find(|trunk| trunk.network.contains(&ip));
        if let Some(trunk) = trunk {
            let where_now = match trunk.of {
                Some(node) if node == binding.node => "elsewhere",
                _ => "there too, when it registers again",
            };
            phones.push(format!(
                "device {}, registered at {} from {ip}, the address of {}: refused {where_now}",
                binding.device, binding.node_name, trunk.name
            ));
        }
    }
    phones
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_has_an_address_or_a_name() {
        for (contact, expected) in [
            ("sip:alice@192.0.2.1:5060;ob", Some("192.0.2.1")),
            ("sip:192.0.2.1", Some("192.0.2.1")),
            ("sips:a:b@[2001:db8::1]:5061;transport=tls", Some("2001:db8::1")),
            ("sip:alice@phone.example", None),
        ] {
            assert_eq!(address(contact), expected.map(|ip| ip.parse().unwrap()), "{contact}");
        }
    }

    #[tokio::test]
    async fn addresses_networks_and_names_are_understood() {
        for (text, expected) in [
            ("192.0.2.1:5060", "192.0.2.1/32"),
            ("192.0.2.0/24", "192.0.2.0/24"),
            ("[2001:db8::1]:5060", "2001:db8::1/128"),
            ("2001:db8::/32", "2001:db8::/32"),
        ] {
            assert_eq!(networks(text).await, [expected.parse::<IpNet>().unwrap()], "{text}");
        }
        assert!(
            networks("localhost:5060")
                .await
                .contains(&"127.0.0.1/32".parse().unwrap())
        );
    }

    #[test]
    fn phones_at_another_servers_address_or_a_peers_are_named() {
        let trunk = |name: &str, of, network: &str| Trunk {
            name: name.to_owned(),
            of,
            network: network.parse().unwrap(),
        };
        let trunks = [
            trunk("the server of n1", Some(1), "192.0.2.1/32"),
            trunk("the server of n2", Some(2), "192.0.2.2/32"),
            trunk("198.51.100.0/24 in sip_peers", None, "198.51.100.0/24"),
            trunk("the server of n3", Some(3), "127.0.0.1/32"),
        ];
        let at = |device: &str, ip: &str, live| pb::Binding {
            device: device.to_owned(),
            contact: format!("sip:{device}@{ip}:5060"),
            node: 1,
            node_name: "n1".to_owned(),
            live,
            ..pb::Binding::default()
        };
        let bindings = [
            at("fine", "203.0.113.9", true),
            at("gone", "192.0.2.2", false),
            at("local", "127.0.0.1", true),
            at("beside", "192.0.2.1", true),
            at("behind", "192.0.2.2", true),
            at("lan", "198.51.100.77", true),
        ];
        assert_eq!(
            found(bindings.iter(), &trunks),
            [
                "device beside, registered at n1 from 192.0.2.1, the address of the server of n1: refused elsewhere",
                "device behind, registered at n1 from 192.0.2.2, the address of the server of n2: refused there too, when it registers again",
                "device lan, registered at n1 from 198.51.100.77, the address of 198.51.100.0/24 in sip_peers: refused there too, when it registers again",
            ]
        );
    }
}
