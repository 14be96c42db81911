//! More than anybody should send, from members and from strangers: what is refused, and that the members keep hearing each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use fed_proto::peer as proto;
use fed_raft::security::{Connector, Trust, request_key};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};
use tonic::Code;

use crate::lab::{PATIENCE, until};
use crate::secured::{SECRET, Secured, dial};

/// Leader and term as a follower knows them.
fn reign(lab: &Secured) -> (Option<fed_core::ids::NodeId>, u64) {
    let status = lab.nodes[1].cluster.status();
    (status.leader, status.term)
}

/// Runs the attack on the leader and sees that it leads all the while, and acknowledges writes: with the timers as delivered, a leader
/// that says nothing for 600 ms may be replaced.
async fn heartbeats_keep(lab: &Secured, attack: impl Future<Output = ()>) {
    let before = reign(lab);
    assert!(before.0.is_some());
    let writes = async {
        loop {
            lab.put(1, "key").await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        () = attack => {}
        () = writes => {}
    }
    lab.put(1, "after").await;
    assert_eq!(reign(lab), before, "nobody lost the leader");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_of_100_mb_is_refused() {
    let lab = Secured::with_default_timers(2).await;
    let attack = async {
        let mut member = lab.client(0, &lab.nodes[1].keyring);
        let asked = |size: usize| {
            let question = Bytes::from(vec![7; size]);
            lab.request(1, 0, proto::AskRequest { question })
        };
        let heard = member.ask(asked(1 << 20)).await.expect_err("nobody answers");
        assert_eq!(heard.code(), Code::Unimplemented, "a smaller one is taken: {heard:?}");
        let refused = member.ask(asked(100 << 20)).await.expect_err("too large");
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
        assert!(refused.message().contains("too large"), "{refused:?}");

        // A stranger that knows the word, and says it with more or less space behind.
        let key = request_key(None).expect("a key").public_key;
        let joins = async |space: usize| {
            let mut application = [SECRET, key.as_bytes()].concat();
            application.resize(application.len() + space, b'\n');
            let join = proto::JoinRequest {
                incarnation: 77,
                address: "127.0.0.1:9".to_owned(),
                protocol: 1,
                application: application.into(),
            };
            let mut join = tonic::Request::new(join);
            let badge = "1/0/0/77/0".parse().expect("digits");
            join.metadata_mut().insert("fed-peer", badge);
            let trust = Trust::authorities(lab.authority.certificate_pem()).expect("an authority");
            dial(&lab.address(0), Connector::tls(trust).expect("TLS"))
                .join(join)
                .await
        };
        joins(1 << 10).await.expect("with a little space it is let in");
        let refused = joins(100 << 20).await.expect_err("too large");
        // More than strangers may send on a connection: it is cut, and nobody said anything.
        assert!(std::error::Error::source(&refused).is_some(), "{refused:?}");
    };
    heartbeats_keep(&lab, attack).await;
}

/// Streams that a node takes on one connection.
const MOST_STREAMS: usize = 1024;

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_on_one_connection_are_bounded() {
    let lab = Secured::with_default_timers(2).await;
    let attack = async {
        let client = lab.client(0, &lab.nodes[1].keyring);
        let mut streams: FuturesUnordered<_> = (0..10_000)
            .map(|_| {
                let mut client = client.clone();
                let request = lab.request(1, 0, tokio_stream::pending::<proto::AppendRequest>());
                async move { client.append(request).await }
            })
            .collect();
        let mut open = Vec::new();
        while open.len() < MOST_STREAMS {
            let next = tokio::time::timeout(PATIENCE, streams.next()).await;
            open.push(next.expect("as many are open").expect("there are more").expect("taken"));
        }
        // Those beyond wait at the client.
        let more = tokio::time::timeout(Duration::from_secs(2), streams.next()).await;
        assert!(more.is_err(), "{MOST_STREAMS} streams are open, and one more: {more:?}");
    };
    heartbeats_keep(&lab, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_headers_is_refused() {
    let lab = Secured::with_default_timers(2).await;
    let attack = async {
        let client = lab.client(0, &lab.nodes[1].keyring);
        for _ in 0..20 {
            let mut request = lab.request(1, 0, proto::AskRequest::default());
            for n in 0..200 {
                let key = tonic::metadata::MetadataKey::from_bytes(format!("x-{n}").as_bytes()).expect("a key");
                request
                    .metadata_mut()
                    .insert(key, "x".repeat(1024).parse().expect("a value"));
            }
            let refused = client.clone().ask(request).await.expect_err("too many headers");
            // It is the connection that ends, with a word about it or without.
            assert!(std::error::Error::source(&refused).is_some(), "{refused:?}");
        }
    };
    heartbeats_keep(&lab, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_connect_and_say_nothing_keep_nobody_out() {
    let lab = Secured::with_default_timers(2).await;
    let attack = async {
        let mut silent = Vec::new();
        for _ in 0..400 {
            silent.push(TcpStream::connect(lab.address(0)).await.expect("it listens"));
        }
        until("a member gets in beside them", async || {
            let mut member = lab.client(0, &lab.nodes[1].keyring);
            let answer = member.ask(lab.request(1, 0, proto::AskRequest::default())).await;
            answer.expect_err("nobody answers").code() == Code::Unimplemented
        })
        .await;
        for stream in &mut silent {
            let ended = tokio::time::timeout(Duration::from_secs(20), stream.read(&mut [0; 1])).await;
            assert!(matches!(ended, Ok(Ok(0) | Err(_))), "it is closed: {ended:?}");
        }
    };
    heartbeats_keep(&lab, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_who_reads_nothing_and_one_who_talks_nonsense_are_let_go() {
    let lab = Secured::with_default_timers(2).await;
    let attack = async {
        let mut nonsense = TcpStream::connect(lab.address(0)).await.expect("it listens");
        let _ = nonsense.write_all(&[0x16; 4096]).await;
        until("the connection is closed", async || {
            let mut bytes = [0; 4096];
            matches!(nonsense.read(&mut bytes).await, Ok(0) | Err(_))
        })
        .await;
        // A member that asks for much and reads nothing of it.
        let mut pipe = Pipe::to(lab.address(0)).await;
        let mut client = lab.client_by(&pipe.address, 0, &lab.nodes[1].keyring);
        let describe = || lab.request(1, 0, proto::DescribeRequest {});
        client
            .describe(describe())
            .await
            .expect("it is heard as long as it reads");
        pipe.stop_reading().await;
        let sent_before = pipe.sent.load(Ordering::Relaxed);
        let mut asked = JoinSet::new();
        let mut ask = |times: usize| {
            for _ in 0..times {
                let (mut client, request) = (client.clone(), describe());
                asked.spawn(async move { client.describe(request).await.map(drop) });
            }
        };
        ask(1000);
        // It is asked after 2 s whether it is there, and has 4 s; that the node has closed shows when more is sent to it.
        let mut let_go = false;
        for _ in 0..10 {
            ask(1);
            let_go = tokio::time::timeout(Duration::from_secs(3), &mut pipe.carries)
                .await
                .is_ok();
            if let_go {
                break;
            }
        }
        assert!(let_go, "a member that reads nothing is kept");
        let sent = pipe.sent.load(Ordering::Relaxed) - sent_before;
        assert!(sent > 20 * 1000, "a thousand calls went out: {sent} bytes");
        while let Some(answered) = asked.join_next().await {
            answered.expect("no panic").expect_err("nothing was read");
        }
    };
    heartbeats_keep(&lab, attack).await;
}

/// A connection in between that carries everything to a node, and what that says as long as somebody reads it.
struct Pipe {
    address: String,
    reads: watch::Sender<bool>,
    /// Bytes carried to the node.
    sent: Arc<AtomicUsize>,
    /// Until one of the two ends it.
    carries: JoinHandle<()>,
}

impl Pipe {
    /// One for the first that comes.
    async fn to(node: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("bound").to_string();
        let (reads, mut may_read) = watch::channel(true);
        let sent = Arc::new(AtomicUsize::new(0));
        let count = sent.clone();
        let carries = tokio::spawn(async move {
            let (client, _) = listener.accept().await.expect("somebody comes");
            let node = TcpStream::connect(node).await.expect("it listens");
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_node, mut to_node) = node.into_split();
            let forward = async {
                let mut bytes = vec![0; 16 << 10];
                while let Ok(length @ 1..) = from_client.read(&mut bytes).await {
                    if to_node.write_all(&bytes[..length]).await.is_err() {
                        break;
                    }
                    count.fetch_add(length, Ordering::Relaxed);
                }
            };
            let back = async {
                tokio::select! {
                    _ = tokio::io::copy(&mut from_node, &mut to_client) => return,
                    _ = may_read.wait_for(|reads| !reads) => {}
                }
                drop(may_read);
                // That the node has closed it is seen without reading.
                let is_open = async || {
                    let ready = from_node.ready(Interest::READABLE).await;
                    ready.is_ok_and(|ready| !ready.is_read_closed())
                };
                while is_open().await {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                () = forward => {}
                () = back => {}
            }
        });
        Self {
            address,
            reads,
            sent,
            carries,
        }
    }

    /// From here on nothing of what the node says is read.
    async fn stop_reading(&self) {
        self.reads.send_replace(false);
        self.reads.closed().await;
    }
}
