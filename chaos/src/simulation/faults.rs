//! Doing to the cluster what the plan says, and undoing it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_raft::simulation;
use turmoil::Sim;

use super::cluster::{Order, Shared, host_name};
use super::model::Model;
use super::plan::Kind;

/// What is under way and how it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Undo {
    Power(usize),
    Links(Vec<(usize, usize)>),
    Latency(usize, usize),
    Loss,
    Disk(usize),
}

/// The faults of one run.
pub(super) struct Faults {
    undo: Vec<(Duration, Undo)>,
    dark: BTreeSet<usize>,
    /// How often each kind happened, for the report.
    pub(super) made: BTreeMap<&'static str, usize>,
}

impl Faults {
    pub(super) fn new() -> Self {
        Self {
            undo: Vec::new(),
            dark: BTreeSet::new(),
            made: BTreeMap::new(),
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.made.entry(what).or_default() += 1;
    }

    /// Begins a fault that ends at `until`.
    pub(super) fn begin(&mut self, kind: &Kind, until: Duration, sim: &mut Sim<'_>, world: &Shared, model: &mut Model) {
        let (hosts, leader) = {
            let world = world.borrow();
            (world.hosts(), world.leader())
        };
        match kind {
            Kind::PowerCut(nodes) => self.power_cut(nodes, until, sim, world, model),
            Kind::PowerCutLeader => self.power_cut(&Vec::from_iter(leader), until, sim, world, model),
            Kind::PowerCutAll => self.power_cut(&(1..=hosts).collect::<Vec<_>>(), until, sim, world, model),
            Kind::Restart(node) => {
                if world.borrow().up.contains_key(node) {
                    self.count("restart");
                    world.borrow_mut().stopping.insert(*node);
                }
            }
            Kind::Partition(nodes) => self.cut(nodes, hosts, false, until, sim),
            Kind::IsolateLeader => self.cut(&Vec::from_iter(leader), hosts, false, until, sim),
            Kind::Clog(nodes) => self.cut(nodes, hosts, true, until, sim),
            Kind::OneWay(from, to) => {
                self.count("one way");
                sim.partition_oneway(host_name(*from), host_name(*to));
                self.undo.push((until, Undo::Links(vec![(*from, *to)])));
            }
            Kind::Slow(a, b, ms) => {
                self.count("slow link");
                sim.set_link_max_message_latency(host_name(*a), host_name(*b), Duration::from_millis(*ms));
                self.undo.push((until, Undo::Latency(*a, *b)));
            }
            Kind::Loss(one_in) => {
                self.count("loss");
                sim.set_fail_rate(1.0 / f64::from(*one_in));
                self.undo.push((until, Undo::Loss));
            }
            Kind::SlowDisk(node, ms) => {
                self.count("slow disk");
                simulation::set_sync_time(&host_name(*node), Duration::from_millis(*ms));
                self.undo.push((until, Undo::Disk(*node)));
            }
            Kind::Transfer(node) => self.order(*node, leader, world, |id, _| Order::Transfer(id)),
            Kind::Remove(node) => self.order(*node, leader, world, Order::Remove),
            Kind::Join(node) => {
                self.count("join");
                world.borrow_mut().wanted.insert(*node);
            }
        }
    }

    fn order(&mut self, node: usize, leader: Option<usize>, world: &Shared, order: impl Fn(NodeId, usize) -> Order) {
        let mut world = world.borrow_mut();
        if let (Some(at), Some(&id)) = (leader, world.ids.get(&node)) {
            self.count("members");
            world.orders.push((at, order(NodeId(id), node)));
        }
    }

    fn power_cut(&mut self, hosts: &[usize], until: Duration, sim: &mut Sim<'_>, world: &Shared, model: &mut Model) {
        self.count("power cut");
        for &host in hosts {
            if !self.dark.insert(host) {
                continue;
            }
            let name = host_name(host);
            // First the disk: what dying tasks still do must not reach it.
            simulation::power_cut(&name);
            let id = {
                let mut world = world.borrow_mut();
                world.up.remove(&host);
                world.orders.retain(|(at, _)| *at != host);
                world.ids.get(&host).copied()
            };
            sim.crash(name);
            if let Some(id) = id {
                model.went_down(id);
            }
            self.undo.push((until, Undo::Power(host)));
        }
    }

    fn cut(&mut self, nodes: &[usize], hosts: usize, hold: bool, until: Duration, sim: &Sim<'_>) {
        self.count(if hold { "clog" } else { "partition" });
        let mut links = Vec::new();
        for &inside in nodes {
            for outside in (1..=hosts).filter(|host| !nodes.contains(host)) {
                if hold {
                    sim.hold(host_name(inside), host_name(outside));
                } else {
                    sim.partition(host_name(inside), host_name(outside));
                }
                links.push((inside, outside));
            }
        }
        self.undo.push((until, Undo::Links(links)));
    }

    /// Ends what is over.
    pub(super) fn end(&mut self, now: Duration, sim: &mut Sim<'_>, usual_latency: Duration) {
        let (over, going): (Vec<_>, Vec<_>) = std::mem::take(&mut self.undo)
            .into_iter()
            .partition(|(at, _)| *at <= now);
        self.undo = going;
        for (_, undo) in over {
            match undo {
                Undo::Power(host) => {
                    simulation::power_on(&host_name(host));
                    self.dark.remove(&host);
                    sim.bounce(host_name(host));
                }
                Undo::Links(links) => {
                    for (a, b) in links {
                        sim.release(host_name(a), host_name(b));
                    }
                }
                Undo::Latency(a, b) => sim.set_link_max_message_latency(host_name(a), host_name(b), usual_latency),
                Undo::Loss => sim.set_fail_rate(0.0),
                Undo::Disk(host) => simulation::set_sync_time(&host_name(host), Duration::from_millis(3)),
            }
        }
    }
}
