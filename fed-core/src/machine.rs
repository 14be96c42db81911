//! A replicated state machine in general: what a machine is, and the applier that runs its commands.
//!
//! Nothing here names a user or a device. The applier gives each request one effect however often it is
//! retried, a revision to each command that changes something, and keeps a hash of the whole state that is the
//! same on every replica that applied the same log, whatever the sizes of the batches.

use std::fmt::Debug;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::ids::{ClientId, NodeId, Revision, SessionId};
use crate::kv::{ReadStore, StoreError, WriteStore};

mod apply;
mod ledger;
mod requests;

pub use apply::apply_batch;
pub use ledger::{recomputed_state_hash, revision, state_hash};
pub use requests::{CLIENTS, WINDOW};

/// What the cluster replicates.
///
/// Commands, replies and events are written into logs and state with bincode: their types may only grow at the
/// end (new variants), never change.
pub trait Machine: Send + Sync + 'static {
    /// A change asked for.
    type Command: Serialize + DeserializeOwned + Clone + Send + Sync + Debug + 'static;
    /// What became of it. Refusals by the domain are replies, not errors.
    type Reply: Serialize + DeserializeOwned + Clone + Send + Sync + Debug + 'static;
    /// A change that happened, for watchers.
    type Event: Serialize + DeserializeOwned + Clone + Send + Sync + Debug + 'static;

    /// Applies `command` to `store`. A pure function of its arguments: no clock, no randomness, no order that a
    /// hash map gives.
    ///
    /// `revision` is what this command gets if it writes anything, be it what was there before. Only tables from
    /// 16 on may be written. Events of a command that wrote nothing are dropped.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; nothing of the batch must then be kept.
    fn apply(
        &self,
        revision: Revision,
        command: Self::Command,
        store: &mut dyn WriteStore,
        events: &mut Vec<Self::Event>,
    ) -> Result<Self::Reply, StoreError>;

    /// The reply to a request so old that the applier no longer knows whether it was applied: it is not applied
    /// (again).
    fn forgotten(&self) -> Self::Reply;

    /// Whether the command can only shrink the state, or leave it as it is: such commands are also taken when the
    /// disk is nearly full. Unless a machine says otherwise, none.
    fn shrinks(&self, _command: &Self::Command) -> bool {
        false
    }

    /// The feature level that all members must have for `command` to be understood by each of them. 1 is what the
    /// first version knew; a new kind of command gets a higher one.
    fn level_of(&self, _command: &Self::Command) -> u32 {
        1
    }

    /// The highest feature level that this program understands.
    fn newest_level(&self) -> u32 {
        1
    }

    /// Whether the member `from` may propose `command`: asked by the leader of what another member sends it, with the feature level
    /// of the cluster and the state as the leader has it. Unless a machine says otherwise, everything.
    ///
    /// # Errors
    /// Why not, in words.
    fn may_propose(
        &self,
        _from: NodeId,
        _level: u32,
        _store: &dyn ReadStore,
        _command: &Self::Command,
    ) -> Result<(), String> {
        Ok(())
    }

    /// The sessions open in `store`, which the cluster's leader times.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    fn open_sessions(&self, store: &dyn ReadStore) -> Result<Vec<SessionId>, StoreError>;

    /// The command that ends `session`; harmless when it has ended already.
    fn end_session(&self, session: SessionId) -> Self::Command;
}

/// A command with the name under which it may be sent again without a second effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request<C> {
    /// Who asks.
    pub client: ClientId,
    /// The number of this request among the client's: increasing, the same in every retry.
    pub sequence: u64,
    /// What is asked.
    pub command: C,
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome<R, E> {
    /// The machine's reply.
    pub reply: R,
    /// The revision of the map after this command; the events carry it. For a duplicate, that of the first time.
    pub revision: Revision,
    /// What changed; empty for a duplicate and for a command that wrote nothing.
    pub events: Vec<E>,
    /// Whether the request had been applied before: the reply is the one given then.
    pub duplicate: bool,
}

/// What became of the requests of a batch, in their order.
pub type Outcomes<M> = Vec<Outcome<<M as Machine>::Reply, <M as Machine>::Event>>;
