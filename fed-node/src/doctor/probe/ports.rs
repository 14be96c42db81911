//! The ports: what answers, and what could be listened on.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::address::Address;
use crate::cli::default_server;
use crate::config::Config;
use crate::doctor::Port;

/// Longest wait for an answer on this host.
const WITHIN: Duration = Duration::from_secs(1);

/// Every TCP port that the node listens on.
pub(super) async fn listeners(config: &Config) -> Vec<Port> {
    let mut wanted = vec![
        ("peer.listen", config.peer.listen.clone()),
        ("client.listen", config.client.listen.clone()),
        ("redirect.listen", config.redirect.listen.clone()),
        ("agi.listen", config.agi.listen.clone()),
    ];
    wanted.extend(config.metrics.listen.clone().map(|listen| ("metrics.listen", listen)));
    let mut found = Vec::new();
    for (key, address) in wanted.into_iter().filter(|(_, address)| address.port() != 0) {
        found.push(look(key, &address).await);
    }
    found
}

async fn look(key: &'static str, address: &Address) -> Port {
    let mut port = Port {
        key,
        address: address.to_string(),
        answers: false,
        free: false,
    };
    // A wildcard is listened on, but not talked to.
    if let Ok(reached) = default_server(address.clone()).resolve_one().await {
        port.answers = matches!(timeout(WITHIN, TcpStream::connect(reached)).await, Ok(Ok(_)));
    }
    if !port.answers
        && let Ok(own) = address.resolve_one().await
    {
        port.free = TcpListener::bind(own).await.is_ok();
    }
    port
}

/// Whether the redirect server answers OPTIONS over UDP; none where it is to listen nowhere fixed.
pub(super) async fn redirect_answers(config: &Config) -> Option<bool> {
    let listen = &config.redirect.listen;
    if listen.port() == 0 {
        return None;
    }
    let server = default_server(listen.clone()).resolve_one().await.ok()?;
    Some(options(server, b"SIP/2.0 200").await.unwrap_or(false))
}

/// Whether something speaks SIP there over UDP, be it to refuse, or takes connections.
pub(super) async fn speaks_sip(address: &Address) -> bool {
    let Ok(server) = address.resolve_one().await else {
        return false;
    };
    let (udp, tcp) = tokio::join!(
        options(server, b"SIP/2.0 "),
        timeout(WITHIN, TcpStream::connect(server))
    );
    udp.unwrap_or(false) || matches!(tcp, Ok(Ok(_)))
}

async fn options(server: SocketAddr, expected: &[u8]) -> std::io::Result<bool> {
    let any: SocketAddr = match (server, server.ip().is_loopback()) {
        (SocketAddr::V6(_), true) => (Ipv6Addr::LOCALHOST, 0).into(),
        (SocketAddr::V6(_), false) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        (SocketAddr::V4(_), true) => (Ipv4Addr::LOCALHOST, 0).into(),
        (SocketAddr::V4(_), false) => (Ipv4Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any).await?;
    socket.connect(server).await?;
    let own = socket.local_addr()?;
    let id: u64 = rand::random();
    let request = format!(
        "OPTIONS sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {own};branch=z9hG4bK{id:016x}\r\nMax-Forwards: 1\r\n\
         From: <sip:doctor@{own}>;tag={id:016x}\r\nTo: <sip:{server}>\r\nCall-ID: {id:016x}@doctor\r\nCSeq: 1 OPTIONS\r\nContent-Length: 0\r\n\r\n"
    );
    socket.send(request.as_bytes()).await?;
    let mut answer = [0; 1500];
    match timeout(WITHIN, socket.recv(&mut answer)).await {
        Ok(Ok(length)) => Ok(answer[..length].starts_with(expected)),
        Ok(Err(error)) => Err(error),
        Err(_) => Ok(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_port_answers_is_free_or_is_no_address_of_this_host() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address: Address = listener.local_addr().unwrap().to_string().parse().unwrap();
        let taken = look("agi.listen", &address).await;
        assert!(taken.answers && !taken.free);
        assert!(speaks_sip(&address).await, "it takes connections");
        drop(listener);
        let free = look("agi.listen", &address).await;
        assert!(!free.answers && free.free);
        assert!(!speaks_sip(&address).await);
        let foreign = look("agi.listen", &"192.0.2.1:9".parse().unwrap()).await;
        assert!(!foreign.answers && !foreign.free);
    }
}
