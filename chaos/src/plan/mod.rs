//! A plan: what is done to a cluster, when, under which load, and what it must stand. A file of TOML, so that a run can be kept,
//! read, changed and done again.

mod action;
mod bars;
mod generate;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use action::{Action, Clock, Damage, Selector, Shape, Step};
pub use bars::{Bars, Cover};
pub use generate::{ROWS, Row, generate};

use crate::network::Backend;

/// One experiment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// What it is called in tables.
    pub name: String,
    /// The row of the table of faults that it belongs to.
    #[serde(default)]
    pub row: u8,
    /// What it does, in words.
    #[serde(default)]
    pub about: String,
    /// Decides every chance: of the packets, of the clients, and of selectors such as `any`.
    pub seed: u64,
    /// How many nodes, all of them voters.
    #[serde(default = "five")]
    pub nodes: usize,
    /// How long the clients work, in seconds.
    pub seconds: f64,
    /// What the wires are made of.
    #[serde(default)]
    pub backend: Backend,
    /// Which clocks of the nodes can be changed by clock steps.
    #[serde(default)]
    pub clocks: Clock,
    /// Every node has a disk of its own that forgets what was not synced.
    #[serde(default)]
    pub disks: bool,
    /// The control of the harness: this must lose acknowledged writes, and the run passes if that is noticed.
    #[serde(default)]
    pub must_lose: bool,
    /// Further flags of every node's `run`.
    #[serde(default)]
    pub flags: Vec<String>,
    /// What the clients do.
    #[serde(default)]
    pub load: Load,
    /// What is asked of the cluster, beyond being correct.
    #[serde(default)]
    pub bars: Bars,
    /// What is done to it, in the order of time.
    #[serde(default, rename = "step")]
    pub steps: Vec<Step>,
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Load {
    /// How many there are; each asks one node at a time, and changes it by chance.
    pub clients: usize,
    /// How many work on one key at the same time.
    pub clients_per_key: usize,
    /// Operations on one key before they go to the next one.
    pub operations_per_key: usize,
    /// How long a client waits for an answer before its outcome is unknown, in milliseconds.
    pub timeout_ms: u64,
    /// Longest pause between two operations of one client, in milliseconds.
    pub pause_ms: u64,
    /// How many watch the changes.
    pub watchers: usize,
}

impl Default for Load {
    fn default() -> Self {
        Load {
            clients: 12,
            clients_per_key: 6,
            operations_per_key: 300,
            timeout_ms: 500,
            pause_ms: 40,
            watchers: 2,
        }
    }
}

/// A plan that cannot be used; a failure of the harness.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The file cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is no plan.
    #[error("{}: {why}", path.display())]
    Wrong {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
}

impl Plan {
    /// Reads a file.
    ///
    /// # Errors
    /// [`PlanError`], naming the line or the rule.
    pub fn read(path: &Path) -> Result<Self, PlanError> {
        let text = std::fs::read_to_string(path).map_err(|source| PlanError::Unreadable {
            path: path.to_owned(),
            source,
        })?;
        Self::parse(&text).map_err(|why| PlanError::Wrong {
            path: path.to_owned(),
            why,
        })
    }

    /// Reads the text of a file.
    ///
    /// # Errors
    /// In words, with the line or the rule.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plan: Plan = toml::from_str(text).map_err(|error| error.to_string())?;
        plan.check()?;
        Ok(plan)
    }

    /// The plan as a file.
    pub fn to_toml(&self) -> String {
        toml::to_string(self).expect("strings, numbers and tables of them are TOML")
    }

    /// How many nodes there may ever be, those that come later included.
    pub fn most_nodes(&self) -> usize {
        self.nodes + self.steps.iter().filter(|step| step.action.brings_a_node()).count()
    }

    fn check(&self) -> Result<(), String> {
        // It becomes the name of a folder.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(plain) {
            return Err(format!(
                "name: {:?} is none: letters, digits, `-`, `_` and `.`, not beginning with `.`",
                self.name
            ));
        }
        if !(self.seconds > 0.0 && self.seconds <= LONGEST) {
            return Err(format!(
                "seconds: {} is not above 0 and at most {LONGEST}",
                self.seconds
            ));
        }
        if !matches!(self.nodes, 1 | 3 | 5 | 7) {
            return Err("nodes: 1, 3, 5 or 7".into());
        }
        self.bars.check()?;
        let load = &self.load;
        if load.clients > MOST_CLIENTS || load.watchers > MOST_CLIENTS {
            return Err(format!("load: at most {MOST_CLIENTS} clients and as many watchers"));
        }
        if load.clients == 0 || load.clients_per_key == 0 || load.operations_per_key == 0 {
            return Err("load: clients, clients_per_key and operations_per_key must be at least 1".into());
        }
        if let Some(step) = self
            .steps
            .iter()
            .find(|step| !(step.at >= 0.0 && step.at <= self.seconds))
        {
            return Err(format!(
                "a step at {} s is not within the {} s of the plan",
                step.at, self.seconds
            ));
        }
        if !self.steps.is_sorted_by(|a, b| a.at <= b.at) {
            return Err("the steps are not in the order of their times".into());
        }
        let clock = |step: &Step| matches!(step.action, Action::Clock { .. });
        if self.clocks == Clock::Real && self.steps.iter().any(clock) {
            return Err("a clock step needs clocks = \"wall\" or clocks = \"all\"".into());
        }
        let most = self.most_nodes();
        for step in &self.steps {
            let wrong = |why| format!("the step at {} s: {why}", step.at);
            step.action.check().map_err(wrong)?;
            if let Some(number) = step.action.nodes().into_iter().find(|number| *number > most) {
                return Err(format!(
                    "the step at {} s is for n{number}, and there are at most {most} nodes",
                    step.at
                ));
            }
        }
        if !self.disks && self.steps.iter().any(|step| step.action.needs_disks()) {
            return Err("a disk step needs disks = true".into());
        }
        Ok(())
    }
}

