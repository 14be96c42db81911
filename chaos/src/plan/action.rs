//! What can be done to a cluster.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::disk::Fault;
use crate::network::Wire;

/// One action at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "toml::Table")]
pub struct Step {
    /// Seconds since the clients began.
    pub at: f64,
    /// What is done.
    #[serde(flatten)]
    pub action: Action,
}

impl TryFrom<toml::Table> for Step {
    type Error = String;

    /// By hand, because a flattened enum would take fields it does not know without a word.
    fn try_from(mut table: toml::Table) -> Result<Self, String> {
        let at = match table.remove("at") {
            Some(toml::Value::Float(at)) => at,
            Some(toml::Value::Integer(at)) => at as f64,
            _ => return Err("a step needs `at`, in seconds".into()),
        };
        let action = Action::deserialize(table).map_err(|error| format!("the step at {at} s: {error}"))?;
        Ok(Step { at, action })
    }
}

/// What is done to the cluster. Wires are changed between nodes only: the clients reach every node at all times.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Action {
    /// The wires are cut into parts.
    Split {
        /// Which parts.
        shape: Shape,
    },
    /// Nothing passes from these to those; the other direction is whole.
    CutOneWay {
        /// Who is not heard.
        from: Selector,
        /// Who does not hear.
        to: Selector,
    },
    /// Packets from these to those are kept, until the wire is unclogged.
    Clog {
        /// From whom.
        from: Selector,
        /// To whom.
        to: Selector,
    },
    /// What was kept arrives.
    Unclog {
        /// From whom.
        from: Selector,
        /// To whom.
        to: Selector,
    },
    /// Every wire becomes like this one.
    Wires {
        /// How.
        wire: Wire,
    },
    /// Every wire is whole.
    Heal,
    /// SIGKILL.
    Kill {
        /// Whom.
        who: Selector,
    },
    /// Starts those that do not run, of `who`.
    Start {
        /// Whom.
        who: Selector,
    },
    /// SIGKILL and start, `times` times, `gap_ms` milliseconds between.
    RestartLoop {
        /// Whom; chosen anew each time.
        who: Selector,
        /// How often.
        times: u32,
        /// Pause after each start, in milliseconds.
        gap_ms: u64,
    },
    /// SIGSTOP, and SIGCONT after `ms` milliseconds.
    Pause {
        /// Whom.
        who: Selector,
        /// How long, in milliseconds.
        ms: u64,
    },
    /// The clock of these nodes is so many seconds off, and goes so many times as fast.
    Clock {
        /// Whose.
        who: Selector,
        /// Seconds, negative for the past.
        #[serde(default)]
        offset_s: i64,
        /// 1 is as usual.
        #[serde(default = "one")]
        rate: f64,
    },
    /// A new node joins.
    Add,
    /// A node leaves: it is taken out of the cluster and its process ends.
    Remove {
        /// Whom.
        who: Selector,
    },
    /// A node dies for good, is taken out by another, and a new one joins.
    Replace {
        /// Whom.
        who: Selector,
    },
    /// A node is told to leave, and the leader dies `after_ms` milliseconds later; started again, it must find its way.
    InterruptedRemove {
        /// Who leaves.
        who: Selector,
        /// Milliseconds until the leader dies.
        after_ms: u64,
    },
    /// The power of these nodes goes at one moment: what they have not synced is forgotten. They stay off until they are started.
    PowerCut {
        /// Whose.
        who: Selector,
        /// A part of what was not synced survives, by chance.
        #[serde(default)]
        torn: bool,
    },
    /// The disks of these nodes behave like this from now on.
    Disk {
        /// Whose.
        who: Selector,
        /// How. A capacity is what is left of the disk, in bytes.
        fault: Fault,
    },
    /// A bit flips on the disk of a node while it is off; started again it must notice. Its folder is emptied then, and it joins again.
    Damage {
        /// Whose.
        who: Selector,
        /// Where.
        place: Damage,
    },
    /// So many changes at once, from one more client, without waiting for answers.
    Storm {
        /// How many.
        changes: usize,
    },
}

impl Action {
    /// Whether one more node comes with it.
    pub fn brings_a_node(&self) -> bool {
        matches!(self, Action::Add | Action::Replace { .. })
    }

