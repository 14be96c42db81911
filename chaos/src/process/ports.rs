//! Ports of this host that nobody uses.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering};

const FIRST: u32 = 11_000;
const COUNT: u32 = 20_000;

/// `N` different ports of 127.0.0.1 that were free for TCP and UDP a moment ago, each given once by this process.
///
/// None is of those that the kernel gives to outgoing connections (32768 and up, where nobody changed it): one of them could have it
/// before the node that it is for, or while that node is killed.
///
/// # Errors
/// When there are no more.
pub fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another process, at the same time, begins elsewhere.
    let begin = std::process::id().wrapping_mul(7_919);
    let mut ports = [0; N];
    for port in &mut ports {
        *port = loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            if number >= COUNT {
                return Err(std::io::Error::other("no free ports"));
            }
            let port = (FIRST + begin.wrapping_add(number) % COUNT) as u16;
            let address = (Ipv4Addr::LOCALHOST, port);
            if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
                break port;
            }
        };
    }
    Ok(ports)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice_nor_one_that_somebody_uses() {
        let [used] = free_ports::<1>().expect("a port");
        let _user = TcpListener::bind((Ipv4Addr::LOCALHOST, used + 1));
        let mut ports = free_ports::<8>().expect("ports").to_vec();
        assert!(ports.iter().all(|port| (11_000..31_000).contains(port)), "{ports:?}");
        assert!(!ports.contains(&(used + 1)) && !ports.contains(&used), "{ports:?}");
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
