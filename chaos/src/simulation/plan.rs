//! What will happen to the cluster: drawn from the seed before anything runs, so that it can be shown, and shortened.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::seeded::Seeded;

/// Nodes that may exist: those of the beginning, and spares that join later.
pub const SPARES: usize = 2;

/// Whoever is away for so long leads no more.
const AWAY_MS: u64 = 2_000;
/// Nothing goes wrong for so long before the leader goes alone: who was away is back by then, and who joined votes.
const CALM_MS: u64 = 1_000;
/// So many members elect a leader without one of them.
const ENOUGH: usize = 3;

/// Everything that a seed decides besides the course of the run itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Nodes in the beginning: 3, 4 or 5.
    pub nodes: usize,
    /// Clients at each node.
    pub clients: usize,
    /// Keys.
    pub keys: usize,
    /// The longest usual way of a message, in milliseconds.
    pub latency_ms: u64,
    /// A snapshot is made when so many bytes were logged.
    pub snapshot_bytes: u64,
    /// Log entries kept behind a snapshot.
    pub keep_entries: u64,
    /// Revisions whose events are kept for watchers.
    pub watch_events: usize,
    /// What goes wrong, by time.
    pub faults: Vec<Fault>,
}

/// One thing that goes wrong, or is done to the cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Its number in the plan, by which it can be left out.
    pub number: usize,
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub lasts: Duration,
    /// What it is.
    pub kind: Kind,
}

/// What can go wrong. Nodes are numbers from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// The power goes; unsynced writes are lost, the last one is torn.
    PowerCut(Vec<usize>),
    /// The power of whoever leads goes.
    PowerCutLeader,
    /// The power of all nodes goes at once.
    PowerCutAll,
    /// A node is stopped gracefully and started again.
    Restart(usize),
    /// These nodes are cut off from the others; what is on its way is lost.
    Partition(Vec<usize>),
    /// Whoever leads is cut off.
    IsolateLeader,
    /// These nodes are cut off from the others; what is on its way arrives afterwards.
    Clog(Vec<usize>),
    /// Nothing gets from the first node to the second.
    OneWay(usize, usize),
    /// Messages between two nodes take up to so many milliseconds.
    Slow(usize, usize, u64),
    /// One message in so many is lost, and its connection with it.
    Loss(u32),
    /// Syncs of a disk take up to so many milliseconds.
    SlowDisk(usize, u64),
    /// Another node is made the leader.
    Transfer(usize),
    /// A node is removed from the cluster.
    Remove(usize),
    /// A spare node joins.
    Join(usize),
}

impl Plan {
    /// The plan of a seed for a run of this length.
    pub fn of(seed: u64, length: Duration) -> Self {
        let mut random = Seeded::new(seed);
        let mut below = |end: u64| random.below(end);
        let nodes = [3, 3, 3, 4, 5, 5][below(6) as usize];
        let mut plan = Self {
            nodes,
            clients: 1 + below(3) as usize,
            keys: 3 + below(6) as usize,
            latency_ms: 1 + below(15),
            snapshot_bytes: [1 << 10, 4 << 10, 16 << 10, 64 << 10][below(4) as usize],
            keep_entries: [0, 5, 20, 100][below(4) as usize],
            watch_events: [16, 64, 100_000][below(3) as usize],
            faults: Vec::new(),
        };
        let begins = 1_500 + below(500);
        let ends = length.as_millis() as u64;
        // A run in which nobody else ever leads proves little. So once the leader goes and everybody else is there to follow: nothing
        // else is wrong then, or was a moment ago.
        let soonest = begins + CALM_MS;
        let alone = soonest + below(ends.saturating_sub(soonest + AWAY_MS) + 1);
        let mut members = Members::of(nodes);
        plan.draw(begins, alone - CALM_MS, &mut below, &mut members);
        plan.add(alone, AWAY_MS, Kind::PowerCutLeader);
        members.fewest = 0;
        plan.draw(alone + AWAY_MS, ends, &mut below, &mut members);
        plan
    }

    /// Adds what goes wrong from a moment on, all of it over at another.
    fn draw(&mut self, mut at: u64, ends: u64, below: &mut impl FnMut(u64) -> u64, members: &mut Members) {
        while at + 500 < ends {
            let lasts = 200 + below(2_300);
            let kind = draw(below, members);
            self.add(at, lasts.min(ends - at), kind);
            // Sometimes one follows when the other is over, sometimes they overlap.
            at += if below(3) == 0 {
                below(lasts)
            } else {
                lasts + below(900)
            };
        }
    }

    fn add(&mut self, at: u64, lasts: u64, kind: Kind) {
        self.faults.push(Fault {
            number: self.faults.len(),
            at: Duration::from_millis(at),
            lasts: Duration::from_millis(lasts),
            kind,
        });
    }

    /// The plan without the faults of these numbers.
    #[must_use]
    pub fn without(mut self, numbers: &[usize]) -> Self {
        self.faults.retain(|fault| !numbers.contains(&fault.number));
        self
    }
}

/// Who is in the cluster when all went as planned so far.
struct Members {
    nodes: usize,
    joined: usize,
    removed: BTreeSet<usize>,
    /// Nobody is removed from so many.
    fewest: usize,
}

impl Members {
    fn of(nodes: usize) -> Self {
        Self {
            nodes,
            joined: 0,
            removed: BTreeSet::new(),
            fewest: ENOUGH,
        }
    }

    fn count(&self) -> usize {
        self.nodes + self.joined - self.removed.len()
    }
}

