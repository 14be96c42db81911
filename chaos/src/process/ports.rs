//! Ports of this host that nobody uses.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};

/// `N` different ports of 127.0.0.1 that were free for TCP and UDP a moment ago.
///
/// # Errors
/// When the system has none to give.
pub fn free_ports<const N: usize>() -> std::io::Result<[u16; N]> {
    let mut held = Vec::with_capacity(N);
    for _ in 0..N * 20 {
        if held.len() == N {
            break;
        }
        let tcp = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = tcp.local_addr()?.port();
        if let Ok(udp) = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)) {
            // Held until all are found, so that no port comes twice.
            held.push((tcp, udp, port));
        }
    }
    let ports: Vec<u16> = held.iter().map(|(_, _, port)| *port).collect();
    <[u16; N]>::try_from(ports).map_err(|_| std::io::Error::other("no free ports"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_port_is_given_twice() {
        let mut ports = free_ports::<8>().expect("ports").to_vec();
        ports.sort_unstable();
        ports.dedup();
        assert_eq!(ports.len(), 8);
    }
}
