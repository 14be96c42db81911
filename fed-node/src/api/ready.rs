//! Waiting until a change has reached the Asterisks.

use std::time::Duration;

use fed_core::ids::{NodeId, Revision};
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_proto::client as pb;
use futures::future::join_all;
use pb::member_question::What;
use tokio::time::timeout;
use tonic::Status;

use super::drift::ask_member;
use super::failure::damaged;
use super::node::NodeView;

/// Longest that anybody may have a node wait.
const LONGEST: Duration = Duration::from_secs(60);
/// How much longer than it waits itself a member may take to answer.
const ON_THE_WAY: Duration = Duration::from_millis(500);

/// Waits for every member's Asterisk at the same time. Whoever has no open session, which takes a fed-node and an Asterisk that both
/// work, is not waited for: it will be written to when it is back.
pub(super) async fn everywhere(node: &NodeView, asked: pb::ReadyRequest) -> Result<pb::ReadyReply, Status> {
    let patience = patience(&asked);
    let own = node.cluster.id();
    let members: Vec<Member> = members(node).map_err(|error| damaged(&error))?;
    let answers = members.into_iter().map(|member| async move {
        let why = if member.id == own {
            return here(node, asked).await;
        } else if member.serves {
            match ask_member(node, member.id.0, What::Ready(asked), patience + ON_THE_WAY).await {
                Ok(readiness) => return readiness,
                Err(status) => status.message().to_owned(),
            }
        } else {
            "it is down, or its Asterisk is; it gets the change when it is back".to_owned()
        };
        pb::Readiness {
            node: member.id.0,
            node_name: member.name,
            ready: false,
            why,
        }
    });
    Ok(pb::ReadyReply {
        nodes: join_all(answers).await,
    })
}

/// Waits for this node's Asterisk; a node that has none lacks nothing.
pub(super) async fn here(node: &NodeView, asked: pb::ReadyRequest) -> pb::Readiness {
    let waited = timeout(patience(&asked), node.asterisk.ready(Revision(asked.revision))).await;
    let why = match waited {
        Ok(Ok(())) => String::new(),
        Ok(Err(why)) => format!("{why}; it gets the change when it is back"),
        Err(_) => "its Asterisk is still being written to".to_owned(),
    };
    pb::Readiness {
        node: node.cluster.id().0,
        node_name: node.name.clone(),
        ready: why.is_empty(),
        why,
    }
}

fn patience(asked: &pb::ReadyRequest) -> Duration {
    Duration::from_millis(asked.patience_ms.into()).min(LONGEST)
}

struct Member {
    id: NodeId,
    name: String,
    /// It has an open session.
    serves: bool,
}

fn members(node: &NodeView) -> Result<Vec<Member>, StoreError> {
    let snapshot = node.cluster.local();
    let view = MapView::new(&snapshot);
    let members = node.cluster.members().into_iter().map(|member| {
        let name = view.node(member.id)?.map(|record| record.value.name);
        Ok(Member {
            id: member.id,
            name: name.unwrap_or_else(|| format!("node {}", member.id)),
            serves: view.session_of(member.id)?.is_some(),
        })
    });
    members.collect()
}
