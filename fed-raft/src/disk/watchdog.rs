//! When a probe is too late. Pure: the caller brings the time.

use std::time::Duration;

/// What follows from a look at the probe.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Fine,
    /// This node should not lead. Said again after as long, for nobody may have been there to take over.
    HandOver,
    /// This node must not go on.
    Stop,
}

/// Adds up how long one probe takes, in time in which this process ran: a process that was paused must not blame the
/// disk.
#[derive(Debug)]
pub(super) struct Watchdog {
    hand_over: Duration,
    stop: Duration,
    longest_step: Duration,
    probe: u64,
    waited: Duration,
    /// When it is said next that this node should not lead.
    next: Duration,
}

impl Watchdog {
    /// Looks are `step` apart.
    pub(super) fn new(hand_over: Duration, stop: Duration, step: Duration) -> Self {
        Self {
            hand_over,
            stop,
            longest_step: step * 5,
            probe: 0,
            waited: Duration::ZERO,
            next: hand_over,
        }
    }

    /// `under_way` is the number of the probe under way, 0 for none; `passed` the time since the last look.
    pub(super) fn look(&mut self, under_way: u64, passed: Duration) -> Verdict {
        if under_way == 0 || under_way != self.probe {
            self.probe = under_way;
            self.waited = Duration::ZERO;
            self.next = self.hand_over;
            return Verdict::Fine;
        }
        self.waited += passed.min(self.longest_step);
        if self.waited >= self.stop {
            return Verdict::Stop;
        }
        if self.waited >= self.next {
            self.next = self.waited + self.hand_over;
            return Verdict::HandOver;
        }
        Verdict::Fine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = Duration::from_millis(100);

    fn watchdog() -> Watchdog {
        Watchdog::new(Duration::from_secs(2), Duration::from_secs(10), STEP)
    }

    #[test]
    fn a_late_probe_costs_the_leadership_until_somebody_takes_it_and_a_dead_one_the_node() {
        let mut watchdog = watchdog();
        let verdicts: Vec<Verdict> = (0..=100).map(|_| watchdog.look(7, STEP)).collect();
        let told: Vec<usize> = (0..=100).filter(|at| verdicts[*at] == Verdict::HandOver).collect();
        assert_eq!(told, [20, 40, 60, 80]);
        assert_eq!(verdicts.iter().position(|v| *v == Verdict::Stop), Some(100));
    }

    #[test]
    fn the_next_probe_starts_from_nothing() {
        let mut watchdog = watchdog();
        for probe in 1..200 {
            for _ in 0..15 {
                assert_eq!(watchdog.look(probe, STEP), Verdict::Fine);
            }
            assert_eq!(watchdog.look(0, STEP), Verdict::Fine);
        }
    }

    #[test]
    fn time_in_which_the_process_was_paused_does_not_count() {
        let mut watchdog = watchdog();
        assert_eq!(watchdog.look(1, STEP), Verdict::Fine);
        assert_eq!(watchdog.look(1, Duration::from_secs(3600)), Verdict::Fine);
        assert_eq!(watchdog.look(1, STEP), Verdict::Fine);
    }
}
