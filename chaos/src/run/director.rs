//! Carries out the steps of a plan on an arena, at their times, and writes down what was really done to whom.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::arena::Arena;
use super::clients::Clients;
use super::clocks::Rated;
use super::done::{Done, lost, names};
use super::journal::{Entry, Journal};
use super::observers::{Watcher, look};
use super::probe::probe;
use super::roles::{Roles, Split};
use super::{RunFailure, at, storm};
use crate::network::{Wire, Wires};
use crate::plan::{Action, Cover, Plan, Selector, Shape};
use crate::seeded::Seeded;
use crate::watch::WatchReport;

/// How old a node's word may be to count as now.
const RECENT_NS: i64 = 400_000_000;
/// What a node says when it has replaced its state by a snapshot of another's.
const INSTALLED: &str = "a snapshot was installed";
/// How often processes are looked at.
const INSPECT: Duration = Duration::from_millis(250);

/// Who carries out a plan.
pub(super) struct Director<'a> {
    pub(super) arena: Arena,
    pub(super) journal: Journal,
    pub(super) runtime: &'a Runtime,
    random: Seeded,
    stop_looking: CancellationToken,
    interrupted: CancellationToken,
    said: &'a dyn Fn(&str),
    resumes: Vec<(Instant, usize)>,
    /// Clocks that go faster or slower by the last order.
    pub(super) rated: Vec<Rated>,
    looked_at: usize,
    probes: Vec<JoinHandle<()>>,
    storms: Vec<JoinHandle<()>>,
}

impl<'a> Director<'a> {
    pub(super) fn new(
        arena: Arena,
        journal: Journal,
        seed: u64,
        runtime: &'a Runtime,
        stop_looking: CancellationToken,
        said: &'a dyn Fn(&str),
    ) -> Self {
        let interrupted = CancellationToken::new();
        runtime.spawn(cancel_on_signal(interrupted.clone()));
        let mut director = Director {
            arena,
            journal,
            runtime,
            random: Seeded::new(seed),
            stop_looking,
            interrupted,
            said,
            resumes: Vec::new(),
            rated: Vec::new(),
            looked_at: 0,
            probes: Vec::new(),
            storms: Vec::new(),
        };
        director.look_at_new();
        director
    }

    /// Tells those who ask whom they may ask.
    pub(super) fn tell_addresses(&self, clients: &Clients, watchers: &[Arc<Watcher>]) {
        let addresses = self.arena.clients_addresses();
        for watcher in watchers {
            watcher.ask(addresses.clone());
        }
        clients.ask(addresses);
    }

    /// Carries out every step at its time.
    pub(super) fn play(&mut self, plan: &Plan, clients: &Clients, watchers: &[Arc<Watcher>]) -> Result<(), RunFailure> {
        let begin = Instant::now();
        for (number, step) in plan.steps.iter().enumerate() {
            self.wait_until(begin + Duration::from_secs_f64(step.at))?;
            let next = plan.steps.get(number + 1).map_or(plan.seconds, |next| next.at);
            self.act(&step.action, next - step.at)?;
            self.look_at_new();
            self.tell_addresses(clients, watchers);
        }
        self.wait_until(begin + Duration::from_secs_f64(plan.seconds))?;
        self.tell_clocks();
        Ok(())
    }

