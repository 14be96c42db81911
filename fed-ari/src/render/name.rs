//! Names inside Asterisk: what the federation's own objects, contexts and variables are called.

use fed_core::ids::{DeviceId, NodeId};

/// Context from which devices call, unless the setting `dialplan_context` says otherwise.
pub const DEVICES_CONTEXT: &str = "fed-users";

/// Context in which calls of other nodes and of other SIP software arrive.
pub const TRUNK_CONTEXT: &str = "fed-trunk";

/// Context in which both ask fed-node, with a limit to how long.
pub const ASKING_CONTEXT: &str = "fed-ask";

/// Endpoint and identify of other SIP software.
pub const PEERS: &str = "fed-peers";

const REDIRECT_SUFFIX: &str = "-fed";
const TRUNK_PREFIX: &str = "fed-node-";

/// The second aor of a device: its one static contact is the redirect server.
pub fn redirect_aor(device: &str) -> String {
    format!("{device}{REDIRECT_SUFFIX}")
}

/// True for an aor whose contacts are the federation's own static ones, not registrations.
pub fn is_redirect_aor(aor: &str) -> bool {
    aor.ends_with(REDIRECT_SUFFIX) || aor.starts_with(TRUNK_PREFIX) || aor == PEERS
}

/// Endpoint, aor and identify of the trunk to a node.
pub fn trunk(node: NodeId) -> String {
    format!("{TRUNK_PREFIX}{node}")
}

/// True for an endpoint that this federation made: a trunk, or a device that lists its own redirect aor. Needed after a
/// restart of fed-node, as Asterisk does not tell a pushed endpoint from one of its files.
pub fn is_ours(endpoint: &str, aors: &str) -> bool {
    let redirect = redirect_aor(endpoint);
    endpoint == PEERS || endpoint.starts_with(TRUNK_PREFIX) || aors.split(',').any(|aor| aor.trim() == redirect)
}

/// The device on whose endpoint a channel such as `PJSIP/alice-0000002a` runs; `None` for other technologies and for trunks.
pub fn device_of_channel(channel: &str) -> Option<DeviceId> {
    let (endpoint, _) = channel.strip_prefix("PJSIP/")?.rsplit_once('-')?;
    if endpoint == PEERS || endpoint.starts_with(TRUNK_PREFIX) {
        return None;
    }
    DeviceId::new(endpoint).ok()
}

/// The global variable that lists, with `&` between them, the devices that a number (or user id) rings while fed-node is down.
pub fn devices_variable(number: &str) -> String {
    format!("FED_DEVICES_{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_name_their_device() {
        assert_eq!(
            device_of_channel("PJSIP/alice-0000002a").map(|d| d.to_string()),
            Some("alice".to_owned())
        );
        assert_eq!(
            device_of_channel("PJSIP/al-ice-0000002a").map(|d| d.to_string()),
            Some("al-ice".to_owned())
        );
        for channel in [
            "PJSIP/fed-node-2-00000001",
            "PJSIP/fed-peers-00000001",
            "Local/100@x-0001;1",
            "",
            "PJSIP/",
        ] {
            assert_eq!(device_of_channel(channel), None, "{channel}");
        }
    }

    #[test]
    fn only_what_the_federation_made_is_ours() {
        assert!(is_ours("alice", "alice,alice-fed"));
        assert!(is_ours("fed-node-2", "fed-node-2"));
        assert!(is_ours("fed-peers", ""));
        assert!(!is_ours("alice", "alice"));
        assert!(!is_ours("customer", "customer,alice-fed"));
    }
}
