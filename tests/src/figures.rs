//! Measured durations and what is said of them.

use std::time::Duration;

/// Durations of one kind.
#[derive(Debug, Default, Clone)]
pub struct Figures {
    all: Vec<Duration>,
}

impl Figures {
    /// Adds one.
    pub fn add(&mut self, one: Duration) {
        self.all.push(one);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.all.len()
    }

    /// The value that this share (0 to 1) of all do not exceed, in milliseconds; 0 when there is none.
    pub fn percentile(&mut self, share: f64) -> f64 {
        self.all.sort_unstable();
        let rank = (share * self.all.len() as f64).ceil() as usize;
        self.all
            .get(rank.saturating_sub(1))
            .map_or(0.0, |d| d.as_secs_f64() * 1_000.0)
    }

    /// Count, median, 99th percentile and worst in a line.
    pub fn words(&mut self) -> String {
        format!(
            "{} measured, p50 {:.2} ms, p99 {:.2} ms, worst {:.2} ms",
            self.count(),
            self.percentile(0.5),
            self.percentile(0.99),
            self.percentile(1.0)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_a_value_that_was_measured() {
        let mut figures = Figures::default();
        (1..=100).rev().for_each(|n| figures.add(Duration::from_millis(n)));
        assert_eq!(
            (
                figures.percentile(0.5),
                figures.percentile(0.99),
                figures.percentile(1.0)
            ),
            (50.0, 99.0, 100.0)
        );
        assert_eq!(Figures::default().percentile(0.5), 0.0);
    }
}
