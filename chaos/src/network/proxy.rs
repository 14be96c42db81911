//! TCP proxies on loopback, for those who are not root. Every node is reached by the others through its proxy, which finds out
//! who connects by whose process the connection is (`/proc`), and treats what flows each way as that wire says. A cut wire keeps what
//! it was given until it is whole, as TCP would by repeating it; so loss, doubling and reordering have no meaning here.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::{NetworkError, Place, Wires};
use crate::process::Addresses;

/// Most bytes carried at once; small, so that a slow wire is slow evenly.
const CHUNK: usize = 8_192;
/// How often a stopped wire is looked at.
const LOOK: Duration = Duration::from_millis(5);
/// Chunks on their way on one connection; the sender waits when there are more.
const UNDER_WAY: usize = 64;

/// The proxies of one run.
pub(super) struct Proxies {
    shared: Arc<Shared>,
    places: Vec<(Addresses, SocketAddr)>,
}

struct Shared {
    wires: Mutex<Wires>,
    processes: Mutex<HashMap<u32, usize>>,
    stop: AtomicBool,
}

impl Proxies {
    pub(super) fn make(nodes: usize) -> Result<Self, NetworkError> {
        let shared = Arc::new(Shared {
            wires: Mutex::new(Wires::whole(nodes)),
            processes: Mutex::new(HashMap::new()),
            stop: AtomicBool::new(false),
        });
        let failed = |error| NetworkError::io("a proxy on loopback", error);
        let mut places = Vec::new();
        for node in 0..nodes {
            let behind = Addresses::loopback().map_err(failed)?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed)?;
            listener.set_nonblocking(true).map_err(failed)?;
            places.push((behind, listener.local_addr().map_err(failed)?));
            let shared = shared.clone();
            std::thread::spawn(move || shared.accept(&listener, node, behind.peer));
        }
        Ok(Proxies { shared, places })
    }

    pub(super) fn place(&self, node: usize) -> Place {
        let (listen, advertised) = self.places[node];
        Place {
            listen,
            advertised,
            through: Vec::new(),
        }
    }

    pub(super) fn set(&mut self, wires: &Wires) {
        *locked(&self.shared.wires) = wires.clone();
    }

    pub(super) fn learn_process(&self, node: usize, pid: Option<u32>) {
        let mut processes = locked(&self.shared.processes);
        processes.retain(|_, known| *known != node);
        if let Some(pid) = pid {
            processes.insert(pid, node);
        }
    }
}

impl Drop for Proxies {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn accept(self: Arc<Self>, listener: &TcpListener, to: usize, behind: SocketAddr) {
        while !self.stopped() {
            let Ok((incoming, from_address)) = listener.accept() else {
                std::thread::sleep(LOOK);
                continue;
            };
            let shared = self.clone();
            std::thread::spawn(move || {
                let from = shared.whose(from_address.port());
                // A side that cannot be reached closes the other: that is what a refused connection looks like through a proxy.
                let Ok(outgoing) = TcpStream::connect(behind) else {
                    return;
                };
                let (Ok(incoming_too), Ok(outgoing_too)) = (incoming.try_clone(), outgoing.try_clone()) else {
                    return;
                };
                let back = shared.clone();
                std::thread::spawn(move || back.flow(to, from, outgoing_too, incoming_too));
                shared.flow(from, to, incoming, outgoing);
            });
        }
    }

    /// Which node has a connection with this port of loopback; a number that is no node's if none has.
    fn whose(&self, port: u16) -> usize {
        let processes = locked(&self.processes).clone();
        let Some(inode) = inode_of(port) else { return usize::MAX };
        let wanted = format!("socket:[{inode}]");
        let owner = processes.iter().find(|(pid, _)| {
            let files = std::fs::read_dir(format!("/proc/{pid}/fd"))
                .into_iter()
                .flatten()
                .flatten();
            files
                .filter_map(|file| std::fs::read_link(file.path()).ok())
                .any(|link| link.to_string_lossy() == wanted)
        });
        owner.map_or(usize::MAX, |(_, node)| *node)
    }

    /// Carries one direction until one side ends it.
    fn flow(self: Arc<Self>, from: usize, to: usize, mut source: TcpStream, mut sink: TcpStream) {
        let _ = (source.set_nodelay(true), sink.set_nodelay(true));
        let _ = source.set_read_timeout(Some(Duration::from_millis(100)));
        let (late, arrivals) = mpsc::sync_channel::<(Instant, Vec<u8>)>(UNDER_WAY);
        let shared = self.clone();
        let writer = std::thread::spawn(move || {
            for (at, chunk) in arrivals {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                shared.wait_until_passing(from, to);
                if sink.write_all(&chunk).is_err() {
                    break;
                }
            }
            let _ = sink.shutdown(Shutdown::Both);
        });
        let mut buffer = [0; CHUNK];
        let mut busy_until = Instant::now();
        while !self.stopped() {
            let length = match source.read(&mut buffer) {
                Ok(0) => break,
                Ok(length) => length,
                Err(error)
                    if matches!(
                        error.kind(),
                        std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                    ) =>
                {
                    continue;
                }
                Err(_) => break,
            };
            let wire = locked(&self.wires).get(from, to);
            if wire.kbit_per_s > 0 {
                let time = Duration::from_micros(length as u64 * 8_000 / u64::from(wire.kbit_per_s));
                busy_until = busy_until.max(Instant::now()) + time;
            }
            let arrival =
                busy_until.max(Instant::now()) + Duration::from_secs_f64((wire.delay_ms + wire.jitter_ms) / 1e3);
            if late.send((arrival, buffer[..length].to_vec())).is_err() {
                break;
            }
        }
        drop(late);
        let _ = writer.join();
        let _ = source.shutdown(Shutdown::Both);
    }

    fn wait_until_passing(&self, from: usize, to: usize) {
        while !self.stopped() && !locked(&self.wires).passes(from, to) {
            std::thread::sleep(LOOK);
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The inode of the connection whose own end is this port of 127.0.0.1.
fn inode_of(port: u16) -> Option<String> {
    let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
    let own = format!("0100007F:{port:04X}");
    let line = table
        .lines()
        .find(|line| line.split_whitespace().nth(1) == Some(&own))?;
    line.split_whitespace().nth(9).map(str::to_owned)
}
