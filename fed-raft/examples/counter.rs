//! A replicated counter on three nodes in one process: `cargo run -p fed-raft --example counter`.
//!
//! Each node counts; one is stopped; the others go on; it comes back and has everything.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fed_core::ids::{Revision, SessionId};
use fed_core::kv::{ReadStore, StoreError, Table, WriteStore};
use fed_core::machine::Machine;
use fed_raft::{Cluster, Config, Consistency, Role, WatchItem};

/// The whole state machine: one number.
struct Counter;

const NUMBERS: Table = Table(16);
const SOON: Duration = Duration::from_secs(20);

fn number(store: &dyn ReadStore) -> Result<u64, StoreError> {
    let bytes = store.get(NUMBERS, b"counter")?.unwrap_or_default();
    Ok(bytes.try_into().map_or(0, u64::from_be_bytes))
}

impl Machine for Counter {
    /// What to add.
    type Command = u64;
    /// The number after it.
    type Reply = u64;
    type Event = u64;

    fn apply(
        &self,
        _: Revision,
        add: u64,
        store: &mut dyn WriteStore,
        events: &mut Vec<u64>,
    ) -> Result<u64, StoreError> {
        let now = number(store)?.wrapping_add(add);
        store.put(NUMBERS, b"counter".to_vec(), now.to_be_bytes().to_vec());
        events.push(now);
        Ok(now)
    }

    fn forgotten(&self) -> u64 {
        0
    }

    fn open_sessions(&self, _: &dyn ReadStore) -> Result<Vec<SessionId>, StoreError> {
        Ok(Vec::new())
    }

    fn end_session(&self, _: SessionId) -> u64 {
        0
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = |name: &str| Config::new(folder.path().join(name), "127.0.0.1:0");

    // The first node makes the cluster; the others get their ids from it.
    Cluster::<Counter>::init(&config("one"))?;
    let one = Cluster::start(config("one"), Counter).await?;
    let seed = one.address().to_string();
    let mut nodes = vec![one];
    for name in ["two", "three"] {
        let identity = Cluster::<Counter>::join(&config(name), &seed).await?;
        println!("{name} is node {}", identity.node);
        nodes.push(Cluster::start(config(name), Counter).await?);
    }
    let all_vote = async {
        while nodes[0].members().iter().filter(|m| m.role != Role::Learner).count() < 3 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(SOON, all_vote).await.context("three voters")?;

    // Commands and reads work at every node alike.
    let mut watch = nodes[2].watch(Revision(0));
    for node in &nodes {
        let proposed = node.propose(5).await?;
        println!("node {} counted to {}", node.id(), proposed.reply);
    }
    for node in &nodes {
        let snapshot = node.read(Consistency::Linearizable, SOON).await?;
        ensure!(number(&snapshot)? == 15, "every node reads the same");
    }
    for expected in [5, 10, 15] {
        let item = tokio::time::timeout(SOON, watch.next()).await?;
        if let Some(WatchItem::Events { revision, events }) = item {
            println!("watched revision {revision}: {events:?}");
            ensure!(events == [expected], "in order, without gaps");
        }
    }

    // One stops: the others go on.
    let stopped = nodes.remove(0);
    stopped.shutdown().await;
    drop(stopped);
    println!("without node 1: {}", nodes[0].propose(1).await?.reply);
    ensure!(number(&nodes[1].read(Consistency::Linearizable, SOON).await?)? == 16);
    for node in nodes {
        node.shutdown().await;
    }
    Ok(())
}
