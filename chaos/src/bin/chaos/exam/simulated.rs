//! Level S: seeds of the simulation, until one shows the bug.

use std::error::Error;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fed_chaos::Verdict;

use super::Found;
use crate::replay::flags;
use crate::runner::Runner;

/// The first seed that shows the bug, tried from 1 on, as many at once as there are cores.
pub(super) fn find(runner: &Runner, bug: &str, seeds: u64) -> Result<Option<Found>, Box<dyn Error>> {
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
                    if seed > seeds {
                        return;
                    }
                    let news = match runner.run(seed, &flags(&[], Some(bug)), &over) {
                        Ok(Some(report)) if report.verdict() == Verdict::False => {
                            let by = report.violations.first().and_then(|first| first.split(':').next());
                            Ok(Some(Found {
                                seed,
                                tried: seed,
                                after: began.elapsed(),
                                simulated: Some(Duration::from_millis(report.at_ms)),
                                by: by.unwrap_or_default().to_owned(),
                            }))
                        }
                        Ok(_) => continue,
                        Err(error) => Err(error.to_string()),
                    };
                    over.store(true, Ordering::Relaxed);
                    let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                    if matches!(*found, Ok(None)) {
                        *found = news;
                    }
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    Ok(found?)
}
