//! Questions that the program around one member asks of the program around another, over the members' own connections: these
//! are there and know who speaks, where an address for clients may be nobody's but the other host's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fed_core::ids::NodeId;
use fed_core::machine::Machine;
use fed_proto::peer as proto;
use futures::future::BoxFuture;
use tonic::{Code, Status};

use crate::node::Node;
use crate::transport::{LOST, Lane, REMOVED};

/// Answers the questions of other members' programs, told who asks. What it fails with is told to the one who asked.
pub type Answerer = Arc<dyn Fn(NodeId, Bytes) -> BoxFuture<'static, Result<Bytes, String>> + Send + Sync>;

/// Why a question has no answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// It is no member.
    #[error("node {0} is not a member of the cluster")]
    NotAMember(NodeId),
    /// It could not be asked.
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    /// It says that this node was removed from the cluster, for good.
    #[error("{0}: empty its data folder and join again, it gets a new id")]
    Removed(String),
    /// It says that this node has lost entries which it had confirmed: its folder is an older copy, or there are two of it.
    #[error(
        "{0}; stop the other process if there is one, take this node out at another one (fed-node leave), empty its data folder and join again"
    )]
    Lost(String),
    /// It does not take questions.
    #[error("its program does not answer this question: bring the nodes to the same version")]
    NotUnderstood,
    /// It was asked, and could not answer.
    #[error("{0}")]
    Failed(String),
}

impl<M: Machine> Node<M> {
    pub(crate) async fn ask(&self, node: NodeId, question: Bytes, within: Duration) -> Result<Bytes, AskError> {
        let members = self.members();
        let member = members.iter().find(|member| member.id == node);
        let member = member.ok_or(AskError::NotAMember(node))?;
        let unreachable = |status: Status| AskError::Unreachable(status.message().to_owned());
        let client = self.channels.client(node.0, &member.address, Lane::Client);
        let mut client = client.map_err(unreachable)?;
        let request = self.channels.request(node.0, proto::AskRequest { question });
        let answer = tokio::time::timeout(within, client.ask(request)).await;
        let answer = answer.map_err(|_| AskError::Unreachable(format!("no answer in {} s", within.as_secs())))?;
        answer
            .map(|reply| reply.into_inner().answer)
            .map_err(|status| match status.code() {
                Code::Unimplemented => AskError::NotUnderstood,
                Code::PermissionDenied if status.message().ends_with(REMOVED) => {
                    AskError::Removed(status.message().to_owned())
                }
                Code::PermissionDenied if status.message().ends_with(LOST) => {
                    AskError::Lost(status.message().to_owned())
                }
                Code::FailedPrecondition => AskError::Failed(status.message().to_owned()),
                _ => unreachable(status),
            })
    }

    /// This node's answer to another one's question.
    pub(crate) async fn answer(&self, from: NodeId, question: &Bytes) -> Result<Bytes, Status> {
        let answerer = self.answerer.get();
        let answerer = answerer.ok_or_else(|| Status::unimplemented("nobody answers questions here"))?;
        answerer(from, question.clone())
            .await
            .map_err(Status::failed_precondition)
    }
}
