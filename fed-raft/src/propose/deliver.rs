//! Bringing a batch to the leader, wherever that is, until it is answered or too late.

use std::time::Duration;

use fed_core::ids::Revision;
use fed_core::machine::Machine;
use fed_proto::peer as proto;
use openraft::errors::{ClientWriteError, RaftError};
use proto::propose_reply::Result as Reply;
use tokio::time::Instant;

use super::Group;
use crate::batch::{self, Proposed};
use crate::error::ProposeError;
use crate::node::{Leader, Node};
use crate::raft::Applied;
use crate::transport::{Lane, never_sent};

/// Between two looks for a leader.
const PAUSE: Duration = Duration::from_millis(50);
/// One attempt with one leader takes no longer; then it may be another one.
const ATTEMPT: Duration = Duration::from_secs(2);

/// What one attempt gave.
enum Attempt<M: Machine> {
    Answered(Vec<Proposed<M::Reply>>),
    /// Nothing was proposed.
    Certainly(Why),
    /// It may have been.
    Perhaps(String),
    /// No other attempt makes sense.
    Refused(ProposeError),
}

enum Why {
    NotLeader,
    Overloaded(Duration),
}

pub(super) async fn deliver<M: Machine>(node: &Node<M>, mut groups: Vec<Group<M>>) {
    let mut perhaps: Option<String> = None;
    loop {
        groups = drop_late(groups);
        if groups.is_empty() {
            return;
        }
        if node.life.stop.is_cancelled() {
            return answer_all(groups, &stopped(node, perhaps));
        }
        let attempt = match node.leader() {
            Leader::Here => {
                groups.retain(|group| group.fate.set_out());
                write(node, &groups).await
            }
            // A leader that is silent answers no request either; what is sent to it may be done or not, and nobody could say.
            Leader::There { .. } if node.is_cut_off() => {
                groups = hand_back_forwarded(groups);
                node.leader_changed(PAUSE).await;
                continue;
            }
            Leader::There { id, address } => {
                groups = hand_back_forwarded(groups);
                groups.retain(|group| group.fate.set_out());
                forward(node, id, &address, &groups).await
            }
            Leader::Unknown => {
                groups = hand_back_forwarded(groups);
                node.leader_changed(PAUSE).await;
                continue;
            }
        };
        match attempt {
            Attempt::Answered(answers) => return hand_out(groups, answers),
            Attempt::Refused(error) => {
                // An earlier attempt may have been proposed: nothing is certain any more.
                let error = perhaps.map_or(error, |why| ProposeError::OutcomeUnknown { why });
                return answer_all(groups, &error);
            }
            Attempt::Perhaps(why) => {
                perhaps = Some(why);
                tokio::time::sleep(PAUSE).await;
            }
            Attempt::Certainly(why) => {
                if perhaps.is_none() {
                    groups.iter().for_each(|group| group.fate.came_back());
                    if let Why::Overloaded(retry_after) = why {
                        return answer_all(groups, &ProposeError::Overloaded { retry_after });
                    }
                }
                node.leader_changed(PAUSE).await;
            }
        }
    }
}

/// Puts the batch into the log of this node, the leader.
async fn write<M: Machine>(node: &Node<M>, groups: &[Group<M>]) -> Attempt<M> {
    let requests: Vec<_> = groups.iter().flat_map(|group| &group.requests).collect();
    if requests.is_empty() {
        return Attempt::Answered(Vec::new());
    }
    let batch = batch::join(requests.iter().copied());
    node.metrics.batch_requests.observe(requests.len() as f64);
    node.metrics.batch_bytes.observe(batch.0.len() as f64);
    let begun = std::time::Instant::now();
    let latest = groups.iter().map(|group| group.deadline).max();
    let written = node.raft.client_write(batch);
    let until = latest.unwrap_or_else(Instant::now);
    match tokio::time::timeout_at(until, written).await {
        Ok(Ok(response)) => match response.data {
            Applied::Answers(answers) => match answers.downcast::<Vec<Proposed<M::Reply>>>() {
                Ok(answers) => {
                    node.metrics.commit.observe(begun.elapsed().as_secs_f64());
                    Attempt::Answered(*answers)
                }
                Err(_) => Attempt::Perhaps("the answer is of another machine".to_owned()),
            },
            Applied::Nothing => Attempt::Perhaps("the entry was no batch".to_owned()),
        },
        // openraft rejects before it appends; its own documentation says so only since 0.10, and a request
        // that is sent again keeps its name, so nothing is lost by doubting it.
        Ok(Err(RaftError::APIError(ClientWriteError::ForwardToLeader(_)))) => {
            Attempt::Perhaps("this node lost the leadership".to_owned())
        }
        Ok(Err(error)) => Attempt::Perhaps(error.to_string()),
        Err(_) => Attempt::Perhaps("no majority confirmed it in time".to_owned()),
    }
}

