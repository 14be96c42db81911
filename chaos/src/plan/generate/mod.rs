//! Plans from a seed: one for each row of the table of faults that real processes can suffer.

mod everything;

use super::{Action, Bars, Clock, Cover, Damage, Load, Plan, Selector, Shape, Step};
use crate::disk::Fault;
use crate::network::{Backend, Wire, Wires};
use crate::seeded::Seeded;

/// A row of the table of faults.
#[derive(Debug, Clone, Copy)]
pub struct Row {
    /// Its number.
    pub number: u8,
    /// Its plan's name.
    pub name: &'static str,
    /// What it does, in words.
    pub about: &'static str,
}

/// The rows that have plans, in order.
pub const ROWS: &[Row] = &[
    row(
        1,
        "partitions",
        "the leader alone, in the minority, in the majority; 2-3 split; all apart",
    ),
    row(2, "overlapping", "ring and bridge: majorities that overlap"),
    row(3, "one-way", "one-way cuts around the leader and elsewhere"),
    row(4, "clogs", "links clogged one by one, released in random order"),
    row(5, "kills", "kill -9 of one, of a majority, of all; restart loops"),
    row(6, "pauses", "SIGSTOP of the leader, 1 to 10 s"),
    row(7, "clocks", "the wall clock an hour off, and jumping"),
    row(
        8,
        "members",
        "nodes added, removed, replaced; the leader removed; a change interrupted",
    ),
    row(
        9,
        "power-cuts",
        "the power of one, of a majority, of all goes, 50 times; unsynced data is lost or torn",
    ),
    row(
        10,
        "damage",
        "a bit flips in the log, in the state and in a snapshot of a minority, which joins again",
    ),
    row(11, "bad-disks", "disks full, failing and slow"),
    row(
        12,
        "bad-wires",
        "10 to 30 % loss, jitter, doubling, reordering; 1 Mbit/s during a snapshot",
    ),
    row(14, "storm", "10,000 changes at once, with a partition and a kill"),
    row(
        15,
        "everything",
        "wires, processes and members, disks, clocks, each in its own time and all at once, 10 minutes",
    ),
];

const fn row(number: u8, name: &'static str, about: &'static str) -> Row {
    Row { number, name, about }
}

/// The plan of a row. The same seed gives the same plan; `None` if the row has none.
pub fn generate(number: u8, seed: u64) -> Option<Plan> {
    let row = ROWS.iter().find(|row| row.number == number)?;
    let mut script = Script::new(seed);
    let mut plan = Plan {
        name: row.name.to_owned(),
        row: number,
        about: row.about.to_owned(),
        seed,
        nodes: 5,
        seconds: 0.0,
        backend: Backend::Switch,
        clocks: Clock::Real,
        disks: matches!(number, 9..=11 | 15),
        must_lose: false,
        flags: Vec::new(),
        load: Load::default(),
        bars: Bars {
            operations: if number == 14 { 500 } else { 1_000 },
            equal_s: 10.0,
            ..Bars::default()
        },
        steps: Vec::new(),
    };
    match number {
        1 => partitions(&mut script, &mut plan.bars),
        2 => overlapping(&mut script, &mut plan.bars),
        3 => one_way(&mut script, &mut plan.bars),
        4 => clogs(&mut script, &mut plan.bars),
        5 => kills(&mut script, &mut plan.bars),
        6 => pauses(&mut script, &mut plan.bars),
        7 => {
            plan.clocks = Clock::Wall;
            clocks(&mut script, &mut plan.bars);
        }
        8 => members(&mut script, &mut plan.bars),
        9 => power_cuts(&mut script, &mut plan.bars),
        10 => damages(&mut script),
        11 => bad_disks(&mut script, &mut plan.bars),
        12 => bad_wires(&mut script, &mut plan.bars),
        14 => storm(&mut script, &mut plan.bars),
        _ => {
            plan.clocks = Clock::Wall;
            everything::everything(&mut script, &mut plan.bars);
            plan.load.clients = 16;
            plan.load.clients_per_key = 8;
            plan.load.pause_ms = 2;
            plan.bars.operations = 50_000;
            plan.bars.leader_changes = 20;
        }
    }
    plan.seconds = script.now + 3.0;
    plan.steps = script.steps;
    Some(plan)
}

