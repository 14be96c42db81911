//! The two clusters that are measured, and clients of them.

use std::error::Error;
use std::path::Path;
use std::time::Duration;

use fed_chaos::load::{KEYS, Store};
use fed_chaos::process::{Access, Etcd, Federation};

use super::side::Side;

/// Connections of more than one client, spread over the nodes evenly.
const CONNECTIONS: usize = 6;
/// Writes in one call while the keys are made.
const FILL: u64 = 100;

/// Both clusters; etcd where it is to be measured.
pub(super) struct Sides {
    pub(super) fed: Federation,
    pub(super) etcd: Option<Etcd>,
}

impl Sides {
    pub(super) async fn start(
        fed_node: &Path,
        etcd: Option<&Path>,
        root: &Path,
        plaintext: bool,
    ) -> Result<Self, Box<dyn Error>> {
        let fed = Federation::start(fed_node, root, 3, plaintext).await?;
        let etcd = match etcd {
            Some(program) => Some(Etcd::start(program, root, 3).await?),
            None => None,
        };
        Ok(Self { fed, etcd })
    }

    /// Makes every key on both sides.
    pub(super) async fn fill(&self) -> Result<(), Box<dyn Error>> {
        fill(&self.fed.clients(CONNECTIONS).await?).await?;
        if let Some(etcd) = &self.etcd {
            fill(&etcd.clients(CONNECTIONS).await?).await?;
        }
        Ok(())
    }

    /// Processor time of all servers of each side so far.
    pub(super) fn cpu(&self) -> (Duration, Duration) {
        let ours = self.fed.nodes.iter().filter_map(|node| node.usage().ok());
        let theirs = self.etcd.iter().flat_map(|etcd| &etcd.members);
        let theirs = theirs.filter_map(|member| member.process.usage().ok());
        (ours.map(|usage| usage.cpu).sum(), theirs.map(|usage| usage.cpu).sum())
    }
}

/// One address for each connection: the leader's first, then in turns.
pub(super) fn from_leader(nodes: &[Access], leader: usize, clients: usize) -> Vec<Access> {
    let ring = nodes.iter().cycle().skip(leader);
    ring.take(clients.min(CONNECTIONS)).cloned().collect()
}

async fn fill<S: Store>(stores: &[S]) -> Result<(), Box<dyn Error>> {
    let mut writers = tokio::task::JoinSet::new();
    for (place, store) in stores.iter().enumerate() {
        let (store, step, first) = (store.clone(), stores.len() as u64 * FILL, place as u64 * FILL);
        writers.spawn(async move {
            for first in (first..KEYS).step_by(usize::try_from(step).unwrap_or(usize::MAX)) {
                store.put_many(first, FILL.min(KEYS - first), first).await?;
            }
            Ok::<(), tonic::Status>(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written??;
    }
    Ok(())
}
