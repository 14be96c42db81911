//! Federations of real `fed-node` processes on loopback, and the command line to drive them.

mod client;
mod federation;
mod insider;
mod node;
mod program;

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

pub(crate) use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

pub(crate) use client::{Client, channel, client, client_over, endpoint, operations};
pub(crate) use federation::Federation;
pub(crate) use insider::Insider;
pub(crate) use node::Node;
pub(crate) use program::{Program, Said, Way, fed_node, says};

/// Longest wait for anything to become true: a machine that does ten other things may take long, and a wait that ends well costs nothing.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Sends a signal to a process that the test started.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.cast_signed()).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until `probe` gives something.
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// A port that was free for TCP and UDP a moment ago.
///
/// Each is given away once, and none is of those that the kernel gives to outgoing connections (32768 and up, where nobody changed
/// it): one of them could have it before the node that it is for.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 11_000;
    const COUNT: u32 = 20_000;
    // Another run of the tests, at the same time, begins elsewhere.
    let begin = std::process::id().wrapping_mul(7_919);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(number < COUNT, "there is no free port");
        let port = u16::try_from(FIRST + begin.wrapping_add(number) % COUNT).unwrap();
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}
