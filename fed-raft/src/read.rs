//! Reads: what was acknowledged before is seen, or the answer says that it may not be.
//!
//! A linearizable read costs one round of the leader with a majority, shared by all reads that wait for it, and
//! nothing on disk. A node that does not lead asks the leader for the index, then waits until it has applied it.

use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::Revision;
use fed_core::machine::Machine;
use fed_proto::peer as proto;
use openraft::LinearizerOption;
use openraft::errors::{LinearizableReadError, RaftError};
use proto::read_index_reply::Result as Reply;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::error::ReadError;
use crate::node::{Leader, Node};
use crate::state::{Snapshot, View};
use crate::transport::Lane;

/// What a read must have seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Everything that was acknowledged to anybody before the read began. Needs a majority.
    Linearizable,
    /// At least this revision; waits for it, needs nobody else.
    AtLeast(Revision),
    /// Whatever this node has. Always answers.
    Local,
}

const PAUSE: Duration = Duration::from_millis(20);
/// One round takes no longer; then the leader may be another one.
const ROUND: Duration = Duration::from_secs(1);

type Index = Result<u64, ReadError>;

/// Who waits for a read index.
pub(crate) struct Asking {
    until: Instant,
    reply: oneshot::Sender<Index>,
}

/// The way to the task that asks for all.
pub(crate) struct ReadIndex {
    asking: mpsc::UnboundedSender<Asking>,
}

impl ReadIndex {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Asking>) {
        let (asking, waiting) = mpsc::unbounded_channel();
        (Self { asking }, waiting)
    }
}

impl<M: Machine> Node<M> {
    pub(crate) async fn read(&self, consistency: Consistency, within: Duration) -> Result<Snapshot, ReadError> {
        let begun = std::time::Instant::now();
        let answer = self.read_until(consistency, Instant::now() + within).await;
        self.metrics.read(begun, consistency);
        answer
    }

    async fn read_until(&self, consistency: Consistency, until: Instant) -> Result<Snapshot, ReadError> {
        match consistency {
            Consistency::Local => Ok(self.local()),
            #[cfg(feature = "planted-bugs")]
            Consistency::Linearizable if self.reads_wrongly() => Ok(self.local()),
            Consistency::Linearizable => {
                let index = self.read_index(until).await?;
                let view = self
                    .wait_for(until, |view| view.index() >= index)
                    .await?
                    .ok_or(ReadError::NoQuorum)?;
                Ok(Snapshot::new(view, Duration::ZERO, false))
            }
            Consistency::AtLeast(wanted) => {
                let found = self.wait_for(until, |view| view.revision() >= wanted).await?;
                let view = found.ok_or_else(|| ReadError::Behind {
                    wanted,
                    reached: self.state.revision(),
                })?;
                Ok(self.marked(view))
            }
        }
    }

    #[cfg(feature = "planted-bugs")]
    fn reads_wrongly(&self) -> bool {
        use crate::planted;
        let leads = self.leader() == Leader::Here;
        planted::is("local-read") || planted::is("stale-cache") && planted::led_lately(self.identity.node.0, leads)
    }

    pub(crate) fn local(&self) -> Snapshot {
        self.marked(self.state.view())
    }

    fn marked(&self, view: Arc<View>) -> Snapshot {
        Snapshot::new(view, self.out_of_touch(), self.is_cut_off())
    }

    /// The view that fulfils the condition; `None` when there is none in time.
    async fn wait_for(&self, until: Instant, reached: impl Fn(&View) -> bool) -> Result<Option<Arc<View>>, ReadError> {
        let mut views = self.state.views();
        let waiting = views.wait_for(|view| reached(view));
        tokio::select! {
            found = tokio::time::timeout_at(until, waiting) => match found {
                Ok(Ok(view)) => Ok(Some(view.clone())),
                Ok(Err(_)) => Err(ReadError::Stopped(self.life.reason())),
                Err(_) => Ok(None),
            },
            () = self.life.stop.cancelled() => Err(ReadError::Stopped(self.life.reason())),
        }
    }

    /// An index at or above everything acknowledged before this call.
    async fn read_index(&self, until: Instant) -> Index {
        let stopped = || ReadError::Stopped(self.life.reason());
        let (reply, answer) = oneshot::channel();
        self.read_index
            .asking
            .send(Asking { until, reply })
            .map_err(|_| stopped())?;
        match tokio::time::timeout_at(until, answer).await {
            Ok(Ok(index)) => index,
            Ok(Err(_)) if self.life.stop.is_cancelled() => Err(stopped()),
            // Too late, here or where it waited: whichever noticed first.
            Ok(Err(_)) | Err(_) => Err(ReadError::NoQuorum),
        }
    }

    /// The leader's part, for itself and for the others.
    pub(crate) async fn confirm_leadership(&self) -> Result<u64, NotConfirmed> {
        let round = LinearizerOption::new(Some(Duration::ZERO), true).with_wait_timeout(ROUND);
        match self.raft.get_read_linearizer(round).await {
            Ok(linearizer) => Ok(linearizer.read_log_id().index()),
            Err(RaftError::APIError(LinearizableReadError::QuorumNotEnough(_))) => Err(NotConfirmed::NoQuorum),
            Err(_) => Err(NotConfirmed::NotLeader),
        }
    }

    async fn ask_leader(&self, leader: u64, address: &str) -> Result<u64, NotConfirmed> {
        let mut client = self
            .channels
            .client(leader, address, Lane::Client)
            .map_err(|_| NotConfirmed::NotLeader)?;
        let request = self.channels.request(leader, proto::ReadIndexRequest {});
        let answered = tokio::select! {
            answered = tokio::time::timeout(ROUND, client.read_index(request)) => answered,
            () = self.led_by_another(leader) => return Err(NotConfirmed::NotLeader),
        };
        match answered {
            Ok(Ok(reply)) => match reply.into_inner().result {
                Some(Reply::Index(index)) => Ok(index),
                Some(Reply::NoQuorum(_)) => Err(NotConfirmed::NoQuorum),
                Some(Reply::NotLeader(_)) | None => Err(NotConfirmed::NotLeader),
            },
            Ok(Err(_)) | Err(_) => Err(NotConfirmed::NotLeader),
        }
    }
}

/// Why there is no read index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotConfirmed {
    NotLeader,
    NoQuorum,
}

/// Asks for everybody who waits, one round at a time, until the node stops.
pub(crate) async fn run<M: Machine>(node: Arc<Node<M>>, mut asking: mpsc::UnboundedReceiver<Asking>) {
    let mut waiting: Vec<Asking> = Vec::new();
    loop {
        if waiting.is_empty() {
            let first = tokio::select! {
                first = asking.recv() => first,
                () = node.life.stop.cancelled() => return,
            };
            let Some(first) = first else { return };
            waiting.push(first);
        }
        while let Ok(next) = asking.try_recv() {
            waiting.push(next);
        }
        // Whoever joins after this line is not covered by the round.
        let round = match node.leader() {
            Leader::Here => node.confirm_leadership().await,
            Leader::There { id, address } => node.ask_leader(id, &address).await,
            Leader::Unknown => Err(NotConfirmed::NotLeader),
        };
        match round {
            Ok(index) => {
                for asked in waiting.drain(..) {
                    // Whoever asked may have stopped waiting.
                    drop(asked.reply.send(Ok(index)));
                }
            }
            Err(_) => {
                let now = Instant::now();
                waiting.retain(|asked| asked.until > now && !asked.reply.is_closed());
                tokio::select! {
                    () = node.leader_changed(PAUSE) => {}
                    () = node.life.stop.cancelled() => return,
                }
            }
        }
    }
}
