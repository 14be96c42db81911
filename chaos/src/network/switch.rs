//! A switch in user space: every place is a namespace with a TAP device, and this process carries each packet from one to the
//! other, as [`Traffic`] decides.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tun_rs::{DeviceBuilder, Layer, SyncDevice};

use super::command;
use super::namespace::Namespace;
use super::run_id::RunId;
use super::traffic::{Fate, Traffic};
use super::{NetworkError, Place, Tally, Wires};
use crate::process::Addresses;

/// Larger than any frame of a device with the usual 1,500 bytes.
const FRAME: usize = 2_048;
/// How soon threads notice that they shall end.
const LOOK: Duration = Duration::from_millis(100);
/// Packets that wait on one clogged wire; more are lost.
const HELD: usize = 10_000;
/// All devices of a run; bytes 0 to 4 of their addresses. The last byte is the place's number plus one.
const MAC: [u8; 5] = [0x02, 0xfc, 0, 0, 0];

/// The switch of one run.
pub(super) struct Switch {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    /// One for each node, then the clients'.
    places: Vec<Namespace>,
}

struct Shared {
    ports: Vec<SyncDevice>,
    state: Mutex<State>,
    changed: Condvar,
    stop: AtomicBool,
    origin: Instant,
}

/// Moment, number, to whom, frame: the earliest first, those of one moment in the order of their numbers.
type Late = (u64, u64, usize, Vec<u8>);

struct State {
    traffic: Traffic,
    late: BinaryHeap<Reverse<Late>>,
    held: HashMap<(usize, usize), Vec<Vec<u8>>>,
    number: u64,
}

impl Switch {
    pub(super) fn make(run: &RunId, nodes: usize, seed: u64) -> Result<Self, NetworkError> {
        let (mut places, mut ports) = (Vec::new(), Vec::new());
        for place in 0..=nodes {
            let name = if place == nodes {
                "clients".to_owned()
            } else {
                format!("n{}", place + 1)
            };
            let namespace = Namespace::make(run.name(&name))?;
            ports.push(plug_in(&namespace, place, nodes + 1)?);
            places.push(namespace);
        }
        let shared = Arc::new(Shared {
            ports,
            state: Mutex::new(State {
                traffic: Traffic::new(nodes, seed),
                late: BinaryHeap::new(),
                held: HashMap::new(),
                number: 0,
            }),
            changed: Condvar::new(),
            stop: AtomicBool::new(false),
            origin: Instant::now(),
        });
        let mut threads = Vec::new();
        for port in 0..=nodes {
            let shared = shared.clone();
            threads.push(std::thread::spawn(move || shared.carry(port)));
        }
        let late = shared.clone();
        threads.push(std::thread::spawn(move || late.carry_late()));
        Ok(Switch {
            shared,
            threads,
            places,
        })
    }

    pub(super) fn place(&self, node: usize) -> Place {
        Place {
            listen: addresses(node),
            advertised: addresses(node).peer,
            through: self.places[node].through(),
        }
    }

    pub(super) fn clients(&self) -> &Namespace {
        &self.places[self.places.len() - 1]
    }

    pub(super) fn tally(&self) -> Tally {
        self.shared.lock().traffic.tally()
    }

