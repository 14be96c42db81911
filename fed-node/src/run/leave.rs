//! Taking nodes out of the federation.

use std::sync::Arc;

use async_trait::async_trait;
use fed_core::audit::Actor;
use fed_core::command::{Command, Expect, Refusal, Reply};
use fed_core::ids::NodeId;
use fed_core::map::{FederationMap, MapView};
use fed_raft::{Cluster, MembersChange, MembersError};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tonic::Status;

use crate::api::{Leave, Removal, about, failure};
use crate::explain::{Code, attach};
use crate::security::{self, Vault};

/// Removes nodes over this node's member of the cluster.
pub(super) struct Leaver {
    pub(super) cluster: Cluster<FederationMap>,
    pub(super) vault: Arc<Vault>,
    /// True while this node is leaving, so that it does not write itself back into the map; false again when it was not let go.
    pub(super) leaving: watch::Sender<bool>,
    /// Cancelled last: this node has left and stops.
    pub(super) left: CancellationToken,
}

#[async_trait]
impl Leave for Leaver {
    async fn remove(&self, who: Actor, node: NodeId, how: Removal) -> Result<u64, Status> {
        let own = node == self.cluster.id();
        let members = self.cluster.members();
        if members.len() <= 1 && own {
            let text = "this is the last node: the federation ends when you stop it and delete its data folder";
            return Err(attach(Status::failed_precondition(text), Code::LastNode));
        }
        let snapshot = self.cluster.local();
        let view = MapView::new(&snapshot);
        if !own && !how.cut_off {
            self.must_be_gone(node, &view).await?;
        }
        // One that a recovery gave up is in the map only.
        let known = view.node(node).map_err(|error| failure::damaged(&error))?.is_some();
        if !known && !members.iter().any(|member| member.id == node) {
            let text = format!("there is no node {node} in the cluster; `fed-node node list` shows them");
            return Err(attach(Status::not_found(text), Code::NoMember));
        }
        if !own {
            return self.take_out(who, node, how).await;
        }
        self.leaving.send_replace(true);
        let outcome = self.take_out(who, node, how).await;
        match outcome {
            Ok(_) => self.left.cancel(),
            // Not let go: its record comes back, and with it what is registered at its Asterisk.
            Err(_) => drop(self.leaving.send_replace(false)),
        }
        outcome
    }
}

impl Leaver {
    /// Refuses to take out a node that runs. Without a quorum its session in the map is of the past: only an answer of its own
    /// shows that it does.
    async fn must_be_gone(&self, node: NodeId, view: &MapView<'_>) -> Result<(), Status> {
        if about::ask(&self.cluster, node, about::ANSWER_WITHIN).await.heard() {
            let text = format!(
                "node {node} is up, it answers: run `fed-node leave` there, or stop it first (one that somebody else controls: --cut-off)"
            );
            return Err(attach(Status::failed_precondition(text), Code::NodeStillUp));
        }
        let session = view.session_of(node).map_err(|error| failure::damaged(&error))?;
        if session.is_some() && self.cluster.status().quorum {
            let text = format!(
                "node {node} does not answer here, but its session is open: if it has just died, repeat this in a few seconds; if it runs and only this node cannot reach it, run `fed-node leave` there, or stop it first (one that somebody else controls: --cut-off)"
            );
            return Err(attach(Status::failed_precondition(text), Code::NodeStillUp));
        }
        Ok(())
    }

    /// The map first: a member that was removed can no longer write. Both steps may be repeated, so whatever comes between
    /// them is mended by doing it again.
    async fn take_out(&self, who: Actor, node: NodeId, how: Removal) -> Result<u64, Status> {
        let record = MapView::new(&self.cluster.local())
            .node(node)
            .map_err(|error| failure::damaged(&error))?;
        let named = |command| security::in_the_name_of(who.clone(), &self.cluster, &self.vault, command);
        let delete = named(Command::DeleteNode { id: node });
        let proposed = self.cluster.propose(delete.clone()).await;
        let proposed = proposed.map_err(|error| failure::not_proposed(&error))?;
        if let Reply::Refused(why) = &proposed.reply
            && !matches!(why, Refusal::NotFound { .. })
        {
            return Err(failure::refused(why));
        }
        match self.remove_member(node, how).await {
            // It can write no more: that it left is in the audit log by its record.
            Ok(()) if node == self.cluster.id() => Ok(proposed.revision.0),
            // One that ran until now may have put its record there again in between.
            Ok(()) => {
                let again = self.cluster.propose(delete).await;
                let again = again.map_err(|error| failure::not_proposed(&error))?;
                security::note(&self.cluster, who, format!("member {node} removed")).await;
                Ok(match again.reply {
                    Reply::Refused(_) => proposed.revision.0,
                    _ => again.revision.0,
                })
            }
            Err(error @ MembersError::Refused(_)) => {
                if let Some(record) = record.filter(|_| node != self.cluster.id()) {
                    let expect = Expect::Absent;
                    let node = record.value;
                    self.put_back(named(Command::PutNode { node, expect })).await;
                }
                Err(failure::not_changed(&error))
            }
            Err(error) => Err(attach(
                Status::deadline_exceeded(half_done(node, &error)),
                Code::HalfLeft,
            )),
        }
    }

    async fn remove_member(&self, node: NodeId, how: Removal) -> Result<(), MembersError> {
        match (how.if_members_at, how.lose_quorum) {
            (None, false) => self.cluster.remove(node).await,
            (None, true) => self.cluster.remove_losing_quorum(node).await,
            (Some(at), lose_quorum) => {
                let change = if lose_quorum {
                    MembersChange::RemoveLosingQuorum(node)
                } else {
                    MembersChange::Remove(node)
                };
                self.cluster.change_members_as_of(at, change).await.map(drop)
            }
        }
    }

    /// A removal that was refused leaves the map as it was. Failing to is no more than a node that is seen as a member only.
    async fn put_back(&self, put: Command) {
        if let Err(error) = self.cluster.propose(put).await {
            tracing::warn!(%error, "the record of a node that was not removed could not be put back");
        }
    }
}

/// The map was changed, the members perhaps not: what that is and how to go on.
fn half_done(node: NodeId, error: &MembersError) -> String {
    format!(
        "node {node} is out of the map, but may still be a member: {error}. Repeat `fed-node leave {node}` once a majority is up; if it runs, it comes back by itself"
    )
}
