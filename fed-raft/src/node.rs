//! One running node: what all its parts share.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_core::machine::Machine;
use openraft::Instant as _;
use openraft::async_runtime::watch::WatchReceiver;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{Config, OnFailure};
use crate::disk::Disk;
use crate::identity::Identity;
use crate::lanes::Lanes;
use crate::log::LogStore;
use crate::metrics::Metrics;
use crate::platform::fs;
use crate::propose::Queue;
use crate::raft::{Peer, Raft};
use crate::read::ReadIndex;
use crate::session::Sessions;
use crate::state::State;
use crate::transport::Channels;

pub(crate) struct Node<M: Machine> {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    /// The address really bound.
    pub(crate) bound: SocketAddr,
    /// What the others are told.
    pub(crate) advertise: String,
    pub(crate) raft: Raft<M>,
    pub(crate) log: LogStore,
    pub(crate) state: Arc<State<M>>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) lanes: Lanes,
    pub(crate) queue: Queue<M>,
    pub(crate) read_index: ReadIndex,
    pub(crate) sessions: Sessions,
    pub(crate) life: Life,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) disk: Arc<Disk>,
    /// When this node last heard from a leader.
    heard: Mutex<Option<Instant>>,
    /// Held while a snapshot comes in.
    pub(crate) receiving: tokio::sync::Mutex<()>,
    /// Held while this node, as leader, changes the members.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Answers what other members' programs ask.
    pub(crate) answerer: OnceLock<crate::ask::Answerer>,
    /// Decides who may join.
    pub(crate) doorkeeper: OnceLock<Arc<dyn crate::doorkeeper::Doorkeeper>>,
    _lock: fs::Lock,
}

/// Where the leader is, as far as this node knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Leader {
    Here,
    There { id: u64, address: String },
    Unknown,
}

/// Running, stopping, stopped.
#[derive(Clone, Default)]
pub(crate) struct Life {
    /// No more proposals.
    pub(crate) closing: CancellationToken,
    /// All tasks end.
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    why: Arc<OnceLock<String>>,
}

impl Life {
    /// Ends everything, with the reason that calls are told. The first reason stays.
    pub(crate) fn end(&self, why: &str) {
        // Only the first one is kept.
        drop(self.why.set(why.to_owned()));
        self.closing.cancel();
        self.stop.cancel();
    }

    /// A failure after which nothing may be acknowledged.
    pub(crate) fn fail(&self, why: &str, then: OnFailure) {
        tracing::error!(why, "this node cannot go on");
        self.end(why);
        if then == OnFailure::ExitProcess {
            std::process::exit(70);
        }
    }

    pub(crate) fn why(&self) -> Option<String> {
        self.why.get().cloned()
    }

    pub(crate) fn is_closing(&self) -> bool {
        self.closing.is_cancelled()
    }

    /// What a call is told that comes too late.
    pub(crate) fn reason(&self) -> String {
        self.why().unwrap_or_else(|| "it is stopping".to_owned())
    }
}

pub(crate) struct Parts<M: Machine> {
    pub(crate) config: Config,
    pub(crate) identity: Identity,
    pub(crate) bound: SocketAddr,
    pub(crate) advertise: String,
    pub(crate) raft: Raft<M>,
    pub(crate) log: LogStore,
    pub(crate) state: Arc<State<M>>,
    pub(crate) channels: Arc<Channels>,
    pub(crate) queue: Queue<M>,
    pub(crate) read_index: ReadIndex,
    pub(crate) life: Life,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) lock: fs::Lock,
}

impl<M: Machine> Node<M> {
    pub(crate) fn new(parts: Parts<M>) -> Self {
        Self {
            disk: Arc::new(Disk::new(&parts.config)),
            metrics: parts.metrics,
            config: parts.config,
            identity: parts.identity,
            bound: parts.bound,
            advertise: parts.advertise,
            raft: parts.raft,
            log: parts.log,
            state: parts.state,
            channels: parts.channels,
            lanes: Lanes::new(),
            queue: parts.queue,
            read_index: parts.read_index,
            sessions: Sessions::default(),
            life: parts.life,
            heard: Mutex::new(None),
            answerer: OnceLock::new(),
            doorkeeper: OnceLock::new(),
            receiving: tokio::sync::Mutex::new(()),
            changing: tokio::sync::Mutex::new(()),
            _lock: parts.lock,
        }
    }

    pub(crate) fn id(&self) -> NodeId {
        self.identity.node
    }

    pub(crate) fn leader(&self) -> Leader {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        match metrics.current_leader {
            Some(id) if id == self.identity.node.0 => {
                if metrics.state.is_leader() {
                    Leader::Here
                } else {
                    Leader::Unknown
                }
            }
            Some(id) => match metrics.membership_config.membership().get_node(&id) {
                Some(peer) => Leader::There {
                    id,
                    address: peer.address.clone(),
                },
                None => Leader::Unknown,
            },
            None => Leader::Unknown,
        }
    }

    /// The leader as a peer is told it.
    pub(crate) fn leader_member(&self) -> Option<(u64, Peer)> {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let id = metrics.current_leader?;
        let peer = metrics.membership_config.membership().get_node(&id)?;
        Some((id, peer.clone()))
    }

    /// Returns when the leader may be another one, or after `at_most`.
    pub(crate) async fn leader_changed(&self, at_most: Duration) {
        let mut changes = self.raft.server_metrics();
        let before = changes.borrow_and_update().current_leader;
        let changed = async {
            while changes.changed().await.is_ok() {
                if changes.borrow_watched().current_leader != before {
                    return;
                }
            }
        };
        // Late or not, the caller looks again.
        drop(tokio::time::timeout(at_most, changed).await);
    }

    /// Returns once another node than `leader` is known to lead. A leader whose machine died answers nothing at all,
    /// not even a refusal: who waits for it goes on as soon as there is a new one.
    pub(crate) async fn led_by_another(&self, leader: u64) {
        let mut changes = self.raft.server_metrics();
        loop {
            let known = changes.borrow_and_update().current_leader;
            if known.is_some_and(|id| id != leader) {
                return;
            }
            if changes.changed().await.is_err() {
                // The engine has ended; who waits has a deadline of its own.
                return std::future::pending().await;
            }
        }
    }

    pub(crate) fn heard_from_leader(&self) {
        *self.heard.lock() = Some(Instant::now());
    }

    /// How long ago this node knew itself in touch with a majority: as leader, or through the leader.
    pub(crate) fn out_of_touch(&self) -> Duration {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        if !metrics.state.is_leader() {
            let heard = *self.heard.lock();
            return heard.map_or(Duration::MAX, |heard| heard.elapsed());
        }
        let me = self.identity.node.0;
        // Not `voter_ids`: it makes a set of its own, for each local read of a leader.
        let voters = metrics.membership_config.membership().get_joint_config();
        if voters.iter().flatten().all(|&id| id == me) {
            return Duration::ZERO;
        }
        metrics.last_quorum_acked.map_or(Duration::MAX, |acked| acked.elapsed())
    }

    /// Whether the rest of the cluster may have gone on without this node.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.out_of_touch() > self.config.election_max
    }
}
