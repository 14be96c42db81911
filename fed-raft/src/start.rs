//! Starting and stopping.

use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_core::machine::Machine;
use openraft::async_runtime::watch::WatchReceiver;
use openraft::{Config as RaftConfig, SnapshotPolicy};

use crate::config::Config;
use crate::error::StartError;
use crate::identity::{self, Identity};
use crate::log::LogStore;
use crate::metrics::{Metrics, count_leaders};
use crate::node::{Leader, Life, Node, Parts};
use crate::platform::net::Listener;
use crate::platform::tasks;
use crate::propose::Queue;
use crate::raft::{Peer, Raft};
use crate::read::ReadIndex;
use crate::security::{Door, Limits, Security};
use crate::state::{State, StateMachine};
use crate::status::Role;
use crate::transport::{Channels, Network, serve};
use crate::{disk, propose, read, recover, session, upkeep};

pub(crate) async fn start<M: Machine>(config: Config, machine: M) -> Result<Arc<Node<M>>, StartError> {
    config.check()?;
    let identity = owner(&config)?;
    check_name(&config, &identity)?;
    let lock = identity::lock(&config.data_dir)?;
    recover::check_finished(&config.data_dir)?;
    let life = Life::default();
    let metrics = Arc::new(Metrics::new());

    let (failing, then) = (life.clone(), config.on_failure);
    let log = LogStore::open(
        &config.data_dir.join("log"),
        &identity,
        config.delay_sync,
        Arc::new(move |why: String| failing.fail(&why, then)),
        &metrics,
    )?;
    let state = State::open(
        &config.data_dir,
        &identity,
        machine,
        config.watch_events,
        metrics.clone(),
    )?;

    #[cfg(feature = "simulation")]
    tell_start(&log, &state).map_err(|e| identity::at(&config.data_dir, e))?;
    state.check_snapshot_ahead()?;

    fit_log_to_state(&log, &state)
        .await
        .map_err(|e| identity::at(&config.data_dir, e))?;

    let listen = |source| StartError::Listen {
        address: config.listen.clone(),
        source,
    };
    let listener = Listener::bind(&config.listen).await.map_err(listen)?;
    let bound = listener.local_addr().map_err(listen)?;
    let advertise = match config.advertise.rsplit_once(':') {
        None => bound.to_string(),
        Some((host, "0")) => format!("{host}:{}", bound.port()),
        Some(_) => config.advertise.clone(),
    };

    let channels = Channels::new(identity.clone(), config.security.clone(), metrics.clone());
    let channels = Arc::new(channels);
    let core = |e: &dyn std::fmt::Display| StartError::Core(e.to_string());
    let raft: Raft<M> = openraft::Raft::new(
        identity.node.0,
        Arc::new(raft_config(&config, &identity).validate().map_err(|e| core(&e))?),
        Network::new(channels.clone()),
        log.clone(),
        StateMachine::new(state.clone()),
    )
    .await
    .map_err(|e| core(&e))?;

    let (queue, waiting) = Queue::new(config.queue_requests);
    let (read_index, asking) = ReadIndex::new(config.queue_requests);
    let node = Arc::new(Node::new(Parts {
        config,
        identity,
        bound,
        advertise,
        raft,
        log,
        state,
        channels,
        queue,
        read_index,
        life,
        metrics,
        lock,
    }));
    found_cluster(&node).await.map_err(|e| core(&e))?;

    let tasks = &node.life.tasks;
    let here = Arc::downgrade(&node);
    let gone = Arc::new(move |id: NodeId| here.upgrade().is_some_and(|node| node.state.is_retired(id.0)));
    let limits = match node.config.security {
        Security::Plaintext => Limits::without_certificates(),
        Security::Tls(_) => Limits::default(),
    };
    let door = Door::around(listener, &node.config.security, &[b"h2"], limits, gone);
    let serving = serve(
        Arc::downgrade(&node),
        door.map_err(|e| core(&e))?,
        node.life.stop.clone(),
    );
    tasks.spawn(serving);
    tasks.spawn(propose::run(node.clone(), waiting));
    tasks.spawn(read::run(node.clone(), asking));
    tasks.spawn(session::run(node.clone()));
    tasks.spawn(upkeep::run(node.clone()));
    tasks.spawn(upkeep::check_what_is_there(node.clone()));
    tasks.spawn(count_leaders(node.clone()));
    tasks.close();
    // A simulated disk has no threads of the machine beside it.
    if !cfg!(feature = "simulation") {
        disk::start(&node).map_err(|e| core(&e))?;
    }
    tracing::info!(node = %node.id(), address = %node.bound, "the node is up");
    Ok(node)
}

#[cfg(feature = "simulation")]
fn tell_start<M: Machine>(log: &LogStore, state: &State<M>) -> std::io::Result<()> {
    let snapshot = state.last_snapshot();
    let damaged = snapshot.as_ref().filter(|snapshot| !snapshot.check());
    let damaged = damaged
        .and_then(|snapshot| snapshot.damage())
        .map(|damage| damage.to_string());
    let last = snapshot.and_then(|snapshot| snapshot.manifest.last);
    log.tell_start(state.view().applied(), last.map(Into::into), damaged)
}

/// After a crash the state may be ahead of the log. What the log lacks must then be in a snapshot: openraft takes the
/// log for purged up to there, and a node that needs those entries has to get them from somewhere.
async fn fit_log_to_state<M: Machine>(log: &LogStore, state: &Arc<State<M>>) -> std::io::Result<()> {
    let Some(applied) = state.view().applied() else {
        return Ok(());
    };
    if log.clone().fit(applied).await? {
        tracing::info!(
            index = applied.index,
            "the state is ahead of the log: a snapshot is made"
        );
        let state = state.clone();
        tasks::blocking(move || state.build_snapshot()).await?;
    }
    Ok(())
}

