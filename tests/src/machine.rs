//! The machine under the tests: how long its processors were not there.

use std::fs;
use std::time::{Duration, Instant};

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
}
