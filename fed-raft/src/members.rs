//! Who belongs to the cluster, and how that changes: one change at a time, by the leader.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_core::machine::Machine;
use fed_proto::peer as proto;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::errors::{ChangeMembershipError, ClientWriteError, RaftError};
use openraft::{ChangeMembers, Instant as _};
use proto::change_members_reply::Result as Reply;
use proto::change_members_request::Change as Sent;
use tokio::time::Instant;

use crate::error::MembersError;
use crate::node::{Leader, Node};
use crate::raft::{Peer, TypeConfig, wire};
use crate::status::{Member, Role};
use crate::transport::{Lane, never_sent};

/// How long a change may take before its outcome is unknown.
const PATIENCE: Duration = Duration::from_secs(10);
const ATTEMPT: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(100);

/// A change of the members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Change {
    /// A node that has its id asks to be let in, or says its new address.
    Enter(u64, Peer),
    Promote(u64),
    Remove(u64),
    /// Also when the rest has no majority up.
    RemoveLosingQuorum(u64),
    TransferTo(u64),
}

impl Change {
    fn from_wire(change: Option<Sent>) -> Option<Self> {
        Some(match change? {
            Sent::Enter(member) => {
                let (id, peer) = wire::from_member(member);
                Self::Enter(id, peer)
            }
            Sent::Promote(id) => Self::Promote(id),
            Sent::Remove(id) => Self::Remove(id),
            Sent::RemoveLosingQuorum(id) => Self::RemoveLosingQuorum(id),
            Sent::TransferTo(id) => Self::TransferTo(id),
        })
    }

    fn to_wire(&self) -> Sent {
        match self {
            Self::Enter(id, peer) => Sent::Enter(wire::to_member(*id, peer)),
            Self::Promote(id) => Sent::Promote(*id),
            Self::Remove(id) => Sent::Remove(*id),
            Self::RemoveLosingQuorum(id) => Sent::RemoveLosingQuorum(*id),
            Self::TransferTo(id) => Sent::TransferTo(*id),
        }
    }
}

/// A change as it is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    pub(crate) change: Change,
    /// Only when the members are still those that this log entry named.
    pub(crate) if_members_at: Option<u64>,
}

impl From<Change> for Order {
    /// Whoever the members are.
    fn from(change: Change) -> Self {
        Self {
            change,
            if_members_at: None,
        }
    }
}

impl Order {
    pub(crate) fn from_wire(request: proto::ChangeMembersRequest) -> Option<Self> {
        Some(Self {
            change: Change::from_wire(request.change)?,
            if_members_at: request.if_members_at,
        })
    }

    fn to_wire(&self) -> proto::ChangeMembersRequest {
        proto::ChangeMembersRequest {
            change: Some(self.change.to_wire()),
            if_members_at: self.if_members_at,
        }
    }
}

/// What the leader made of a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Changed {
    /// With the log entry that names the members now.
    Done(u64),
    NotLeader,
    Refused(String),
    Unknown(String),
}

