//! The hash of every member's state, so that they can be compared at one revision.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fed_core::ids::Revision;
use fed_core::machine::recomputed_state_hash;
use fed_core::map::MapView;
use fed_proto::client as pb;
use fed_raft::Consistency;
use futures::future::join_all;
use pb::member_question::What;
use tonic::Status;

use super::drift::ask_member;
use super::failure::damaged;
use super::node::NodeView;

/// For how long a node notes the revisions that it goes through.
const LOOK_FOR: Duration = Duration::from_millis(300);
const LOOK_EVERY: Duration = Duration::from_micros(500);
/// Most revisions that are noted.
const MOST: usize = 2_000;
/// Longest wait for a node that is behind.
const CATCH_UP: Duration = Duration::from_secs(5);
/// Longest wait for another node: it reads its whole state.
const WITHIN: Duration = Duration::from_secs(120);

/// Every member's hashes.
pub(super) async fn all(node: &NodeView) -> Result<pb::ReplicasReply, Status> {
    let at_least = node.cluster.local().revision().0;
    let own = node.cluster.id();
    let members = node.cluster.members();
    let asked = members.iter().map(|member| async move {
        let answer = if member.id == own {
            here(node, at_least).await.map_err(Status::failed_precondition)
        } else {
            let question = What::Replica(pb::ReplicaRequest { at_least });
            ask_member(node, member.id.0, question, WITHIN).await
        };
        answer.unwrap_or_else(|status| pb::Replica {
            node: member.id.0,
            why: status.message().to_owned(),
            ..pb::Replica::default()
        })
    });
    let mut replicas = join_all(asked).await;
    let snapshot = node.cluster.local();
    let view = MapView::new(&snapshot);
    for replica in replicas.iter_mut().filter(|replica| replica.node_name.is_empty()) {
        let record = view.node(fed_core::ids::NodeId(replica.node));
        let record = record.map_err(|error| damaged(&error))?;
        replica.node_name = record.map_or_else(|| format!("node {}", replica.node), |record| record.value.name);
    }
    Ok(pb::ReplicasReply { replicas })
}

/// This node's hashes, once it has reached a revision.
pub(super) async fn here(node: &NodeView, at_least: u64) -> Result<pb::Replica, String> {
    let reached = node.cluster.read(Consistency::AtLeast(Revision(at_least)), CATCH_UP);
    let snapshot = reached.await.map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let mut kept = BTreeMap::new();
    while begun.elapsed() < LOOK_FOR && kept.len() < MOST {
        let now = node.cluster.local();
        if let std::collections::btree_map::Entry::Vacant(place) = kept.entry((now.revision().0, now.index())) {
            place.insert(now.state_hash().map_err(|error| error.to_string())?);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let state = (snapshot.revision().0, snapshot.index());
    let kept_with_rows = snapshot.state_hash().map_err(|error| error.to_string())?;
    let rows = tokio::task::spawn_blocking(move || recomputed_state_hash(&snapshot)).await;
    let rows = rows
        .map_err(|error| error.to_string())?
        .map_err(|error| error.to_string())?;
    let hash_at = |(revision, index), hash: u128| pb::HashAt {
        revision,
        index,
        hash: format!("{hash:032x}"),
    };
    Ok(pb::Replica {
        node: node.cluster.id().0,
        node_name: node.name.clone(),
        why: String::new(),
        kept: kept.into_iter().map(|(state, hash)| hash_at(state, hash)).collect(),
        rows: Some(hash_at(state, rows)),
        kept_with_rows: format!("{kept_with_rows:032x}"),
    })
}
