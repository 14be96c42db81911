//! `Drift`: here, or at another node, which is asked over the members' own connections; and what else members ask one another.

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use fed_core::ids::NodeId;
use fed_proto::client as pb;
use pb::member_question::What;
use prost::Message;
use tonic::Status;

use super::failure::not_answered;
use super::lookup::freshness;
use super::node::NodeView;
use super::{about, kept, perf, ready, replicas};
use crate::security::{answer_authority_key, answer_certificate};

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
    ask_member(node, id, What::Drift(pb::DriftRequest { node: id }), WITHIN).await
}

/// Asks another member a question for a client.
pub(super) async fn ask_member<T: Message + Default>(
    node: &NodeView,
    id: u64,
    what: What,
    within: Duration,
) -> Result<T, Status> {
    let question = pb::MemberQuestion { what: Some(what) };
    let question = question.encode_to_vec().into();
    let answer = node.cluster.ask(NodeId(id), question, within).await;
    let answer = answer.map_err(|error| not_answered(&error))?;
    T::decode(answer)
        .map_err(|error| Status::internal(format!("node {id} sent an answer that cannot be read: {error}")))
}

/// Answers what the programs of other members ask.
pub(super) fn answer_members(node: &Arc<NodeView>) {
    let weak = Arc::downgrade(node);
    node.cluster.answer_with(Arc::new(move |from, question| {
        let node = weak.clone();
        Box::pin(async move { answer(&node, from, question).await })
    }));
}

async fn answer(node: &Weak<NodeView>, from: NodeId, question: Bytes) -> Result<Bytes, String> {
    let node = node.upgrade().ok_or_else(|| "this node is stopping".to_owned())?;
    let question = pb::MemberQuestion::decode(question);
    let question = question.map_err(|error| format!("the question cannot be read: {error}"))?;
    match question.what {
        Some(What::Drift(_)) => Ok(here(&node).await?.encode_to_vec().into()),
        Some(What::About(_)) => Ok(about::here(&node).encode_to_vec().into()),
        Some(What::Events(asked)) => Ok(kept::happenings(&node, &asked).encode_to_vec().into()),
        Some(What::Logs(asked)) => Ok(kept::lines(&asked)?.encode_to_vec().into()),
        Some(What::Perf(_)) => Ok(perf::here(&node).await?.encode_to_vec().into()),
        Some(What::Replica(asked)) => Ok(replicas::here(&node, asked.at_least).await?.encode_to_vec().into()),
        Some(What::Ready(asked)) => Ok(ready::here(&node, asked).await.encode_to_vec().into()),
        Some(What::SealKey(_)) => {
            let key = node.vault.key().map(|key| key.to_hex()).unwrap_or_default();
            Ok(pb::SealKeyReply { key }.encode_to_vec().into())
        }
        Some(What::Certificate(asked)) => {
            let certificate = answer_certificate(&node.cluster, node.certificates.as_ref(), from, &asked.public_key)?;
            Ok(pb::CertificateReply { certificate }.encode_to_vec().into())
        }
        Some(What::AuthorityKey(_)) => {
            let key = answer_authority_key(&node.cluster, node.certificates.as_ref(), from)?;
            Ok(pb::AuthorityKeyReply { key }.encode_to_vec().into())
        }
        None => Err("this node does not know the question: bring the nodes to the same version".to_owned()),
    }
}
