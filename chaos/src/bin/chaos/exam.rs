//! `chaos exam`: does the harness find the bugs that were planted for it?

use std::error::Error;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use fed_chaos::Verdict;
use fed_chaos::simulation::report::Report;

use crate::replay::flags;
use crate::runner::Runner;

/// The bugs of the exam, and the levels that are to find them.
const BUGS: [(&str, &str); 12] = [
    ("local-read", "S"),
    ("ack-before-fsync", "S; D with RocksDB"),
    ("vote-not-persisted", "S; D with RocksDB"),
    ("cas-outside-apply", "S"),
    ("no-dedup", "S"),
    ("snapshot-in-place", "S; D with RocksDB"),
    ("install-keeps-deleted", "S"),
    ("watch-one-too-far", "S"),
    ("stale-cache", "S"),
    ("id-reused", "S"),
    ("apply-by-hash-order", "S"),
    ("purge-too-early", "S; D with RocksDB"),
];

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Exam {
    /// Only this bug.
    #[arg(long)]
    bug: Option<String>,
    /// Give up on a bug after so many seeds.
    #[arg(long, default_value_t = 40)]
    seeds: u64,
    #[command(flatten)]
    runner: Runner,
}

struct Found {
    report: Report,
    after: Duration,
    tried: u64,
}

impl Exam {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let asked = |(name, _): &&(&str, &str)| self.bug.as_deref().is_none_or(|bug| bug == *name);
        let bugs: Vec<_> = BUGS.iter().filter(asked).collect();
        if bugs.is_empty() {
            return Err("there is no bug of this name in the exam".into());
        }
        println!(
            "{:<22} {:<18} {:>5} {:>6} {:>9} {:>10}  by",
            "bug", "level", "seed", "tried", "seconds", "simulated"
        );
        let mut missed = 0;
        for (name, level) in bugs {
            match self.find(name)? {
                Some(Found { report, after, tried }) => {
                    let by = report.violations.first().and_then(|first| first.split(':').next());
                    println!(
                        "{name:<22} {level:<18} {:>5} {tried:>6} {:>9.1} {:>8.1} s  {}",
                        report.seed,
                        after.as_secs_f64(),
                        report.at_ms as f64 / 1e3,
                        by.unwrap_or_default()
                    );
                }
                None => {
                    missed += 1;
                    println!("{name:<22} {level:<18} not found in {} seeds", self.seeds);
                }
            }
        }
        // A bug that is not found is a violation of what the harness promises.
        Ok(if missed == 0 { Verdict::True } else { Verdict::False })
    }

    /// The first seed that shows the bug, tried from 1 on, as many at once as there are cores.
    fn find(&self, bug: &str) -> Result<Option<Found>, Box<dyn Error>> {
        let began = Instant::now();
        let next = AtomicU64::new(1);
        let over = AtomicBool::new(false);
        let found: Mutex<Result<Option<Found>, String>> = Mutex::new(Ok(None));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            for _ in 0..cores {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed > self.seeds {
                            return;
                        }
                        let news = match self.runner.run(seed, &flags(&[], Some(bug)), &over) {
                            Ok(Some(report)) if report.verdict() == Verdict::False => Ok(Some(Found {
                                report,
                                after: began.elapsed(),
                                tried: seed,
                            })),
                            Ok(_) => continue,
                            Err(error) => Err(error.to_string()),
                        };
                        over.store(true, Ordering::Relaxed);
                        let mut found = found.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                        if matches!(*found, Ok(None)) {
                            *found = news;
                        }
                    }
                });
            }
        });
        let found = found.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        Ok(found?)
    }
}
