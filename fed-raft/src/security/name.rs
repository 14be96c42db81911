//! What a certificate says its owner is.

use std::fmt;
use std::str::FromStr;

use fed_core::ids::NodeId;

use crate::identity::ClusterId;

/// A node of a cluster; as text, and in certificates, `fed://<cluster>/node/<node>`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "fed://{}/node/{}", self.cluster, self.node)
    }
}

/// A text that names no node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no node: that is fed://<cluster>/node/<node>")]
pub struct BadName(String);

impl FromStr for NodeName {
    type Err = BadName;

    fn from_str(text: &str) -> Result<Self, BadName> {
        let parse = || {
            let (cluster, node) = text.strip_prefix("fed://")?.split_once("/node/")?;
            let digits = cluster.len() == 32 && node.bytes().all(|b| b.is_ascii_digit());
            digits.then_some(Self {
                cluster: ClusterId(u128::from_str_radix(cluster, 16).ok()?),
                node: NodeId(node.parse().ok()?),
            })
        };
        // One text for each name: what is compared as text elsewhere means the same.
        parse()
            .filter(|name| name.to_string() == text)
            .ok_or_else(|| BadName(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_survives_the_certificate() {
        let name = NodeName {
            cluster: ClusterId(0xfeed),
            node: NodeId(7),
        };
        assert_eq!(name.to_string().parse(), Ok(name));
        assert_eq!(name.to_string(), "fed://0000000000000000000000000000feed/node/7");
    }

    #[test]
    fn what_only_looks_like_a_name_is_none() {
        let cluster = "0".repeat(32);
        for bad in [
            String::new(),
            format!("fed://{cluster}/node/"),
            format!("fed://{cluster}/node/+7"),
            format!("fed://{cluster}/node/07"),
            format!("fed://{cluster}/node/7/"),
            format!("fed://{}/node/7", "F".repeat(32)),
            format!("http://{cluster}/node/7"),
            "fed://feed/node/7".to_owned(),
        ] {
            assert!(bad.parse::<NodeName>().is_err(), "{bad}");
        }
    }
}
