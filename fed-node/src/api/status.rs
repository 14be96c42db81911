//! How this node sees itself and the others: what is here, so that it answers without a quorum too, and how far the others
//! are behind, which only the leader knows.

use std::collections::BTreeMap;
use std::time::Duration;

use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_proto::client as pb;
use fed_raft::Role;

use super::service::{NodeView, freshness};

/// Longest wait for the leader to say how far the members are behind.
const LAGS_WITHIN: Duration = Duration::from_millis(500);

pub(super) async fn status(node: &NodeView) -> Result<pb::StatusReply, StoreError> {
    let status = node.cluster.status();
    let lags = if status.quorum {
        node.cluster.lags(LAGS_WITHIN).await
    } else {
        BTreeMap::new()
    };
    let snapshot = node.cluster.local();
    let view = MapView::new(&snapshot);
    let mut members = Vec::with_capacity(status.members.len());
    let mut role = "learner";
    for member in &status.members {
        let record = view.node(member.id)?;
        let member_role = match member.role {
            Role::Leader | Role::Voter => "voter",
            Role::Learner => "learner",
        };
        if member.id == status.node {
            // Who led last may lead no more, or somebody else does: without a quorum nobody here can tell.
            role = match member.role {
                Role::Leader if status.quorum => "leader",
                _ => member_role,
            };
        }
        members.push(pb::Member {
            id: member.id.0,
            name: record
                .as_ref()
                .map(|record| record.value.name.clone())
                .unwrap_or_default(),
            role: member_role.to_owned(),
            address: member.address.clone(),
            lag: lags
                .get(&member.id)
                .and_then(|lag| i64::try_from(*lag).ok())
                .unwrap_or(-1),
            up: view.session_of(member.id)?.is_some(),
            asterisk_version: record
                .and_then(|record| record.value.asterisk_version)
                .unwrap_or_default(),
        });
    }
    let counts = view.counts()?;
    Ok(pb::StatusReply {
        node: status.node.0,
        node_name: node.name.clone(),
        cluster: status.cluster.to_string(),
        role: role.to_owned(),
        leader: status.leader.filter(|_| status.quorum).map_or(0, |leader| leader.0),
        term: status.term,
        last_log: status.last_index,
        applied: status.applied_index,
        revision: status.revision.0,
        quorum: status.quorum,
        state_hash: format!("{:032x}", status.state_hash),
        members,
        asterisk: Some(node.asterisk.status()),
        counts: Some(pb::Counts {
            users: counts.users,
            devices: counts.devices,
            bindings: counts.bindings,
            nodes: counts.nodes,
        }),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: node.started.elapsed().as_secs(),
        freshness: Some(freshness(&snapshot)),
    })
}
