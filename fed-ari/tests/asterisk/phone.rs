//! A phone that registers at a real Asterisk: REGISTER over UDP with its digest.

use std::{net::SocketAddr, time::Duration};

use md5::{Digest, Md5};
use tokio::{net::UdpSocket, time::timeout};

/// The digest of a device whose password is `pw`.
pub(crate) fn ha1(device: &str) -> String {
    hash(&format!("{device}:federated:pw"))
}

fn hash(text: &str) -> String {
    data_encoding::HEXLOWER.encode(&Md5::digest(text.as_bytes()))
}

/// Registers (or with 0 unregisters) a contact and answers the final status.
pub(crate) async fn register(server: SocketAddr, device: &str, contact: &str, expires: u32) -> u16 {
    let socket = UdpSocket::bind((server.ip(), 0)).await.expect("a socket");
    let local = socket.local_addr().expect("an address");
    let mut authorization = String::new();
    for sequence in 1..=2 {
        let request = format!(
            "REGISTER sip:{server} SIP/2.0\r\nVia: SIP/2.0/UDP {local};branch=z9hG4bK{sequence}{}\r\nMax-Forwards: 70\r\n\
             From: <sip:{device}@{server}>;tag={sequence}\r\nTo: <sip:{device}@{server}>\r\nCall-ID: {}\r\nCSeq: {sequence} REGISTER\r\n\
             Contact: <{contact}>\r\nExpires: {expires}\r\nUser-Agent: conformance\r\n{authorization}Content-Length: 0\r\n\r\n",
            local.port(),
            hash(&format!("{local}{device}{contact}")),
        );
        socket.send_to(request.as_bytes(), server).await.expect("sends");
        let mut buffer = vec![0; 4096];
        let size = timeout(Duration::from_secs(10), socket.recv(&mut buffer))
            .await
            .expect("an answer")
            .expect("receives");
        let answer = String::from_utf8_lossy(&buffer[..size]).into_owned();
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
