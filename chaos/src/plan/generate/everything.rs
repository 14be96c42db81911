//! The last row: everything at once.

use super::Script;
use crate::disk::Fault;
use crate::network::Wire;
use crate::plan::{Action, Bars, Cover, Damage, Selector, Shape};

/// What happens to wires and processes, to disks, and to clocks is written as three scripts that know nothing of each other, and
/// carried out as one. At most one disk is bad at a time, so that members can come and go meanwhile.
pub(super) fn everything(script: &mut Script, bars: &mut Bars) {
    let mut disks = Script::new(script.random.bits());
    let mut clocks = Script::new(script.random.bits());
    while script.now < EVERYTHING_S {
        wires_and_processes(script);
    }
    while disks.now < EVERYTHING_S {
        one_bad_disk(&mut disks);
    }
    while clocks.now < EVERYTHING_S {
        let jump = clocks.random.below(7_200) as i64 - 3_600;
        let who = clocks.pick(&[Selector::Leader, Selector::Any, Selector::Any, Selector::All]);
        clocks.act(Action::Clock {
            who,
            offset_s: jump,
            rate: 1.0,
        });
        clocks.pass(7.0);
    }
    script.steps.append(&mut disks.steps);
    script.steps.append(&mut clocks.steps);
    script.steps.sort_by(|a, b| a.at.total_cmp(&b.at));
    script.now = script.now.max(disks.now).max(clocks.now);
    bars.equal_s = 20.0;
    bars.cover = vec![
        Cover::LeaderInMinority,
        Cover::LeaderKilled,
        Cover::LeaderPaused,
        Cover::Joined,
        Cover::UnsyncedLost,
        Cover::DiskFull,
        Cover::SyncFailed,
        Cover::ClockMoved,
    ];
}

/// How long everything goes on.
const EVERYTHING_S: f64 = 590.0;

fn wires_and_processes(script: &mut Script) {
    use Selector::{All, Any, Follower, Leader, Majority, Minority, Others};
    use Shape::{AllApart, Bridge, Halves, LeaderAlone, LeaderInMajority, LeaderInMinority, Ring};
    match script.random.below(14) {
        0..3 => {
            let shape = script.pick(&[
                LeaderAlone,
                LeaderInMinority,
                LeaderInMajority,
                Halves,
                AllApart,
                Ring,
                Bridge,
            ]);
            let seconds = 2.0 + script.random.below(4) as f64;
            script.for_a_while(Action::Split { shape }, seconds, 2.0);
        }
        3 => {
            let (from, to) = script.pick(&[(Leader, Others), (Others, Leader), (Follower, Leader), (Any, Others)]);
            script.for_a_while(Action::CutOneWay { from, to }, 4.0, 2.0);
        }
        4..6 => {
            let who = script.pick(&[Leader, Leader, Any, Majority, Minority, All]);
            script.act(Action::Kill { who });
            script.pass(1.5);
            script.act(Action::Start { who: All });
            script.pass(3.0);
        }
        6..8 => {
            let ms = 1_000 + script.random.below(3_000);
            script.act(Action::Pause { who: Leader, ms });
            script.pass(ms as f64 / 1_000.0 + 1.5);
        }
        8 => {
            let wire = Wire {
                loss_percent: script.random.below(20) as f64,
                jitter_ms: script.random.below(20) as f64,
                duplicate_percent: 3.0,
                reorder_percent: 5.0,
                ..Wire::default()
            };
            script.for_a_while(Action::Wires { wire }, 5.0, 1.0);
        }
        9 => {
            let (from, to) = script.pick(&[(Leader, Any), (Any, Leader), (Any, Others)]);
            script.for_a_while(Action::Clog { from, to }, 3.0, 2.0);
        }
        10 => {
            script.act(Action::RestartLoop {
                who: Any,
                times: 3,
                gap_ms: 500,
            });
            script.pass(4.0);
        }
        11 => {
            let place = script.pick(&[Damage::Log, Damage::State]);
            script.act(Action::Damage { who: Follower, place });
            script.pass(5.0);
        }
        12 => {
            script.act(Action::Storm { changes: 2_000 });
            script.pass(1.0);
        }
        // One comes before one goes: the number of members stays what it is.
        _ => {
            script.act(Action::Add);
            script.pass(4.0);
            let who = script.pick(&[Leader, Follower]);
            script.act(Action::Remove { who });
            script.pass(4.0);
        }
    }
}

fn one_bad_disk(script: &mut Script) {
    use Selector::{All, Any, Leader};
    script.pass(9.0);
    let who = script.pick(&[Any, Leader]);
    let bad = |fault| Action::Disk { who, fault };
    let action = match script.random.below(6) {
        0..2 => Action::PowerCut {
            who,
            torn: script.random.chance(50),
        },
        2 => bad(Fault {
            capacity: 64 << 10,
            ..Fault::default()
        }),
        3 => bad(Fault {
            sync_fails: true,
            ..Fault::default()
        }),
        _ => bad(Fault {
            sync_delay_ms: 50 + script.random.below(450),
            ..Fault::default()
        }),
    };
    script.act(action);
    script.pass(3.0);
    let fault = Fault::default();
    script.act(Action::Disk { who: All, fault });
    script.act(Action::Start { who: All });
}