fn draw(below: &mut impl FnMut(u64) -> u64, members: &mut Members) -> Kind {
    let nodes = members.nodes;
    let mut node = || 1 + below(nodes as u64) as usize;
    let (one, other) = (node(), node());
    let other = if other == one { 1 + other % nodes } else { other };
    let minority: Vec<usize> = (0..nodes.div_ceil(2) - 1).map(|n| 1 + (one + n - 1) % nodes).collect();
    let majority: Vec<usize> = (0..nodes / 2 + 1).map(|n| 1 + (one + n - 1) % nodes).collect();
    match below(26) {
        0..=2 => Kind::PowerCut(vec![one]),
        3..=5 => Kind::PowerCutLeader,
        6 => Kind::PowerCut(majority),
        7 | 8 => Kind::PowerCutAll,
        9 => Kind::Restart(one),
        10 => Kind::Partition(minority),
        11 => Kind::Partition(vec![one]),
        12..=14 => Kind::IsolateLeader,
        15 => Kind::Clog(minority),
        16 => Kind::OneWay(one, other),
        17 => Kind::OneWay(other, one),
        18 => Kind::Slow(one, other, 50 + below(400)),
        19 => Kind::Loss(100 + below(900) as u32),
        20 | 21 => Kind::SlowDisk(one, 20 + below(400)),
        22 => Kind::Transfer(one),
        23 if members.count() > members.fewest => {
            members.removed.insert(one);
            Kind::Remove(one)
        }
        _ if members.joined < SPARES => {
            members.joined += 1;
            Kind::Join(nodes + members.joined)
        }
        _ => Kind::IsolateLeader,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            number,
            at,
            lasts,
            kind,
        } = self;
        write!(
            f,
            "fault {number} at {:.3} s for {:.3} s: {kind}",
            at.as_secs_f64(),
            lasts.as_secs_f64()
        )
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PowerCut(nodes) => write!(f, "the power of nodes {nodes:?} goes"),
            Self::PowerCutLeader => write!(f, "the power of the leader goes"),
            Self::PowerCutAll => write!(f, "the power of all nodes goes"),
            Self::Restart(node) => write!(f, "node {node} is stopped and started again"),
            Self::Partition(nodes) => write!(f, "nodes {nodes:?} are cut off"),
            Self::IsolateLeader => write!(f, "the leader is cut off"),
            Self::Clog(nodes) => write!(f, "messages of nodes {nodes:?} are held back"),
            Self::OneWay(from, to) => write!(f, "nothing gets from node {from} to node {to}"),
            Self::Slow(a, b, ms) => write!(f, "messages between nodes {a} and {b} take up to {ms} ms"),
            Self::Loss(one_in) => write!(f, "one message in {one_in} is lost"),
            Self::SlowDisk(node, ms) => write!(f, "syncs of node {node} take up to {ms} ms"),
            Self::Transfer(node) => write!(f, "node {node} is to lead"),
            Self::Remove(node) => write!(f, "node {node} is removed"),
            Self::Join(node) => write!(f, "node {node} joins"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_plan_and_another_seed_another_one() {
        let length = Duration::from_secs(15);
        assert_eq!(Plan::of(7, length), Plan::of(7, length));
        assert_ne!(Plan::of(7, length), Plan::of(8, length));
    }

    /// Whether nothing else is wrong while the fault lasts, or was a moment before, and enough members are left to elect a leader.
    fn is_alone(fault: &Fault, plan: &Plan) -> bool {
        let calm = fault.at - Duration::from_millis(CALM_MS);
        let others = plan.faults.iter().filter(|other| other.number != fault.number);
        let (before, after): (Vec<&Fault>, Vec<&Fault>) = others.partition(|other| other.at < fault.at);
        let joined = before
            .iter()
            .filter(|other| matches!(other.kind, Kind::Join(_)))
            .count();
        let removed: BTreeSet<String> = before
            .iter()
            .filter(|other| matches!(other.kind, Kind::Remove(_)))
            .map(|other| format!("{:?}", other.kind))
            .collect();
        before.iter().all(|other| other.at + other.lasts <= calm)
            && after.iter().all(|other| other.at >= fault.at + fault.lasts)
            && plan.nodes + joined - removed.len() >= 3
    }

    #[test]
    fn the_leader_goes_alone_in_every_plan_and_for_long_enough() {
        for seconds in [6, 15, 60] {
            let length = Duration::from_secs(seconds);
            for seed in 0..1_000 {
                let plan = Plan::of(seed, length);
                let goes = |fault: &&Fault| fault.kind == Kind::PowerCutLeader && fault.lasts >= Duration::from_secs(2);
                let mut going = plan.faults.iter().filter(goes);
                assert!(
                    going.any(|fault| fault.at + fault.lasts <= length && is_alone(fault, &plan)),
                    "seed {seed}, {seconds} s: {:?}",
                    plan.faults
                );
            }
        }
    }

    #[test]
    fn all_kinds_of_faults_come_up() {
        let plans = (0..100).map(|seed| Plan::of(seed, Duration::from_secs(15)));
        let kinds: std::collections::BTreeSet<String> = plans
            .flat_map(|plan| plan.faults)
            .map(|fault| {
                format!("{:?}", fault.kind)
                    .split(['(', '{'])
                    .next()
                    .unwrap_or("")
                    .to_owned()
            })
            .collect();
        assert_eq!(kinds.len(), 14, "{kinds:?}");
    }

    #[test]
    fn a_fault_that_is_left_out_leaves_the_others_as_they_are() {
        let plan = Plan::of(7, Duration::from_secs(15));
        let short = plan.clone().without(&[0]);
        assert_eq!(plan.faults[1..], short.faults[..]);
    }
}
