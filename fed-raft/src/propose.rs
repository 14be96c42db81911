//! The way of a command: named, queued, joined with others into one log entry by the leader, answered.
//!
//! A batch gathers while the ones before it are under way; there is no timer. A proposal that may have reached
//! a leader is only ever sent again under the same name, so it has one effect.

mod deliver;
mod queue;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fed_core::ids::{ClientId, NodeId};
use fed_core::machine::{Machine, Request};
use tokio::time::Instant;

use crate::batch::{self, Proposed};
use crate::error::ProposeError;
use crate::node::Node;
pub(crate) use queue::{Group, Queue, Waiting};

/// When to come back when the queue is full: about the time in which it is worked off.
const RETRY_AFTER: Duration = Duration::from_millis(100);

type Answers<M> = Result<Vec<Proposed<<M as Machine>::Reply>>, ProposeError>;

impl<M: Machine> Node<M> {
    /// Proposes the commands, in entries as full as allowed, one after the other.
    pub(crate) async fn propose_many(&self, commands: Vec<M::Command>, within: Duration) -> Answers<M> {
        let begun = std::time::Instant::now();
        let answers = self.propose_in_entries(commands, within).await;
        self.metrics.proposed(begun, &answers);
        answers
    }

    async fn propose_in_entries(&self, commands: Vec<M::Command>, within: Duration) -> Answers<M> {
        self.check(&commands)?;
        let deadline = Instant::now() + within;
        let mut answers = Vec::with_capacity(commands.len());
        let mut rest = commands.into_iter().peekable();
        while rest.peek().is_some() {
            let names =
                self.lanes
                    .take(self.config.batch_requests.min(rest.len()))
                    .ok_or(ProposeError::Overloaded {
                        retry_after: RETRY_AFTER,
                    })?;
            let mut requests = Vec::new();
            let mut bytes = 0;
            for sequence in names.sequences.clone() {
                if bytes >= self.config.batch_bytes / 2 {
                    break;
                }
                let Some(command) = rest.next() else { break };
                let request = self.encode(names.client, sequence, command)?;
                bytes += request.len() + batch::OVERHEAD;
                requests.push(request);
            }
            match self.submit(requests, deadline, false).await {
                Ok(more) => answers.extend(more),
                Err(error) if answers.is_empty() => return Err(error),
                // An earlier part was applied: the whole must not be told as certainly not done.
                Err(error) => {
                    let why = format!("the first {} commands were applied, then: {error}", answers.len());
                    return Err(ProposeError::OutcomeUnknown { why });
                }
            }
        }
        Ok(answers)
    }

    pub(crate) async fn propose(
        &self,
        command: M::Command,
        within: Duration,
    ) -> Result<Proposed<M::Reply>, ProposeError> {
        let names = self.lanes.take(1).ok_or(ProposeError::Overloaded {
            retry_after: RETRY_AFTER,
        })?;
        let request = Request {
            client: names.client,
            sequence: names.sequences.start,
            command,
        };
        self.propose_request(request, within).await
    }

    pub(crate) async fn propose_request(
        &self,
        request: Request<M::Command>,
        within: Duration,
    ) -> Result<Proposed<M::Reply>, ProposeError> {
        let begun = std::time::Instant::now();
        let answer = self.propose_named(request, within).await;
        self.metrics.proposed(begun, &answer);
        answer
    }

    async fn propose_named(
        &self,
        request: Request<M::Command>,
        within: Duration,
    ) -> Result<Proposed<M::Reply>, ProposeError> {
        self.check(std::slice::from_ref(&request.command))?;
        let request = self.encode(request.client, request.sequence, request.command)?;
        let deadline = Instant::now() + within;
        let mut answers = self.submit(vec![request], deadline, false).await?;
        answers.pop().ok_or_else(|| ProposeError::OutcomeUnknown {
            why: "the leader did not answer the request".to_owned(),
        })
    }

