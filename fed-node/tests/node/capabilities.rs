//! A capability is good for one call, whatever becomes of the process that checks it.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::Duration;

use crate::asterisk::Asterisks;
use crate::support::{Node, until};
use fed_ari::sim::SimVersion;

/// The user part of the place that a node's redirect server gives out for this device.
fn place(node: &Node, device: &str) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    let own = socket.local_addr().unwrap();
    let mut branch = 0;
    until("a redirect", || {
        branch += 1;
        let invite = format!(
            "INVITE sip:{device}@127.0.0.1 SIP/2.0\r\nVia: SIP/2.0/UDP {own};rport;branch=z9hG4bK-{branch}\r\nMax-Forwards: 70\r\n\
             From: <sip:test@{own}>;tag=t\r\nTo: <sip:{device}@127.0.0.1>\r\nCall-ID: {branch}@{own}\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
        );
        socket.send_to(invite.as_bytes(), ("127.0.0.1", node.redirect)).unwrap();
        let mut buffer = [0; 2_000];
        let length = socket.recv(&mut buffer).ok()?;
        let answer = String::from_utf8(buffer[..length].to_vec()).unwrap();
        let (_, contact) = answer.split_once("Contact: <sip:")?;
        Some(contact.split_once('@')?.0.to_owned())
    })
}

/// What a call that another node sent with this capability is told first: which registrations are asked for, or why it is refused.
fn arrives(node: &Node, user_part: &str) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", node.agi)).unwrap();
    write!(stream, "agi_network_script: trunk\nagi_arg_1: {user_part}\n\n").unwrap();
    let mut line = String::new();
    BufReader::new(&stream).read_line(&mut line).unwrap();
    line
}

#[test]
fn a_capability_that_was_used_stays_used_when_the_node_is_killed_and_started_again() {
    let asterisks = Asterisks::start(&[SimVersion::V22, SimVersion::V16]);
    let mut federation = asterisks.federation();
    federation.nodes[0].add_user("alice", "1001").ok();
    until("alice can register", || asterisks.all[1].object("endpoint", "alice"));
    asterisks.all[1].register("alice", "sip:alice@127.0.0.1:20001");
    let [used, unused] = [(); 2].map(|()| place(&federation.nodes[0], "alice"));
    let owner = &mut federation.nodes[1];
    assert!(arrives(owner, &used).contains("PJSIP_DIAL_CONTACTS(alice,alice)"));
    owner.kill();
    owner.run();
    let again = arrives(owner, &used);
    assert!(again.contains("refuse") && again.contains("21"), "{again}");
    let reason = "the capability of the call was used before";
    until("the log says why", || owner.log().contains(reason).then_some(()));
    let first = arrives(owner, &unused);
    assert!(
        first.contains("PJSIP_DIAL_CONTACTS(alice,alice)"),
        "nothing legitimate is refused: {first}"
    );
}

#[test]
fn a_damaged_list_of_used_capabilities_lets_none_in_that_may_be_on_it() {
    let asterisks = Asterisks::start(&[SimVersion::V22, SimVersion::V16]);
    let mut federation = asterisks.federation();
    federation.nodes[0].add_user("alice", "1001").ok();
    until("alice can register", || asterisks.all[1].object("endpoint", "alice"));
    asterisks.all[1].register("alice", "sip:alice@127.0.0.1:20001");
    let used = place(&federation.nodes[0], "alice");
    let owner = &mut federation.nodes[1];
    assert!(arrives(owner, &used).contains("PJSIP_DIAL_CONTACTS(alice,alice)"));
    owner.kill();
    let list = owner.data_dir().join("used-capabilities");
    let mut bytes = std::fs::read(&list).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&list, bytes).unwrap();
    owner.run();
    let again = arrives(owner, &used);
    assert!(again.contains("refuse") && again.contains("34"), "{again}");
    let log = owner.log();
    assert!(
        log.contains("1 of 1 records of the list of used capabilities are damaged"),
        "{log}"
    );
}
