//! The cluster under test: its network, its processes, and what is being done to them.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::disk::Disk;
use crate::network::{Backend, Network, Wires};
use crate::plan::Clock;
use crate::process::{Access, Bearer, FedNode, ProcessError, leash};

use super::clock_file::ClockFile;
use super::{RunFailure, at};

/// Longest wait for a new node to answer, and for a new cluster to settle.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a new node tries to join.
const JOIN: Duration = Duration::from_secs(30);

/// What the nodes of an arena are started with.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The `fed-node` to test.
    pub binary: PathBuf,
    /// What the wires are made of.
    pub backend: Backend,
    /// Nodes at the beginning.
    pub nodes: usize,
    /// Further nodes that may join later.
    pub spare: usize,
    /// Decides every chance of the wires.
    pub seed: u64,
    /// Whose clocks can be changed.
    pub clocks: Clock,
    /// Whether every node has a disk that forgets.
    pub disks: bool,
    /// Further flags of every node.
    pub flags: Vec<String>,
}

/// A cluster of real processes. Dropping it ends them and removes its network; its folder stays.
pub struct Arena {
    /// Nodes in the order in which they came, those that left included.
    pub(super) nodes: Vec<ArenaNode>,
    /// The wires. Dropped after the nodes.
    pub(super) network: Network,
    setup: Setup,
    folder: PathBuf,
}

/// One node of an arena.
pub(super) struct ArenaNode {
    pub(super) process: FedNode,
    /// It belongs to the cluster, or was not yet told to leave.
    pub(super) member: bool,
    /// It should be running.
    pub(super) wanted: bool,
    pub(super) paused: bool,
    /// It may end by itself: its disk does not work.
    pub(super) may_end: bool,
    pub(super) clock: Option<ClockFile>,
    /// After the process, which has files of it open.
    pub(super) disk: Option<Disk>,
    /// The most memory of its own that was seen, in bytes.
    pub(super) memory: u64,
}

impl Arena {
    /// Makes the network and starts the nodes, one cluster, everybody up. The calling thread must be in the clients' place.
    ///
    /// # Errors
    /// When something cannot be made or does not settle.
    pub fn start(network: Network, setup: Setup, runtime: &tokio::runtime::Runtime) -> Result<Self, RunFailure> {
        let folder = network.folder().to_owned();
        let mut arena = Arena {
            nodes: Vec::new(),
            network,
            setup,
            folder,
        };
        for _ in 0..arena.setup.nodes {
            arena.add(runtime)?;
        }
        let voters = arena.setup.nodes;
        for node in &mut arena.nodes {
            let settled = |status: &fed_proto::client::StatusReply| {
                let count = status
                    .members
                    .iter()
                    .filter(|member| member.role == "voter" && member.up)
                    .count();
                // The last one votes when the change of voters is whole.
                status.quorum && count == voters && status.voter_groups.len() <= 1
            };
            runtime.block_on(node.process.reaches("every node votes", PATIENCE, settled))?;
        }
        Ok(arena)
    }

    /// Founds the cluster, or lets one more node join it; its number, from 0.
    ///
    /// # Errors
    /// When there is no place left, or it does not start, join or answer.
    pub(super) fn add(&mut self, runtime: &tokio::runtime::Runtime) -> Result<usize, RunFailure> {
        let number = self.nodes.len();
        if number >= self.setup.nodes + self.setup.spare {
            return Err(RunFailure::Plan("there is no place for one more node".into()));
        }
        let place = self.network.place(number);
        let name = format!("n{}", number + 1);
        let clock = match self.setup.clocks {
            Clock::Real => None,
            clocks => Some(ClockFile::make(&self.folder.join(format!("{name}.clock")), clocks)?),
        };
        let disk = match self.setup.disks {
            true => Some(Disk::mount(&self.folder.join(&name).join("data"))?),
            false => None,
        };
        // This thread outlives the arena, and starts every node: a harness that is killed takes them with it.
        let mut through: Vec<String> = leash().iter().map(|word| (*word).to_owned()).collect();
        through.extend(place.through);
        through.extend(clock.iter().flat_map(ClockFile::through));
        let mut process = FedNode::new(&self.setup.binary, &self.folder, &name, place.listen)?
            .through(through)
            .flag(format!("--peer-advertise={}", place.advertised))
            .flag(format!("--raft-voters={}", self.setup.nodes))
            .flag("--raft-snapshot-entries=100")
            .flag("--raft-keep-entries=100");
        for flag in &self.setup.flags {
            process = process.flag(flag);
        }
        let seed = self
            .nodes
            .iter()
            .position(|node| node.member && node.process.is_running() && !node.paused);
        match seed {
            None if self.nodes.is_empty() => process.init()?,
            None => return Err(RunFailure::Plan("a node cannot join: no member runs".into())),
            Some(seed) => let_in(&self.nodes[seed].process, &process)?,
        }
        process.start()?;
        self.network.learn_process(number, process.process().pid());
        runtime.block_on(process.ready(PATIENCE))?;
        self.nodes.push(ArenaNode {
            process,
            member: true,
            wanted: true,
            paused: false,
            may_end: false,
            clock,
            disk,
            memory: 0,
        });
        Ok(number)
    }

