//! The handle that an embedding program holds.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::{NodeId, Revision, SessionId};
use fed_core::machine::{Machine, Request};

use crate::ask::{Answerer, AskError};
use crate::backup::Backup;
use crate::batch::Proposed;
use crate::config::Config;
use crate::doorkeeper::Doorkeeper;
use crate::error::{BackupError, KeepAliveError, MembersError, ProposeError, ReadError, StartError};
use crate::identity::Identity;
use crate::join::Application;
use crate::members::{Change, Order};
use crate::node::Node;
use crate::read::Consistency;
use crate::state::Snapshot;
use crate::status::{Member, MembersChange, Status};
use crate::watch::Watch;
use crate::{join, start};

/// One node of a cluster, running. Clones are the same node.
///
/// Dropping the last handle does not stop the node gracefully: call [`Cluster::shutdown`].
pub struct Cluster<M: Machine> {
    node: Arc<Node<M>>,
}

impl<M: Machine> Clone for Cluster<M> {
    fn clone(&self) -> Self {
        Self {
            node: self.node.clone(),
        }
    }
}

impl<M: Machine> std::fmt::Debug for Cluster<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("identity", &self.node.identity)
            .field("address", &self.node.bound)
            .finish_non_exhaustive()
    }
}

impl<M: Machine> Cluster<M> {
    /// Makes the folder of a new cluster with one node in it. [`Cluster::start`] brings it up.
    ///
    /// # Errors
    /// [`StartError::Occupied`] when the folder holds a node already; others as they say.
    pub fn init(config: &Config) -> Result<Identity, StartError> {
        join::found(config)
    }

    /// Gets an id from the cluster that a node at `seed` (`host:port`) belongs to, and makes the folder for it.
    /// [`Cluster::start`] brings it up; the node then asks to be let in by itself, catches up as a learner, and is
    /// promoted while the cluster wants more voters.
    ///
    /// An id is used once: a join that was interrupted after this leaves an id that is never used.
    ///
    /// # Errors
    /// [`StartError::Join`] when the cluster did not answer or refused; [`StartError::Occupied`] when the folder
    /// holds a node already.
    pub async fn join(config: &Config, seed: &str) -> Result<Identity, StartError> {
        join::join(config, seed).await
    }

    /// As [`Cluster::join`], over a connection that is protected as the application says, with something to convince the
    /// [`Doorkeeper`](crate::Doorkeeper) there. `keep` gets what that gives a node that is let in, and puts it away before the
    /// folder is made: what it fails with ends the join.
    ///
    /// # Errors
    /// As [`Cluster::join`].
    pub async fn apply(
        config: &Config,
        application: Application,
        keep: impl FnOnce(&Identity, bytes::Bytes) -> Result<(), String>,
    ) -> Result<Identity, StartError> {
        join::apply(config, application, keep).await
    }

    /// Starts the node whose folder it is: recovers, serves its peers, and returns when local reads work. It may be
    /// a while until there is a leader; every other call waits for one within its time.
    ///
    /// # Errors
    /// [`StartError`], naming what is wrong with the folder or the address, and the remedy.
    pub async fn start(config: Config, machine: M) -> Result<Self, StartError> {
        let node = start::start(config, machine).await?;
        Ok(Self { node })
    }

    /// This node's id.
    #[must_use]
    pub fn id(&self) -> NodeId {
        self.node.id()
    }