async fn forward<M: Machine>(node: &Node<M>, leader: u64, address: &str, groups: &[Group<M>]) -> Attempt<M> {
    let requests: Vec<_> = groups.iter().flat_map(|group| group.requests.iter().cloned()).collect();
    if requests.is_empty() {
        return Attempt::Answered(Vec::new());
    }
    let mut client = match node.channels.client(leader, address, Lane::Client) {
        Ok(client) => client,
        Err(_) => return Attempt::Certainly(Why::NotLeader),
    };
    let message = proto::ProposeRequest { requests };
    let call = client.propose(node.channels.request(leader, message));
    let answered = tokio::select! {
        answered = tokio::time::timeout(ATTEMPT, call) => answered,
        () = node.life.stop.cancelled() => {
            return Attempt::Perhaps(format!("this node stopped before leader {leader} had answered"));
        }
        () = node.led_by_another(leader) => {
            return Attempt::Perhaps(format!("leader {leader} had not answered when another took over"));
        }
    };
    let reply = match answered {
        Ok(Ok(reply)) => reply.into_inner().result,
        Ok(Err(status)) if never_sent(&status) => return Attempt::Certainly(Why::NotLeader),
        Ok(Err(status)) => return Attempt::Perhaps(status.message().to_owned()),
        Err(_) => return Attempt::Perhaps(format!("leader {leader} did not answer")),
    };
    match reply {
        Some(Reply::Answers(answers)) => decode::<M>(answers),
        Some(Reply::NotLeader(_)) => Attempt::Certainly(Why::NotLeader),
        Some(Reply::Overloaded(overloaded)) => Attempt::Certainly(Why::Overloaded(Duration::from_millis(u64::from(
            overloaded.retry_after_ms,
        )))),
        Some(Reply::Unknown(why)) => Attempt::Perhaps(why),
        Some(Reply::Refused(why)) => Attempt::Refused(ProposeError::Refused(why)),
        Some(Reply::LowSpace(low)) => Attempt::Refused(ProposeError::LowSpace {
            path: low.folder.into(),
            free: low.free,
            needed: low.needed,
        }),
        None => Attempt::Perhaps("the leader's answer is empty".to_owned()),
    }
}

fn decode<M: Machine>(answers: proto::propose_reply::Answers) -> Attempt<M> {
    let decoded = answers
        .answers
        .into_iter()
        .map(|answer| {
            let reply = batch::decode_reply::<M>(&answer.reply)?;
            Ok(Proposed {
                reply,
                revision: Revision(answer.revision),
                duplicate: answer.duplicate,
            })
        })
        .collect::<Result<Vec<_>, fed_core::codec::CodecError>>();
    match decoded {
        Ok(answers) => Attempt::Answered(answers),
        // The command was applied; only its answer is lost on this version.
        Err(error) => Attempt::Refused(ProposeError::OutcomeUnknown {
            why: format!("the leader's reply cannot be read here: {error}"),
        }),
    }
}

/// Gives each group its part of the answers, in order.
fn hand_out<M: Machine>(groups: Vec<Group<M>>, answers: Vec<Proposed<M::Reply>>) {
    let mut answers = answers.into_iter();
    for group in groups {
        let part = answers.by_ref().take(group.requests.len()).collect();
        group.answer(Ok(part));
    }
}

fn answer_all<M: Machine>(groups: Vec<Group<M>>, error: &ProposeError) {
    for group in groups {
        group.answer(Err(error.clone()));
    }
}

/// What came from another node goes back to it: it knows better where to go next.
fn hand_back_forwarded<M: Machine>(groups: Vec<Group<M>>) -> Vec<Group<M>> {
    let (forwarded, own): (Vec<_>, Vec<_>) = groups.into_iter().partition(|g| g.forwarded);
    for group in forwarded {
        let error = if group.fate.call_back() {
            ProposeError::NoLeader
        } else {
            ProposeError::OutcomeUnknown {
                why: "the leader lost its leadership meanwhile".to_owned(),
            }
        };
        group.answer(Err(error));
    }
    own
}

/// Whoever asked has gone; the group must not be proposed any more.
fn drop_late<M: Machine>(groups: Vec<Group<M>>) -> Vec<Group<M>> {
    let now = Instant::now();
    groups.into_iter().filter(|group| group.deadline > now).collect()
}

fn stopped<M: Machine>(node: &Node<M>, perhaps: Option<String>) -> ProposeError {
    match perhaps {
        Some(why) => ProposeError::OutcomeUnknown { why },
        None => ProposeError::Stopped(node.life.reason()),
    }
}