/// Writes steps one after the other.
struct Script {
    random: Seeded,
    now: f64,
    steps: Vec<Step>,
}

impl Script {
    fn new(seed: u64) -> Self {
        Script {
            random: Seeded::new(seed),
            now: 3.0,
            steps: Vec::new(),
        }
    }

    fn act(&mut self, action: Action) {
        self.steps.push(Step { at: self.now, action });
    }

    /// Lets so many seconds pass, and up to a fifth more.
    fn pass(&mut self, seconds: f64) {
        let more = self.random.below(200) as f64 / 1_000.0;
        self.now = ((self.now + seconds * (1.0 + more)) * 100.0).round() / 100.0;
    }

    fn for_a_while(&mut self, action: Action, seconds: f64, rest: f64) {
        self.act(action);
        self.pass(seconds);
        self.act(Action::Heal);
        self.pass(rest);
    }

    fn split(&mut self, shape: Shape) {
        self.for_a_while(Action::Split { shape }, 4.5, 2.5);
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.random.below(from.len() as u64) as usize].clone()
    }
}

fn partitions(script: &mut Script, bars: &mut Bars) {
    use Shape::{AllApart, Halves, LeaderAlone, LeaderInMajority, LeaderInMinority};
    for shape in [
        LeaderAlone,
        LeaderInMinority,
        LeaderInMajority,
        Halves,
        AllApart,
        LeaderInMinority,
        LeaderAlone,
    ] {
        // Longer than a refusal may take, or nobody would be cut off all the while.
        script.for_a_while(Action::Split { shape }, 7.0, 2.5);
    }
    bars.new_leader_s = 3.0;
    // A write waits 5 s for a quorum (`raft.write-timeout-ms`) before it is refused.
    bars.refusal_s = 6.0;
    bars.leader_changes = 2;
    bars.cover = vec![Cover::LeaderInMinority, Cover::LeaderInMajority, Cover::MinorityRefused];
}

fn overlapping(script: &mut Script, bars: &mut Bars) {
    for shape in [Shape::Ring, Shape::Bridge, Shape::Ring, Shape::Bridge] {
        script.for_a_while(Action::Split { shape }, 7.0, 2.5);
    }
    bars.terms_per_s = 1.0;
    bars.cover = vec![Cover::PacketsCut];
}

fn one_way(script: &mut Script, bars: &mut Bars) {
    use Selector::{Any, Follower, Leader, Others};
    for (from, to) in [(Leader, Others), (Others, Leader), (Follower, Leader), (Any, Others)] {
        script.for_a_while(Action::CutOneWay { from, to }, 20.0, 2.5);
    }
    bars.terms_per_s = 3.0 / 60.0;
    bars.cover = vec![Cover::PacketsCut];
}

fn clogs(script: &mut Script, bars: &mut Bars) {
    bars.cover = vec![Cover::PacketsClogged];
    for _ in 0..3 {
        let mut pairs: Vec<_> = Wires::pairs(5).collect();
        shuffle(&mut script.random, &mut pairs);
        pairs.truncate(12);
        for (from, to) in &pairs {
            let (from, to) = (Selector::Node(from + 1), Selector::Node(to + 1));
            script.act(Action::Clog { from, to });
            script.pass(0.3);
        }
        shuffle(&mut script.random, &mut pairs);
        for (from, to) in &pairs {
            let (from, to) = (Selector::Node(from + 1), Selector::Node(to + 1));
            script.act(Action::Unclog { from, to });
            script.pass(0.25);
        }
        script.pass(2.0);
    }
}

