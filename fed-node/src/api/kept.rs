//! What a node keeps in memory of its past, for clients: what it saw happen, and its last log lines.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_core::map::MapView;
use fed_proto::client as pb;
use pb::member_question::What;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tracing::Level;

use super::about::millis;
use super::drift::ask_member;
use super::node::NodeView;
use crate::diary;

/// Longest wait for another node.
const WITHIN: Duration = Duration::from_secs(5);
/// How often another node is asked on behalf of a client that follows.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// Items that may wait for a slow client; the rings hold the rest.
const WAITING: usize = 64;

/// A stream of what is kept.
pub(super) type Stream<T> = ReceiverStream<Result<T, Status>>;

/// Something that is kept under a number.
pub(super) trait Numbered: Send + 'static {
    fn number(&self) -> u64;
}

impl Numbered for pb::Happening {
    fn number(&self) -> u64 {
        self.sequence
    }
}

impl Numbered for pb::LogLine {
    fn number(&self) -> u64 {
        self.sequence
    }
}

fn last<T>(mut all: Vec<T>, count: u32) -> Vec<T> {
    let count = count as usize;
    if count > 0 && all.len() > count {
        all.drain(..all.len() - count);
    }
    all
}

/// What this node saw happen.
pub(super) fn happenings(node: &NodeView, asked: &pb::KeptRequest) -> pb::KeptHappenings {
    let kept = node.diary.after(asked.after).into_iter();
    let happenings = kept.map(|(sequence, ago, happening)| pb::Happening {
        sequence,
        ago_ms: millis(ago),
        kind: happening.kind.to_owned(),
        subject: happening.subject,
        text: happening.text,
        why: happening.why,
    });
    pb::KeptHappenings {
        happenings: last(happenings.collect(), asked.last),
    }
}

/// What this node logged.
pub(super) fn lines(asked: &pb::KeptRequest) -> Result<pb::KeptLines, String> {
    let most = level(&asked.level)?;
    let kept = diary::lines().after(asked.after).into_iter();
    let lines = kept
        .filter(|(_, line)| line.level <= most)
        .map(|(sequence, line)| pb::LogLine {
            sequence,
            ago_ms: millis(line.at.elapsed()),
            level: line.level.as_str().to_lowercase(),
            target: line.target,
            text: line.text,
        });
    Ok(pb::KeptLines {
        lines: last(lines.collect(), asked.last),
    })
}

fn level(name: &str) -> Result<Level, String> {
    if name.is_empty() {
        return Ok(Level::TRACE);
    }
    name.parse()
        .map_err(|_| format!("{name:?} is no level: write error, warn, info, debug or trace"))
}

/// The happenings of a node, and with `follow` those to come.
pub(super) fn follow_happenings(node: &Arc<NodeView>, asked: pb::EventsRequest) -> Stream<pb::Happening> {
    let (of, here) = (asked.node, is_here(node, asked.node));
    let (reader, waiter) = (node.clone(), node.clone());
    let fetch = move |after, last| {
        let node = reader.clone();
        async move {
            let kept = pb::KeptRequest {
                after,
                last,
                level: String::new(),
            };
            if here {
                return Ok(happenings(&node, &kept).happenings);
            }
            let answer = ask_member(&node, of, What::Events(kept), WITHIN).await;
            let answer: pb::KeptHappenings = answer.map_err(|status| without_answer(&node, of, &status))?;
            Ok(answer.happenings)
        }
    };
    let grown = move |after| {
        let node = waiter.clone();
        async move {
            if here {
                node.diary.grown(after).await;
            } else {
                tokio::time::sleep(ASK_EVERY).await;
            }
        }
    };
    stream(node, asked.follow, asked.last, fetch, grown)
}

/// The log lines of a node, and with `follow` those to come.
pub(super) fn follow_lines(node: &Arc<NodeView>, asked: pb::LogsRequest) -> Result<Stream<pb::LogLine>, Status> {
    level(&asked.level).map_err(Status::invalid_argument)?;
    let (of, here) = (asked.node, is_here(node, asked.node));
    let reader = node.clone();
    let level = asked.level.clone();
    let fetch = move |after, last| {
        let (node, level) = (reader.clone(), level.clone());
        async move {
            let kept = pb::KeptRequest { after, last, level };
            if here {
                return Ok(lines(&kept).map_err(Status::invalid_argument)?.lines);
            }
            let answer = ask_member(&node, of, What::Logs(kept), WITHIN).await;
            let answer: pb::KeptLines = answer.map_err(|status| without_answer(&node, of, &status))?;
            Ok(answer.lines)
        }
    };
    let grown = move |after| async move {
        if here {
            diary::lines().grown(after).await;
            // Lines that the filter leaves out wake as well: not one by one.
            tokio::time::sleep(Duration::from_millis(100)).await;
        } else {
            tokio::time::sleep(ASK_EVERY).await;
        }
    };
    Ok(stream(node, asked.follow, asked.last, fetch, grown))
}

/// What another node did not answer, with its name.
fn without_answer(node: &NodeView, id: u64, status: &Status) -> Status {
    let local = node.cluster.local();
    let record = MapView::new(&local).node(NodeId(id)).ok().flatten();
    let name = record.map_or_else(|| format!("node {id}"), |record| record.value.name);
    let text = format!(
        "no answer from {name}: {}; `fed-node status` shows who answers",
        status.message()
    );
    Status::with_metadata(status.code(), text, status.metadata().clone())
}

fn is_here(node: &NodeView, id: u64) -> bool {
    id == 0 || id == node.cluster.id().0
}

/// Sends what `fetch` gives after the last number sent; when following, again each time `grown` returns.
fn stream<T: Numbered, F, G>(
    node: &Arc<NodeView>,
    follow: bool,
    last: u32,
    fetch: impl Fn(u64, u32) -> F + Send + 'static,
    grown: impl Fn(u64) -> G + Send + 'static,
) -> Stream<T>
where
    F: Future<Output = Result<Vec<T>, Status>> + Send,
    G: Future<Output = ()> + Send,
{
    let (sender, receiver) = mpsc::channel(WAITING);
    let stop = node.stop.clone();
    tokio::spawn(async move {
        let (mut sent, mut most) = (0, last);
        loop {
            match fetch(sent, most).await {
                Ok(items) => {
                    for item in items {
                        sent = sent.max(item.number());
                        if sender.send(Ok(item)).await.is_err() {
                            return;
                        }
                    }
                }
                Err(status) => {
                    // Who is gone need not be told.
                    let _ = sender.send(Err(status)).await;
                    return;
                }
            }
            if !follow {
                return;
            }
            most = 0;
            tokio::select! {
                () = grown(sent) => {}
                () = stop.cancelled() => return,
                () = sender.closed() => return,
            }
        }
    });
    ReceiverStream::new(receiver)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_the_newest() {
        assert_eq!(last(vec![1, 2, 3], 2), [2, 3]);
        assert_eq!(last(vec![1, 2, 3], 0), [1, 2, 3]);
        assert_eq!(last(vec![1], 5), [1]);
    }

    #[test]
    fn a_level_that_there_is_not_is_refused_with_those_that_there_are() {
        assert_eq!(level("warn"), Ok(Level::WARN));
        assert!(level("loud").unwrap_err().contains("error, warn"));
    }
}
