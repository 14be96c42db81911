//! What becomes of each packet on each wire: decided here, from a seed, without a clock of its own.

use crate::network::{Tally, Wires};
use crate::seeded::Seeded;

/// A wire with limited bandwidth holds so much before it loses packets.
const QUEUE_US: u64 = 250_000;

/// What becomes of one packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// It never arrives.
    Lost,
    /// It waits until the wire is no longer clogged.
    Held,
    /// It arrives at these moments: once, or twice.
    Arrives(Vec<u64>),
}

/// All wires with their state.
pub(super) struct Traffic {
    wires: Wires,
    links: Vec<Link>,
    tally: Tally,
}

struct Link {
    random: Seeded,
    /// Until when earlier packets occupy the wire.
    busy_until: u64,
    /// When the last packet that keeps its order arrives.
    last_arrival: u64,
}

impl Traffic {
    pub(super) fn new(nodes: usize, seed: u64) -> Self {
        let mut seeds = Seeded::new(seed);
        let link = |_| Link {
            random: Seeded::new(seeds.bits()),
            busy_until: 0,
            last_arrival: 0,
        };
        Traffic {
            wires: Wires::whole(nodes),
            links: (0..nodes * nodes).map(link).collect(),
            tally: Tally::default(),
        }
    }

    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    pub(super) fn set(&mut self, wires: &Wires) {
        self.wires = wires.clone();
    }

    pub(super) fn clogged(&self, from: usize, to: usize) -> bool {
        self.wires.get(from, to).clogged
    }

    /// A packet of `bytes` bytes is sent now; times are microseconds.
    pub(super) fn packet(&mut self, from: usize, to: usize, bytes: usize, now: u64) -> Fate {
        let wire = self.wires.get(from, to);
        if wire == crate::network::Wire::default() {
            return Fate::Arrives(vec![now]);
        }
        let link = &mut self.links[from * self.wires.nodes() + to];
        if wire.cut {
            self.tally.cut += 1;
            return Fate::Lost;
        }
        if chance(&mut link.random, wire.loss_percent) {
            return Fate::Lost;
        }
        if wire.clogged {
            self.tally.clogged += 1;
            return Fate::Held;
        }
        let sent = if wire.kbit_per_s > 0 {
            let start = link.busy_until.max(now);
            if start - now > QUEUE_US {
                return Fate::Lost;
            }
            link.busy_until = start + bytes as u64 * 8_000 / u64::from(wire.kbit_per_s);
            link.busy_until
        } else {
            now
        };
        let late = sent + micros(wire.delay_ms) + link.random.below(micros(wire.jitter_ms) + 1);
        let arrival = if chance(&mut link.random, wire.reorder_percent) {
            sent
        } else {
            link.last_arrival = link.last_arrival.max(late);
            link.last_arrival
        };
        let mut arrivals = vec![arrival];
        if chance(&mut link.random, wire.duplicate_percent) {
            arrivals.push(arrival + micros(wire.jitter_ms));
        }
        Fate::Arrives(arrivals)
    }
}

fn micros(ms: f64) -> u64 {
    (ms * 1_000.0) as u64
}

fn chance(random: &mut Seeded, percent: f64) -> bool {
    percent > 0.0 && random.below(100_000) < (percent * 1_000.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Wire;

    fn traffic(seed: u64, wire: Wire) -> Traffic {
        let mut wires = Wires::whole(2);
        *wires.get_mut(0, 1) = wire;
        let mut traffic = Traffic::new(2, seed);
        traffic.set(&wires);
        traffic
    }

    fn fates(seed: u64, wire: Wire) -> Vec<Fate> {
        let mut traffic = traffic(seed, wire);
        (0..1_000).map(|n| traffic.packet(0, 1, 1_000, n * 100)).collect()
    }

    #[test]
    fn a_seed_means_the_same_fates() {
        let bad = Wire {
            loss_percent: 20.0,
            jitter_ms: 3.0,
            duplicate_percent: 10.0,
            reorder_percent: 10.0,
            ..Wire::default()
        };
        assert_eq!(fates(7, bad), fates(7, bad));
        assert_ne!(fates(7, bad), fates(8, bad));
        let lost = fates(7, bad).iter().filter(|fate| **fate == Fate::Lost).count();
        assert!((150..250).contains(&lost), "{lost} of 1000 lost at 20 %");
    }

    #[test]
    fn a_cut_is_one_way() {
        let mut traffic = traffic(1, Wire::cut());
        assert_eq!(traffic.packet(0, 1, 60, 5), Fate::Lost);
        assert_eq!(traffic.packet(1, 0, 60, 5), Fate::Arrives(vec![5]));
        assert_eq!(traffic.tally(), Tally { cut: 1, clogged: 0 });
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jitter = Wire {
            delay_ms: 2.0,
            jitter_ms: 5.0,
            ..Wire::default()
        };
        let arrivals = |wire| -> Vec<u64> {
            let first = |fate| match fate {
                Fate::Arrives(at) => at[0],
                other => panic!("{other:?}"),
            };
            fates(3, wire).into_iter().map(first).collect()
        };
        assert!(arrivals(jitter).is_sorted());
        let reorder = Wire {
            reorder_percent: 10.0,
            ..jitter
        };
        assert!(!arrivals(reorder).is_sorted());
    }

    #[test]
    fn a_slow_wire_passes_what_it_can_and_loses_what_does_not_fit_its_queue() {
        let slow = Wire {
            kbit_per_s: 1_000,
            ..Wire::default()
        };
        // 1,000 packets of 8,000 bits in 0.1 s over 1 Mbit/s: what leaves within the queue's 0.25 s, and no more.
        let passed = fates(1, slow).iter().filter(|fate| **fate != Fate::Lost).count();
        assert!((35..=50).contains(&passed), "{passed}");
    }
}