    pub(super) fn set(&mut self, wires: &Wires) {
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.traffic.set(wires);
        let State { traffic, held, .. } = &mut *state;
        let released: Vec<_> = held.extract_if(|(from, to), _| !traffic.clogged(*from, *to)).collect();
        for ((from, to), frames) in released {
            for frame in frames {
                let fate = state.traffic.packet(from, to, frame.len(), now);
                state.settle(from, to, frame, fate);
            }
        }
        self.shared.changed.notify_all();
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.shared.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Takes what comes out of one device to where it belongs.
    fn carry(&self, from: usize) {
        let mut buffer = [0; FRAME];
        let wait = Timespec::try_from(LOOK).ok();
        while !self.stop.load(Ordering::Relaxed) {
            let readable = poll(&mut [PollFd::new(&self.ports[from], PollFlags::IN)], wait.as_ref());
            if !matches!(readable, Ok(1..)) {
                continue;
            }
            while let Ok(length) = self.ports[from].recv(&mut buffer) {
                if let Some(to) = self.destination(&buffer[..length]) {
                    self.pass(from, to, &buffer[..length]);
                }
            }
        }
    }

    /// Addresses are known in advance, so nothing is ever asked of everybody; what is, is not the product's.
    fn destination(&self, frame: &[u8]) -> Option<usize> {
        let place = usize::from(*frame.get(5)?).checked_sub(1)?;
        (frame[..5] == MAC && place < self.ports.len()).then_some(place)
    }

    fn pass(&self, from: usize, to: usize, frame: &[u8]) {
        let now = self.now();
        let mut state = self.lock();
        match state.traffic.packet(from, to, frame.len(), now) {
            Fate::Arrives(at) if at == [now] => {
                drop(state);
                self.deliver(to, frame);
            }
            fate => {
                state.settle(from, to, frame.to_vec(), fate);
                self.changed.notify_all();
            }
        }
    }

    fn carry_late(&self) {
        let mut state = self.lock();
        while !self.stop.load(Ordering::Relaxed) {
            let now = self.now();
            let due = state.late.peek().map(|Reverse((at, ..))| *at);
            if due.is_some_and(|at| at <= now) {
                if let Some(Reverse((_, _, to, frame))) = state.late.pop() {
                    drop(state);
                    self.deliver(to, &frame);
                    state = self.lock();
                }
                continue;
            }
            let wait = due.map_or(LOOK, |at| Duration::from_micros(at - now).min(LOOK));
            let waited = self.changed.wait_timeout(state, wait);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A device whose queue is full loses the frame, as a network card does.
    fn deliver(&self, to: usize, frame: &[u8]) {
        let _ = self.ports[to].send(frame);
    }
}

impl State {
    fn settle(&mut self, from: usize, to: usize, frame: Vec<u8>, fate: Fate) {
        match fate {
            Fate::Lost => {}
            Fate::Held => {
                let held = self.held.entry((from, to)).or_default();
                if held.len() < HELD {
                    held.push(frame);
                }
            }
            Fate::Arrives(moments) => {
                for at in moments {
                    self.number += 1;
                    self.late.push(Reverse((at, self.number, to, frame.clone())));
                }
            }
        }
    }
}

/// A device in the namespace, with its own address and those of all others.
fn plug_in(namespace: &Namespace, place: usize, places: usize) -> Result<SyncDevice, NetworkError> {
    let device = namespace.enter(|| {
        let device = DeviceBuilder::new()
            .name("eth0")
            .layer(Layer::L2)
            .enable(false)
            .build_sync()?;
        device.set_nonblocking(true)?;
        Ok(device)
    })?;
    let mut script = format!(
        "link set eth0 address {}\naddr add {}/24 dev eth0\nlink set eth0 up\n",
        mac(place),
        ip(place)
    );
    for other in (0..places).filter(|other| *other != place) {
        script.push_str(&format!(
            "neigh replace {} lladdr {} dev eth0 nud permanent\n",
            ip(other),
            mac(other)
        ));
    }
    command::finish(
        std::process::Command::new("ip").args(["-n", namespace.name(), "-batch", "-"]),
        &script,
    )?;
    Ok(device)
}

fn mac(place: usize) -> String {
    let octets: Vec<String> = MAC.iter().map(|octet| format!("{octet:02x}")).collect();
    format!("{}:{:02x}", octets.join(":"), place + 1)
}

pub(super) fn ip(place: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 98, 0, u8::try_from(place + 11).unwrap_or(u8::MAX))
}

/// Every node has a host of its own, so all use the usual ports.
pub(super) fn addresses(node: usize) -> Addresses {
    let at = |port| SocketAddr::from((ip(node), port));
    let within = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    Addresses {
        peer: at(7401),
        client: at(7400),
        redirect: within(5070),
        agi: within(4573),
    }
}
