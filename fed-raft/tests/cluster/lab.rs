//! Clusters in one process: real folders, real sockets on loopback.

use std::time::Duration;

use fed_core::ids::{NodeId, Revision};
use fed_raft::{Cluster, Config, Consistency, OnFailure, Role, StartError};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::time::Instant;

use crate::machine::{self, Command, Reply, Values};

/// Long enough for a loaded machine; nothing waits this long when all is well.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// The second step of a change of voters follows the first within milliseconds.
const SETTLED: Duration = Duration::from_millis(500);

pub struct Host {
    _folder: TempDir,
    pub config: Config,
    /// The program that it runs.
    pub machine: Values,
    pub cluster: Option<Cluster<Values>>,
    /// Its own threads, so that it can be ended from one moment to the next.
    runtime: Option<Runtime>,
}

async fn run(config: Config, machine: Values) -> (Runtime, Result<Cluster<Values>, StartError>) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("threads");
    let started = runtime.spawn(Cluster::start(config, machine)).await;
    (runtime, started.expect("the start does not panic"))
}

pub struct Lab {
    pub hosts: Vec<Host>,
    tune: fn(&mut Config),
}

impl Lab {
    /// `size` nodes, all voters.
    pub async fn of(size: usize) -> Self {
        Self::tuned(size, |_| {}).await
    }

    pub async fn tuned(size: usize, tune: fn(&mut Config)) -> Self {
        let mut lab = Self {
            hosts: Vec::new(),
            tune,
        };
        for _ in 0..size {
            lab.add().await;
        }
        let all = lab.clone_handles();
        let target = lab.hosts[0].config.target_voters.min(size);
        until("all are voters", async || {
            let voters = all[0].members();
            voters.iter().filter(|m| m.role != Role::Learner).count() >= target
        })
        .await;
        // The last change of voters has two steps, and between them the old majority is needed too: a node killed then may take it away.
        let mut last = (0, Instant::now());
        until("the members are settled", async || {
            let status = all[0].status();
            if status.applied_index < status.members_index || status.members_index != last.0 {
                last = (status.members_index, Instant::now());
            }
            last.1.elapsed() >= SETTLED
        })
        .await;
        lab
    }

    /// One more node: the first makes the cluster, the others join it over the first that is up.
    pub async fn add(&mut self) -> usize {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = Config::new(folder.path().join("data"), "127.0.0.1:0");
        config.on_failure = OnFailure::StopNode;
        config.propose_timeout = PATIENCE;
        (self.tune)(&mut config);
        match self.hosts.iter().find_map(|host| host.cluster.as_ref()) {
            None => {
                Cluster::<Values>::init(&config).expect("an empty folder");
            }
            Some(other) => {
                let seed = other.address().to_string();
                let joined = Cluster::<Values>::join(&config, &seed).await;
                joined.expect("the cluster takes it in");
            }
        }
        let (runtime, started) = run(config.clone(), Values::default()).await;
        let cluster = started.expect("starts");
        // The port stays the same over restarts.
        config.listen = cluster.address().to_string();
        let first = self.hosts.is_empty();
        self.hosts.push(Host {
            _folder: folder,
            config,
            machine: Values::default(),
            cluster: Some(cluster),
            runtime: Some(runtime),
        });
        let number = self.hosts.len() - 1;
        let me = self.node(number).clone();
        if first {
            until("the first node leads", async || me.status().leader.is_some()).await;
        } else {
            let id = me.id();
            until("the new node is let in", async || {
                me.members().iter().any(|m| m.id == id)
            })
            .await;
        }
        number
    }

    pub fn node(&self, number: usize) -> &Cluster<Values> {
        self.hosts[number].cluster.as_ref().expect("it is up")
    }

    pub fn clone_handles(&self) -> Vec<Cluster<Values>> {
        let up = self.hosts.iter().filter_map(|host| host.cluster.as_ref());
        up.cloned().collect()
    }

    pub fn id(&self, number: usize) -> NodeId {
        self.node(number).id()
    }

    /// Stops a node gracefully.
    pub async fn stop(&mut self, number: usize) {
        let cluster = self.hosts[number].cluster.take().expect("it is up");
        let begun = Instant::now();
        cluster.shutdown().await;
        assert!(begun.elapsed() < Duration::from_secs(5), "a stop takes too long");
        drop(cluster);
        self.end_runtime(number);
    }

    /// Ends a node in the middle of whatever it does.
    pub fn kill(&mut self, number: usize) {
        self.hosts[number].cluster = None;
        self.end_runtime(number);
    }

    fn end_runtime(&mut self, number: usize) {
        let runtime = self.hosts[number].runtime.take().expect("it is up");
        runtime.shutdown_background();
    }

    /// Starts a node again in its folder, as soon as that is free.
    pub async fn start(&mut self, number: usize) {
        let (config, machine) = (self.hosts[number].config.clone(), self.hosts[number].machine);
        let deadline = Instant::now() + PATIENCE;
        let (runtime, cluster) = loop {
            match run(config.clone(), machine).await {
                (runtime, Ok(cluster)) => break (runtime, cluster),
                (runtime, Err(StartError::InUse(_) | StartError::Listen { .. })) if Instant::now() < deadline => {
                    runtime.shutdown_background();
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
                (runtime, Err(error)) => {
                    runtime.shutdown_background();
                    panic!("the node does not start: {error}");
                }
            }
        };
        self.hosts[number].cluster = Some(cluster);
        self.hosts[number].runtime = Some(runtime);
    }

    /// The number of the host that leads, as all that are up see it.
    pub async fn leader(&self) -> usize {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let all = self.clone_handles();
            let leader = all[0].status().leader;
            let agreed = leader.is_some() && all.iter().all(|node| node.status().leader == leader);
            let host = self.hosts.iter().position(|host| {
                let up = host.cluster.as_ref();
                up.is_some_and(|cluster| Some(cluster.id()) == leader)
            });
            if let (true, Some(host)) = (agreed, host) {
                return host;
            }
            assert!(Instant::now() < deadline, "no leader in time");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Numbers of hosts that are up and do not lead.
    pub async fn followers(&self) -> Vec<usize> {
        let leader = self.leader().await;
        let up = |n: &usize| self.hosts[*n].cluster.is_some() && *n != leader;
        (0..self.hosts.len()).filter(up).collect()
    }

    pub async fn put(&self, at: usize, key: &str, value: &str) -> Revision {
        let command = Command::Put {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        let proposed = self.node(at).propose(command).await.expect("acknowledged");
        assert_eq!(proposed.reply, Reply::Done);
        proposed.revision
    }

    /// A linearizable read.
    pub async fn get(&self, at: usize, key: &str) -> Option<String> {
        let read = self.node(at).read(Consistency::Linearizable, PATIENCE);
        let snapshot = read.await.expect("a majority is up");
        machine::value(&snapshot, key).expect("the store works")
    }

    /// All nodes that are up come to the same revision and the same hash.
    pub async fn agree(&self) {
        let all = self.clone_handles();
        until("all nodes hold the same state", async || {
            let first = all[0].status();
            all.iter()
                .map(Cluster::status)
                .all(|status| status.revision == first.revision && status.state_hash == first.state_hash)
        })
        .await;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            host.cluster = None;
            if let Some(runtime) = host.runtime.take() {
                runtime.shutdown_background();
            }
        }
    }
}

/// Polls until the condition holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
