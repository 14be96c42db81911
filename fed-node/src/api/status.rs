//! How this node sees itself and the others: what is here, so that it answers without a quorum too, and how far the others
//! are behind, which only the leader knows.

use std::collections::BTreeMap;
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_proto::client as pb;
use fed_raft::Role;

use super::about::{self, Answer};
use super::lookup::freshness;
use super::node::NodeView;
use crate::diary::{Seen, Sight, Standing, State};

/// Longest wait for the leader to say how far the members are behind.
const LAGS_WITHIN: Duration = Duration::from_millis(400);

pub(super) async fn status(node: &NodeView) -> Result<pb::StatusReply, StoreError> {
    let status = node.cluster.status();
    let (lags, answers) = tokio::join!(
        async {
            if status.quorum {
                node.cluster.lags(LAGS_WITHIN).await
            } else {
                BTreeMap::new()
            }
        },
        about::ask_others(&node.cluster, about::ANSWER_WITHIN)
    );
    let diary = node.diary.now();
    let own_asterisk = about::asterisk(node);
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
        let (heard, asterisk) = if member.id == status.node {
            (true, Some(own_asterisk.clone()))
        } else {
            heard(&answers, member.id)
        };
        let seen = Seen {
            name: record
                .as_ref()
                .map(|record| record.value.name.clone())
                .unwrap_or_default(),
            voter: member_role == "voter",
            session: view.session_of(member.id)?.is_some(),
            heard,
            asterisk: asterisk.as_ref().map(about::asterisk_seen),
        };
        let state = seen.state(status.quorum);
        members.push(pb::Member {
            id: member.id.0,
            up: if status.quorum { seen.session } else { heard },
            name: seen.name,
            role: member_role.to_owned(),
            address: member.address.clone(),
            lag: lags
                .get(&member.id)
                .and_then(|lag| i64::try_from(*lag).ok())
                .unwrap_or(-1),
            heard,
            state: state.name().to_owned(),
            since: Some(since(diary.as_ref(), member.id, state)),
            asterisk,
            asterisk_version: record
                .and_then(|record| record.value.asterisk_version)
                .unwrap_or_default(),
        });
    }
    let counts = view.counts()?;
    let leader = status.leader.filter(|_| status.quorum);
    // Who leads knows best since when.
    let leader_itself = answers
        .iter()
        .find(|answer| Some(answer.id) == leader)
        .and_then(|answer| answer.about.as_ref().ok())
        .filter(|about| about.leader == about.node)
        .and_then(|about| about.leader_since);
    let standing = diary.as_ref().map(|(_, standing)| standing);
    Ok(pb::StatusReply {
        node: status.node.0,
        node_name: node.name.clone(),
        cluster: status.cluster.to_string(),
        role: role.to_owned(),
        leader: leader.map_or(0, |leader| leader.0),
        term: status.term,
        last_log: status.last_index,
        applied: status.applied_index,
        revision: status.revision.0,
        quorum: status.quorum,
        state_hash: format!("{:032x}", status.state_hash),
        members,
        asterisk: Some(own_asterisk),
        counts: Some(pb::Counts {
            users: counts.users,
            devices: counts.devices,
            bindings: counts.bindings,
            nodes: counts.nodes,
        }),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: node.started.elapsed().as_secs(),
        freshness: Some(freshness(&snapshot)),
        leader_since: leader.and(leader_itself.or_else(|| standing.map(|standing| about::since(standing.leader)))),
        quorum_since: standing.map(|standing| about::since(standing.quorum)),
        voter_groups: status
            .voters
            .iter()
            .map(|group| pb::VoterGroup {
                ids: group.iter().map(|id| id.0).collect(),
            })
            .collect(),
    })
}

/// Whether a member answered, and what it said of its Asterisk.
fn heard(answers: &[Answer], id: NodeId) -> (bool, Option<pb::AsteriskStatus>) {
    let Some(answer) = answers.iter().find(|answer| answer.id == id) else {
        return (false, None);
    };
    let asterisk = answer.about.as_ref().ok().and_then(|about| about.asterisk.clone());
    (answer.heard(), asterisk)
}

/// Since when a member has been in a state, as the diary has it; what it has not noticed yet began just now.
fn since(diary: Option<&(Sight, Standing)>, id: NodeId, state: State) -> pb::Since {
    let noticed = diary.and_then(|(sight, standing)| {
        let seen = sight.members.get(&id)?;
        (seen.state(sight.quorum) == state).then(|| standing.members.get(&id).copied())?
    });
    noticed.map(about::since).unwrap_or_default()
}
