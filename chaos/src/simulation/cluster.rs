//! The hosts of a simulation: a node on each, its clients beside it, and what they all share.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_raft::{Cluster, Config, OnFailure, StartError, simulation};

use super::machine::Kv;
use super::plan::{Plan, SPARES};
use super::{client, watcher};
use crate::operation::{Operation, Outcome};
use crate::seeded::Seeded;

pub(super) const PORT: u16 = 7400;
const PAUSE: Duration = Duration::from_millis(50);

/// What the hosts of a simulation share with whoever drives it.
pub(super) struct World {
    pub(super) plan: Plan,
    pub(super) random: Seeded,
    /// The running nodes, by host.
    pub(super) up: BTreeMap<usize, Cluster<Kv>>,
    /// The ids that the hosts' nodes have.
    pub(super) ids: BTreeMap<usize, u64>,
    /// Hosts that are to run a node.
    pub(super) wanted: BTreeSet<usize>,
    /// Hosts whose node was removed from the cluster.
    pub(super) removed: BTreeSet<usize>,
    /// Hosts that are to stop gracefully.
    pub(super) stopping: BTreeSet<usize>,
    /// What the hosts' nodes are to do.
    pub(super) orders: Vec<(usize, Order)>,
    /// Hosts that read everything at the end.
    pub(super) scanned: BTreeSet<usize>,
    pub(super) history: Vec<Operation>,
    /// Writes whose outcome is unknown and that anybody may send again.
    pub(super) retries: Vec<client::Retry>,
    /// What each acknowledged write was told of its revision.
    pub(super) acknowledged: BTreeMap<u64, u64>,
    /// Where the watchers are.
    pub(super) watchers: Vec<watcher::Position>,
    pub(super) watched: usize,
    pub(super) next_operation: u64,
    pub(super) next_client: u64,
    pub(super) violations: Vec<String>,
    /// No new operations.
    pub(super) quiet: bool,
    pub(super) notes: Vec<String>,
}

/// Something that a host's node is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Make the node the leader.
    Transfer(NodeId),
    /// Remove the node, which is that of a host.
    Remove(NodeId, usize),
    /// Read every key.
    Scan,
}

pub(super) type Shared = Rc<RefCell<World>>;

pub(super) fn host_name(host: usize) -> String {
    format!("n{host}")
}

impl World {
    pub(super) fn new(plan: Plan, seed: u64) -> Self {
        let nodes = plan.nodes;
        Self {
            plan,
            // Another sequence than the plan's.
            random: Seeded::new(!seed),
            up: BTreeMap::new(),
            ids: BTreeMap::new(),
            wanted: (1..=nodes).collect(),
            removed: BTreeSet::new(),
            stopping: BTreeSet::new(),
            orders: Vec::new(),
            scanned: BTreeSet::new(),
            history: Vec::new(),
            retries: Vec::new(),
            acknowledged: BTreeMap::new(),
            watchers: vec![watcher::Position::default(); nodes + SPARES],
            watched: 0,
            next_operation: 1,
            next_client: 1,
            violations: Vec::new(),
            quiet: false,
            notes: Vec::new(),
        }
    }

    pub(super) fn hosts(&self) -> usize {
        self.plan.nodes + SPARES
    }

    pub(super) fn note(&mut self, what: String) {
        self.notes.push(what);
    }

    /// The host that leads, as most see it: the one that says so itself in the highest term.
    pub(super) fn leader(&self) -> Option<usize> {
        let leads = self.up.iter().filter_map(|(host, node)| {
            let status = node.status();
            (status.leader == Some(node.id())).then_some((status.term, *host))
        });
        leads.max().map(|(_, host)| host)
    }

    /// Begins an operation; its outcome is unknown until [`World::finish`].
    pub(super) fn begin(&mut self, mut operation: Operation) -> usize {
        operation.outcome = Outcome::Unknown;
        self.history.push(operation);
        self.history.len() - 1
    }

    pub(super) fn finish(&mut self, at: usize, outcome: Outcome) {
        self.history[at].outcome = outcome;
        self.history[at].end_ns = now_ns();
    }
}

/// Simulated time since the beginning.
pub(super) fn now_ns() -> i64 {
    let elapsed = turmoil::sim_elapsed().unwrap_or_default();
    i64::try_from(elapsed.as_nanos()).unwrap_or(i64::MAX)
}

fn config(plan: &Plan, host: usize) -> Config {
    let name = host_name(host);
    let mut config = Config::new(PathBuf::from(format!("/{name}/data")), format!("0.0.0.0:{PORT}"));
    config.advertise = format!("{name}:{PORT}");
    config.heartbeat = Duration::from_millis(50);
    config.election_min = Duration::from_millis(250);
    config.election_max = Duration::from_millis(500);
    config.session_ttl = Duration::from_millis(600);
    config.propose_timeout = Duration::from_millis(500);
    config.target_voters = if plan.nodes >= 5 { 5 } else { 3 };
    config.snapshot_bytes = plan.snapshot_bytes;
    config.keep_entries = plan.keep_entries;
    config.watch_events = plan.watch_events;
    config.on_failure = OnFailure::StopNode;
    config
}

