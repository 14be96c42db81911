//! The queue in front of the batches: bounded, and what waits in it can still be called back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};

use bytes::Bytes;
use fed_core::machine::Machine;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::Answers;
use crate::batch;
use crate::error::ProposeError;

const WAITING: u8 = 0;
const UNDER_WAY: u8 = 1;
const CALLED_BACK: u8 = 2;

/// Whether requests may have been proposed. Decided in one place, so that "certainly not" is certain.
#[derive(Clone)]
pub(crate) struct Fate(Arc<AtomicU8>);

impl Fate {
    fn new() -> Self {
        Self(Arc::new(AtomicU8::new(WAITING)))
    }

    /// Before the requests leave; false when they were called back.
    pub(crate) fn set_out(&self) -> bool {
        self.0
            .compare_exchange(WAITING, UNDER_WAY, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
            || self.0.load(Ordering::Acquire) == UNDER_WAY
    }

    /// After an attempt that certainly proposed nothing, when there was no other one.
    pub(crate) fn came_back(&self) {
        // Nothing to do when it was not under way.
        let _ = self
            .0
            .compare_exchange(UNDER_WAY, WAITING, Ordering::AcqRel, Ordering::Acquire);
    }

    /// True when nothing was proposed and nothing will be.
    pub(crate) fn call_back(&self) -> bool {
        self.0
            .compare_exchange(WAITING, CALLED_BACK, Ordering::AcqRel, Ordering::Acquire)
            .is_ok()
    }
}

/// Requests that belong to one call and go into one entry.
pub(crate) struct Group<M: Machine> {
    pub(crate) requests: Vec<Bytes>,
    pub(crate) deadline: Instant,
    /// From another node: not to be sent on to a third.
    pub(crate) forwarded: bool,
    pub(crate) fate: Fate,
    reply: oneshot::Sender<Answers<M>>,
}

/// The caller's end of a group.
pub(crate) struct Pending<M: Machine> {
    fate: Fate,
    answer: oneshot::Receiver<Answers<M>>,
}

impl<M: Machine> Group<M> {
    pub(crate) fn new(requests: Vec<Bytes>, deadline: Instant, forwarded: bool) -> (Self, Pending<M>) {
        let fate = Fate::new();
        let (reply, answer) = oneshot::channel();
        let group = Self {
            requests,
            deadline,
            forwarded,
            fate: fate.clone(),
            reply,
        };
        (group, Pending { fate, answer })
    }

    pub(crate) fn bytes(&self) -> usize {
        let each = |request: &Bytes| request.len() + batch::OVERHEAD;
        self.requests.iter().map(each).sum()
    }

    pub(crate) fn answer(self, answers: Answers<M>) {
        // Whoever asked may have stopped waiting.
        drop(self.reply.send(answers));
    }
}

impl<M: Machine> Pending<M> {
    pub(crate) async fn answer(self, deadline: Instant) -> Answers<M> {
        let answer = tokio::time::timeout_at(deadline, self.answer).await;
        // A group that is too late is dropped without an answer, and may be so just before the time is up here.
        let late = Instant::now() >= deadline;
        match answer {
            Ok(Ok(answers)) => answers,
            Ok(Err(_)) if !late && self.fate.call_back() => Err(ProposeError::Stopped("it is stopping".to_owned())),
            Ok(Err(_)) if !late => Err(ProposeError::OutcomeUnknown {
                why: "this node stopped meanwhile".to_owned(),
            }),
            _ if self.fate.call_back() => Err(ProposeError::NoLeader),
            _ => Err(ProposeError::OutcomeUnknown {
                why: "no answer came in time".to_owned(),
            }),
        }
    }
}

/// Where groups are put in.
pub(crate) struct Queue<M: Machine> {
    groups: mpsc::UnboundedSender<Group<M>>,
    length: Arc<AtomicUsize>,
    limit: usize,
}

/// Where they are taken out.
pub(crate) struct Waiting<M: Machine> {
    groups: mpsc::UnboundedReceiver<Group<M>>,
    length: Arc<AtomicUsize>,
    left_over: Option<Group<M>>,
}

impl<M: Machine> Queue<M> {
    pub(crate) fn new(limit: usize) -> (Self, Waiting<M>) {
        let (sender, receiver) = mpsc::unbounded_channel();
        let length = Arc::new(AtomicUsize::new(0));
        let queue = Self {
            groups: sender,
            length: length.clone(),
            limit,
        };
        let waiting = Waiting {
            groups: receiver,
            length,
            left_over: None,
        };
        (queue, waiting)
    }

    /// `Err(true)` when it is full, `Err(false)` when it is closed.
    pub(crate) fn push(&self, group: Group<M>) -> Result<(), bool> {
        let count = group.requests.len();
        if self.length.fetch_add(count, Ordering::AcqRel) + count > self.limit {
            self.length.fetch_sub(count, Ordering::AcqRel);
            return Err(true);
        }
        self.groups.send(group).map_err(|_| false)
    }

    /// Requests that wait.
    pub(crate) fn length(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }
}

impl<M: Machine> Waiting<M> {
    /// What waits now, as much as one entry takes; waits for the first.
    pub(crate) async fn gather(&mut self, most_requests: usize, most_bytes: usize) -> Option<Vec<Group<M>>> {
        let first = match self.left_over.take() {
            Some(group) => group,
            None => self.groups.recv().await?,
        };
        let mut requests = first.requests.len();
        let mut bytes = first.bytes();
        let mut groups = vec![first];
        while let Ok(next) = self.groups.try_recv() {
            requests += next.requests.len();
            bytes += next.bytes();
            if requests > most_requests || bytes > most_bytes {
                requests -= next.requests.len();
                self.left_over = Some(next);
                break;
            }
            groups.push(next);
        }
        self.length.fetch_sub(requests, Ordering::AcqRel);
        Some(groups)
    }
}