impl<M: Machine> Node<M> {
    pub(crate) fn members(&self) -> Vec<Member> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let membership = metrics.membership_config.membership();
        let voters: BTreeSet<u64> = membership.voter_ids().collect();
        let me = self.identity.node.0;
        let last = metrics.last_log_index.unwrap_or(0);
        membership
            .nodes()
            .map(|(&id, peer)| {
                let role = if metrics.current_leader == Some(id) {
                    Role::Leader
                } else if voters.contains(&id) {
                    Role::Voter
                } else {
                    Role::Learner
                };
                let matched = metrics.replication.as_ref().and_then(|all| all.get(&id));
                let heard = metrics.heartbeat.as_ref().and_then(|all| all.get(&id));
                let leads = metrics.state.is_leader();
                Member {
                    id: NodeId(id),
                    address: peer.address.clone(),
                    incarnation: peer.incarnation,
                    role,
                    lag: matched.map(|at| last.saturating_sub(at.map_or(0, |id| id.index))),
                    silent: if leads && id == me {
                        Some(Duration::ZERO)
                    } else {
                        heard.and_then(|at| at.as_ref().map(|at| at.elapsed()))
                    },
                }
            })
            .collect()
    }

    /// Makes the change through the leader, wherever that is; the log entry that names the members then.
    pub(crate) async fn change_members(&self, order: impl Into<Order>) -> Result<u64, MembersError> {
        let order = order.into();
        let until = Instant::now() + PATIENCE;
        let mut perhaps = None;
        while Instant::now() < until {
            if self.life.is_closing() {
                return Err(MembersError::Stopped(self.life.reason()));
            }
            let changed = match self.leader() {
                Leader::Here => self.change_here(&order).await,
                Leader::There { id, address } => self.change_there(id, &address, &order).await,
                Leader::Unknown => Changed::NotLeader,
            };
            match changed {
                Changed::Done(members_at) => return Ok(members_at),
                // What changed the members may have been an earlier attempt of this one.
                Changed::Refused(why) if order.if_members_at.is_some() && perhaps.is_some() => {
                    return Err(MembersError::OutcomeUnknown(why));
                }
                Changed::Refused(why) => return Err(MembersError::Refused(why)),
                Changed::NotLeader => self.leader_changed(PAUSE).await,
                Changed::Unknown(why) => {
                    perhaps = Some(why);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
        Err(perhaps.map_or(MembersError::NoLeader, MembersError::OutcomeUnknown))
    }

    async fn change_there(&self, leader: u64, address: &str, order: &Order) -> Changed {
        match self.channels.client(leader, address, Lane::Client) {
            Ok(client) => {
                let request = self.channels.request(leader, order.to_wire());
                ask(client, request).await
            }
            Err(status) => Changed::Unknown(status.message().to_owned()),
        }
    }

    /// Asks a node at an address to be let in, whatever its id: one that joins knows only addresses.
    pub(crate) async fn enter_over(&self, node: u64, address: &str, peer: Peer) -> Changed {
        let enter = Change::Enter(self.identity.node.0, peer);
        self.change_there(node, address, &enter.into()).await
    }

    /// The leader's part.
    pub(crate) async fn change_here(&self, order: &Order) -> Changed {
        let only_if = order.if_members_at;
        let made = match &order.change {
            Change::Enter(id, peer) => self.enter_here(*id, peer.clone()).await,
            Change::Promote(id) => self.promote_here(*id, only_if).await,
            Change::Remove(id) => self.remove_here(*id, false, only_if).await,
            Change::RemoveLosingQuorum(id) => self.remove_here(*id, true, only_if).await,
            Change::TransferTo(id) => self.transfer_here(*id, only_if).await,
        };
        made.unwrap_or_else(|refused| refused)
    }

    async fn enter_here(&self, id: u64, peer: Peer) -> Result<Changed, Changed> {
        if self.state.is_retired(id) {
            return refused(format!(
                "node {id} was removed from the cluster: empty its folder and join again, it gets a new id"
            ));
        }
        let members = self.members();
        if let Some(other) = members.iter().find(|m| m.address == peer.address && m.id.0 != id) {
            return refused(format!(
                "the address {} belongs to node {}: remove that node first, or use another address",
                peer.address, other.id
            ));
        }
        match members.iter().find(|m| m.id.0 == id) {
            Some(known) if known.incarnation != peer.incarnation => refused(format!(
                "node {id} has another data folder than the one that was let in: remove node {id}, empty the folder and join again"
            )),
            Some(known) if known.address == peer.address => Ok(self.done()),
            Some(_) => {
                let nodes = BTreeMap::from([(id, peer)]);
                self.change_raft(ChangeMembers::SetNodes(nodes), None).await
            }
            None => {
                let needed = self.state.feature_level();
                if let Some(known) = self.newest_level_of(id, &peer.address).await
                    && known < needed
                {
                    return refused(format!(
                        "node {id} runs a program that knows feature level {known}, this cluster uses {needed}: install the version that the others run"
                    ));
                }
                let nodes = BTreeMap::from([(id, peer)]);
                self.change_raft(ChangeMembers::AddNodes(nodes), None).await
            }
        }
    }

    async fn promote_here(&self, id: u64, only_if: Option<u64>) -> Result<Changed, Changed> {
        match self.member(id)?.role {
            Role::Leader | Role::Voter => Ok(self.done()),
            Role::Learner => {
                let change = ChangeMembers::AddVoterIds(BTreeSet::from([id]));
                self.change_raft(change, only_if).await
            }
        }
    }

    async fn remove_here(&self, id: u64, losing_quorum: bool, only_if: Option<u64>) -> Result<Changed, Changed> {
        if self.state.is_retired(id) {
            return Ok(self.done());
        }
        let member = self.member(id)?;
        if member.role == Role::Learner {
            let change = ChangeMembers::RemoveNodes(BTreeSet::from([id]));
            return self.change_raft(change, only_if).await;
        }
        let rest: Vec<Member> = self
            .members()
            .into_iter()
            .filter(|m| m.id.0 != id && m.role != Role::Learner)
            .collect();
        let alive: Vec<&Member> = rest.iter().filter(|m| self.is_alive(m)).collect();
        let next = alive.iter().min_by_key(|m| m.lag.unwrap_or(u64::MAX));
        let Some(next) = next.filter(|_| losing_quorum || alive.len() > rest.len() / 2) else {
            return refused(no_majority_without(id, alive.len(), rest.len()));
        };
        if id == self.identity.node.0 {
            self.transfer_here(next.id.0, only_if).await?;
            // The new leader removes this node.
            return Ok(Changed::NotLeader);
        }
        let change = ChangeMembers::RemoveVoters(BTreeSet::from([id]));
        self.change_raft(change, only_if).await
    }

    /// Lets a learner vote in place of a voter that is dead, in one change: there is no moment with fewer voters. The
    /// dead one stays as a learner.
    pub(crate) async fn replace_here(&self, dead: u64, by: u64) -> Changed {
        let members = self.members();
        let voters = members.iter().filter(|m| m.role != Role::Learner && m.id.0 != dead);
        let voters = voters.map(|m| m.id.0).chain([by]).collect();
        let change = ChangeMembers::ReplaceAllVoters(voters);
        match self.change_raft_keeping(change, true, None).await {
            Ok(changed) | Err(changed) => changed,
        }
    }

    async fn transfer_here(&self, id: u64, only_if: Option<u64>) -> Result<Changed, Changed> {
        if id == self.identity.node.0 {
            return Ok(self.done());
        }
        let _one_at_a_time = self.changing.lock().await;
        self.check_members(only_if)?;
        let member = self.member(id)?;
        if member.role == Role::Learner {
            return refused(format!("node {id} is a learner: promote it first"));
        }
        if !self.is_alive(&member) {
            return refused(format!("node {id} does not answer"));
        }
        let stopped = |e: &dyn std::fmt::Display| Changed::Unknown(e.to_string());
        self.raft.trigger().transfer_leader(id).await.map_err(|e| stopped(&e))?;
        let until = Instant::now() + self.config.election_max + self.config.election_min;
        while Instant::now() < until {
            let leader = self.raft.metrics().borrow_watched().current_leader;
            if leader == Some(id) {
                return Ok(self.done());
            }
            self.leader_changed(PAUSE).await;
        }
        Ok(Changed::Unknown(format!("node {id} did not take over in time")))
    }

    /// Nothing is left to do.
    fn done(&self) -> Changed {
        Changed::Done(self.members_at())
    }

    /// The log entry that names the members.
    fn members_at(&self) -> u64 {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        metrics.membership_config.log_id().map_or(0, |id| id.index)
    }

    fn check_members(&self, only_if: Option<u64>) -> Result<(), Changed> {
        let now = self.members_at();
        match only_if {
            Some(then) if then != now => refused(format!(
                "the members have changed since: they are those of log entry {now}, no longer of {then}; nothing was changed"
            )),
            _ => Ok(()),
        }
    }

    fn member(&self, id: u64) -> Result<Member, Changed> {
        let found = self.members().into_iter().find(|m| m.id.0 == id);
        found.ok_or_else(|| Changed::Refused(format!("node {id} is no member of the cluster")))
    }

    /// Whether the member answered the leader lately.
    pub(crate) fn is_alive(&self, member: &Member) -> bool {
        member.silent.is_some_and(|silent| silent < self.config.election_max)
    }

    /// Makes the second step of a change of voters.
    pub(crate) async fn finish_change_here(&self) -> Changed {
        let nothing_more = ChangeMembers::AddVoterIds(BTreeSet::new());
        match self.change_raft_keeping(nothing_more, true, None).await {
            Ok(changed) | Err(changed) => changed,
        }
    }

    async fn change_raft(&self, change: ChangeMembers<u64, Peer>, only_if: Option<u64>) -> Result<Changed, Changed> {
        self.change_raft_keeping(change, false, only_if).await
    }

    /// With `keep`, voters that no longer vote stay as learners. Every change of the members at this leader goes through here, one
    /// after the other, so what is compared cannot change before it is acted upon; another leader's change ends this one's term.
    async fn change_raft_keeping(
        &self,
        change: ChangeMembers<u64, Peer>,
        keep: bool,
        only_if: Option<u64>,
    ) -> Result<Changed, Changed> {
        let _one_at_a_time = self.changing.lock().await;
        self.check_members(only_if)?;
        let changing = self.raft.change_membership(change, keep);
        let result = match tokio::time::timeout(ATTEMPT, changing).await {
            Ok(result) => result,
            Err(_) => return Ok(Changed::Unknown("no majority confirmed it".to_owned())),
        };
        Ok(match result {
            Ok(made) => Changed::Done(made.log_id.index),
            Err(RaftError::APIError(error)) => not_changed(&error),
            Err(RaftError::Fatal(error)) => Changed::Unknown(error.to_string()),
        })
    }
}

fn no_majority_without(id: u64, alive: usize, voters: usize) -> String {
    if voters == 0 {
        return format!(
            "node {id} is the only voter: join another node and wait until it votes, or stop this one for good"
        );
    }
    format!(
        "without node {id} only {alive} of {voters} voters would be up, no majority: bring others up or promote a learner first"
    )
}

fn not_changed(error: &ClientWriteError<TypeConfig>) -> Changed {
    match error {
        ClientWriteError::ForwardToLeader(_) => Changed::NotLeader,
        // Another change is under way, or this leader is too new: both pass.
        ClientWriteError::ChangeMembershipError(
            ChangeMembershipError::InProgress(_) | ChangeMembershipError::UncommittedLeaderLog(_),
        ) => Changed::Unknown(error.to_string()),
        ClientWriteError::ChangeMembershipError(error) => Changed::Refused(error.to_string()),
        other => Changed::Unknown(other.to_string()),
    }
}

fn refused<T>(why: String) -> Result<T, Changed> {
    Err(Changed::Refused(why))
}

async fn ask(mut client: crate::transport::Client, request: tonic::Request<proto::ChangeMembersRequest>) -> Changed {
    match tokio::time::timeout(ATTEMPT + PAUSE, client.change_members(request)).await {
        Ok(Ok(reply)) => match reply.into_inner().result {
            Some(Reply::Done(done)) => Changed::Done(done.members_at),
            Some(Reply::NotLeader(_)) => Changed::NotLeader,
            Some(Reply::Refused(why)) => Changed::Refused(why),
            Some(Reply::Unknown(why)) => Changed::Unknown(why),
            None => Changed::Unknown("the leader's answer is empty".to_owned()),
        },
        Ok(Err(status)) if never_sent(&status) => Changed::NotLeader,
        Ok(Err(status)) => Changed::Unknown(status.message().to_owned()),
        Err(_) => Changed::Unknown("the leader did not answer in time".to_owned()),
    }
}
