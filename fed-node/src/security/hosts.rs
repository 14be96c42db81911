//! Under which hosts a node's certificate holds: clients compare the host that they dial with it.
//!
//! A node is at the hosts of its own addresses: the one where members find it, and the one of its client API. A host that two
//! nodes claim is nobody's, or one that was taken over could have itself certified for another's and collect the tokens meant for that.

use fed_core::ids::NodeId;
use fed_core::map::{FederationMap, MapView};
use fed_raft::Cluster;

use crate::address::Address;

/// This machine, which every node is on.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// Which node says that it is at which host.
#[derive(Debug, Clone, Default)]
pub(super) struct Claims(Vec<(NodeId, String)>);

impl Claims {
    /// Those of all members, as far as this node has heard.
    pub(super) fn of_members(cluster: &Cluster<FederationMap>) -> Self {
        let mut claims = Self::default();
        for member in cluster.members() {
            claims.add(member.id, &member.address);
        }
        let snapshot = cluster.local();
        // Without the records there are the members' addresses.
        for record in MapView::new(&snapshot).nodes().unwrap_or_default() {
            claims.add(record.value.id, &record.value.client_address);
        }
        claims
    }

    /// A node says that it has this address.
    pub(super) fn add(&mut self, node: NodeId, address: &str) {
        let Ok(address) = address.parse::<Address>() else {
            return;
        };
        if !address.is_loopback() && !address.is_wildcard() {
            self.0.push((node, address.host().to_ascii_lowercase()));
        }
    }

    /// The hosts that a certificate of `node` holds.
    pub(super) fn hosts_of(&self, node: NodeId) -> Vec<String> {
        let mut hosts: Vec<String> = LOOPBACK.map(str::to_owned).into();
        for (of, host) in &self.0 {
            let disputed = self.0.iter().any(|(other, same)| other != of && same == host);
            if *of == node && !disputed && !hosts.contains(host) {
                hosts.push(host.clone());
            }
        }
        hosts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_at_its_own_hosts_and_on_its_own_machine() {
        let mut claims = Claims::default();
        for (node, address) in [
            (1, "192.0.2.1:7401"),
            (1, "PBX1.example.org:7400"),
            (2, "[2001:db8::2]:7401"),
            (2, "0.0.0.0:7400"),
            (3, "127.0.0.1:7401"),
            (3, "nonsense"),
        ] {
            claims.add(NodeId(node), address);
        }
        let further = |node: u64| claims.hosts_of(NodeId(node)).split_off(LOOPBACK.len());
        assert_eq!(further(1), ["192.0.2.1", "pbx1.example.org"]);
        assert_eq!(further(2), ["2001:db8::2"]);
        assert!(further(3).is_empty() && further(4).is_empty());
        assert_eq!(claims.hosts_of(NodeId(3)), LOOPBACK);
    }

    #[test]
    fn a_host_that_two_nodes_claim_is_nobodys() {
        let mut claims = Claims::default();
        claims.add(NodeId(1), "pbx1.example.org:7401");
        claims.add(NodeId(1), "192.0.2.1:7400");
        claims.add(NodeId(9), "Pbx1.example.org:9999");
        assert_eq!(claims.hosts_of(NodeId(9)), LOOPBACK);
        assert_eq!(claims.hosts_of(NodeId(1))[LOOPBACK.len()..], ["192.0.2.1"]);
    }
}
