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
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
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

/// Who waits for a read index, and until when.
pub(crate) struct Asking {
    until: Instant,
    wants: Wants,
    /// Its place among those who may wait at once.
    _place: OwnedSemaphorePermit,
}

/// What for.
enum Wants {
    /// A reader here: a view that has reached the index.
    View(Reader),
    /// Another node, which has its own view.
    Index(oneshot::Sender<Result<u64, NotConfirmed>>),
}

impl Wants {
    fn is_closed(&self) -> bool {
        match self {
            Self::View(reply) => reply.is_closed(),
            Self::Index(reply) => reply.is_closed(),
        }
    }
}

type Reader = oneshot::Sender<Result<Arc<View>, ReadError>>;

/// The way to the task that asks for all.
pub(crate) struct ReadIndex {
    asking: mpsc::UnboundedSender<Asking>,
    places: Arc<Semaphore>,
}

impl ReadIndex {
    /// At most `places` reads wait at once, here and for other nodes together.
    pub(crate) fn new(places: usize) -> (Self, mpsc::UnboundedReceiver<Asking>) {
        let (asking, waiting) = mpsc::unbounded_channel();
        let places = Arc::new(Semaphore::new(places));
        (Self { asking, places }, waiting)
    }

    /// Queues a read.
    fn ask(&self, until: Instant, wants: Wants) -> Result<(), NotQueued> {
        let place = self.places.clone().try_acquire_owned().map_err(|_| NotQueued::Full)?;
        let asking = Asking {
            until,
            wants,
            _place: place,
        };
        self.asking.send(asking).map_err(|_| NotQueued::Stopped)
    }
}

/// Why a read does not wait.
enum NotQueued {
    Full,
    Stopped,
}

/// When to come back to a node where too many reads wait: a round takes a few milliseconds.
const RETRY_AFTER: Duration = Duration::from_millis(50);

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
                let view = self.confirmed_view(until).await?;
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
        let age = self.out_of_touch();
        Snapshot::new(view, age, age > self.config.election_max)
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

    /// A view that holds everything acknowledged before this call.
    async fn confirmed_view(&self, until: Instant) -> Result<Arc<View>, ReadError> {
        let stopped = || ReadError::Stopped(self.life.reason());
        let (reply, answer) = oneshot::channel();
        let wants = Wants::View(reply);
        self.read_index.ask(until, wants).map_err(|why| match why {
            NotQueued::Stopped => stopped(),
            NotQueued::Full => ReadError::Overloaded {
                retry_after: RETRY_AFTER,
            },
        })?;
        match tokio::time::timeout_at(until, answer).await {
            Ok(Ok(view)) => view,
            Ok(Err(_)) if self.life.stop.is_cancelled() => Err(stopped()),
            // Too late, here or where it waited: whichever noticed first.
            Ok(Err(_)) | Err(_) => Err(ReadError::NoQuorum),
        }
    }

    /// A read index for another node that takes this one for the leader: one round for all who ask meanwhile.
    pub(crate) async fn index_for_peer(&self) -> Result<u64, NotConfirmed> {
        if self.leader() != Leader::Here {
            return Err(NotConfirmed::NotLeader);
        }
        let (reply, answer) = oneshot::channel();
        let (until, wants) = (Instant::now() + ROUND, Wants::Index(reply));
        // Where too many wait, the asker tries again, as it does when another leads.
        let asked = self.read_index.ask(until, wants);
        asked.map_err(|_| NotConfirmed::NotLeader)?;
        match tokio::time::timeout_at(until, answer).await {
            Ok(Ok(index)) => index,
            Ok(Err(_)) => Err(NotConfirmed::NotLeader),
            Err(_) => Err(NotConfirmed::NoQuorum),
        }
    }

    /// Gives the readers their view as soon as it has reached the index.
    async fn hand_out(&self, index: u64, readers: Vec<(Instant, Reader)>) {
        let latest = readers.iter().map(|(until, _)| *until).max();
        let until = latest.unwrap_or_else(Instant::now);
        let reached = match self.wait_for(until, |view| view.index() >= index).await {
            Ok(Some(view)) => Ok(view),
            Ok(None) => Err(ReadError::NoQuorum),
            Err(error) => Err(error),
        };
        for (_, reader) in readers {
            // Whoever asked may have stopped waiting.
            drop(reader.send(reached.clone()));
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
            Ok(index) => answer(&node, index, waiting.drain(..)),
            Err(why) => {
                // Another node asks elsewhere; readers here wait for the next leader.
                for asked in waiting.extract_if(.., |asked| matches!(asked.wants, Wants::Index(_))) {
                    if let Wants::Index(reply) = asked.wants {
                        let _ = reply.send(Err(why));
                    }
                }
                let now = Instant::now();
                waiting.retain(|asked| asked.until > now && !asked.wants.is_closed());
                tokio::select! {
                    () = node.leader_changed(PAUSE) => {}
                    () = node.life.stop.cancelled() => return,
                }
            }
        }
    }
}

/// Answers who was covered by the round. Readers whose view is not there yet are waited for beside the next round.
fn answer<M: Machine>(node: &Arc<Node<M>>, index: u64, covered: impl Iterator<Item = Asking>) {
    let mut readers = Vec::new();
    for Asking { until, wants, _place } in covered {
        match wants {
            Wants::View(reader) => readers.push((until, reader)),
            // The other node may have stopped waiting.
            Wants::Index(reply) => drop(reply.send(Ok(index))),
        }
    }
    if readers.is_empty() {
        return;
    }
    let view = node.state.view();
    if view.index() >= index {
        for (_, reader) in readers {
            drop(reader.send(Ok(view.clone())));
        }
    } else {
        let node_ = node.clone();
        node.life
            .tasks
            .spawn(async move { node_.hand_out(index, readers).await });
    }
}
