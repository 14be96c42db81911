//! Floods at the leader's client API and its metrics: what is too much is refused, those who only hold places lose them, and nobody
//! loses the leader by it.

use std::time::Duration;

use crate::support::{Client, Federation, Node, channel, client, client_over, endpoint, until};
use fed_proto::client as pb;
use fed_proto::client::federation_client::FederationClient;
use fed_raft::security::{Connector, Trust};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tonic::codegen::Service;
use tonic::{Code, Request, Status};

/// Times in which a node of a busy machine surely says something, unless its heartbeats really stand still.
const CALM: [&str; 2] = ["--raft-election-min-ms=3000", "--raft-election-max-ms=4000"];

fn who_leads(node: &Node) -> (u64, String) {
    let status = node.json(&["status"]);
    (status["term"].as_u64().unwrap(), status["leader"].to_string())
}

/// The places of the leader and of another node.
fn leader_and_other(federation: &Federation) -> (usize, usize) {
    let leader = until("a leader", || {
        let leads = |node: &Node| node.json(&["status"])["role"] == "leader";
        federation.nodes.iter().position(leads)
    });
    (leader, (leader + 1) % federation.nodes.len())
}

/// One message far beyond what is taken.
async fn send_a_mountain(mut admin: Client) -> Status {
    let user = pb::User {
        id: "mountain".to_owned(),
        display_name: "x".repeat(100 << 20),
        ..pb::User::default()
    };
    let request = pb::PutUserRequest {
        user: Some(user),
        ..pb::PutUserRequest::default()
    };
    admin.put_user(request).await.unwrap_err()
}

/// One call with far more headers than are taken.
async fn send_headers(mut admin: Client) -> Status {
    let mut request = Request::new(pb::StatusRequest {});
    for number in 0..64 {
        let name: tonic::metadata::MetadataKey<_> = format!("x-{number}").parse().unwrap();
        request
            .metadata_mut()
            .insert(name, "y".repeat(4 << 10).parse().unwrap());
    }
    admin.status(request).await.unwrap_err()
}

#[test]
fn floods_of_clients_are_refused_and_heartbeats_keep() {
    let federation = Federation::start_with(3, |_, node| node.flags.extend(CALM.map(str::to_owned)));
    let (leader, other) = leader_and_other(&federation);
    let (target, other) = (&federation.nodes[leader], &federation.nodes[other]);
    let before = who_leads(other);
    let reader = std::fs::read_to_string(target.token("reader", &["--role", "reader"])).unwrap();
    Runtime::new().unwrap().block_on(async {
        // Whoever says nothing at all holds a place as long as it is let; of one address there is a limit, short of which these stay.
        let mut silent = Vec::new();
        for _ in 0..100 {
            silent.push(TcpStream::connect(("127.0.0.1", target.client)).await);
        }
        // Watchers that read nothing, while there is much to be read.
        let mut slow = Vec::new();
        for _ in 0..40 {
            let mut watcher = client(target, reader.trim()).await;
            slow.push(watcher.watch(pb::WatchRequest { after: Some(1) }).await.unwrap());
        }
        let admin = client(target, &target.local_token()).await;
        for _ in 0..2 {
            let refused = send_a_mountain(admin.clone()).await;
            assert_ne!(refused.code(), Code::Ok, "{refused}");
            let refused = send_headers(admin.clone()).await;
            assert_ne!(refused.code(), Code::Ok, "{refused}");
        }
        // Ten thousand calls, many at once on few connections, of somebody who may nothing.
        let mut flood = JoinSet::new();
        for _ in 0..4 {
            let nobody = FederationClient::new(channel(target).await);
            for _ in 0..2_500 {
                let mut nobody = nobody.clone();
                flood.spawn(async move { nobody.status(pb::StatusRequest {}).await.map(drop) });
            }
        }
        while let Some(answered) = flood.join_next().await {
            assert!(answered.unwrap().is_err(), "nobody is told how the node is");
        }
        drop((silent, slow));
    });
    assert_eq!(who_leads(other), before, "the leader was lost");
    target.add_user("alice", "1001").ok();
    federation.hashes_agree();
}

/// Connections that somebody holds and says nothing on, or nothing that is answered.
type Silent = Vec<Box<dyn AsyncRead + Unpin + Send>>;

