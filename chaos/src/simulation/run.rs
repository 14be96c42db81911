//! One run: the cluster of a seed, its faults, and what is to be said of it.

use std::cell::RefCell;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use fed_core::machine::recomputed_state_hash;
use fed_raft::simulation::{self, Happened};
use turmoil::Sim;
use xxhash_rust::xxh3::Xxh3;

use super::cluster::{self, Order, Shared, World, host_name};
use super::faults::Faults;
use super::machine::effects;
use super::model::Model;
use super::plan::Plan;
use super::report::Report;
use crate::linearizability::{self, Limits};
use crate::operation::Outcome;

/// The cluster has this long, when everything is healed, to come to one state.
const HEALING: Duration = Duration::from_secs(20);
/// Clients go on for so long after everything is healed.
const AFTERWARDS: Duration = Duration::from_secs(1);
/// Fewer operations with a known outcome are too little.
const KNOWN_OPERATIONS: usize = 150;

/// What to run.
#[derive(Debug, Clone)]
pub struct Setup {
    /// Decides everything.
    pub seed: u64,
    /// How long faults go on, in simulated time.
    pub length: Duration,
    /// Faults to leave out, by number.
    pub skip: Vec<usize>,
    /// Tell everything on stderr.
    pub verbose: bool,
}

struct Run<'a> {
    setup: &'a Setup,
    sim: Sim<'a>,
    world: Shared,
    model: Model,
    faults: Faults,
    trace: Xxh3,
    installed: usize,
    violations: Vec<String>,
}

/// Runs it. Once in a process: what happened is kept for the thread.
pub fn run(setup: &Setup) -> Report {
    simulation::begin(setup.seed);
    let plan = Plan::of(setup.seed, setup.length).without(&setup.skip);
    let mut sim = turmoil::Builder::new()
        .rng_seed(setup.seed)
        .epoch(std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000))
        .simulation_duration(Duration::from_secs(3600))
        .min_message_latency(Duration::ZERO)
        .max_message_latency(Duration::from_millis(plan.latency_ms))
        .tcp_capacity(4096)
        .enable_random_order()
        .build();
    let world = Rc::new(RefCell::new(World::new(plan, setup.seed)));
    let hosts = world.borrow().hosts();
    for host in 1..=hosts {
        let world = world.clone();
        sim.host(host_name(host), move || cluster::host(world.clone(), host));
    }
    let mut run = Run {
        setup,
        sim,
        world,
        model: Model::default(),
        faults: Faults::new(),
        trace: Xxh3::new(),
        installed: 0,
        violations: Vec::new(),
    };
    run.course();
    let report = run.report();
    // What is left of the cluster has nothing to do any more; the process ends.
    std::mem::forget(run);
    report
}