    /// The nodes that it calls by their number.
    pub fn nodes(&self) -> Vec<usize> {
        let who = match self {
            Action::CutOneWay { from, to } | Action::Clog { from, to } | Action::Unclog { from, to } => {
                vec![*from, *to]
            }
            Action::Kill { who }
            | Action::Start { who }
            | Action::RestartLoop { who, .. }
            | Action::Pause { who, .. }
            | Action::Clock { who, .. }
            | Action::Remove { who }
            | Action::Replace { who }
            | Action::InterruptedRemove { who, .. }
            | Action::PowerCut { who, .. }
            | Action::Disk { who, .. }
            | Action::Damage { who, .. } => vec![*who],
            Action::Split { .. } | Action::Wires { .. } | Action::Heal | Action::Add | Action::Storm { .. } => {
                Vec::new()
            }
        };
        let number = |who| match who {
            Selector::Node(number) => Some(number),
            _ => None,
        };
        who.into_iter().filter_map(number).collect()
    }

    /// Whether its numbers can mean anything; if not, why.
    pub(super) fn check(&self) -> Result<(), String> {
        match self {
            Action::Clock { rate, .. } if !(*rate >= SLOWEST && *rate <= FASTEST) => {
                Err(format!("rate: {rate} is not from {SLOWEST} to {FASTEST}"))
            }
            Action::Wires { wire } => wire.check(),
            _ => Ok(()),
        }
    }

    /// Whether it is done to a disk of the harness's own.
    pub fn needs_disks(&self) -> bool {
        matches!(
            self,
            Action::PowerCut { .. } | Action::Disk { .. } | Action::Damage { .. }
        )
    }
}

/// What is damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Damage {
    /// The newest part of the log of the consensus.
    Log,
    /// The state that is made of it.
    State,
    /// The last snapshot, which is kept for those who need it.
    Snapshot,
}

/// How the wires are cut into parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// The leader alone, all others together.
    LeaderAlone,
    /// The leader with as many as still are a minority; the others are the majority.
    LeaderInMinority,
    /// The leader with a bare majority.
    LeaderInMajority,
    /// A minority and a majority, by chance.
    Halves,
    /// Nobody hears anybody.
    AllApart,
    /// Everybody hears two neighbours only.
    Ring,
    /// Two halves that overlap in one node, which hears everybody.
    Bridge,
}

/// Which nodes. Those with a role are looked up at the moment of the step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// Whoever leads.
    Leader,
    /// One that does not lead, by chance.
    Follower,
    /// One, by chance.
    Any,
    /// More than half, the leader among them.
    Majority,
    /// Less than half, the leader not among them.
    Minority,
    /// All but the leader.
    Others,
    /// All.
    All,
    /// The node of this number, from 1.
    Node(usize),
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Selector::Leader => f.write_str("leader"),
            Selector::Follower => f.write_str("follower"),
            Selector::Any => f.write_str("any"),
            Selector::Majority => f.write_str("majority"),
            Selector::Minority => f.write_str("minority"),
            Selector::Others => f.write_str("others"),
            Selector::All => f.write_str("all"),
            Selector::Node(number) => write!(f, "n{number}"),
        }
    }
}

impl FromStr for Selector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "leader" => Selector::Leader,
            "follower" => Selector::Follower,
            "any" => Selector::Any,
            "majority" => Selector::Majority,
            "minority" => Selector::Minority,
            "others" => Selector::Others,
            "all" => Selector::All,
            _ => {
                let number = text.strip_prefix('n').and_then(|number| number.parse().ok());
                let number = number.filter(|number| *number >= 1).ok_or_else(|| {
                    format!("{text:?} is nobody: leader, follower, any, majority, minority, others, all, or n1, n2, ..")
                })?;
                Selector::Node(number)
            }
        })
    }
}

impl Serialize for Selector {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Selector {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

/// Which clocks of a node are not the machine's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// None.
    #[default]
    Real,
    /// The wall clock; the monotonic one stays true.
    Wall,
    /// Both.
    All,
}

/// The slowest and the fastest that a clock is made to go: a node's timeouts become hours or microseconds beyond that.
const SLOWEST: f64 = 0.001;
const FASTEST: f64 = 1_000.0;

fn one() -> f64 {
    1.0
}
