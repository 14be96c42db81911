//! What this crate needs of the federation's map, as a trait: fed-node implements it over the cluster, tests over memory.
//!
//! The bridge and the router see the map only through [`MapPort`]; nothing here knows of consensus.

pub mod memory;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use async_trait::async_trait;
use fed_core::{
    command::{Command, Reply},
    event::Change,
    ids::{NodeId, Revision, SessionId},
    kv::ReadStore,
    map::MapView,
    sealing::SealKey,
};

tokio::task_local! {
    /// When Asterisk told what this task is doing something about.
    pub(crate) static SEEN_AT: SystemTime;
}

/// When Asterisk told what is being proposed, for a port that measures; none where no event did, as in a comparison of the whole.
#[must_use]
pub fn seen_at() -> Option<SystemTime> {
    SEEN_AT.try_with(|seen| *seen).ok()
}

/// The map of the federation as one node sees it.
#[async_trait]
pub trait MapPort: Send + Sync + 'static {
    /// The node this port belongs to.
    fn here(&self) -> NodeId;

    /// The newest revision this node has applied. Cheap: asked for every event.
    fn applied(&self) -> Revision;

    /// Whatever this node has applied, at once. Never waits for the cluster.
    fn local(&self) -> MapSnapshot;

    /// A state that holds everything acknowledged before the call.
    ///
    /// # Errors
    /// Any [`PortError`] where that cannot be had within `budget`; the caller decides whether [`MapPort::local`] will do.
    async fn linearizable(&self, budget: Duration) -> Result<MapSnapshot, PortError>;

    /// Proposes one command and waits until it is committed. A refusal of the domain is a reply.
    ///
    /// # Errors
    /// See [`PortError`]; after [`PortError::OutcomeUnknown`] the command may still take effect.
    async fn propose(&self, command: Command) -> Result<Proposed, PortError>;

    /// Proposes many commands in as few rounds as possible, each on its own (not all or nothing), replies in order.
    ///
    /// # Errors
    /// As [`MapPort::propose`], for all of them together.
    async fn propose_many(&self, commands: Vec<Command>) -> Result<Vec<Proposed>, PortError>;

    /// Changes after `from`, in order, without gaps or repeats.
    fn watch(&self, from: Revision) -> Box<dyn MapWatch>;

    /// Keeps a session open; to be called well within its time to live.
    ///
    /// # Errors
    /// See [`PortError`]. A session that has ended is seen in the map, not here.
    async fn keep_alive(&self, session: SessionId) -> Result<(), PortError>;
}

/// A position in the stream of changes.
#[async_trait]
pub trait MapWatch: Send {
    /// The next item; waits while there is none. Safe to drop while waiting: nothing is lost.
    async fn next(&mut self) -> MapEvent;
}

/// One item of a watch.
#[derive(Clone, Debug, PartialEq)]
pub enum MapEvent {
    /// What one revision changed.
    Changes {
        /// The revision.
        revision: Revision,
        /// Its changes in order.
        changes: Vec<Change>,
    },
    /// The changes asked for are no longer kept: look at the whole map again and watch from its revision.
    Compacted,
    /// The map has been stopped; nothing follows.
    Stopped,
}

/// A committed command.
#[derive(Clone, Debug, PartialEq)]
pub struct Proposed {
    /// What the map answered.
    pub reply: Reply,
    /// The map's revision after it.
    pub revision: Revision,
}

/// One consistent state of the map.
#[derive(Clone)]
pub struct MapSnapshot {
    store: Arc<dyn ReadStore>,
    key: Option<Arc<SealKey>>,
    /// The revision it shows.
    pub revision: Revision,
    /// True where it may lack changes acknowledged elsewhere, because there was no quorum to ask.
    pub stale: bool,
}

impl MapSnapshot {
    /// A snapshot over a store that does not change any more.
    pub fn new(store: Arc<dyn ReadStore>, revision: Revision, stale: bool) -> Self {
        Self {
            store,
            key: None,
            revision,
            stale,
        }
    }

    /// The same, able to open what this key sealed.
    #[must_use]
    pub fn with_key(self, key: Option<Arc<SealKey>>) -> Self {
        Self { key, ..self }
    }

    /// Typed reads of it.
    pub fn view(&self) -> MapView<'_> {
        MapView::new(&*self.store).with_key(self.key.as_deref())
    }
}

impl std::fmt::Debug for MapSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MapSnapshot")
            .field("revision", &self.revision)
            .field("stale", &self.stale)
            .finish_non_exhaustive()
    }
}

/// Why the map did not answer.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PortError {
    /// No answer in time: the command may or may not have taken effect.
    #[error("the outcome of the change is unknown: {0}; look at the map before trying again")]
    OutcomeUnknown(String),
    /// There is no leader to ask: this side of the federation has no quorum.
    #[error("the federation has no quorum here ({0}); calls go on from the last known map, changes wait")]
    NoQuorum(String),
    /// Too much is queued.
    #[error("the federation is overloaded; try again in {retry_after:?}")]
    Overloaded {
        /// When to try again.
        retry_after: Duration,
    },
    /// fed-node is stopping.
    #[error("the map has been stopped")]
    Stopped,
    /// The map's store cannot be read.
    #[error("the map cannot be read: {0}")]
    Store(String),
}

/// A state for routing: linearizable within `budget`, else local and marked stale.
pub async fn fresh_or_stale(port: &dyn MapPort, budget: Duration) -> MapSnapshot {
    match port.linearizable(budget).await {
        Ok(snapshot) => snapshot,
        Err(why) => {
            tracing::debug!(%why, "reading the map locally");
            let mut snapshot = port.local();
            snapshot.stale = true;
            snapshot
        }
    }
}