impl Run<'_> {
    fn course(&mut self) {
        let plan = self.world.borrow().plan.clone();
        let latency = Duration::from_millis(plan.latency_ms);
        let mut coming = plan.faults.iter().peekable();
        while self.sim.elapsed() < self.setup.length && self.violations.is_empty() {
            let now = self.sim.elapsed();
            self.faults.end(now, &mut self.sim, latency);
            while let Some(fault) = coming.next_if(|fault| fault.at <= now) {
                self.tell(&fault.to_string());
                fault.to_string().hash(&mut self.trace);
                let until = fault.at + fault.lasts;
                self.faults
                    .begin(&fault.kind, until, &mut self.sim, &self.world, &mut self.model);
            }
            self.tick();
        }
        self.faults.end(Duration::MAX, &mut self.sim, latency);
        self.tell("everything is healed");
        self.until(AFTERWARDS, |_| false);
        self.world.borrow_mut().quiet = true;
        if !self.until(HEALING, Run::is_whole) && self.violations.is_empty() {
            let states = self.states();
            self.violations
                .push(format!("the cluster comes to one state when all is healed: {states}"));
        }
        self.scan();
        self.judge();
    }

    fn tell(&self, what: &str) {
        if self.setup.verbose {
            eprintln!("{:>9.3} {what}", self.sim.elapsed().as_secs_f64());
        }
    }

    /// Ticks until it holds; false when it did not in time.
    fn until(&mut self, within: Duration, holds: impl Fn(&Self) -> bool) -> bool {
        let end = self.sim.elapsed() + within;
        while self.sim.elapsed() < end && self.violations.is_empty() {
            if holds(self) {
                return true;
            }
            self.tick();
        }
        false
    }

    /// One millisecond, and everything that must hold after it.
    fn tick(&mut self) {
        let stepped = catch_unwind(AssertUnwindSafe(|| self.sim.step()));
        match stepped {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => self.violations.push(format!("no node panics: {error}")),
            Err(_) => self.violations.push("no node panics: see the message above".to_owned()),
        }
        let happened = simulation::take();
        for (id, what) in &happened {
            (self.sim.elapsed().as_millis(), id, what).hash(&mut self.trace);
            self.installed += usize::from(matches!(what, Happened::Installed { .. }));
            if self.setup.verbose && !matches!(what, Happened::Synced(_)) {
                self.tell(&format!("node {id}: {}", short(what)));
            }
        }
        self.model.take(&happened);
        self.violations.append(&mut self.model.violations());
        let (mut seen, notes) = {
            let mut world = self.world.borrow_mut();
            (std::mem::take(&mut world.violations), std::mem::take(&mut world.notes))
        };
        for note in notes {
            note.hash(&mut self.trace);
            self.tell(&note);
        }
        self.violations.append(&mut seen);
        effects(|effects| self.violations.append(&mut effects.contradictions));
    }

    /// Hosts whose nodes are members, as the leader sees it.
    fn members(&self) -> Option<Vec<usize>> {
        let world = self.world.borrow();
        let leader = world.up.get(&world.leader()?)?;
        let ids: Vec<u64> = leader.members().iter().map(|member| member.id.0).collect();
        let host_of = |id: &u64| world.ids.iter().find(|(_, known)| *known == id).map(|(host, _)| *host);
        Some(ids.iter().filter_map(host_of).collect())
    }

    /// Whether all members are up and hold the same.
    fn is_whole(&self) -> bool {
        // Looking is dear; ten times a second is often enough.
        if self.sim.elapsed().as_millis() % 100 != 0 {
            return false;
        }
        let Some(members) = self.members() else { return false };
        let world = self.world.borrow();
        let states: Option<Vec<_>> = members
            .iter()
            .map(|host| {
                let status = world.up.get(host)?.status();
                (status.applied_index == status.last_index).then_some((status.applied_index, status.state_hash))
            })
            .collect();
        states.is_some_and(|states| states.windows(2).all(|pair| pair[0] == pair[1]))
    }

    fn states(&self) -> String {
        let world = self.world.borrow();
        let state = |(host, node): (&usize, &fed_raft::Cluster<super::machine::Kv>)| {
            let status = node.status();
            format!(
                "node {host} (id {}): leader {:?}, term {}, last {}, applied {}",
                status.node, status.leader, status.term, status.last_index, status.applied_index
            )
        };
        let states: Vec<String> = world.up.iter().map(state).collect();
        format!("members on hosts {:?}; {}", self.members(), states.join("; "))
    }

    /// Every member reads every key.
    fn scan(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        let Some(members) = self.members() else {
            let states = self.states();
            self.violations.push(format!(
                "every key can be read when all is healed: nobody leads: {states}"
            ));
            return;
        };
        self.world
            .borrow_mut()
            .orders
            .extend(members.iter().map(|host| (*host, Order::Scan)));
        let scanned = self.until(HEALING, |run| {
            let world = run.world.borrow();
            members.iter().all(|host| world.scanned.contains(host))
        });
        if !scanned && self.violations.is_empty() {
            let world = self.world.borrow();
            let not = members.iter().filter(|host| !world.scanned.contains(host));
            let not: Vec<String> = not.map(|host| host_name(*host)).collect();
            self.violations.push(format!(
                "every key can be read when all is healed: not at {} within {HEALING:?}",
                not.join(", ")
            ));
        }
    }

    /// What can only be said at the end.
    fn judge(&mut self) {
        if !self.violations.is_empty() {
            return;
        }
        let world = self.world.borrow();
        for (host, node) in &world.up {
            let local = node.local();
            if local.state_hash().ok() != recomputed_state_hash(&local).ok() {
                let what = format!("snapshot + log = live state: node {host} does not hold what its hash says");
                self.violations.push(what);
            }
        }
        effects(|effects| {
            for (op, revision) in &world.acknowledged {
                let made = effects.by_operation.get(op);
                if made != Some(revision) {
                    let what = format!(
                        "what is acknowledged is not lost: operation {op} was acknowledged with revision {revision}, and took effect in {made:?}"
                    );
                    self.violations.push(what);
                }
            }
        });
        let report = linearizability::check(&world.history, &Limits::default());
        for violation in &report.violations {
            let story = violation.story.join("\n    ");
            self.violations.push(format!(
                "linearizable: key {}: {}\n    {story}",
                violation.key, violation.summary
            ));
        }
    }

    fn report(&mut self) -> Report {
        let world = self.world.borrow();
        for operation in &world.history {
            operation.to_line().hash(&mut self.trace);
        }
        let known = world.history.iter().filter(|op| op.outcome != Outcome::Unknown).count();
        let changes = self.model.leader_changes();
        let too_little = if known < KNOWN_OPERATIONS {
            Some(format!(
                "{known} operations have a known outcome, {KNOWN_OPERATIONS} are asked for"
            ))
        } else if changes == 0 && self.setup.skip.is_empty() {
            Some("the leader never changed".to_owned())
        } else {
            None
        };
        let mut report = Report {
            seed: self.setup.seed,
            verdict: String::new(),
            violations: self.violations.clone(),
            too_little,
            at_ms: self.sim.elapsed().as_millis() as u64,
            operations: world.history.len(),
            known,
            leader_changes: changes,
            terms_led: self.model.terms_led(),
            committed: self.model.committed_entries(),
            installed: self.installed,
            watched: world.watched,
            faults: self
                .faults
                .made
                .iter()
                .map(|(kind, n)| ((*kind).to_owned(), *n))
                .collect(),
            trace: format!("{:032x}", self.trace.digest128()),
        };
        report.verdict = report.verdict().to_string();
        report
    }
}

fn short(what: &Happened) -> String {
    let text = format!("{what:?}");
    match text.char_indices().nth(300) {
        Some((at, _)) => format!("{}...", &text[..at]),
        None => text,
    }
}
