//! The two clusters that are measured, and clients of them.

use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use fed_chaos::load::etcd::EtcdStore;
use fed_chaos::load::fed::FedStore;
use fed_chaos::load::{KEYS, Store};
use fed_chaos::process::{Etcd, Federation};

/// Connections of more than one client, spread over the nodes evenly.
const CONNECTIONS: usize = 6;
const PATIENCE: Duration = Duration::from_secs(30);
/// Writes in one call while the keys are made.
const FILL: u64 = 100;

/// Both clusters; etcd where it is to be measured.
pub(super) struct Sides {
    pub(super) fed: Federation,
    pub(super) etcd: Option<Etcd>,
}

impl Sides {
    pub(super) async fn start(fed_node: &Path, etcd: Option<&Path>, root: &Path) -> Result<Self, Box<dyn Error>> {
        let fed = Federation::start(fed_node, root, 3).await?;
        let etcd = match etcd {
            Some(program) => Some(Etcd::start(program, root, 3).await?),
            None => None,
        };
        Ok(Self { fed, etcd })
    }

    /// Makes every key on both sides.
    pub(super) async fn fill(&self) -> Result<(), Box<dyn Error>> {
        fill(&self.fed_stores(6).await?).await?;
        if self.etcd.is_some() {
            fill(&self.etcd_stores(6).await?).await?;
        }
        Ok(())
    }

    /// Connections to ours for that many clients; the first is to the leader.
    pub(super) async fn fed_stores(&self, clients: usize) -> Result<Vec<FedStore>, Box<dyn Error>> {
        let leader = self.fed.leader(PATIENCE).await?;
        let nodes: Vec<SocketAddr> = self.fed.nodes.iter().map(|node| node.addresses().client).collect();
        let mut stores = Vec::new();
        for address in from_leader(&nodes, leader, clients) {
            stores.push(FedStore::connect(address).await?);
        }
        Ok(stores)
    }

    /// The same to etcd.
    pub(super) async fn etcd_stores(&self, clients: usize) -> Result<Vec<EtcdStore>, Box<dyn Error>> {
        let Some(etcd) = &self.etcd else { return Ok(Vec::new()) };
        let leader = etcd.leader(PATIENCE).await?;
        let members: Vec<SocketAddr> = etcd.members.iter().map(|member| member.client).collect();
        let mut stores = Vec::new();
        for address in from_leader(&members, leader, clients) {
            stores.push(EtcdStore::connect(address).await?);
        }
        Ok(stores)
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
fn from_leader(nodes: &[SocketAddr], leader: usize, clients: usize) -> Vec<SocketAddr> {
    let ring = nodes.iter().cycle().skip(leader);
    ring.take(clients.min(CONNECTIONS)).copied().collect()
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