    /// Empties the folder of a node that does not run and was taken out, and lets it join again at its place, with a new id.
    ///
    /// # Errors
    /// When no other member runs, or it does not join, start or answer.
    pub(super) fn rejoin(&mut self, number: usize, runtime: &tokio::runtime::Runtime) -> Result<(), RunFailure> {
        let others = |(other, node): (usize, &ArenaNode)| {
            other != number && node.member && node.process.is_running() && !node.paused
        };
        let Some(seed) = self.nodes.iter().enumerate().position(others) else {
            return Err(RunFailure::Plan(
                "a node cannot join again: no other member runs".into(),
            ));
        };
        let data = self.nodes[number].process.data_dir();
        if self.nodes[number].disk.take().is_some() {
            self.nodes[number].disk = Some(Disk::mount(&data)?);
        } else {
            std::fs::remove_dir_all(&data).map_err(|error| at(&data, error))?;
        }
        let_in(&self.nodes[seed].process, &self.nodes[number].process)?;
        self.nodes[number].member = true;
        self.start_node(number)?;
        runtime.block_on(self.nodes[number].process.ready(PATIENCE))?;
        Ok(())
    }

    /// Where the folders of the nodes, with their logs, lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Numbers of the members, from 0.
    pub(super) fn members(&self) -> Vec<usize> {
        (0..self.nodes.len()).filter(|node| self.nodes[*node].member).collect()
    }

    /// Number, from 1, and client API of every member.
    pub fn clients_addresses(&self) -> Vec<(usize, Access)> {
        let address = |node: usize| (node + 1, self.nodes[node].process.access());
        self.members().into_iter().map(address).collect()
    }

    /// Words for somebody who wants to ask a node by hand: where its client API is, and how to get there.
    pub(super) fn ways_in(&self) -> Vec<String> {
        let way = |(number, node): (usize, &ArenaNode)| {
            let through = self.network.place(number).through.join(" ");
            let (access, token) = (node.process.access(), Bearer::file(&node.process.data_dir()));
            let ca = access.authority.map(|path| format!(" --ca {}", path.display()));
            format!(
                "{through} fed-node --server {}{} --token-file {} status",
                access.address,
                ca.unwrap_or_default(),
                token.display()
            )
        };
        self.nodes.iter().enumerate().map(way).collect()
    }

    pub(super) fn kill(&mut self, node: usize) {
        let killed = &mut self.nodes[node];
        killed.wanted = false;
        killed.paused = false;
        killed.process.kill();
        self.network.learn_process(node, None);
    }

    pub(super) fn start_node(&mut self, node: usize) -> Result<(), RunFailure> {
        let started = &mut self.nodes[node];
        if !started.process.is_running() {
            started.process.start()?;
            started.wanted = true;
            // What its disk did before is over for this process.
            let fault = started.disk.as_ref().map(Disk::fault).unwrap_or_default();
            started.may_end = fault.may_end_a_node();
            let pid = started.process.process().pid();
            self.network.learn_process(node, pid);
        }
        Ok(())
    }

    /// Starts every member that does not run.
    pub(super) fn start_all(&mut self) -> Result<(), RunFailure> {
        for node in self.members() {
            self.start_node(node)?;
        }
        Ok(())
    }

    pub(super) fn pause(&mut self, node: usize) -> Result<(), RunFailure> {
        if self.nodes[node].process.is_running() {
            self.nodes[node].process.pause()?;
            self.nodes[node].paused = true;
        }
        Ok(())
    }

    pub(super) fn resume(&mut self, node: usize) -> Result<(), RunFailure> {
        if std::mem::take(&mut self.nodes[node].paused) {
            self.nodes[node].process.resume()?;
        }
        Ok(())
    }

    /// Changes the wires at one moment.
    pub(super) fn rewire(&mut self, change: impl FnOnce(&mut Wires)) -> Result<(), RunFailure> {
        let mut wires = self.network.wires().clone();
        change(&mut wires);
        Ok(self.network.set(wires)?)
    }

    /// Looks at the processes, and at what memory they use. Those that should run and have ended are told once, in words: first
    /// those that may not end by themselves, then those that may.
    pub(super) fn inspect(&mut self) -> (Vec<String>, Vec<String>) {
        let (mut broken, mut may) = (Vec::new(), Vec::new());
        for node in self.nodes.iter_mut().filter(|node| node.wanted) {
            if let Err(why) = node.process.process().check() {
                node.wanted = false;
                // The rest is in its log, which is kept with the run.
                let why = why.to_string();
                let ended = why.split(": ").next().unwrap_or_default();
                let said = why.lines().last().unwrap_or_default();
                let words = format!("{ended}, having said: {said}");
                if node.may_end {
                    may.push(words);
                } else {
                    broken.push(words);
                }
            } else if let Ok(usage) = node.process.usage() {
                node.memory = node.memory.max(usage.anonymous);
            }
        }
        (broken, may)
    }
}

/// Has a node join over a member. While there is no leader it is asked again, as an administrator would.
fn let_in(member: &FedNode, new: &FedNode) -> Result<(), ProcessError> {
    let deadline = Instant::now() + JOIN;
    loop {
        match member.invitation().and_then(|invitation| new.join(&invitation)) {
            Err(_) if Instant::now() < deadline => {}
            joined => return joined,
        }
    }
}
