//! `Drift`: here, or at another node, which is asked over the members' own connections.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use fed_core::ids::NodeId;
use fed_proto::client as pb;
use fed_raft::AskError;
use pb::member_question::What;
use prost::Message;
use tonic::Status;

use super::service::{NodeView, freshness};

/// Longest wait for another node's comparison: its Asterisk is asked for every object.
const WITHIN: Duration = Duration::from_secs(60);

/// Compares this node's part of the map with its Asterisk.
pub(super) async fn here(node: &NodeView) -> Result<pb::DriftReply, String> {
    let drift = node.asterisk.drift().await?;
    Ok(pb::DriftReply {
        node: node.cluster.id().0,
        node_name: node.name.clone(),
        compared: drift.compared,
        differences: drift.differences,
        freshness: Some(freshness(&node.cluster.local())),
    })
}

/// Has a node compare; 0 is this one.
pub(super) async fn at(node: &NodeView, id: u64) -> Result<pb::DriftReply, Status> {
    if id == 0 || id == node.cluster.id().0 {
        return here(node).await.map_err(Status::failed_precondition);
    }
    let question = pb::MemberQuestion {
        what: Some(What::Drift(pb::DriftRequest { node: id })),
    };
    let answer = node
        .cluster
        .ask(NodeId(id), question.encode_to_vec().into(), WITHIN)
        .await;
    let answer = answer.map_err(|error| match error {
        AskError::NotAMember(_) => Status::not_found(error.to_string()),
        AskError::Unreachable(_) => Status::unavailable(error.to_string()),
        AskError::Removed(_) => Status::permission_denied(error.to_string()),
        AskError::NotUnderstood | AskError::Failed(_) => Status::failed_precondition(error.to_string()),
    })?;
    pb::DriftReply::decode(answer)
        .map_err(|error| Status::internal(format!("node {id} sent an answer that cannot be read: {error}")))
}

/// Answers what the programs of other members ask.
pub(super) fn answer_members(node: &Arc<NodeView>) {
    let weak = Arc::downgrade(node);
    node.cluster.answer_with(Arc::new(move |_, question| {
        let node = weak.clone();
        Box::pin(async move { answer(&node, question).await })
    }));
}

async fn answer(node: &Weak<NodeView>, question: Bytes) -> Result<Bytes, String> {
    let node = node.upgrade().ok_or_else(|| "this node is stopping".to_owned())?;
    let question = pb::MemberQuestion::decode(question);
    let question = question.map_err(|error| format!("the question cannot be read: {error}"))?;
    match question.what {
        Some(What::Drift(_)) => Ok(here(&node).await?.encode_to_vec().into()),
        None => Err("this node does not know the question: bring the nodes to the same version".to_owned()),
    }
}
