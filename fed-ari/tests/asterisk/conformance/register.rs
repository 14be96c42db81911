//! A REGISTER of any contact at a real Asterisk, with its digest.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicU64, Ordering},
};

use md5::{Digest, Md5};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UdpSocket},
    time::timeout,
};

use crate::common::PATIENCE;

/// The password of every device.
pub(crate) const PASSWORD: &str = "pw";

/// The digest of a device.
pub(crate) fn ha1(device: &str) -> String {
    hash(&format!("{device}:federated:{PASSWORD}"))
}

fn hash(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Md5::digest(text.as_bytes()))
}

/// What a REGISTER goes over.
enum Socket {
    Udp(UdpSocket),
    Tcp(TcpStream),
}

impl Socket {
    /// Sends a request and reads what comes.
    async fn ask(&mut self, request: &str) -> String {
        let mut buffer = vec![0; 4096];
        let size = match self {
            Self::Udp(socket) => {
                socket.send(request.as_bytes()).await.expect("sends");
                timeout(PATIENCE, socket.recv(&mut buffer)).await
            }
            Self::Tcp(stream) => {
                stream.write_all(request.as_bytes()).await.expect("sends");
                timeout(PATIENCE, stream.read(&mut buffer)).await
            }
        };
        let size = size.expect("an answer").expect("receives");
        String::from_utf8_lossy(&buffer[..size]).into_owned()
    }
}

/// Registers (or with 0 unregisters) a contact over UDP and answers the final status.
pub(crate) async fn register(server: SocketAddr, device: &str, contact: &str, expires: u32) -> u16 {
    let socket = UdpSocket::bind((server.ip(), 0)).await.expect("a socket");
    socket.connect(server).await.expect("an address");
    let local = socket.local_addr().expect("an address");
    converse(&mut Socket::Udp(socket), server, local, device, contact, expires).await
}

/// Registers a connection as its own contact, and answers it with that contact.
pub(crate) async fn register_connection(server: SocketAddr, device: &str) -> (TcpStream, String) {
    let stream = TcpStream::connect(server).await.expect("connects");
    let local = stream.local_addr().expect("an address");
    let contact = format!("sip:{device}@{local};transport=tcp");
    let mut socket = Socket::Tcp(stream);
    assert_eq!(converse(&mut socket, server, local, device, &contact, 300).await, 200);
    match socket {
        Socket::Tcp(stream) => (stream, contact),
        Socket::Udp(_) => unreachable!("it is a connection"),
    }
}

async fn converse(
    socket: &mut Socket,
    server: SocketAddr,
    local: SocketAddr,
    device: &str,
    contact: &str,
    expires: u32,
) -> u16 {
    let transport = match socket {
        Socket::Udp(_) => "UDP",
        Socket::Tcp(_) => "TCP",
    };
    // A port comes back soon, and the same branch again would be a retransmission: answered as before, and not looked at.
    static BRANCH: AtomicU64 = AtomicU64::new(0);
    let mut authorization = String::new();
    for sequence in 1..=2 {
        let request = format!(
            "REGISTER sip:{server} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{}-{}\r\nMax-Forwards: 70\r\n\
             From: <sip:{device}@{server}>;tag={sequence}\r\nTo: <sip:{device}@{server}>\r\nCall-ID: {}\r\nCSeq: {sequence} REGISTER\r\n\
             Contact: <{contact}>\r\nExpires: {expires}\r\nUser-Agent: conformance\r\n{authorization}Content-Length: 0\r\n\r\n",
            BRANCH.fetch_add(1, Ordering::Relaxed),
            local.port(),
            hash(&format!("{local}{device}{contact}")),
        );
        let answer = socket.ask(&request).await;
        let status: u16 = answer.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        if status != 401 || sequence == 2 {
            return status;
        }
        authorization = respond(&answer, device, server);
    }
    unreachable!("the second answer is final");
}

fn respond(challenge: &str, device: &str, server: SocketAddr) -> String {
    let part = |name: &str| {
        let rest = challenge.split_once(&format!("{name}=\"")).map_or("", |(_, rest)| rest);
        rest.split('"').next().unwrap_or_default().to_owned()
    };
    let (nonce, opaque, uri) = (part("nonce"), part("opaque"), format!("sip:{server}"));
    let ha2 = hash(&format!("REGISTER:{uri}"));
    let response = hash(&format!("{}:{nonce}:00000001:c:auth:{ha2}", ha1(device)));
    format!(
        "Authorization: Digest username=\"{device}\", realm=\"federated\", nonce=\"{nonce}\", uri=\"{uri}\", response=\"{response}\", \
         algorithm=MD5, cnonce=\"c\", opaque=\"{opaque}\", qop=auth, nc=00000001\r\n"
    )
}