fn kills(script: &mut Script, bars: &mut Bars) {
    use Selector::{All, Follower, Leader, Majority, Minority};
    for who in [Leader, Follower, Majority, All, Minority, Leader, All] {
        script.act(Action::Kill { who });
        script.pass(2.5);
        script.act(Action::Start { who: All });
        script.pass(4.0);
    }
    for who in [Leader, Selector::Any] {
        let (times, gap_ms) = (4, 700);
        script.act(Action::RestartLoop { who, times, gap_ms });
        script.pass(5.0);
    }
    // They come back when the faults are over, and that is timed.
    script.act(Action::Kill { who: All });
    bars.new_leader_s = 3.0;
    bars.leader_changes = 3;
    bars.cover = vec![Cover::LeaderKilled];
}

fn pauses(script: &mut Script, bars: &mut Bars) {
    for ms in [1_000, 2_000, 3_000, 5_000, 10_000, 1_500] {
        script.act(Action::Pause {
            who: Selector::Leader,
            ms,
        });
        script.pass(ms as f64 / 1_000.0 + 2.0);
    }
    bars.new_leader_s = 3.0;
    bars.leader_changes = 3;
    bars.cover = vec![Cover::LeaderPaused];
}

fn clocks(script: &mut Script, bars: &mut Bars) {
    let clock = |who, offset_s| Action::Clock {
        who,
        offset_s,
        rate: 1.0,
    };
    for offset_s in [3_600, -3_600, 0, 86_400] {
        for who in [Selector::Leader, Selector::Follower, Selector::Any] {
            script.act(clock(who, offset_s));
            script.pass(1.5);
        }
    }
    for _ in 0..10 {
        let jump = script.random.below(7_200) as i64 - 3_600;
        script.act(clock(Selector::Any, jump));
        script.pass(0.5);
    }
    script.act(clock(Selector::All, 0));
    script.pass(2.0);
    bars.cover = vec![Cover::ClockMoved];
}

fn members(script: &mut Script, bars: &mut Bars) {
    use Selector::{Follower, Leader};
    let interrupted = |after_ms| Action::InterruptedRemove {
        who: Follower,
        after_ms,
    };
    for action in [
        Action::Add,
        Action::Remove { who: Follower },
        Action::Replace { who: Follower },
        Action::Remove { who: Leader },
        Action::Add,
        // How long a change takes is not known: one of these meets it under way.
        interrupted(20),
        Action::Add,
        interrupted(14),
        Action::Add,
        interrupted(8),
        Action::Add,
        Action::Replace { who: Leader },
    ] {
        script.act(action);
        script.pass(7.0);
    }
    bars.cover = vec![Cover::LeaderRemoved, Cover::Joined, Cover::ChangeInterrupted];
    bars.leader_changes = 2;
}

fn power_cuts(script: &mut Script, bars: &mut Bars) {
    use Selector::{All, Any, Leader, Majority, Minority};
    for cycle in 0..50 {
        let who = script.pick(&[Any, Leader, Majority, Minority, All, All]);
        script.act(Action::PowerCut {
            who,
            torn: cycle % 3 > 0,
        });
        script.pass(0.7);
        script.act(Action::Start { who: All });
        script.pass(2.8);
    }
    bars.cover = vec![Cover::LeaderKilled, Cover::UnsyncedLost];
    bars.leader_changes = 10;
}

fn damages(script: &mut Script) {
    for place in [Damage::Log, Damage::State, Damage::Snapshot] {
        script.pass(4.0);
        script.act(Action::Damage {
            who: Selector::Follower,
            place,
        });
        script.pass(8.0);
    }
}

fn bad_disks(script: &mut Script, bars: &mut Bars) {
    use Selector::{All, Follower, Leader};
    let full = Fault {
        capacity: 64 << 10,
        ..Fault::default()
    };
    let failing = Fault {
        sync_fails: true,
        ..Fault::default()
    };
    let slow = |sync_delay_ms| Fault {
        sync_delay_ms,
        ..Fault::default()
    };
    for (who, fault) in [
        (Follower, full),
        (Leader, full),
        (Follower, failing),
        (Leader, failing),
        (Follower, slow(1_000)),
        (Leader, slow(100)),
        (Leader, slow(1_000)),
    ] {
        script.act(Action::Disk { who, fault });
        script.pass(5.0);
        let fault = Fault::default();
        script.act(Action::Disk { who: All, fault });
        script.act(Action::Start { who: All });
        script.pass(3.0);
    }
    bars.cover = vec![Cover::DiskFull, Cover::SyncFailed];
}

