//! Level P: real `fed-node` processes under faults, as a [`Plan`] says, with clients whose history is judged afterwards.
//!
//! [`run`] does all of it. `arena.rs` is the cluster, `director.rs` carries out the steps, `clients.rs` and `observers.rs` are those who
//! ask, `journal.rs` keeps what happened, `judge` says what that proves.

mod arena;
mod client;
mod clients;
mod clock_file;
mod clocks;
mod director;
mod disks;
mod done;
pub mod journal;
mod judge;
pub mod lab;
mod members;
mod observers;
mod probe;
mod roles;
mod storm;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

pub use arena::{Arena, Setup};
pub use judge::{Finding, Judgement};

use crate::disk::DiskError;
use crate::network::{Network, NetworkError};
use crate::plan::Plan;
use crate::process::ProcessError;
use crate::recorder::{Recorder, RecorderError};
use crate::seeded::Seeded;
use clients::Clients;
use director::Director;
use journal::{Entry, Journal};
use observers::Watcher;

/// The name of the history in the folder of a run.
pub const HISTORY: &str = "history.jsonl";
/// The name of the journal.
pub const JOURNAL: &str = "journal.jsonl";
/// The name of the plan.
pub const PLAN: &str = "plan.toml";
/// The name of the verdict.
pub const VERDICT: &str = "verdict.json";

/// How long the nodes may take to agree when all faults are over, before that is given up.
const AGREE: Duration = Duration::from_secs(60);

/// The harness itself failed; says nothing about the product.
#[derive(Debug, thiserror::Error)]
pub enum RunFailure {
    /// The network.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// A process that must start did not.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// The history.
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    /// The history cannot be read again.
    #[error(transparent)]
    History(#[from] crate::history::HistoryError),
    /// A disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The plan asks for something that cannot be done.
    #[error("the plan: {0}")]
    Plan(String),
    /// Something that must be installed is not.
    #[error("{0}")]
    Missing(String),
    /// A file.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Somebody ended it.
    #[error("interrupted")]
    Interrupted,
    /// The journal, or a task of the harness.
    #[error("{0}")]
    Broken(String),
}

/// Carries out a plan with the `fed-node` given, and judges it. Everything of the run is written into `folder`, which must exist.
/// `said` is told what happens, as it happens.
///
/// # Errors
/// [`RunFailure`]: the harness failed.
pub fn run(plan: &Plan, binary: &Path, folder: &Path, said: impl Fn(&str) + Sync) -> Result<Judgement, RunFailure> {
    std::fs::write(folder.join(PLAN), plan.to_toml()).map_err(|error| at(&folder.join(PLAN), error))?;
    // A thread of its own, because it moves to the clients' place for good.
    std::thread::scope(|scope| {
        let inside = scope.spawn(|| carry_out(plan, binary, folder, &said));
        inside
            .join()
            .unwrap_or_else(|_| Err(RunFailure::Broken("the director panicked".into())))
    })?;
    let judgement = judge::judge(plan, folder)?;
    let text = serde_json::to_string_pretty(&judgement).map_err(|error| RunFailure::Broken(error.to_string()))?;
    std::fs::write(folder.join(VERDICT), text).map_err(|error| at(&folder.join(VERDICT), error))?;
    Ok(judgement)
}

fn carry_out(plan: &Plan, binary: &Path, folder: &Path, said: &dyn Fn(&str)) -> Result<(), RunFailure> {
    let spare = plan.most_nodes() - plan.nodes;
    let network = Network::make(plan.backend, plan.nodes + spare, plan.seed)?;
    network.enter_clients_place()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    let runtime = runtime.map_err(|error| RunFailure::Broken(format!("the clients' runtime: {error}")))?;
    let setup = Setup {
        binary: binary.to_owned(),
        backend: plan.backend,
        nodes: plan.nodes,
        spare,
        seed: plan.seed,
        clocks: plan.clocks,
        disks: plan.disks,
        flags: plan.flags.clone(),
    };
    said(&format!("starting {} nodes", plan.nodes));
    let arena = Arena::start(network, setup, &runtime)?;
    let nodes_folder = arena.folder().to_owned();
    let result = under_load(plan, arena, &runtime, folder, said);
    // The logs are of use when something went wrong, the data are not.
    keep_logs(&nodes_folder, folder);
    let _ = std::fs::remove_dir_all(&nodes_folder);
    result
}

fn under_load(
    plan: &Plan,
    arena: Arena,
    runtime: &tokio::runtime::Runtime,
    folder: &Path,
    said: &dyn Fn(&str),
) -> Result<(), RunFailure> {
    let origin = Instant::now();
    let journal = Journal::create(&folder.join(JOURNAL), origin).map_err(|error| at(&folder.join(JOURNAL), error))?;
    let recorder = Recorder::with_clock(&folder.join(HISTORY), move || {
        i64::try_from(origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
    })?;
    let (stop, stop_looking) = (CancellationToken::new(), CancellationToken::new());
    let clients = Clients::new(recorder.clone(), plan.load, stop.clone());
    let watchers: Vec<Arc<Watcher>> = (1..=plan.load.watchers).map(Watcher::new).collect();
    let mut seeds = Seeded::new(plan.seed);
    let mut director = Director::new(
        arena,
        journal.clone(),
        seeds.bits(),
        runtime,
        stop_looking.clone(),
        said,
    );
    director.tell_addresses(&clients, &watchers);
    let working: Vec<_> = (0..plan.load.clients)
        .map(|number| runtime.spawn(clients.clone().run(number, seeds.bits())))
        .collect();
    let watching: Vec<_> = watchers
        .iter()
        .map(|watcher| runtime.spawn(watcher.clone().run(seeds.bits(), stop_looking.clone())))
        .collect();

    let played = director.play(plan, &clients, &watchers);
    stop.cancel();
    for client in working {
        runtime
            .block_on(client)
            .map_err(|error| RunFailure::Broken(error.to_string()))??;
    }
    played?;
    said("all faults are over");
    let revision = director.settle(AGREE)?;
    let unread = runtime.block_on(clients.read_all(seeds.bits()))?;
    journal.write(Entry::FinalScan {
        keys: clients.keys().len(),
        unread,
    });
    let revision = revision.max(director.revision());
    let caught_up = Instant::now() + Duration::from_secs(10);
    while watchers.iter().any(|watcher| watcher.position() < revision) && Instant::now() < caught_up {
        std::thread::sleep(Duration::from_millis(20));
    }
    stop_looking.cancel();
    for watcher in watching {
        let _ = runtime.block_on(watcher);
    }
    recorder.finish()?;
    let logs: Vec<_> = watchers.iter().map(|watcher| watcher.log(revision)).collect();
    let acknowledged: Vec<_> = clients
        .acknowledged()
        .into_iter()
        .map(|revision| (revision, None))
        .collect();
    let watched = crate::watch::check(&logs, &acknowledged);
    director.finish(watched, clients.refused())
}

/// Copies the logs of the nodes, which are named `log`, into the folder of the run.
fn keep_logs(nodes: &Path, folder: &Path) {
    for node in std::fs::read_dir(nodes).into_iter().flatten().flatten() {
        let to = folder.join(format!("{}.log", node.file_name().to_string_lossy()));
        let _ = std::fs::copy(node.path().join("log"), to);
    }
}

pub(crate) fn at(path: &Path, source: std::io::Error) -> RunFailure {
    RunFailure::File {
        path: path.to_owned(),
        source,
    }
}