/// Some at each stage: without a handshake, with one and no HTTP/2, with HTTP/2 and no call; and some at the metrics.
async fn hold_places(node: &Node) -> Silent {
    let mut silent: Silent = Vec::new();
    for port in [node.client, node.metrics] {
        for _ in 0..100 {
            silent.push(Box::new(TcpStream::connect(("127.0.0.1", port)).await.unwrap()));
        }
    }
    let trust = Trust::authorities(&std::fs::read_to_string(node.authority()).unwrap()).unwrap();
    let mut connector = Connector::tls(trust).unwrap();
    let address: tonic::codegen::http::Uri = format!("http://127.0.0.1:{}", node.client).parse().unwrap();
    // More than one address may have in all.
    for number in 0..540 {
        let mut stream = connector.call(address.clone()).await.unwrap().into_inner();
        if number % 2 == 0 {
            let hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
            // One that was sent away already hears nothing.
            let _ = stream.write_all(hello).await;
        }
        silent.push(Box::new(stream));
    }
    silent
}

#[test]
fn those_who_hold_places_without_a_word_keep_nobody_out_and_lose_them() {
    let federation = Federation::start_with(3, |_, node| node.flags.extend(CALM.map(str::to_owned)));
    let (leader, other) = leader_and_other(&federation);
    let (target, other) = (&federation.nodes[leader], &federation.nodes[other]);
    let before = who_leads(other);
    let runtime = Runtime::new().unwrap();
    // Whoever was let in stays, however long it says nothing then.
    let mut known = runtime.block_on(client(target, &target.local_token()));
    runtime.block_on(known.status(pb::StatusRequest {})).unwrap();
    let silent = runtime.block_on(hold_places(target));
    // From the same address: the command line, a program, and whoever fetches metrics.
    target.add_user("alice", "1001").ok();
    target.asks(&["status"]).ok();
    runtime.block_on(async {
        let mut metrics = TcpStream::connect(("127.0.0.1", target.metrics)).await.unwrap();
        let ask = b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
        metrics.write_all(ask).await.unwrap();
        let mut page = Vec::new();
        metrics.read_to_end(&mut page).await.unwrap();
        assert!(String::from_utf8_lossy(&page).contains("fed_raft_term"));
        // Ten seconds and thirty, with time to spare on a busy machine.
        let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
        for mut stream in silent {
            let ended = tokio::time::timeout_at(deadline, async {
                // What the other side says first of HTTP/2 is read away.
                let mut heard = [0; 1024];
                while matches!(stream.read(&mut heard).await, Ok(1..)) {}
            });
            ended.await.expect("it is closed");
        }
        known.status(pb::StatusRequest {}).await.unwrap();
    });
    assert_eq!(who_leads(other), before, "the leader was lost");
}

#[test]
fn watchers_that_read_nothing_hold_up_neither_changes_nor_other_watchers() {
    const CHANGES: usize = 2_000;
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    Runtime::new().unwrap().block_on(async {
        let mut admin = client(node, &node.local_token()).await;
        let from = pb::WatchRequest { after: Some(1) };
        let mut slow = Vec::new();
        for _ in 0..40 {
            // They take a few events, and then no more until they read.
            let narrow = endpoint(node).initial_stream_window_size(4096).connect().await.unwrap();
            let mut watcher = client_over(narrow, &node.local_token());
            slow.push((watcher.watch(from).await.unwrap(), watcher));
        }
        let mut good = client(node, &node.local_token())
            .await
            .watch(from)
            .await
            .unwrap()
            .into_inner();
        let last = format!("user-{}-of-a-federation-of-many", CHANGES - 1);
        let watching = tokio::spawn(async move {
            let mut seen = 0;
            while let Some(item) = good.message().await.unwrap() {
                let item = format!("{item:?}");
                seen += item.matches("-of-a-federation-of-many").count();
                if item.contains(&last) {
                    break;
                }
            }
            seen
        });
        let put = |number: usize| pb::Change {
            what: Some(pb::change::What::PutUser(pb::PutUserRequest {
                user: Some(pb::User {
                    id: format!("user-{number}-of-a-federation-of-many"),
                    ring: "all".to_owned(),
                    ring_timeout_s: 30,
                    ..pb::User::default()
                }),
                ..pb::PutUserRequest::default()
            })),
        };
        for chunk in (0..CHANGES).collect::<Vec<_>>().chunks(200) {
            let asked = pb::WriteManyRequest {
                changes: chunk.iter().map(|number| put(*number)).collect(),
                ..pb::WriteManyRequest::default()
            };
            let done = admin.write(asked).await.unwrap().into_inner();
            assert!(done.results.iter().all(|result| result.refusal.is_empty()), "{done:?}");
        }
        let seen = tokio::time::timeout(crate::support::PATIENCE, watching).await;
        assert_eq!(seen.expect("the good watcher sees all of it").unwrap(), CHANGES);
        // Beside a stream that nobody reads its connection still answers.
        for (_, watcher) in &mut slow {
            watcher.status(pb::StatusRequest {}).await.unwrap();
        }
    });
}