/// What a host runs, from each start to its end.
pub(super) async fn host(world: Shared, host: usize) -> turmoil::Result {
    loop {
        while !world.borrow().wanted.contains(&host) {
            tokio::time::sleep(PAUSE).await;
        }
        live(&world, host).await;
    }
}

async fn live(world: &Shared, host: usize) {
    let config = config(&world.borrow().plan, host);
    if let Err(why) = settle(world, host, &config).await {
        world.borrow_mut().note(format!("node {host} is not in yet: {why}"));
        tokio::time::sleep(PAUSE).await;
        return;
    }
    let node = match Cluster::start(config, Kv { node: host }).await {
        Ok(node) => node,
        Err(error @ (StartError::InUse(_) | StartError::Listen { .. })) => {
            // What ran here before is not gone yet.
            world
                .borrow_mut()
                .note(format!("node {host} does not start yet: {error}"));
            tokio::time::sleep(PAUSE).await;
            return;
        }
        Err(error) if !world.borrow().ids.contains_key(&host) => {
            // The power went while the folder was made: the remedy is to empty it and to join again.
            world
                .borrow_mut()
                .note(format!("node {host} never ran, and its folder is emptied: {error}"));
            simulation::erase(&host_name(host));
            return;
        }
        Err(error) => {
            // Only what was written before is on this disk: a node that does not start again is a bug.
            let what = format!("every node starts again: node {host}: {error}");
            world.borrow_mut().violations.push(what);
            world.borrow_mut().wanted.remove(&host);
            return;
        }
    };
    {
        let mut world = world.borrow_mut();
        world.ids.insert(host, node.id().0);
        world.up.insert(host, node.clone());
        world.note(format!("host {host} runs node {}", node.id()));
    }
    let clients = world.borrow().plan.clients;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..clients {
        tasks.spawn_local(client::run(world.clone(), host, node.clone()));
    }
    tasks.spawn_local(client::hold_session(world.clone(), node.clone()));
    tasks.spawn_local(watcher::run(world.clone(), host, node.clone()));
    loop {
        let failed = tokio::time::timeout(PAUSE, node.stopped()).await;
        if let Ok(why) = failed {
            let what = format!("a node stops only when it is told to: node {host} stopped: {why}");
            world.borrow_mut().violations.push(what);
            world.borrow_mut().wanted.remove(&host);
            break;
        }
        let orders: Vec<Order> = {
            let mut world = world.borrow_mut();
            let mine = world.orders.extract_if(.., |(to, _)| *to == host);
            mine.map(|(_, order)| order).collect()
        };
        for order in orders {
            tasks.spawn_local(obey(world.clone(), host, node.clone(), order));
        }
        let stop = world.borrow().stopping.contains(&host) || !world.borrow().wanted.contains(&host);
        if stop {
            node.shutdown().await;
            break;
        }
    }
    tasks.shutdown().await;
    let mut world = world.borrow_mut();
    world.up.remove(&host);
    world.stopping.remove(&host);
}

/// Makes sure that the host has a folder of a node: that of the first node, or one that the cluster gave.
async fn settle(world: &Shared, host: usize, config: &Config) -> Result<(), String> {
    if fed_raft::inspect(&config.data_dir)
        .map_err(|e| e.to_string())?
        .is_some()
    {
        return Ok(());
    }
    if host == 1 {
        let made = Cluster::<Kv>::init(config);
        return made.map(drop).map_err(|e| e.to_string());
    }
    let seeds: Vec<usize> = {
        let mut world = world.borrow_mut();
        let mut others: Vec<usize> = (1..host).filter(|other| !world.removed.contains(other)).collect();
        let first = world.random.below(others.len() as u64) as usize;
        others.rotate_left(first);
        others
    };
    let mut why = "nobody to ask".to_owned();
    for seed in seeds {
        match Cluster::<Kv>::join(config, &format!("{}:{PORT}", host_name(seed))).await {
            Ok(_) => return Ok(()),
            Err(error) => why = error.to_string(),
        }
    }
    Err(why)
}

async fn obey(world: Shared, host: usize, node: Cluster<Kv>, order: Order) {
    match order {
        Order::Transfer(to) => {
            // It may refuse, with reason.
            let done = node.transfer_leadership(to).await;
            world.borrow_mut().note(format!("node {to} is to lead: {done:?}"));
        }
        Order::Remove(id, of) => {
            let done = node.remove(id).await;
            let mut world = world.borrow_mut();
            world.note(format!("node {id} is to go: {done:?}"));
            if done.is_ok() {
                world.wanted.remove(&of);
                world.removed.insert(of);
            }
        }
        Order::Scan => {
            client::scan(&world, host, &node).await;
            world.borrow_mut().scanned.insert(host);
        }
    }
}
