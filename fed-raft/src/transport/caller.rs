//! Who calls, and whom: one line of metadata on every call.
//!
//! `fed-peer: <protocol>/<cluster>/<from>/<incarnation>/<to>`; zeros stand for "not known yet" (joining).

use fed_core::ids::NodeId;
use tonic::Status;
use tonic::metadata::{Ascii, MetadataMap, MetadataValue};

use crate::identity::{ClusterId, Identity};

const KEY: &str = "fed-peer";
/// Raised when nodes must understand something that older ones cannot ignore.
pub(crate) const PROTOCOL: u32 = 1;

/// What a caller shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Badge {
    pub(crate) protocol: u32,
    pub(crate) cluster: ClusterId,
    pub(crate) from: u64,
    pub(crate) incarnation: u64,
    pub(crate) to: u64,
}

impl Badge {
    pub(crate) fn of(identity: &Identity, to: u64) -> Self {
        Self {
            protocol: PROTOCOL,
            cluster: identity.cluster,
            from: identity.node.0,
            incarnation: identity.incarnation,
            to,
        }
    }

    /// Of somebody who belongs to no cluster yet.
    pub(crate) fn stranger(incarnation: u64) -> Self {
        Self {
            protocol: PROTOCOL,
            cluster: ClusterId(0),
            from: 0,
            incarnation,
            to: 0,
        }
    }

    pub(crate) fn is_stranger(&self) -> bool {
        self.cluster == ClusterId(0) && self.from == 0
    }

    pub(crate) fn write(&self, metadata: &mut MetadataMap) {
        let Self {
            protocol,
            cluster,
            from,
            incarnation,
            to,
        } = self;
        let text = format!("{protocol}/{cluster}/{from}/{incarnation}/{to}");
        let value: MetadataValue<Ascii> = text.parse().expect("digits and slashes are valid in metadata");
        metadata.insert(KEY, value);
    }

    pub(crate) fn read(metadata: &MetadataMap) -> Result<Self, Status> {
        metadata
            .get(KEY)
            .and_then(|value| value.to_str().ok())
            .and_then(parse)
            .ok_or_else(|| Status::unauthenticated("the call does not say who makes it"))
    }

    /// Refuses callers of other protocols and clusters, and calls meant for another node.
    pub(crate) fn check(&self, here: &Identity) -> Result<(), Status> {
        if self.protocol != PROTOCOL {
            return Err(Status::failed_precondition(format!(
                "node {} speaks peer protocol {}, this node {PROTOCOL}: bring both to the same version",
                self.from, self.protocol
            )));
        }
        if self.cluster != here.cluster {
            return Err(Status::permission_denied(format!(
                "node {} belongs to cluster {}, this node to {}",
                self.from, self.cluster, here.cluster
            )));
        }
        if self.to != here.node.0 {
            return Err(Status::permission_denied(format!(
                "the call is for node {}, this is node {}: the address belongs to another node now",
                NodeId(self.to),
                here.node
            )));
        }
        Ok(())
    }
}

fn parse(text: &str) -> Option<Badge> {
    let mut parts = text.split('/');
    let badge = Badge {
        protocol: parts.next()?.parse().ok()?,
        cluster: ClusterId(u128::from_str_radix(parts.next()?, 16).ok()?),
        from: parts.next()?.parse().ok()?,
        incarnation: parts.next()?.parse().ok()?,
        to: parts.next()?.parse().ok()?,
    };
    parts.next().is_none().then_some(badge)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity() -> Identity {
        Identity {
            cluster: ClusterId(7),
            node: NodeId(3),
            incarnation: 5,
            founder: false,
            seeds: Vec::new(),
        }
    }

    #[test]
    fn a_badge_survives_the_wire() {
        let badge = Badge::of(&identity(), 9);
        let mut metadata = MetadataMap::new();
        badge.write(&mut metadata);
        assert_eq!(Badge::read(&metadata).expect("readable"), badge);
    }

    #[test]
    fn calls_from_another_cluster_or_for_another_node_are_refused() {
        let here = identity();
        let mut badge = Badge::of(&here, 3);
        assert!(badge.check(&here).is_ok());
        badge.to = 4;
        assert!(badge.check(&here).is_err());
        badge.to = 3;
        badge.cluster = ClusterId(8);
        assert!(badge.check(&here).is_err());
        badge.cluster = here.cluster;
        badge.protocol = 2;
        assert!(badge.check(&here).is_err());
    }

    #[test]
    fn a_call_without_a_badge_is_refused() {
        assert!(Badge::read(&MetadataMap::new()).is_err());
        for bad in ["", "1/2/3", "1/zz/3/4/5", "1/2/3/4/5/6"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
