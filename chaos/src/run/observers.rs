//! Those who look on: one asks every node how it is, ten times a second; others watch the changes.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use fed_proto::client as pb;
use tokio_util::sync::CancellationToken;

use super::client::connect;
use super::clients::locked;
use super::journal::{Entry, Journal, Sample};
use crate::process::Access;
use crate::seeded::Seeded;
use crate::watch::{Told, WatchLog};

/// Between two questions to one node.
const EVERY: Duration = Duration::from_millis(100);
/// A node that does not say how it is within this time is not asked over this connection again.
const PATIENCE: Duration = Duration::from_millis(1_500);

/// Asks one node how it is until told to stop, and writes the answers down.
pub(super) async fn look(journal: Journal, node: usize, address: Access, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Some(mut connection) = connect(&address).await {
            while !stop.is_cancelled() {
                let asked = connection.status(pb::StatusRequest {});
                let Ok(Ok(answer)) = tokio::time::timeout(PATIENCE, asked).await else {
                    break;
                };
                journal.write(Entry::Sample(sample(journal.now_ns(), node, answer.into_inner())));
                tokio::time::sleep(EVERY).await;
            }
        }
        tokio::time::sleep(EVERY).await;
    }
}

pub(super) fn sample(at_ns: i64, node: usize, status: pb::StatusReply) -> Sample {
    Sample {
        at_ns,
        node,
        id: status.node,
        leads: status.role == "leader",
        quorum: status.quorum,
        term: status.term,
        applied: status.applied,
        revision: status.revision,
        hash: status.state_hash,
        voters: status.members.iter().filter(|member| member.role == "voter").count(),
    }
}

/// A watcher that goes to another node whenever it is cut off, and by chance.
pub(super) struct Watcher {
    log: Mutex<WatchLog>,
    nodes: Mutex<Vec<(usize, Access)>>,
}

impl Watcher {
    pub(super) fn new(number: usize) -> Arc<Self> {
        Arc::new(Watcher {
            log: Mutex::new(WatchLog {
                watcher: format!("watcher {number}"),
                after: 0,
                must_reach: None,
                told: Vec::new(),
            }),
            nodes: Mutex::new(Vec::new()),
        })
    }

    /// From now on these nodes are asked.
    pub(super) fn ask(&self, nodes: Vec<(usize, Access)>) {
        *locked(&self.nodes) = nodes;
    }

    /// The last revision that it was told of.
    pub(super) fn position(&self) -> u64 {
        let log = locked(&self.log);
        let position = |told: &Told| match told {
            Told::Changes { revision, .. } | Told::Progress(revision) => Some(*revision),
            Told::Compacted(oldest) => Some(oldest.saturating_sub(1)),
            Told::Resumed { .. } => None,
        };
        log.told.iter().rev().find_map(position).unwrap_or(log.after)
    }

    /// What it was told, when it should have been told everything up to `must_reach`.
    pub(super) fn log(&self, must_reach: u64) -> WatchLog {
        WatchLog {
            must_reach: Some(must_reach),
            ..locked(&self.log).clone()
        }
    }

    /// Watches until told to stop.
    pub(super) async fn run(self: Arc<Self>, seed: u64, stop: CancellationToken) {
        let mut random = Seeded::new(seed);
        while !stop.is_cancelled() {
            let nodes = locked(&self.nodes).clone();
            if let Some((node, address)) = nodes.get(random.below(nodes.len() as u64) as usize) {
                // It leaves by itself after a while, so that resuming is tried without faults too.
                let stay = Duration::from_millis(2_000 + random.below(8_000));
                tokio::select! {
                    () = stop.cancelled() => return,
                    _ = tokio::time::timeout(stay, self.watch_at(*node, address)) => {}
                }
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    async fn watch_at(&self, node: usize, address: &Access) {
        let Some(mut connection) = connect(address).await else {
            return;
        };
        let after = Some(self.position());
        let Ok(stream) = connection.watch(pb::WatchRequest { after }).await else {
            return;
        };
        let mut stream = stream.into_inner();
        locked(&self.log).told.push(Told::Resumed { node: node as i64 });
        while let Ok(Some(item)) = stream.message().await {
            let told = match item.what {
                Some(pb::watch_item::What::Events(events)) => Told::Changes {
                    revision: events.revision,
                    content: format!("{:?}", events.events),
                },
                Some(pb::watch_item::What::Progress(revision)) => Told::Progress(revision),
                // The oldest revision to watch from is one that is not told any more.
                Some(pb::watch_item::What::Compacted(oldest)) => Told::Compacted(oldest + 1),
                None => return,
            };
            locked(&self.log).told.push(told);
        }
    }
}
