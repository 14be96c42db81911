//! Trunks: the objects through which other nodes, and other SIP software, reach this Asterisk.

use fed_core::{kv::StoreError, map::MapView, records::Node};

use super::{Object, PEERS, TRUNK_CONTEXT, Target, trunk};
use crate::client::ObjectType;

/// Codecs between nodes: what every Asterisk can convert first, then what passes through untouched.
const TRUNK_CODECS: &str = "!all,ulaw,alaw,g722,opus,g729,gsm,ilbc,speex";

/// Endpoint, aor and identify for another node.
pub(super) fn to_node(target: &Target, node: &Node) -> Vec<Object> {
    let id = trunk(node.id);
    let mut objects = vec![target.object(
        ObjectType::Aor,
        &id,
        vec![
            ("max_contacts", "0".into()),
            ("qualify_frequency", "0".into()),
            ("contact", format!("sip:{}", node.sip_address)),
        ],
    )];
    objects.extend(inbound(target, &id, &id, host(&node.sip_address), "yes"));
    objects
}

/// Endpoint and identify for other SIP software that may bring capabilities (setting `sip_peers`, separated by commas). Its word on who calls is not trusted.
pub(super) fn from_peers(view: &MapView<'_>, target: &Target) -> Result<Vec<Object>, StoreError> {
    let peers = view.sip_peers()?;
    let addresses: Vec<&str> = peers.iter().map(|peer| host(peer)).collect();
    if addresses.is_empty() {
        return Ok(Vec::new());
    }
    Ok(inbound(target, PEERS, "", &addresses.join(","), "no"))
}

fn inbound(target: &Target, id: &str, aors: &str, addresses: &str, trusted: &str) -> Vec<Object> {
    vec![
        target.object(
            ObjectType::Endpoint,
            id,
            vec![
                ("context", TRUNK_CONTEXT.into()),
                ("aors", aors.into()),
                ("allow", TRUNK_CODECS.into()),
                ("direct_media", "no".into()),
                ("rtp_symmetric", "yes".into()),
                ("force_rport", "yes".into()),
                ("identify_by", "ip".into()),
                ("trust_id_inbound", trusted.into()),
                ("trust_id_outbound", trusted.into()),
                ("send_pai", trusted.into()),
                ("allow_transfer", "no".into()),
            ],
        ),
        target.object(
            ObjectType::Identify,
            id,
            vec![("endpoint", id.into()), ("match", addresses.into())],
        ),
    ]
}

/// The host of `host:port`, `[v6]:port`, `host` or `10.0.0.0/24`, without brackets.
fn host(address: &str) -> &str {
    if let Some(rest) = address.strip_prefix('[') {
        return rest.split(']').next().unwrap_or(rest);
    }
    match address.split_once(':') {
        Some((host, port)) if !port.contains(':') => host,
        _ => address,
    }
}

#[cfg(test)]
mod tests {
    use super::host;

    #[test]
    fn hosts_lose_their_port_and_brackets() {
        for (address, expected) in [
            ("10.0.0.1:5060", "10.0.0.1"),
            ("[2001:db8::1]:5060", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("pbx.example:5060", "pbx.example"),
            ("pbx.example", "pbx.example"),
            ("10.0.0.0/24", "10.0.0.0/24"),
        ] {
            assert_eq!(host(address), expected, "{address}");
        }
    }
}
