//! Over real sockets on loopback.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::*;
use crate::redirect::{RedirectServer, StartError};

const SOON: Duration = Duration::from_secs(5);

fn config(address: &str) -> RedirectConfig {
    RedirectConfig {
        listen: vec![address.to_owned()],
        ..RedirectConfig::default()
    }
}

async fn start(config: RedirectConfig) -> RedirectServer {
    RedirectServer::start(config, HERE, Map, Fixed)
        .await
        .expect("a free port")
}

async fn datagram_client(server: &RedirectServer) -> UdpSocket {
    let any = if server.addresses()[0].is_ipv6() {
        "[::1]:0"
    } else {
        "127.0.0.1:0"
    };
    let client = UdpSocket::bind(any).await.expect("a socket");
    client.connect(server.addresses()[0]).await.expect("an address");
    client
}

async fn receive(client: &UdpSocket) -> String {
    let mut buffer = vec![0; 65_536];
    let length = timeout(SOON, client.recv(&mut buffer))
        .await
        .expect("an answer in time")
        .expect("an answer");
    String::from_utf8(buffer[..length].to_vec()).expect("text")
}

async fn receive_on(stream: &mut TcpStream, count: usize) -> String {
    let mut text = String::new();
    let mut buffer = [0; 4_096];
    while text.matches("Content-Length: 0\r\n\r\n").count() < count {
        let length = timeout(SOON, stream.read(&mut buffer))
            .await
            .expect("an answer in time")
            .expect("an answer");
        assert_ne!(length, 0, "closed after {text}");
        text.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    text
}

async fn closed(mut stream: TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is as good as an end.
    let _ = timeout(SOON, stream.read_to_end(&mut rest))
        .await
        .expect("closed in time");
    rest
}

#[tokio::test]
async fn a_datagram_is_answered_over_ipv4_and_ipv6() {
    for address in ["127.0.0.1:0", "[::1]:0", "localhost:0"] {
        let server = start(config(address)).await;
        let client = datagram_client(&server).await;
        client
            .send(request("INVITE", "sip:there@h", "").as_bytes())
            .await
            .expect("sent");
        let answer = receive(&client).await;
        assert_eq!(status(&answer), 302);
        let port = client.local_addr().expect("an address").port();
        assert!(headers(&answer, "Via")[0].ends_with(&format!(";rport={port}")));
        server.stop().await;
    }
}

#[tokio::test]
async fn garbage_and_acks_get_no_answer_and_do_no_harm() {
    let server = start(config("127.0.0.1:0")).await;
    let client = datagram_client(&server).await;
    for message in [
        b"".as_slice(),
        b"\r\n\r\n",
        b"\0\xff garbage",
        request("ACK", "sip:there@h", "").as_bytes(),
        &[b'x'; 60_000],
    ] {
        client.send(message).await.expect("sent");
    }
    client
        .send(request("OPTIONS", "sip:there@h", "").as_bytes())
        .await
        .expect("sent");
    assert!(
        receive(&client).await.contains("CSeq: 17 OPTIONS"),
        "the first answer is the one to OPTIONS"
    );
    let counts = server.stats().counts();
    assert_eq!((counts.requests, counts.ignored, counts.accepted), (2, 4, 1));
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_to_tag_and_its_cancel_too() {
    let server = start(config("127.0.0.1:0")).await;
    let client = datagram_client(&server).await;
    let mut tags = Vec::new();
    for method in ["INVITE", "INVITE", "CANCEL"] {
        let message = request(method, "sip:there@h", "").replace("z9hG4bK-CANCEL-1", "z9hG4bK-INVITE-1");
        client.send(message.as_bytes()).await.expect("sent");
        tags.push(headers(&receive(&client).await, "To").remove(0));
    }
    assert_eq!(tags[0], tags[1]);
    assert_eq!(tags[0], tags[2]);
    client
        .send(
            request("INVITE", "sip:there@h", "")
                .replace("-INVITE-1", "-INVITE-2")
                .as_bytes(),
        )
        .await
        .expect("sent");
    assert_ne!(headers(&receive(&client).await, "To")[0], tags[0]);
}

/// A nonce of its own for every answer, as the real one.
#[derive(Default)]
struct Counting(std::sync::atomic::AtomicU32);

impl Stamper for Counting {
    fn stamp(&self) -> Stamp {
        Stamp {
            nonce: self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed),
            ..Fixed.stamp()
        }
    }
}

#[tokio::test]
async fn an_invite_sent_again_gets_the_very_same_answer() {
    let server = RedirectServer::start(config("127.0.0.1:0"), HERE, Map, Counting::default())
        .await
        .expect("a free port");
    let client = datagram_client(&server).await;
    let invite = request("INVITE", "sip:there@h", "");
    let ask = async |message: &str| {
        client.send(message.as_bytes()).await.expect("sent");
        receive(&client).await
    };
    let first = ask(&invite).await;
    assert_eq!(status(&first), 302);
    for _ in 0..3 {
        assert_eq!(ask(&invite).await, first);
    }
    assert_eq!(server.stats().counts().redirected, 1, "it was located once");
    for (old, new) in [
        ("-INVITE-1", "-INVITE-2"),
        ("CSeq: 17", "CSeq: 18"),
        ("call-1@", "call-2@"),
    ] {
        let another = ask(&invite.replace(old, new)).await;
        assert_ne!(headers(&another, "Contact"), headers(&first, "Contact"), "{new}");
    }
}

#[tokio::test]
async fn a_flood_from_one_source_is_cut_to_its_rate() {
    let server = start(RedirectConfig {
        rate_per_s: 1,
        burst: 5,
        ..config("127.0.0.1:0")
    })
    .await;
    let client = datagram_client(&server).await;
    let deadline = tokio::time::Instant::now() + SOON;
    for sent in 1..=200 {
        client
            .send(request("OPTIONS", "sip:there@h", "").as_bytes())
            .await
            .expect("sent");
        // One after the other, so that the kernel has no reason to drop any.
        while server.stats().counts().requests + server.stats().counts().dropped < sent {
            assert!(tokio::time::Instant::now() < deadline, "{:?}", server.stats().counts());
            tokio::task::yield_now().await;
        }
    }
    assert!(
        (5..=11).contains(&server.stats().counts().requests),
        "{:?}",
        server.stats().counts()
    );
}

#[tokio::test]
async fn a_connection_carries_many_requests_in_any_pieces_and_keep_alives() {
    let server = start(config("127.0.0.1:0")).await;
    let mut stream = TcpStream::connect(server.addresses()[0]).await.expect("connected");
    stream.write_all(b"\r\n\r\n").await.expect("sent");
    let mut pong = [0; 2];
    timeout(SOON, stream.read_exact(&mut pong))
        .await
        .expect("in time")
        .expect("a pong");
    assert_eq!(&pong, b"\r\n");
    let both = request("INVITE", "sip:there@h", "") + &request("OPTIONS", "sip:offline@h", "");
    for piece in both.as_bytes().chunks(100) {
        stream.write_all(piece).await.expect("sent");
        stream.flush().await.expect("sent");
    }
    let answers = receive_on(&mut stream, 2).await;
    assert!(
        answers.contains("SIP/2.0 302 ") && answers.contains("SIP/2.0 480 "),
        "{answers}"
    );
}

#[tokio::test]
async fn a_connection_that_cannot_be_read_on_is_answered_and_closed() {
    let server = start(config("[::1]:0")).await;
    for (old, new, expected) in [
        ("Content-Length: 0", "Content-Length: 70000", "SIP/2.0 513 "),
        ("Content-Length: 0", "Content-Length: x", "SIP/2.0 400 "),
        ("Content-Length: 0\r\n", "", "SIP/2.0 400 "),
    ] {
        let mut stream = TcpStream::connect(server.addresses()[0]).await.expect("connected");
        let message = request("INVITE", "sip:there@h", "").replace(old, new);
        stream.write_all(message.as_bytes()).await.expect("sent");
        let rest = String::from_utf8(closed(stream).await).expect("text");
        assert!(rest.starts_with(expected), "{new}: {rest}");
    }
    let mut stream = TcpStream::connect(server.addresses()[0]).await.expect("connected");
    stream.write_all(&[b'x'; 20_000]).await.expect("sent");
    assert!(closed(stream).await.is_empty());
}

#[tokio::test]
async fn slow_and_silent_connections_are_closed() {
    let patience = Duration::from_millis(300);
    let server = start(RedirectConfig {
        idle: patience * 2,
        message_timeout: patience,
        ..config("127.0.0.1:0")
    })
    .await;
    let silent = TcpStream::connect(server.addresses()[0]).await.expect("connected");
    let mut slow = TcpStream::connect(server.addresses()[0]).await.expect("connected");
    let begun = tokio::time::Instant::now();
    // One byte at a time never completes a message; the server must not wait for ever, nor longer for every byte.
    for byte in request("INVITE", "sip:there@h", "").bytes() {
        if slow.write_all(&[byte]).await.is_err() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(begun.elapsed() < SOON, "a slow sender is still served");
    }
    assert!(closed(slow).await.is_empty());
    assert!(closed(silent).await.is_empty());
}

#[tokio::test]
async fn connections_are_bounded_and_places_are_given_back() {
    let server = start(RedirectConfig {
        connections_per_source: 2,
        ..config("127.0.0.1:0")
    })
    .await;
    let address = server.addresses()[0];
    let mut first = TcpStream::connect(address).await.expect("connected");
    let mut second = TcpStream::connect(address).await.expect("connected");
    for stream in [&mut first, &mut second] {
        stream
            .write_all(request("OPTIONS", "sip:there@h", "").as_bytes())
            .await
            .expect("sent");
        receive_on(stream, 1).await;
    }
    assert!(
        closed(TcpStream::connect(address).await.expect("connected"))
            .await
            .is_empty()
    );
    assert_eq!(server.stats().counts().connections_refused, 1);
    drop(first);
    let deadline = tokio::time::Instant::now() + SOON;
    loop {
        let mut third = TcpStream::connect(address).await.expect("connected");
        let mut byte = [0; 1];
        if third
            .write_all(request("OPTIONS", "sip:there@h", "").as_bytes())
            .await
            .is_ok()
            && third.read(&mut byte).await.is_ok_and(|n| n == 1)
        {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "the place was not given back");
    }
}

#[tokio::test]
async fn those_who_hold_places_without_a_word_keep_nobody_out() {
    let server = start(config("127.0.0.1:0")).await;
    let address = server.addresses()[0];
    let mut asking = TcpStream::connect(address).await.expect("connected");
    let options = request("OPTIONS", "sip:there@h", "");
    asking.write_all(options.as_bytes()).await.expect("sent");
    receive_on(&mut asking, 1).await;
    let mut silent = Vec::new();
    for _ in 0..RedirectConfig::default().connections_per_source - 1 {
        silent.push(TcpStream::connect(address).await.expect("connected"));
    }
    // Neither part of a message nor a keep-alive is a question.
    silent[0].write_all(b"\r\n\r\nINVITE sip:there").await.expect("sent");
    let mut newcomer = TcpStream::connect(address).await.expect("connected");
    newcomer.write_all(options.as_bytes()).await.expect("sent");
    receive_on(&mut newcomer, 1).await;
    closed(silent.remove(0)).await;
    // Whoever has asked something stays.
    for stream in [&mut asking, &mut newcomer] {
        stream.write_all(options.as_bytes()).await.expect("sent");
        receive_on(stream, 1).await;
    }
    let counts = server.stats().counts();
    assert_eq!((counts.connections_displaced, counts.connections_refused), (1, 0));
}

#[tokio::test]
async fn stopping_closes_everything() {
    let server = start(config("127.0.0.1:0")).await;
    let address = server.addresses()[0];
    let mut stream = TcpStream::connect(address).await.expect("connected");
    stream
        .write_all(request("OPTIONS", "sip:there@h", "").as_bytes())
        .await
        .expect("sent");
    receive_on(&mut stream, 1).await;
    timeout(SOON, server.stop()).await.expect("stopped in time");
    assert!(closed(stream).await.is_empty());
    start(config(&address.to_string())).await;
}

#[tokio::test]
async fn a_port_in_use_and_a_bad_address_are_named() {
    let server = start(config("127.0.0.1:0")).await;
    let taken = server.addresses()[0].to_string();
    let error = RedirectServer::start(config(&taken), HERE, Map, Fixed)
        .await
        .expect_err("the port is taken");
    assert!(
        matches!(error, StartError::Bind { .. }) && error.to_string().contains(&taken),
        "{error}"
    );
    let error = RedirectServer::start(config("nonsense"), HERE, Map, Fixed)
        .await
        .expect_err("no address");
    assert!(error.to_string().contains("`nonsense`"), "{error}");
}

#[tokio::test]
async fn who_may_not_ask_hears_nothing_by_udp_or_tcp() {
    let server = start(RedirectConfig {
        allow: vec!["127.0.0.2/32".parse().expect("a network")],
        // All that a test can ask from is this machine's own.
        hears_own: false,
        ..config("127.0.0.1:0")
    })
    .await;
    let address = server.addresses()[0];
    let invite = request("INVITE", "sip:there@h", "");
    let socket = async |from: &str| {
        let socket = UdpSocket::bind((from, 0)).await.expect("a socket");
        socket.connect(address).await.expect("an address");
        socket
    };
    let connect = async |from: &str| {
        let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
        let from = format!("{from}:0").parse().expect("an address");
        socket.bind(from).expect("an address of this machine");
        socket.connect(address).await.expect("connected")
    };
    let stranger = socket("127.0.0.3").await;
    stranger.send(invite.as_bytes()).await.expect("sent");
    let mut connection = connect("127.0.0.3").await;
    let _ = connection.write_all(invite.as_bytes()).await;
    assert!(closed(connection).await.is_empty());
    // Whoever is named is answered after that.
    for allowed in ["127.0.0.2"] {
        let client = socket(allowed).await;
        client.send(invite.as_bytes()).await.expect("sent");
        assert_eq!(status(&receive(&client).await), 302, "{allowed}");
        let mut connection = connect(allowed).await;
        connection.write_all(invite.as_bytes()).await.expect("sent");
        let answer = receive_on(&mut connection, 1).await;
        assert!(answer.starts_with("SIP/2.0 302 "), "{allowed}: {answer}");
    }
    let nothing = stranger.try_recv(&mut [0; 1]).expect_err("nothing");
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    let counts = server.stats().counts();
    assert_eq!((counts.strangers, counts.requests, counts.redirected), (2, 2, 2));
}

#[tokio::test]
async fn this_machine_may_ask_from_any_address_of_its_own() {
    let server = start(RedirectConfig {
        allow: Vec::new(),
        ..config("127.0.0.1:0")
    })
    .await;
    for own in ["127.0.0.1", "127.0.0.7"] {
        let socket = UdpSocket::bind((own, 0)).await.expect("a socket");
        socket.connect(server.addresses()[0]).await.expect("an address");
        let invite = request("INVITE", "sip:there@h", "");
        socket.send(invite.as_bytes()).await.expect("sent");
        assert_eq!(status(&receive(&socket).await), 302, "{own}");
    }
    assert_eq!(server.stats().counts().strangers, 0);
}