fn bad_wires(script: &mut Script, bars: &mut Bars) {
    let bad = |loss_percent: f64, jitter_ms: f64| Wire {
        loss_percent,
        jitter_ms,
        delay_ms: 2.0,
        duplicate_percent: 5.0,
        reorder_percent: 10.0,
        ..Wire::default()
    };
    for wire in [bad(10.0, 5.0), bad(20.0, 10.0), bad(30.0, 20.0), bad(0.0, 80.0)] {
        script.for_a_while(Action::Wires { wire }, 8.0, 2.0);
    }
    // One that is away until its entries are gone from the log must get a snapshot, over a slow wire.
    script.act(Action::Kill {
        who: Selector::Follower,
    });
    script.pass(6.0);
    let wire = Wire {
        kbit_per_s: 1_000,
        ..Wire::default()
    };
    script.act(Action::Wires { wire });
    script.act(Action::Start { who: Selector::All });
    script.pass(12.0);
    script.act(Action::Heal);
    script.pass(3.0);
    bars.memory_mib = 512;
    bars.equal_s = 20.0;
    bars.cover = vec![Cover::SnapshotInstalled];
}

fn storm(script: &mut Script, bars: &mut Bars) {
    script.pass(1.0);
    script.act(Action::Storm { changes: 10_000 });
    script.pass(12.0);
    script.act(Action::Storm { changes: 10_000 });
    script.pass(0.5);
    script.split(Shape::LeaderInMinority);
    script.act(Action::Storm { changes: 10_000 });
    script.pass(0.3);
    script.act(Action::Kill { who: Selector::Leader });
    script.pass(4.0);
    script.act(Action::Start { who: Selector::All });
    script.pass(8.0);
    bars.calm_storm = true;
    bars.memory_mib = 1_024;
    bars.equal_s = 20.0;
}

fn shuffle<T>(random: &mut Seeded, things: &mut [T]) {
    for last in (1..things.len()).rev() {
        things.swap(last, random.below(last as u64 + 1) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_means_the_same_plan_and_another_seed_another() {
        assert_eq!(generate(15, 3), generate(15, 3));
        assert_ne!(generate(15, 3), generate(15, 4));
        assert_eq!(generate(99, 3), None);
    }

    #[test]
    fn everything_at_once_has_faults_of_every_kind_that_overlap() {
        for seed in 1..20 {
            let plan = generate(15, seed).expect("a plan");
            let kinds: std::collections::BTreeSet<String> = plan
                .steps
                .iter()
                .map(|step| {
                    format!("{:?}", step.action)
                        .split([' ', '{'])
                        .next()
                        .unwrap_or_default()
                        .to_owned()
                })
                .collect();
            for kind in [
                "Split",
                "CutOneWay",
                "Clog",
                "Wires",
                "Kill",
                "Pause",
                "RestartLoop",
                "Add",
                "Remove",
                "PowerCut",
                "Disk",
                "Clock",
                "Damage",
                "Storm",
            ] {
                assert!(kinds.contains(kind), "seed {seed}: {kind} is not among {kinds:?}");
            }
            // Between a split and its end something else is done.
            let overlapping = plan.steps.windows(2).filter(|two| {
                matches!(two[0].action, Action::Split { .. })
                    && matches!(
                        two[1].action,
                        Action::Clock { .. } | Action::Disk { .. } | Action::PowerCut { .. }
                    )
            });
            assert!(overlapping.count() > 0, "seed {seed}");
        }
    }

    #[test]
    fn what_is_clogged_is_unclogged() {
        let plan = generate(4, 1).expect("a plan");
        let clogs = plan
            .steps
            .iter()
            .filter(|step| matches!(step.action, Action::Clog { .. }))
            .count();
        let unclogs = plan
            .steps
            .iter()
            .filter(|step| matches!(step.action, Action::Unclog { .. }))
            .count();
        assert_eq!((clogs, unclogs), (36, 36));
    }
}
