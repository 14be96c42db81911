//! Whether an address is this machine's own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

/// True where what is sent to the address stays on this machine: the kernel then takes the very same one to send from. Nothing is sent.
///
/// Asterisk asks from the address that its transport is bound to, also on loopback, and a machine may get and lose addresses at any time: so
/// there is no list of them. A packet from elsewhere that claims to come from one of them is dropped by the kernel.
pub(super) fn is_own(address: IpAddr) -> bool {
    if address.is_loopback() {
        return true;
    }
    let from: IpAddr = match address {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let local = UdpSocket::bind((from, 0)).and_then(|socket| {
        // Any port but 0 does.
        socket.connect(SocketAddr::new(address, 9))?;
        socket.local_addr()
    });
    local.is_ok_and(|local| local.ip() == address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_this_machine_are_own_and_others_are_not() {
        for own in ["127.0.0.1", "127.0.0.9", "::1"] {
            assert!(is_own(own.parse().expect("an address")), "{own}");
        }
        // From which this machine would send to elsewhere, where it has a way there: Asterisk's transports are bound to such.
        let elsewhere = UdpSocket::bind("0.0.0.0:0").expect("a socket");
        match elsewhere.connect("192.0.2.1:9").and_then(|()| elsewhere.local_addr()) {
            Ok(own) => assert!(is_own(own.ip()), "{own}"),
            Err(error) => println!("no address of this machine but loopback was tried: {error}"),
        }
        // For documentation (RFC 5737, RFC 3849): nobody's.
        for other in ["192.0.2.1", "2001:db8::1", "0.0.0.0"] {
            assert!(!is_own(other.parse().expect("an address")), "{other}");
        }
    }
}
