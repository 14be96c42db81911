//! `chaos sim --seeds A..B`: many seeds of the simulation, as many at once as there are cores.

use std::collections::BTreeMap;
use std::error::Error;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use clap::Args;
use fed_chaos::Verdict;
use fed_chaos::simulation::report::Report;

use crate::runner::Runner;

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Sim {
    /// The seeds: `A..B`, without B.
    #[arg(long, default_value = "1..101")]
    seeds: Seeds,
    /// Seeds at once; by default as many as there are cores.
    #[arg(long)]
    jobs: Option<usize>,
    #[command(flatten)]
    runner: Runner,
}

#[derive(Clone, Copy)]
struct Seeds {
    from: u64,
    to: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seeds = text.split_once("..").and_then(|(from, to)| {
            Some(Self {
                from: from.parse().ok()?,
                to: to.parse().ok()?,
            })
        });
        let seeds = seeds.ok_or("write the seeds as A..B, for example 1..101")?;
        (seeds.from < seeds.to)
            .then_some(seeds)
            .ok_or_else(|| "there are no seeds in it".to_owned())
    }
}

#[derive(Default)]
struct Sums {
    passed: usize,
    violations: Vec<Report>,
    unknown: Vec<Report>,
    failures: Vec<String>,
    operations: usize,
    known: usize,
    leader_changes: usize,
    committed: usize,
    installed: usize,
    watched: usize,
    /// How often each kind of fault was made.
    faults: BTreeMap<String, usize>,
}

impl Sim {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        self.runner.command(0)?;
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.jobs.unwrap_or(cores).max(1);
        let began = Instant::now();
        let next = AtomicU64::new(self.seeds.from);
        let never = AtomicBool::new(false);
        let mut sums = Sums::default();
        thread::scope(|scope| {
            let (done, results) = mpsc::channel();
            for _ in 0..jobs {
                let (done, next, never) = (done.clone(), &next, &never);
                scope.spawn(move || {
                    loop {
                        let seed = next.fetch_add(1, Ordering::Relaxed);
                        if seed >= self.seeds.to {
                            return;
                        }
                        let result = self.runner.run(seed, &[], never).map_err(|error| error.to_string());
                        // Nobody listens only when this command is ending.
                        let _ = done.send((seed, result));
                    }
                });
            }
            drop(done);
            for (seed, result) in results {
                sums.take(seed, result);
            }
        });
        sums.print(self.seeds, began.elapsed().as_secs_f64());
        if sums.violations.is_empty() && !sums.failures.is_empty() {
            return Err(format!("{} seeds did not run", sums.failures.len()).into());
        }
        Ok(match (sums.violations.is_empty(), sums.unknown.is_empty()) {
            (false, _) => Verdict::False,
            (true, false) => Verdict::Unknown,
            (true, true) => Verdict::True,
        })
    }
}

impl Sums {
    fn take(&mut self, seed: u64, result: Result<Option<Report>, String>) {
        let report = match result {
            Ok(Some(report)) => report,
            Ok(None) => return,
            Err(error) => {
                println!("seed {seed}: the harness failed: {error}");
                return self.failures.push(error);
            }
        };
        self.operations += report.operations;
        self.known += report.known;
        self.leader_changes += report.leader_changes;
        self.committed += report.committed;
        self.installed += report.installed;
        self.watched += report.watched;
        for (kind, times) in &report.faults {
            *self.faults.entry(kind.clone()).or_default() += times;
        }
        match report.verdict() {
            Verdict::True => self.passed += 1,
            Verdict::False => {
                let first = report.violations.first().map_or("", String::as_str);
                println!("seed {seed}: violated at {:.3} s: {first}", report.at_ms as f64 / 1e3);
                self.violations.push(report);
            }
            Verdict::Unknown => {
                println!("seed {seed}: unknown: {}", report.too_little.as_deref().unwrap_or(""));
                self.unknown.push(report);
            }
        }
    }

    fn print(&self, seeds: Seeds, seconds: f64) {
        println!(
            "seeds {}..{} in {seconds:.0} s: {} passed, {} violated, {} unknown, {} did not run",
            seeds.from,
            seeds.to,
            self.passed,
            self.violations.len(),
            self.unknown.len(),
            self.failures.len()
        );
        println!(
            "operations {} (outcome known of {}), committed entries {}, leader changes {}, snapshots installed {}, events watched {}",
            self.operations, self.known, self.committed, self.leader_changes, self.installed, self.watched
        );
        let faults: Vec<String> = self
            .faults
            .iter()
            .map(|(kind, times)| format!("{kind} {times}"))
            .collect();
        println!("faults: {}", faults.join(", "));
        for report in &self.violations {
            println!("  chaos replay {0}    chaos minimize {0}", report.seed);
        }
    }
}