    /// Whose folder this is.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.node.identity
    }

    /// The address on which peers are served, with the port really bound.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.node.bound
    }

    /// Proposes a command at any node and waits until it is applied here or at the leader: a majority has it on
    /// disk, and every later linearizable read anywhere sees it.
    ///
    /// Sent again by itself, under one name, for as long as
    /// [`propose_timeout`](crate::Config::propose_timeout), so that it has one effect.
    ///
    /// # Errors
    /// [`ProposeError::OutcomeUnknown`] is the only one after which the command may have been applied.
    pub async fn propose(&self, command: M::Command) -> Result<Proposed<M::Reply>, ProposeError> {
        let within = self.node.config.propose_timeout;
        self.node.propose(command, within).await
    }

    /// Proposes commands in order, together in as few log entries as possible. They are not one transaction.
    ///
    /// # Errors
    /// As [`Cluster::propose`]; the first commands may then have been applied and the rest not.
    pub async fn propose_many(&self, commands: Vec<M::Command>) -> Result<Vec<Proposed<M::Reply>>, ProposeError> {
        let within = self.node.config.propose_timeout;
        self.node.propose_many(commands, within).await
    }

    /// Proposes a request that the caller named, trying for as long as `within`. The same name again, here or at
    /// another node, has no second effect and gets the first reply
    /// ([`Proposed::duplicate`]).
    ///
    /// # Errors
    /// As [`Cluster::propose`].
    pub async fn propose_request(
        &self,
        request: Request<M::Command>,
        within: Duration,
    ) -> Result<Proposed<M::Reply>, ProposeError> {
        self.node.propose_request(request, within).await
    }

    /// Asks the program around another member, waiting at most as long as `within`. The question goes over the members' own
    /// connections; what it means is the programs' affair.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(&self, node: NodeId, question: bytes::Bytes, within: Duration) -> Result<bytes::Bytes, AskError> {
        self.node.ask(node, question, within).await
    }

    /// Has the questions of other members' programs answered from now on. The first answerer stays.
    pub fn answer_with(&self, answerer: Answerer) {
        // Only the first one is kept.
        drop(self.node.answerer.set(answerer));
    }

    /// Has this decide who may join, while this node leads. The first one stays. Without one everybody may where connections
    /// are not protected, and nobody where they are.
    pub fn admit_with(&self, doorkeeper: Arc<dyn Doorkeeper>) {
        // Only the first one is kept.
        drop(self.node.doorkeeper.set(doorkeeper));
    }

    /// Whether a node was removed from the cluster, as far as this one knows.
    #[must_use]
    pub fn was_removed(&self, node: NodeId) -> bool {
        self.node.state.is_retired(node.0)
    }

    /// The state, as recent as asked for, waiting for it at most as long as `within`.
    ///
    /// # Errors
    /// [`ReadError::NoQuorum`] when no majority confirmed a linearizable read in time; [`ReadError::Behind`] when
    /// the revision was not reached in time.
    pub async fn read(&self, consistency: Consistency, within: Duration) -> Result<Snapshot, ReadError> {
        self.node.read(consistency, within).await
    }

    /// The state as this node has it now; never waits.
    #[must_use]
    pub fn local(&self) -> Snapshot {
        self.node.local()
    }

    /// Writes the state as this node has it now into `folder`, which must not be there yet while the one above it is; on the
    /// file system of the data folder it takes next to no space at first. Nobody waits for it. What is in the folder is on the
    /// disk when it returns.
    ///
    /// To have everything that was acknowledged before, wait for a linearizable read first.
    ///
    /// # Errors
    /// [`BackupError`]; what is in the folder then is no backup.
    pub async fn backup(&self, folder: &std::path::Path) -> Result<Backup, BackupError> {
        self.node.backup(folder).await
    }

    /// What happens after a revision, in order, without gaps or repeats. Watch from the revision of a snapshot to
    /// keep a copy of what it holds up to date; resume from [`Watch::position`], at this node or another.
    #[must_use]
    pub fn watch(&self, after: Revision) -> Watch<M::Event> {
        Watch::new(self.node.state.hub.clone(), after)
    }

    /// Tells the leader that the session is alive. Call it a few times per ttl, which is the answer.
    ///
    /// # Errors
    /// [`KeepAliveError::Ended`] when it has ended; [`KeepAliveError::NoLeader`] when that is not known.
    pub async fn keep_alive(&self, session: SessionId) -> Result<Duration, KeepAliveError> {
        self.node.keep_alive(session).await
    }

    /// Makes a learner a voter.
    ///
    /// # Errors
    /// [`MembersError`].
    pub async fn promote(&self, node: NodeId) -> Result<(), MembersError> {
        self.node.change_members(Change::Promote(node.0)).await.map(drop)
    }

    /// Removes a member, the leader too. Its id is never used again, its calls are refused from then on.
    ///
    /// # Errors
    /// [`MembersError::Refused`] when the rest would have no majority up, or it is no member.
    pub async fn remove(&self, node: NodeId) -> Result<(), MembersError> {
        self.node.change_members(Change::Remove(node.0)).await.map(drop)
    }

    /// Removes a member although the rest has no majority up: from then on nothing is acknowledged until dead members
    /// come back, or [`recover`](crate::recover) gives them up.
    ///
    /// # Errors
    /// [`MembersError`]; [`MembersError::OutcomeUnknown`] is to be expected, as no majority is left to confirm it.
    pub async fn remove_losing_quorum(&self, node: NodeId) -> Result<(), MembersError> {
        self.node
            .change_members(Change::RemoveLosingQuorum(node.0))
            .await
            .map(drop)
    }

    /// Makes a voter the leader.
    ///
    /// # Errors
    /// [`MembersError::Refused`] when it is no voter or does not answer.
    pub async fn transfer_leadership(&self, to: NodeId) -> Result<(), MembersError> {
        self.node.change_members(Change::TransferTo(to.0)).await.map(drop)
    }

    /// Makes a change of the members or of their leader only when the members are still those that the log entry `members_at`
    /// named ([`Status::members_index`]): compared and done in one step at the leader. The log entry that names them then.
    ///
    /// A leader of a version that does not know this yet makes the change in any case.
    ///
    /// # Errors
    /// [`MembersError::Refused`] also when the members have changed since.
    pub async fn change_members_as_of(&self, members_at: u64, change: MembersChange) -> Result<u64, MembersError> {
        let change = match change {
            MembersChange::Promote(node) => Change::Promote(node.0),
            MembersChange::Remove(node) => Change::Remove(node.0),
            MembersChange::RemoveLosingQuorum(node) => Change::RemoveLosingQuorum(node.0),
            MembersChange::TransferLeadership(to) => Change::TransferTo(to.0),
        };
        let if_members_at = Some(members_at);
        self.node.change_members(Order { change, if_members_at }).await
    }

    /// Everybody, as far as this node knows, by id.
    #[must_use]
    pub fn members(&self) -> Vec<Member> {
        self.node.members()
    }

    /// Log entries that each member lacks, asked of the leader when that is another node. Members that the leader has
    /// not heard from are left out; empty when no leader answers `within`.
    pub async fn lags(&self, within: Duration) -> BTreeMap<NodeId, u64> {
        self.node.lags(within).await
    }

    /// The members that answer the leader, itself among them, asked of the leader when that is another node; empty when no
    /// leader answers `within`.
    pub async fn answering(&self, within: Duration) -> BTreeSet<NodeId> {
        self.node.answering(within).await
    }

    /// This node's view of itself and the cluster.
    #[must_use]
    pub fn status(&self) -> Status {
        self.node.status()
    }

    /// What this node measured of itself, in the OpenMetrics text format that Prometheus reads, without the
    /// `# EOF` that ends a page: a program appends its own metrics and ends the page. Every name begins with
    /// `fed_raft_`; DESIGN.md lists them.
    #[must_use]
    pub fn metrics(&self) -> String {
        self.node.render_metrics()
    }

    /// Whether this node works at all: its consensus task takes its turn and its state can be read, both within that time. Without
    /// a quorum, or behind the others, a node responds all the same: this is for a watchdog, which can do nothing but restart it.
    pub async fn responds(&self, within: Duration) -> bool {
        self.node.responds(within).await
    }

    /// Returns when the leader may have changed, at the latest after `at_most`.
    pub async fn leader_changed(&self, at_most: Duration) {
        self.node.leader_changed(at_most).await;
    }

    /// Returns when this node stops, with the reason: [`Cluster::shutdown`], or a failure.
    pub async fn stopped(&self) -> String {
        self.node.life.stop.cancelled().await;
        self.node.life.reason()
    }

    /// Stops the node: no more proposals, leadership handed over, watches ended with their revision, everything
    /// on disk. Takes at most 5 s. The folder is free when the last handle, snapshot and watch are dropped.
    pub async fn shutdown(&self) {
        self.node.shutdown().await;
    }
}
