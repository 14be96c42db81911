//! The map in memory, shared by any number of ports: for tests, and for trying things out in one process.
//!
//! It applies commands with the real state machine. What a cluster does beside that can be switched: a node can be cut off, and
//! then reads its last state while nothing it proposes is accepted; sessions end when told to.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use async_trait::async_trait;
use fed_core::{
    command::Command,
    event::Change,
    ids::{ClientId, NodeId, Revision, SessionId},
    kv::MemStore,
    machine::{Request, apply_batch, revision},
    map::FederationMap,
};
use parking_lot::Mutex;
use tokio::sync::watch;

use super::{MapEvent, MapPort, MapSnapshot, MapWatch, PortError, Proposed};

/// A map in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryMap {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// The newest revision, for watchers.
    newest: watch::Sender<Revision>,
    sequence: AtomicU64,
}

#[derive(Default)]
struct State {
    store: Arc<MemStore>,
    log: Vec<(Revision, Vec<Change>)>,
    /// Changes up to here are no longer kept.
    compacted: Revision,
    /// Nodes that are cut off, with what they saw last.
    cut_off: BTreeMap<NodeId, MapSnapshot>,
    kept_alive: BTreeMap<SessionId, u64>,
    proposals: Vec<Command>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            state: Mutex::default(),
            newest: watch::Sender::new(Revision(0)),
            sequence: AtomicU64::new(0),
        }
    }
}

impl MemoryMap {
    /// An empty map.
    pub fn new() -> Self {
        Self::default()
    }

    /// The map as a node sees it.
    pub fn port(&self, here: NodeId) -> MemoryPort {
        MemoryPort {
            map: self.clone(),
            here,
        }
    }

    /// Applies a command, whoever is cut off.
    ///
    /// # Panics
    /// Never: a store in memory does not fail.
    pub fn apply(&self, command: Command) -> Proposed {
        let mut state = self.shared.state.lock();
        state.proposals.push(command.clone());
        let sequence = self.shared.sequence.fetch_add(1, Ordering::Relaxed);
        let request = Request {
            client: ClientId(1),
            sequence,
            command,
        };
        let store = Arc::make_mut(&mut state.store);
        let outcome = apply_batch(&FederationMap, store, vec![request])
            .expect("a store in memory does not fail")
            .pop()
            .expect("one request has one outcome");
        if !outcome.events.is_empty() {
            state.log.push((outcome.revision, outcome.events));
            self.shared.newest.send_replace(outcome.revision);
        }
        Proposed {
            reply: outcome.reply,
            revision: outcome.revision,
        }
    }

    /// The newest state.
    pub fn snapshot(&self) -> MapSnapshot {
        self.shared.state.lock().snapshot()
    }

    /// Cuts a node off from the others, or lets it back.
    pub fn cut_off(&self, node: NodeId, cut_off: bool) {
        let mut state = self.shared.state.lock();
        if cut_off {
            let mut last = state.snapshot();
            last.stale = true;
            state.cut_off.insert(node, last);
        } else {
            state.cut_off.remove(&node);
        }
        drop(state);
        self.shared.newest.send_modify(|_| {});
    }

    /// Forgets all changes so far: whoever watches and has not been told of them is told that they are no longer kept, and nothing more.
    pub fn compact(&self) {
        let mut state = self.shared.state.lock();
        state.compacted = state.log.last().map_or(state.compacted, |(revision, _)| *revision);
        state.log.clear();
        drop(state);
        self.shared.newest.send_modify(|_| {});
    }

    /// How often a session was kept alive.
    pub fn keep_alives(&self, session: SessionId) -> u64 {
        self.shared.state.lock().kept_alive.get(&session).copied().unwrap_or(0)
    }

    /// Every command applied so far, in order.
    pub fn commands(&self) -> Vec<Command> {
        self.shared.state.lock().proposals.clone()
    }
}

impl State {
    fn snapshot(&self) -> MapSnapshot {
        let revision = revision(&*self.store).unwrap_or_default();
        MapSnapshot::new(Arc::<MemStore>::clone(&self.store), revision, false)
    }

    fn seen_by(&self, node: NodeId) -> MapSnapshot {
        self.cut_off.get(&node).cloned().unwrap_or_else(|| self.snapshot())
    }
}

/// A [`MemoryMap`] as one node sees it.
#[derive(Clone)]
pub struct MemoryPort {
    map: MemoryMap,
    here: NodeId,
}

impl MemoryPort {
    fn reachable(&self) -> Result<(), PortError> {
        if self.map.shared.state.lock().cut_off.contains_key(&self.here) {
            return Err(PortError::NoQuorum("this node is cut off".into()));
        }
        Ok(())
    }
}

#[async_trait]
impl MapPort for MemoryPort {
    fn here(&self) -> NodeId {
        self.here
    }

    fn applied(&self) -> Revision {
        self.local().revision
    }

    fn local(&self) -> MapSnapshot {
        self.map.shared.state.lock().seen_by(self.here)
    }

    async fn linearizable(&self, _budget: Duration) -> Result<MapSnapshot, PortError> {
        self.reachable()?;
        Ok(self.map.snapshot())
    }

    async fn propose(&self, command: Command) -> Result<Proposed, PortError> {
        self.reachable()?;
        Ok(self.map.apply(command))
    }

    async fn propose_many(&self, commands: Vec<Command>) -> Result<Vec<Proposed>, PortError> {
        self.reachable()?;
        Ok(commands.into_iter().map(|command| self.map.apply(command)).collect())
    }

    fn watch(&self, from: Revision) -> Box<dyn MapWatch> {
        Box::new(MemoryWatch {
            port: self.clone(),
            newest: self.map.shared.newest.subscribe(),
            at: from,
            is_over: false,
        })
    }

    async fn keep_alive(&self, session: SessionId) -> Result<(), PortError> {
        self.reachable()?;
        *self.map.shared.state.lock().kept_alive.entry(session).or_default() += 1;
        Ok(())
    }
}

struct MemoryWatch {
    port: MemoryPort,
    newest: watch::Receiver<Revision>,
    at: Revision,
    /// It was told that what it wants is no longer kept.
    is_over: bool,
}

impl MemoryWatch {
    /// Whether changes that it has not told are no longer kept, as far as this node knows.
    fn is_behind(&self) -> bool {
        let state = self.port.map.shared.state.lock();
        self.at < state.compacted && state.seen_by(self.port.here).revision >= state.compacted
    }

    fn ready(&self) -> Option<(Revision, Vec<Change>)> {
        let state = self.port.map.shared.state.lock();
        let limit = state.seen_by(self.port.here).revision;
        state
            .log
            .iter()
            .find(|(revision, _)| *revision > self.at && *revision <= limit)
            .cloned()
    }
}

#[async_trait]
impl MapWatch for MemoryWatch {
    async fn next(&mut self) -> MapEvent {
        loop {
            if self.is_over {
                return MapEvent::Stopped;
            }
            self.newest.mark_unchanged();
            if self.is_behind() {
                self.is_over = true;
                return MapEvent::Compacted;
            }
            if let Some((revision, changes)) = self.ready() {
                self.at = revision;
                return MapEvent::Changes { revision, changes };
            }
            if self.newest.changed().await.is_err() {
                return MapEvent::Stopped;
            }
        }
    }
}