    /// A command that makes sense only from the leader: it is not sent on to the next one.
    pub(crate) async fn propose_as_leader(
        &self,
        command: M::Command,
        within: Duration,
    ) -> Result<Proposed<M::Reply>, ProposeError> {
        let names = self.lanes.take(1).ok_or(ProposeError::Overloaded {
            retry_after: RETRY_AFTER,
        })?;
        let request = self.encode(names.client, names.sequences.start, command)?;
        let mut answers = self.submit(vec![request], Instant::now() + within, true).await?;
        answers.pop().ok_or_else(|| ProposeError::OutcomeUnknown {
            why: "the request was not answered".to_owned(),
        })
    }

    /// Requests that the node `from` sent here because it takes this one for the leader. What it may not propose is refused
    /// with all that came beside it: an honest node sends no such thing.
    pub(crate) async fn propose_forwarded(&self, from: NodeId, requests: Vec<Bytes>) -> Answers<M> {
        let machine = &self.state.machine;
        let (level, view) = (self.state.feature_level(), self.state.view());
        for request in &requests {
            let request = batch::decode_request::<M>(request).map_err(|e| ProposeError::Refused(e.to_string()))?;
            machine
                .may_propose(from, level, &*view, &request.command)
                .map_err(ProposeError::Refused)?;
            self.check(std::slice::from_ref(&request.command))?;
        }
        let deadline = Instant::now() + self.config.propose_timeout;
        self.submit(requests, deadline, true).await
    }

    /// Refuses what not all members understand, and what lets the state grow while the disk is nearly full.
    fn check(&self, commands: &[M::Command]) -> Result<(), ProposeError> {
        let machine = &self.state.machine;
        let needed = commands.iter().map(|command| machine.level_of(command)).max();
        if let Some(needed @ 2..) = needed
            && needed > self.state.feature_level()
        {
            let current = self.state.feature_level();
            return Err(ProposeError::FeatureLevel { needed, current });
        }
        let shrinks = |command| machine.shrinks(command);
        if self.disk.is_low() && !commands.iter().all(shrinks) {
            return Err(self.disk.refusal());
        }
        Ok(())
    }

    fn encode(&self, client: ClientId, sequence: u64, command: M::Command) -> Result<Bytes, ProposeError> {
        let request =
            batch::encode_request::<M>(client, sequence, command).map_err(|e| ProposeError::Refused(e.to_string()))?;
        let limit = self.config.batch_bytes;
        if request.len() + batch::OVERHEAD > limit {
            return Err(ProposeError::TooLarge {
                bytes: request.len(),
                limit,
            });
        }
        Ok(request)
    }

    async fn submit(&self, requests: Vec<Bytes>, deadline: Instant, forwarded: bool) -> Answers<M> {
        if self.life.is_closing() {
            return Err(ProposeError::Stopped(self.life.reason()));
        }
        let count = requests.len();
        let (group, waiting) = Group::new(requests, deadline, forwarded);
        self.queue.push(group).map_err(|full| {
            if full {
                ProposeError::Overloaded {
                    retry_after: RETRY_AFTER,
                }
            } else {
                ProposeError::Stopped(self.life.reason())
            }
        })?;
        let answers = waiting.answer(deadline).await?;
        if answers.len() == count {
            Ok(answers)
        } else {
            Err(ProposeError::OutcomeUnknown {
                why: format!("{count} requests got {} answers", answers.len()),
            })
        }
    }
}

/// Works the queue off until the node stops.
pub(crate) async fn run<M: Machine>(node: Arc<Node<M>>, mut waiting: Waiting<M>) {
    let slots = Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT));
    loop {
        let slot = slots
            .clone()
            .acquire_owned()
            .await
            .expect("the semaphore is never closed");
        let groups = tokio::select! {
            groups = waiting.gather(node.config.batch_requests, node.config.batch_bytes) => groups,
            () = node.life.stop.cancelled() => break,
        };
        let Some(groups) = groups else { break };
        let node_ = node.clone();
        node.life.tasks.spawn(async move {
            deliver::deliver(&node_, groups).await;
            drop(slot);
        });
    }
}

/// Batches under way at once: the next gathers, one is on the wire, one is being synced.
const IN_FLIGHT: usize = 2;
