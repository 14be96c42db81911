//! How each wire between two places is.

use serde::{Deserialize, Serialize};

/// An hour: nothing is later than that.
const LATEST_MS: f64 = 3_600_000.0;

/// One direction between two places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Wire {
    /// Nothing passes; what is sent is lost.
    pub cut: bool,
    /// Nothing passes; what is sent is kept, and arrives when the wire is whole again.
    pub clogged: bool,
    /// Every packet is late by so many milliseconds.
    pub delay_ms: f64,
    /// And by a chance of up to so many more. Their order is kept.
    pub jitter_ms: f64,
    /// So many of 100 packets are lost.
    pub loss_percent: f64,
    /// So many of 100 packets arrive twice.
    pub duplicate_percent: f64,
    /// So many of 100 packets overtake those before them that are late.
    pub reorder_percent: f64,
    /// Most kilobits a second; 0 is no limit. Up to a quarter of a second waits in a queue, the rest is lost.
    pub kbit_per_s: u32,
}

impl Wire {
    /// Whether its numbers can mean anything; if not, why.
    pub(crate) fn check(&self) -> Result<(), String> {
        for (name, percent) in [
            ("loss_percent", self.loss_percent),
            ("duplicate_percent", self.duplicate_percent),
            ("reorder_percent", self.reorder_percent),
        ] {
            if !(0.0..=100.0).contains(&percent) {
                return Err(format!("{name}: {percent} is not from 0 to 100"));
            }
        }
        for (name, ms) in [("delay_ms", self.delay_ms), ("jitter_ms", self.jitter_ms)] {
            if !(0.0..=LATEST_MS).contains(&ms) {
                return Err(format!("{name}: {ms} is not from 0 to {LATEST_MS}"));
            }
        }
        Ok(())
    }

    /// A wire on which nothing passes.
    pub fn cut() -> Self {
        Wire {
            cut: true,
            ..Self::default()
        }
    }
}

/// All wires between `nodes` nodes. The clients' wires are not among them: they are always whole.
#[derive(Clone, Debug, PartialEq)]
pub struct Wires {
    nodes: usize,
    wires: Vec<Wire>,
}

impl Wires {
    /// All whole.
    pub fn whole(nodes: usize) -> Self {
        Wires {
            nodes,
            wires: vec![Wire::default(); nodes * nodes],
        }
    }

    /// How many nodes they join.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// One direction. Whole if one end is no node.
    pub fn get(&self, from: usize, to: usize) -> Wire {
        if from < self.nodes && to < self.nodes {
            self.wires[from * self.nodes + to]
        } else {
            Wire::default()
        }
    }

    /// One direction, to be changed. Both ends must be nodes.
    pub fn get_mut(&mut self, from: usize, to: usize) -> &mut Wire {
        &mut self.wires[from * self.nodes + to]
    }

    /// Every pair of different nodes.
    pub fn pairs(nodes: usize) -> impl Iterator<Item = (usize, usize)> {
        (0..nodes).flat_map(move |from| (0..nodes).filter(move |to| *to != from).map(move |to| (from, to)))
    }

    /// Cuts, both ways, every wire between nodes that `together` says do not hear each other.
    pub fn cut_unless(&mut self, together: impl Fn(usize, usize) -> bool) {
        for (from, to) in Self::pairs(self.nodes) {
            self.get_mut(from, to).cut = !together(from, to);
        }
    }

    /// Changes every wire between two different nodes.
    pub fn change_all(&mut self, change: impl Fn(&mut Wire)) {
        for (from, to) in Self::pairs(self.nodes) {
            change(self.get_mut(from, to));
        }
    }

    /// The first wire of which something is true.
    pub fn find(&self, what: impl Fn(&Wire) -> bool) -> Option<&Wire> {
        self.wires.iter().find(|wire| what(wire))
    }

    /// Whether packets pass from one to the other, however badly.
    pub fn passes(&self, from: usize, to: usize) -> bool {
        let wire = self.get(from, to);
        !wire.cut && !wire.clogged
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_split_cuts_both_directions_between_its_sides_only() {
        let mut wires = Wires::whole(5);
        wires.cut_unless(|a, b| (a < 2) == (b < 2));
        assert!(!wires.passes(0, 4) && !wires.passes(4, 0));
        assert!(wires.passes(0, 1) && wires.passes(3, 4));
        assert_eq!(Wires::pairs(5).filter(|(a, b)| wires.passes(*a, *b)).count(), 2 + 6);
    }
}