fn owner(config: &Config) -> Result<Identity, StartError> {
    let identity = identity::inspect(&config.data_dir)?.ok_or_else(|| StartError::Empty(config.data_dir.clone()))?;
    match config.expect_node {
        Some(expected) if expected != identity.node => Err(StartError::OtherNode {
            path: config.data_dir.clone(),
            expected,
            found: identity.node,
        }),
        _ => Ok(identity),
    }
}

/// The certificate must be this node's.
fn check_name(config: &Config, identity: &Identity) -> Result<(), StartError> {
    let Security::Tls(keyring) = &config.security else {
        return Ok(());
    };
    let (expected, found) = (identity.name(), keyring.name());
    if expected == found {
        return Ok(());
    }
    Err(StartError::OtherName { expected, found })
}

/// The first start of the first node makes the cluster.
async fn found_cluster<M: Machine>(node: &Node<M>) -> Result<(), String> {
    if !node.identity.founder || node.raft.is_initialized().await.map_err(|e| e.to_string())? {
        return Ok(());
    }
    let first = Peer {
        address: node.advertise.clone(),
        incarnation: node.identity.incarnation,
    };
    let members = std::collections::BTreeMap::from([(node.identity.node.0, first)]);
    node.raft.initialize(members).await.map_err(|e| e.to_string())
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The shortest and longest time that openraft is to draw from, in milliseconds, so that the silence before an election lies between
/// `election_min` and `election_max`. It waits for the leader's lease first, which is as long as the longest time, and only then for the time drawn.
fn election_range(config: &Config) -> (u64, u64) {
    let lease = millis(config.election_max) / 2;
    let shortest = millis(config.election_min).saturating_sub(lease);
    // It is also the time that openraft gives a voter for its answer, which a busy machine needs.
    let answer = (lease * 3 / 5).max(millis(config.heartbeat) + 1);
    (shortest.clamp(answer, lease - 1), lease)
}

fn raft_config(config: &Config, identity: &Identity) -> RaftConfig {
    let (election_timeout_min, election_timeout_max) = election_range(config);
    RaftConfig {
        cluster_name: identity.cluster.to_string(),
        heartbeat_interval: millis(config.heartbeat),
        election_timeout_min,
        election_timeout_max,
        enable_pre_vote: Some(true),
        enable_leader_restore: Some(false),
        allow_log_reversion: Some(false),
        snapshot_policy: SnapshotPolicy::Never,
        max_in_snapshot_log_to_keep: config.keep_entries,
        purge_batch_size: (config.keep_entries / 10).max(1),
        // Beyond this a snapshot is sent, before it the entries are.
        replication_lag_threshold: config.keep_entries.saturating_mul(2).max(1000),
        max_payload_entries: 1024,
        install_snapshot_timeout: 300_000,
        backoff: "50ms 100ms 200ms ...500ms".to_owned(),
        ..RaftConfig::default()
    }
}

/// Handing over, draining, stopping: each has its share of 5 s.
const HAND_OVER: Duration = Duration::from_millis(1500);
const STOP_CORE: Duration = Duration::from_millis(1500);
const DRAIN: Duration = Duration::from_millis(1000);

impl<M: Machine> Node<M> {
    pub(crate) async fn shutdown(&self) {
        if self.life.is_closing() {
            self.life.tasks.wait().await;
            return;
        }
        self.life.closing.cancel();
        // Late or not, the node stops; the others elect.
        drop(tokio::time::timeout(HAND_OVER, self.hand_over()).await);
        self.state.hub.close();
        self.life.end("it was shut down");
        match tokio::time::timeout(STOP_CORE, self.raft.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the consensus core ended badly"),
            Err(_) => tracing::warn!("the consensus core did not end in time"),
        }
        if tokio::time::timeout(DRAIN, self.life.tasks.wait()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        if let Err(error) = self.log.flush().await {
            tracing::warn!(%error, "the log was not flushed");
        }
    }

    /// Gives leadership to the voter that has most, if this node leads.
    pub(crate) async fn hand_over(&self) {
        if self.leader() != Leader::Here {
            return;
        }
        let members = self.members();
        let next = members
            .iter()
            .filter(|m| m.role == Role::Voter && self.is_alive(m))
            .min_by_key(|m| m.lag.unwrap_or(u64::MAX));
        let Some(next) = next else { return };
        if self.raft.trigger().transfer_leader(next.id.0).await.is_err() {
            return;
        }
        while self.raft.metrics().borrow_watched().state.is_leader() {
            self.leader_changed(Duration::from_millis(50)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_begins_within_the_configured_silence() {
        for (heartbeat, min, max) in [
            (150, 750, 1250),
            (5, 15, 16),
            (50, 150, 2_000),
            (100, 900, 1_000),
            (20, 1_999, 2_000),
        ] {
            let mut config = Config::new("data", "127.0.0.1:0");
            config.heartbeat = Duration::from_millis(heartbeat);
            config.election_min = Duration::from_millis(min);
            config.election_max = Duration::from_millis(max);
            config.check().expect("a configuration");
            let (shortest, longest) = election_range(&config);
            assert!(
                heartbeat < shortest && shortest < longest,
                "openraft refuses {shortest}..{longest}"
            );
            let lease = longest;
            assert!(lease + longest <= max, "{max}: {} at the latest", lease + longest);
            // With almost no room between the two, the random part matters more than the shortest time.
            assert!(
                lease + shortest >= min || max < min + heartbeat + 2,
                "{min}: {} at the soonest",
                lease + shortest
            );
        }
    }
}
