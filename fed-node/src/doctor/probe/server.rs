//! Whether the node asked is the one of this host.

use std::net::IpAddr;

use fed_raft::Identity;
use tokio::net::UdpSocket;

use crate::cli::Access;
use crate::doctor::NodeFacts;

/// The node that `--server` names, where it is not the one of this host: it is at an address of another, or is not the node that the
/// data folder here belongs to.
pub(super) async fn elsewhere(access: &Access, node: Option<&NodeFacts>, own: Option<Identity>) -> Option<String> {
    let server = access.server.as_ref()?;
    if let (Some(node), Some(own)) = (node, own) {
        let status = &node.status;
        let same = (status.node, status.cluster.as_str()) == (own.node.0, own.cluster.to_string().as_str());
        return (!same).then(|| format!("{} at {}", status.node_name, server.address));
    }
    // What does not resolve is said by the check that asks it.
    let resolved = server.address.resolve_one().await.ok()?;
    (!is_of_this_host(resolved.ip()).await).then(|| server.address.to_string())
}

/// Only an address of this host can be listened on.
async fn is_of_this_host(ip: IpAddr) -> bool {
    UdpSocket::bind((ip, 0)).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_server_at_another_address_is_not_this_host() {
        let at = |server: &str| Access {
            server: Some(server.parse().unwrap()),
            ..Access::default()
        };
        assert_eq!(elsewhere(&Access::default(), None, None).await, None);
        assert_eq!(elsewhere(&at("127.0.0.1:7400"), None, None).await, None);
        assert_eq!(
            elsewhere(&at("192.0.2.1:7400"), None, None).await.as_deref(),
            Some("192.0.2.1:7400")
        );
    }
}
