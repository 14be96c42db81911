//! The machine under the tests: how long its processors were not there, how long a process had one, and how much of its memory it has.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// What one tick of `/proc/stat` stands for on every Linux that Debian builds.
const TICK: Duration = Duration::from_millis(10);

/// The column of `/proc/stat` that counts ticks in which a processor was wanted and the host ran something else.
const STEAL: usize = 8;

/// From a moment on, how long the host took a processor away. A promise of seconds is made by a machine that has its processors.
#[derive(Debug, Clone)]
pub struct Stolen {
    since: Instant,
    before: Vec<u64>,
}

impl Stolen {
    /// Counts from now.
    pub fn from_now() -> Self {
        Self {
            since: Instant::now(),
            before: steal(&stat()),
        }
    }

    /// The moment from which it counts.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// The time that was taken from the processor that lost most; zero where the system does not tell.
    pub fn so_far(&self) -> Duration {
        most(&self.before, &steal(&stat()))
    }
}

/// The time that a process has had a processor for since it started, all its threads together, to a hundredth of a second (proc(5), `utime`
/// and `stime`); zero for one that is not there.
pub fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    TICK * u32::try_from(ticks_used(&stat)).unwrap_or(u32::MAX)
}

/// The memory that a process has now (`VmRSS`), in KiB.
///
/// # Errors
/// When there is no such process.
pub fn memory_kib(pid: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).with_context(|| format!("process {pid}"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    Ok(kib.context("no VmRSS")?.parse()?)
}

/// Fields 14 and 15; the second, the name in parentheses, may have spaces.
fn ticks_used(stat: &str) -> u64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = after_name.split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

fn stat() -> String {
    fs::read_to_string("/proc/stat").unwrap_or_default()
}

/// Ticks stolen from each processor since the machine started.
fn steal(stat: &str) -> Vec<u64> {
    stat.lines()
        .filter(|line| line.starts_with("cpu") && !line.starts_with("cpu "))
        .map(|line| line.split_whitespace().nth(STEAL).and_then(|ticks| ticks.parse().ok()))
        .map(Option::unwrap_or_default)
        .collect()
}

fn most(before: &[u64], now: &[u64]) -> Duration {
    let ticks = before.iter().zip(now).map(|(before, now)| now.saturating_sub(*before));
    TICK * u32::try_from(ticks.max().unwrap_or_default()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_processor_that_lost_most_counts() {
        let before = steal("cpu  9 9 9 9 9 9 9 30 0 0\ncpu0 1 1 1 1 1 1 1 10 0 0\ncpu1 1 1 1 1 1 1 1 20 0 0\nintr 5\n");
        assert_eq!(before, [10, 20]);
        assert_eq!(most(&before, &[15, 140]), Duration::from_millis(1_200));
        assert_eq!(most(&before, &[10, 20]), Duration::ZERO);
        assert_eq!(most(&steal(""), &[]), Duration::ZERO);
    }

    #[test]
    fn a_process_has_memory_and_one_that_is_not_there_has_none_to_tell() {
        assert!(memory_kib(std::process::id()).is_ok_and(|kib| kib > 0));
        assert!(memory_kib(u32::MAX).is_err());
    }

    #[test]
    fn a_processs_ticks_are_found_behind_any_name() {
        let stat = "7 (a (b) c) S 1 7 7 0 -1 4194560 100 0 0 0 25 17 3 2 20 0 1 0 100 1000 10";
        assert_eq!(ticks_used(stat), 42);
        assert_eq!(ticks_used(""), 0);
    }
}
