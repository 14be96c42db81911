//! How this node sees itself and the others. Reads nothing but what is here, so that it answers without a quorum too.

use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_proto::client as pb;
use fed_raft::Role;

use super::service::{NodeView, freshness};

pub(super) fn status(node: &NodeView) -> Result<pb::StatusReply, StoreError> {
    let status = node.cluster.status();
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
            role = match member.role {
                Role::Leader => "leader",
                Role::Voter => "follower",
                Role::Learner => "learner",
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
            lag: member.lag.and_then(|lag| i64::try_from(lag).ok()).unwrap_or(-1),
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
        leader: status.leader.map_or(0, |leader| leader.0),
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
