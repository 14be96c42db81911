//! TCP proxies on loopback, for those who are not root. Every node is reached by the others through its proxy, which finds out
//! who connects by whose process the connection is (`/proc`), and treats what flows each way as that wire says. A cut wire keeps what
//! it was given until it is whole, as TCP would by repeating it; so loss, doubling and reordering have no meaning here.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use super::{NetworkError, Place, Wires};
use crate::process::{Addresses, free_ports};

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
            let [port] = free_ports::<1>().map_err(failed)?;
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(failed)?;
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
            let Ok(here) = incoming.local_addr() else { continue };
            let shared = self.clone();
            std::thread::spawn(move || {
                let from = Arc::new(End::connecting(from_address, here));
                let to = Arc::new(End::of(to));
                // A side that cannot be reached closes the other: that is what a refused connection looks like through a proxy.
                let Ok(outgoing) = TcpStream::connect(behind) else {
                    return;
                };
                let (Ok(incoming_too), Ok(outgoing_too)) = (incoming.try_clone(), outgoing.try_clone()) else {
                    return;
                };
                let (back, back_from, back_to) = (shared.clone(), to.clone(), from.clone());
                std::thread::spawn(move || back.flow(back_from, back_to, outgoing_too, incoming_too));
                shared.flow(from, to, incoming, outgoing);
            });
        }
    }

    /// Which node this end is; a number that is no node's as long as none is known to have the connection. Asked again then: a process
    /// may connect before its number has been told here, and its connection would never be cut.
    fn whose(&self, end: &End) -> usize {
        if end.node.get().is_none()
            && let Some(found) = end.inode().and_then(|inode| self.owner(inode))
        {
            let _ = end.node.set(found);
        }
        end.node.get().copied().unwrap_or(usize::MAX)
    }

    fn owner(&self, inode: u64) -> Option<usize> {
        let processes = locked(&self.processes).clone();
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
        owner.map(|(_, node)| *node)
    }

    /// Carries one direction until one side ends it.
    fn flow(self: Arc<Self>, from: Arc<End>, to: Arc<End>, mut source: TcpStream, mut sink: TcpStream) {
        let _ = (source.set_nodelay(true), sink.set_nodelay(true));
        let _ = source.set_read_timeout(Some(Duration::from_millis(100)));
        let (late, arrivals) = mpsc::sync_channel::<(Instant, Vec<u8>)>(UNDER_WAY);
        let (shared, start, end) = (self.clone(), from.clone(), to.clone());
        let writer = std::thread::spawn(move || {
            for (at, chunk) in arrivals {
                std::thread::sleep(at.saturating_duration_since(Instant::now()));
                shared.wait_until_passing(&start, &end);
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
            let (one, other) = (self.whose(&from), self.whose(&to));
            let wire = locked(&self.wires).get(one, other);
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

    fn wait_until_passing(&self, from: &End, to: &End) {
        while !self.stopped() && !self.passes(from, to) {
            std::thread::sleep(LOOK);
        }
    }

    fn passes(&self, from: &End, to: &End) -> bool {
        let (from, to) = (self.whose(from), self.whose(to));
        locked(&self.wires).passes(from, to)
    }
}

/// One end of a connection, and the node it belongs to once that is known.
struct End {
    node: OnceLock<usize>,
    /// Its own address and the other's, of an end whose node has to be found out.
    addresses: Option<(SocketAddr, SocketAddr)>,
}

impl End {
    fn of(node: usize) -> Self {
        End {
            node: OnceLock::from(node),
            addresses: None,
        }
    }

    fn connecting(own: SocketAddr, other: SocketAddr) -> Self {
        End {
            node: OnceLock::new(),
            addresses: Some((own, other)),
        }
    }

    /// The inode of its socket. By both addresses: an ended connection from the same port to somewhere else stays in the table for a minute.
    fn inode(&self) -> Option<u64> {
        let (own, other) = self.addresses?;
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let (own, other) = (in_table(own), in_table(other));
        let mut lines = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let line = lines.find(|words| words.get(1) == Some(&own.as_str()) && words.get(2) == Some(&other.as_str()))?;
        // 0: its process has closed it.
        line.get(9)?.parse().ok().filter(|inode| *inode != 0)
    }
}

/// An address of 127.0.0.1 as `/proc/net/tcp` writes it.
fn in_table(address: SocketAddr) -> String {
    format!("0100007F:{:04X}", address.port())
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    const OWN: usize = 1;

    /// The way from this process, through the proxy of node 0, to what is behind it.
    fn through() -> (Proxies, TcpStream, TcpStream) {
        let proxies = Proxies::make(2).unwrap();
        let behind = TcpListener::bind(proxies.places[0].0.peer).unwrap();
        let own = TcpStream::connect(proxies.places[0].1).unwrap();
        let (behind, _) = behind.accept().unwrap();
        behind.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        (proxies, own, behind)
    }

    fn cut(proxies: &mut Proxies) {
        let mut wires = Wires::whole(2);
        wires.cut_unless(|_, _| false);
        proxies.set(&wires);
    }

    #[test]
    fn a_connection_that_is_older_than_its_process_is_known_is_cut_too() {
        let (mut proxies, mut own, mut behind) = through();
        let mut one = [0];
        own.write_all(b"a").unwrap();
        behind.read_exact(&mut one).unwrap();
        proxies.learn_process(OWN, Some(std::process::id()));
        cut(&mut proxies);
        own.write_all(b"b").unwrap();
        assert!(behind.read_exact(&mut one).is_err(), "it passed a wire that is cut");
        proxies.set(&Wires::whole(2));
        behind.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        behind.read_exact(&mut one).unwrap();
        assert_eq!(&one, b"b");
    }

    #[test]
    fn of_two_connections_from_one_port_each_is_found() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .build()
            .unwrap();
        let mut own = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut connections = Vec::new();
        for _ in 0..2 {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let there = listener.local_addr().unwrap();
            let stream = runtime.block_on(async {
                let socket = tokio::net::TcpSocket::new_v4().unwrap();
                socket.set_reuseaddr(true).unwrap();
                socket.bind(own).unwrap();
                socket.connect(there).await.unwrap()
            });
            own = stream.local_addr().unwrap();
            connections.push((listener, stream, there));
        }
        for (_, stream, there) in &connections {
            let name = std::fs::read_link(format!("/proc/self/fd/{}", stream.as_raw_fd())).unwrap();
            let found = End::connecting(own, *there).inode().unwrap();
            assert_eq!(name.to_string_lossy(), format!("socket:[{found}]"));
        }
    }
}
