//! `chaos exam`: does the harness find the bugs that were planted for it, each by its level?

mod disks;
mod simulated;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fed_chaos::Verdict;

use crate::runner::Runner;

/// A planted bug, and the levels that are to find it.
struct Bug {
    name: &'static str,
    /// The plan with which level D finds it, on RocksDB and a disk that forgets.
    plan: Option<&'static str>,
}

const BUGS: [Bug; 12] = [
    simulated("local-read"),
    on_disks(
        "ack-before-fsync",
        include_str!("../../../../plans/exam/ack-before-fsync.toml"),
    ),
    on_disks(
        "vote-not-persisted",
        include_str!("../../../../plans/exam/vote-not-persisted.toml"),
    ),
    simulated("cas-outside-apply"),
    simulated("no-dedup"),
    simulated("snapshot-in-place"),
    simulated("install-keeps-deleted"),
    simulated("watch-one-too-far"),
    simulated("stale-cache"),
    simulated("id-reused"),
    simulated("apply-by-hash-order"),
    simulated("purge-too-early"),
];

const fn simulated(name: &'static str) -> Bug {
    Bug { name, plan: None }
}

const fn on_disks(name: &'static str, plan: &'static str) -> Bug {
    Bug { name, plan: Some(plan) }
}

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Exam {
    /// Only this bug.
    #[arg(long)]
    bug: Option<String>,
    /// Give up on a bug after so many seeds of the simulation.
    #[arg(long, default_value_t = 40)]
    seeds: u64,
    /// Level D as well, with this fed-node, which must be built with planted bugs (`make exam`); needs root.
    #[arg(long, value_name = "FILE")]
    fed_node: Option<PathBuf>,
    /// Give up on a bug of level D after so many seeds.
    #[arg(long, default_value_t = 5)]
    disk_seeds: u64,
    #[command(flatten)]
    runner: Runner,
}

/// How a bug was found.
struct Found {
    seed: u64,
    tried: u64,
    after: Duration,
    /// Simulated, where there is another time than the machine's.
    simulated: Option<Duration>,
    /// The promise that was broken.
    by: String,
}

impl Exam {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let asked = |bug: &&Bug| self.bug.as_deref().is_none_or(|name| name == bug.name);
        let bugs: Vec<_> = BUGS.iter().filter(asked).collect();
        if bugs.is_empty() {
            let names = BUGS.each_ref().map(|bug| bug.name).join(", ");
            return Err(format!("there is no bug of this name in the exam; there are {names}").into());
        }
        println!(
            "{:<22} level {:>5} {:>6} {:>9} {:>10}  by",
            "bug", "seed", "tried", "seconds", "simulated"
        );
        let mut missed = 0;
        for bug in &bugs {
            missed += row(
                bug.name,
                "S",
                simulated::find(&self.runner, bug.name, self.seeds)?,
                self.seeds,
            );
        }
        if let Some(fed_node) = &self.fed_node {
            for bug in bugs {
                let Some(plan) = bug.plan else { continue };
                let found = disks::find(fed_node, bug.name, plan, self.disk_seeds)?;
                missed += row(bug.name, "D", found, self.disk_seeds);
            }
        } else {
            println!("level D was not asked for: --fed-node names a fed-node with planted bugs");
        }
        // A bug that is not found is a violation of what the harness promises.
        Ok(if missed == 0 { Verdict::True } else { Verdict::False })
    }
}

/// Prints it; how many bugs were missed.
fn row(name: &str, level: &str, found: Option<Found>, seeds: u64) -> usize {
    let Some(found) = found else {
        println!("{name:<22} {level:<5} not found in {seeds} seeds");
        return 1;
    };
    let simulated = found
        .simulated
        .map_or("-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()));
    println!(
        "{name:<22} {level:<5} {:>5} {:>6} {:>9.1} {simulated:>10}  {}",
        found.seed,
        found.tried,
        found.after.as_secs_f64(),
        found.by
    );
    0
}