/// More than one machine can play.
const MOST_CLIENTS: usize = 10_000;

/// A day, in seconds.
const LONGEST: f64 = 86_400.0;

fn five() -> usize {
    5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_survives_writing_and_reading() {
        for row in ROWS {
            let plan = generate(row.number, 7).expect("every row has a plan");
            assert_eq!(
                Plan::parse(&plan.to_toml()).expect("readable"),
                plan,
                "row {}",
                row.number
            );
        }
    }

    #[test]
    fn what_a_step_does_not_know_is_refused_by_name() {
        let plan = |step: &str| format!("name = 'x'\nseed = 1\nseconds = 9\n[[step]]\nat = 1\n{step}\n");
        let error = |step| Plan::parse(&plan(step)).expect_err("wrong");
        assert!(error("do = 'explode'").contains("explode"));
        assert!(error("do = 'kill'\nwho = 'leader'\nhard = true").contains("hard"));
        assert!(error("do = 'kill'\nwho = 'boss'").contains("boss"));
        assert!(error("do = 'clock'\nwho = 'all'\noffset_s = 9").contains("clocks"));
        assert!(Plan::parse(&plan("do = 'heal'")).is_ok());
    }

    #[test]
    fn a_number_that_can_mean_nothing_is_refused_with_its_name() {
        let refused = |text: &str| Plan::parse(text).expect_err(text);
        let step =
            |step: &str| format!("name = 'x'\nseed = 1\nseconds = 9\nclocks = 'all'\n[[step]]\nat = 1\n{step}\n");
        for rate in ["-2.0", "nan", "inf", "0.0", "1e9"] {
            let error = refused(&step(&format!("do = 'clock'\nwho = 'all'\nrate = {rate}")));
            assert!(error.contains("rate") && error.contains("at 1 s"), "{error}");
        }
        for wire in [
            "loss_percent = -1.0",
            "loss_percent = 101.0",
            "delay_ms = nan",
            "jitter_ms = -0.1",
        ] {
            let error = refused(&step(&format!("do = 'wires'\nwire = {{ {wire} }}")));
            let name = wire.split(' ').next().unwrap_or_default();
            assert!(error.contains(name), "{error}");
        }
        let plan = |more: &str| format!("name = 'x'\nseed = 1\nseconds = 9\n{more}\n");
        for bar in [
            "new_leader_s = -3.0",
            "equal_s = nan",
            "refusal_s = inf",
            "terms_per_s = -1.0",
        ] {
            let error = refused(&plan(&format!("[bars]\n{bar}")));
            let name = bar.split(' ').next().unwrap_or_default();
            assert!(error.contains(name), "{error}");
        }
        assert!(refused(&plan("[load]\nclients = 99999999999")).contains("clients"));
        assert!(refused(&plan("[load]\nwatchers = 99999999999")).contains("watchers"));
    }

    #[test]
    fn a_step_for_a_node_that_never_comes_is_refused() {
        let plan = |nodes: usize, first: &str| {
            Plan::parse(&format!(
                "name = 'x'\nseed = 1\nseconds = 9\nnodes = {nodes}\n[[step]]\nat = 1\n{first}\n[[step]]\nat = 2\ndo = 'kill'\nwho = 'n4'\n"
            ))
        };
        let error = plan(3, "do = 'heal'").expect_err("nobody is n4");
        assert!(error.contains("n4") && error.contains("at 2 s"), "{error}");
        assert!(plan(3, "do = 'add'").is_ok() && plan(5, "do = 'heal'").is_ok());
    }

    #[test]
    fn a_name_that_leads_out_of_its_folder_and_a_time_that_is_none_are_refused() {
        let refused = |name: &str, seconds: &str, at: &str| {
            let text = format!("name = '{name}'\nseed = 1\nseconds = {seconds}\n[[step]]\nat = {at}\ndo = 'heal'\n");
            Plan::parse(&text).expect_err("wrong")
        };
        for name in ["../../evil", "", "..", "a/b", "a b"] {
            assert!(refused(name, "9", "1").contains("name"), "{name}");
        }
        for seconds in ["-5", "0", "nan", "inf"] {
            assert!(refused("x", seconds, "1").contains("seconds"), "{seconds}");
        }
        for at in ["-1", "10", "nan"] {
            assert!(refused("x", "9", at).contains("step"), "{at}");
        }
    }
}