    /// Ends all faults and waits until all members hold the same; the revision they hold then.
    pub(super) fn settle(&mut self, patience: Duration) -> Result<u64, RunFailure> {
        for storm in self.storms.drain(..) {
            let _ = self.runtime.block_on(storm);
        }
        for probe in self.probes.drain(..) {
            let _ = self.runtime.block_on(probe);
        }
        self.heal()?;
        self.heal_disks();
        for (_, node) in std::mem::take(&mut self.resumes) {
            self.arena.resume(node)?;
        }
        self.arena.start_all()?;
        self.journal.write(Entry::Healed {
            at_ns: self.journal.now_ns(),
        });
        let deadline = Instant::now() + patience;
        loop {
            self.look_after()?;
            let recent = self.journal.recent(RECENT_NS);
            let members = self.arena.members();
            let here: Vec<_> = recent
                .iter()
                .filter(|sample| members.contains(&(sample.node - 1)))
                .collect();
            let same = here
                .windows(2)
                .all(|two| (two[0].applied, &two[0].hash) == (two[1].applied, &two[1].hash));
            if here.len() == members.len() && same && here.iter().all(|sample| sample.quorum) {
                self.journal.write(Entry::Equal {
                    at_ns: self.journal.now_ns(),
                });
                break;
            }
            if Instant::now() > deadline {
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        self.runtime
            .block_on(storm::look_for_missing(&self.journal, &self.arena.clients_addresses()));
        Ok(self.revision())
    }

    /// The highest revision that a member has.
    pub(super) fn revision(&self) -> u64 {
        let recent = self.journal.recent(RECENT_NS);
        recent.iter().map(|sample| sample.revision).max().unwrap_or(0)
    }

    /// Writes down the rest.
    pub(super) fn finish(mut self, watched: WatchReport, refused: BTreeMap<String, usize>) -> Result<(), RunFailure> {
        self.look_after()?;
        self.tell_disks();
        self.tell_wires();
        self.journal.write(Entry::Refused { codes: refused });
        for (number, node) in self.arena.nodes.iter_mut().enumerate() {
            let path = node.process.process().log().to_owned();
            let log = std::fs::read(&path).map_err(|error| at(&path, error))?;
            self.journal
                .write(what_is_said(number + 1, &String::from_utf8_lossy(&log)));
        }
        for (number, node) in self.arena.nodes.iter().enumerate() {
            self.journal.write(Entry::Memory {
                node: number + 1,
                bytes: node.memory,
            });
        }
        self.journal.write(Entry::Watched {
            changes: watched.changes,
            faults: watched.faults,
        });
        self.journal.entries().map(drop).map_err(RunFailure::Broken)
    }

    /// What is known of the members now; waits a moment for a leader if there seems to be none.
    pub(super) fn roles(&self) -> Roles {
        let deadline = Instant::now() + Duration::from_secs(3);
        loop {
            let roles = Roles::new(self.arena.members(), &self.journal.recent(RECENT_NS));
            if roles.leader.is_some() || Instant::now() > deadline {
                return roles;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    pub(super) fn act(&mut self, action: &Action, window: f64) -> Result<(), RunFailure> {
        let needs_roles = !matches!(
            action,
            Action::Heal
                | Action::Wires { .. }
                | Action::Storm { .. }
                | Action::Add
                | Action::Start { who: Selector::All }
                | Action::Kill { who: Selector::All }
                | Action::PowerCut { who: Selector::All, .. }
                | Action::Disk { who: Selector::All, .. }
        );
        let roles = if needs_roles {
            self.roles()
        } else {
            Roles::new(self.arena.members(), &[])
        };
        let done = match action {
            Action::Split { shape } => self.split(*shape, &roles, window)?,
            Action::CutOneWay { from, to } => {
                self.one_way(*from, *to, &roles, "nothing passes", |wire| wire.cut = true)?
            }
            Action::Clog { from, to } => self.one_way(*from, *to, &roles, "clogged", |wire| wire.clogged = true)?,
            Action::Unclog { from, to } => {
                self.one_way(*from, *to, &roles, "unclogged", |wire| wire.clogged = false)?
            }
            Action::Wires { wire } => {
                self.arena.rewire(|wires| wires.change_all(|one| *one = *wire))?;
                Done::of(format!("every wire: {wire:?}"))
            }
            Action::Heal => {
                self.heal()?;
                Done::of("every wire is whole".into())
            }
            Action::Kill { who } => self.kill(*who, &roles, window)?,
            Action::Start { who } => {
                let nodes = self.hit(*who, &roles)?;
                for node in &nodes {
                    self.arena.start_node(*node)?;
                }
                Done::of(format!("start {}", names(&nodes)))
            }
            Action::RestartLoop { who, times, gap_ms } => self.restart_loop(*who, *times, *gap_ms)?,
            Action::Pause { who, ms } => self.pause(*who, *ms, &roles)?,
            Action::Clock { who, offset_s, rate } => self.set_clocks(*who, *offset_s, *rate, &roles)?,
            Action::Add => self.add()?,
            Action::Remove { who } => self.remove(*who, &roles)?,
            Action::Replace { who } => self.replace(*who, &roles)?,
            Action::InterruptedRemove { who, after_ms } => self.interrupted_remove(*who, *after_ms, &roles)?,
            Action::PowerCut { who, torn } => self.power_cut(*who, *torn, &roles, window)?,
            Action::Disk { who, fault } => self.set_disks(*who, *fault, &roles)?,
            Action::Damage { who, place } => self.damage(*who, *place, &roles)?,
            Action::Storm { changes } => {
                let (journal, addresses) = (self.journal.clone(), self.arena.clients_addresses());
                let name = format!("s{}", self.storms.len());
                self.storms
                    .push(self.runtime.spawn(storm::storm(journal, addresses, name, *changes)));
                Done::of(format!("{changes} changes at once"))
            }
        };
        (self.said)(&done.words);
        self.journal.write(Entry::Fault {
            at_ns: done.at_ns.unwrap_or_else(|| self.journal.now_ns()),
            words: done.words,
            lost_leader: done.lost_leader,
            cover: done.cover,
        });
        Ok(())
    }

    fn split(&mut self, shape: Shape, roles: &Roles, window: f64) -> Result<Done, RunFailure> {
        let split = roles.split(shape, &mut self.random);
        let at_ns = self.journal.now_ns();
        self.arena
            .rewire(|wires| wires.cut_unless(|a, b| split.together(a, b)))?;
        let mut done = Done::of(match &split.sides {
            Some(sides) => format!(
                "split {}",
                sides.iter().map(|side| names(side)).collect::<Vec<_>>().join(" | ")
            ),
            None => format!("{shape:?} of {}", names(&roles.members)),
        });
        done.at_ns = Some(at_ns);
        if let (Some((leader, term)), Some(sides)) = (roles.leader, &split.sides) {
            let quorum = |side: &Vec<usize>| side.len() >= roles.majority();
            let with_leader = split.side_of(leader).is_some_and(quorum);
            done.words.push_str(&format!("; n{} led", leader + 1));
            if with_leader {
                done.cover.push(Cover::LeaderInMajority);
            } else if sides.iter().any(quorum) {
                done.cover.push(Cover::LeaderInMinority);
                done.lost_leader = Some(lost(leader, term, window));
            }
        }
        self.probe_minority(&split, roles, window);
        Ok(done)
    }

    /// Asks one node of each side without a majority to write something that no history speaks of.
    fn probe_minority(&mut self, split: &Split, roles: &Roles, window: f64) {
        for side in split
            .sides
            .iter()
            .flatten()
            .filter(|side| side.len() < roles.majority())
        {
            let Some(node) = side.first() else { continue };
            let address = self.arena.nodes[*node].process.access();
            self.probes.push(
                self.runtime
                    .spawn(probe(self.journal.clone(), node + 1, address, window)),
            );
        }
    }

    fn one_way(
        &mut self,
        from: Selector,
        to: Selector,
        roles: &Roles,
        what: &str,
        change: impl Fn(&mut Wire),
    ) -> Result<Done, RunFailure> {
        let from = self.hit(from, roles)?;
        let to = self.hit(to, roles)?;
        self.arena.rewire(|wires| {
            for (a, b) in Wires::pairs(wires.nodes()).filter(|(a, b)| from.contains(a) && to.contains(b)) {
                change(wires.get_mut(a, b));
            }
        })?;
        let led = roles
            .leader
            .map_or(String::new(), |(leader, _)| format!("; n{} led", leader + 1));
        Ok(Done::of(format!("{what} from {} to {}{led}", names(&from), names(&to))))
    }

    fn kill(&mut self, who: Selector, roles: &Roles, window: f64) -> Result<Done, RunFailure> {
        let nodes = self.hit(who, roles)?;
        let at_ns = self.journal.now_ns();
        for node in &nodes {
            self.arena.kill(*node);
        }
        let mut done = Done::of(format!("kill -9 {}", names(&nodes)));
        done.at_ns = Some(at_ns);
        self.note_leader(&nodes, roles, window, Cover::LeaderKilled, &mut done);
        Ok(done)
    }

    fn restart_loop(&mut self, who: Selector, times: u32, gap_ms: u64) -> Result<Done, RunFailure> {
        let mut all = Vec::new();
        for _ in 0..times {
            let roles = self.roles();
            let nodes = self.hit(who, &roles)?;
            for node in &nodes {
                self.arena.kill(*node);
                self.arena.start_node(*node)?;
            }
            all.extend(nodes);
            self.wait_until(Instant::now() + Duration::from_millis(gap_ms))?;
        }
        Ok(Done::of(format!(
            "kill -9 and start, one after the other: {}",
            names(&all)
        )))
    }

    fn pause(&mut self, who: Selector, ms: u64, roles: &Roles) -> Result<Done, RunFailure> {
        let nodes = self.hit(who, roles)?;
        let at_ns = self.journal.now_ns();
        for node in &nodes {
            self.arena.pause(*node)?;
            self.resumes.push((Instant::now() + Duration::from_millis(ms), *node));
        }
        let mut done = Done::of(format!("pause {} for {ms} ms", names(&nodes)));
        done.at_ns = Some(at_ns);
        self.note_leader(&nodes, roles, ms as f64 / 1_000.0, Cover::LeaderPaused, &mut done);
        Ok(done)
    }

    /// Notes that these nodes, which the leader may be among, are out of service.
    pub(super) fn note_leader(&self, out: &[usize], roles: &Roles, seconds: f64, cover: Cover, done: &mut Done) {
        let Some((leader, term)) = roles.leader.filter(|(leader, _)| out.contains(leader)) else {
            return;
        };
        done.cover.push(cover);
        let serving = |node: &&usize| {
            let node = &self.arena.nodes[**node];
            node.process.is_running() && !node.paused
        };
        if roles.members.iter().filter(serving).count() >= roles.majority() {
            done.lost_leader = Some(lost(leader, term, seconds));
        }
    }

    /// Writes down what the faults of the wires really took.
    fn tell_wires(&self) {
        let Some(tally) = self.arena.network.tally() else {
            return;
        };
        let seen = [(tally.cut, Cover::PacketsCut), (tally.clogged, Cover::PacketsClogged)];
        let cover: Vec<Cover> = seen
            .into_iter()
            .filter(|(n, _)| *n > 0)
            .map(|(_, cover)| cover)
            .collect();
        if !cover.is_empty() {
            self.journal.write(Entry::Seen {
                at_ns: self.journal.now_ns(),
                words: format!("cuts took {} packets, clogs kept {}", tally.cut, tally.clogged),
                cover,
            });
        }
    }

    /// Who is meant. A step that is done to nobody would prove nothing and look as if it did.
    pub(super) fn hit(&mut self, who: Selector, roles: &Roles) -> Result<Vec<usize>, RunFailure> {
        let nodes = roles.select(who, &mut self.random);
        if nodes.is_empty() {
            let members = names(&roles.members);
            return Err(RunFailure::Plan(format!(
                "a step is for {who}, and that is none of {members}"
            )));
        }
        Ok(nodes)
    }

    /// The one who is meant.
    pub(super) fn hit_one(&mut self, who: Selector, roles: &Roles) -> Result<usize, RunFailure> {
        self.hit(who, roles).map(|nodes| nodes[0])
    }

    /// A number by chance.
    pub(super) fn draw(&mut self) -> u64 {
        self.random.bits()
    }

    pub(super) fn heal(&mut self) -> Result<(), RunFailure> {
        self.arena.rewire(|wires| *wires = Wires::whole(wires.nodes()))
    }

    /// Looks after the processes until then.
    pub(super) fn wait_until(&mut self, then: Instant) -> Result<(), RunFailure> {
        loop {
            self.look_after()?;
            let now = Instant::now();
            if now >= then {
                return Ok(());
            }
            let resume = self.resumes.iter().map(|(at, _)| *at).min().unwrap_or(then);
            let wake = then.min(resume).min(now + INSPECT);
            std::thread::sleep(wake.saturating_duration_since(now));
        }
    }

    fn look_after(&mut self) -> Result<(), RunFailure> {
        if self.interrupted.is_cancelled() {
            return Err(RunFailure::Interrupted);
        }
        let now = Instant::now();
        let (due, later) = std::mem::take(&mut self.resumes)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.resumes = later;
        for (_, node) in due {
            self.arena.resume(node)?;
        }
        let (broken, ended) = self.arena.inspect();
        let at_ns = self.journal.now_ns();
        for words in broken {
            (self.said)(&words);
            self.journal.write(Entry::Broken { at_ns, words });
        }
        for words in ended {
            (self.said)(&words);
            self.journal.write(Entry::Ended { at_ns, words });
        }
        Ok(())
    }

    /// Somebody looks at every node from its beginning on.
    fn look_at_new(&mut self) {
        for number in self.looked_at..self.arena.nodes.len() {
            let address = self.arena.nodes[number].process.access();
            self.runtime.spawn(look(
                self.journal.clone(),
                number + 1,
                address,
                self.stop_looking.clone(),
            ));
        }
        self.looked_at = self.arena.nodes.len();
    }
}

/// What the log of a node tells of.
fn what_is_said(node: usize, log: &str) -> Entry {
    let panics = log
        .lines()
        .filter(|line| line.contains("panicked at"))
        .map(str::to_owned);
    Entry::Log {
        node,
        installed: log.lines().filter(|line| line.contains(INSTALLED)).count(),
        panics: panics.collect(),
    }
}

async fn cancel_on_signal(interrupted: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        return;
    };
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    interrupted.cancel();
}
