//! Floods at the leader's client API and its metrics: what is too much is refused, those who only hold places lose them, and nobody
//! loses the leader by it, and what another node is asked meanwhile is done.

use std::time::Duration;

use crate::support::{Client, Federation, Node, PATIENCE, channel, client, client_over, endpoint, until};
use fed_proto::client as pb;
use fed_proto::client::federation_client::FederationClient;
use fed_raft::security::{Connector, Trust};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::client::Grpc;
use tonic::codegen::Service;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Response, Status};
use tonic_prost::ProstCodec;

/// Times in which a node surely says something, though a flood and whoever makes it share its processors here, unless its heartbeats really
/// stand still. With the timers as delivered a busy machine lost the leader to the flood of calls.
const CALM: [&str; 2] = ["--raft-election-min-ms=3000", "--raft-election-max-ms=4000"];

/// Three nodes with them.
fn calm_federation() -> Federation {
    Federation::start_with(3, |_, node| node.flags.extend(CALM.map(str::to_owned)))
}

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

/// A user to be put as a program of another version might say it: with something that this one does not know, and passes over. Valid
/// whatever its size.
#[derive(Clone, PartialEq, prost::Message)]
struct FromTheFuture {
    #[prost(message, optional, tag = "1")]
    user: Option<pb::User>,
    #[prost(bytes = "vec", tag = "1000")]
    more: Vec<u8>,
}

/// Puts a user, with so many bytes more than needed.
async fn put_with(node: &Node, bytes: usize) -> Result<(), Status> {
    let user = pb::User {
        id: "mountain".to_owned(),
        ring: "all".to_owned(),
        ring_timeout_s: 30,
        ..pb::User::default()
    };
    let mut request = Request::new(FromTheFuture {
        user: Some(user),
        more: vec![7; bytes],
    });
    let token = format!("Bearer {}", node.local_token()).parse().unwrap();
    request.metadata_mut().insert("authorization", token);
    let mut calls = Grpc::new(channel(node).await);
    calls.ready().await.unwrap();
    let path = PathAndQuery::from_static("/federated.client.v1.Federation/PutUser");
    let codec = ProstCodec::<FromTheFuture, pb::WriteReply>::default();
    calls.unary(request, path, codec).await.map(drop)
}

/// One call with so many headers of 4 KiB.
async fn call_with_headers(mut admin: Client, headers: usize) -> Result<(), Status> {
    let mut request = Request::new(pb::StatusRequest {});
    for number in 0..headers {
        let name: tonic::metadata::MetadataKey<_> = format!("x-{number}").parse().unwrap();
        request
            .metadata_mut()
            .insert(name, "y".repeat(4 << 10).parse().unwrap());
    }
    admin.status(request).await.map(drop)
}

/// Calls that a node takes at once on one connection.
const MOST_CALLS: usize = 256;
/// Calls of one token that a node takes at once: `client.calls_at_once` as delivered.
const MOST_OF_A_TOKEN: usize = 1_024;

type Watch = tonic::Streaming<pb::WatchItem>;

async fn watch(mut watcher: Client) -> Result<Watch, Status> {
    watcher
        .watch(pb::WatchRequest::default())
        .await
        .map(Response::into_inner)
}

/// Ten thousand watches on one connection, by somebody who may watch: so many are open, and no more until one of them ends. Those.
async fn watch_ten_thousand_times(node: &Node, token: &str) -> Vec<Watch> {
    let watcher = client(node, token).await;
    let mut watches: FuturesUnordered<_> = (0..10_000).map(|_| watch(watcher.clone())).collect();
    let mut open = Vec::new();
    while open.len() < MOST_CALLS {
        let next = tokio::time::timeout(PATIENCE, watches.next()).await;
        open.push(next.expect("as many are open").unwrap().unwrap());
    }
    // Whatever else was let in is open by the time that others have been answered.
    for _ in 0..20 {
        client(node, token).await.status(pb::StatusRequest {}).await.unwrap();
        assert!(watches.next().now_or_never().is_none(), "one more is open");
    }
    drop(open.pop());
    let next = tokio::time::timeout(PATIENCE, watches.next()).await;
    open.push(next.expect("there is room").unwrap().unwrap());
    open
}

/// As many watches as one token may have, over many connections: then no more on any, until one of them ends.
async fn watch_over_many_connections(node: &Node, token: &str) {
    let mut open = Vec::new();
    let mut connections = Vec::new();
    while open.len() < MOST_OF_A_TOKEN {
        let watcher = client(node, token).await;
        for _ in 0..MOST_CALLS / 2 {
            open.push(watch(watcher.clone()).await.unwrap());
        }
        connections.push(watcher);
    }
    for watcher in [connections[0].clone(), client(node, token).await] {
        let refused = watch(watcher).await.unwrap_err();
        assert_eq!(refused.code(), Code::ResourceExhausted, "{refused:?}");
        let told = refused.message();
        assert!(
            told.starts_with("overloaded: 1024 calls of this token") && told.contains("client.calls_at_once"),
            "{told}"
        );
    }
    // It is the token's affair and nobody else's.
    client(node, &node.local_token())
        .await
        .status(pb::StatusRequest {})
        .await
        .unwrap();
    drop(open.pop());
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while let Err(refused) = watch(connections[0].clone()).await {
        assert!(tokio::time::Instant::now() < deadline, "there is room: {refused:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Changes the map at a node again and again until told to stop; how many changes were acknowledged. Each goes to the leader and to a
/// majority.
async fn change_until(node: &Node, stop: &CancellationToken) -> usize {
    let mut admin = client(node, &node.local_token()).await;
    let (mut tried, mut done) = (0, 0);
    while !stop.is_cancelled() {
        let put = pb::PutSettingRequest {
            key: "x-flood".to_owned(),
            value: tried.to_string(),
            ..pb::PutSettingRequest::default()
        };
        tried += 1;
        match admin.put_setting(put).await {
            Ok(_) => done += 1,
            // A machine without processor time; that the leader stays is seen at the end.
            Err(late) => assert_eq!(late.code(), Code::DeadlineExceeded, "{late:?}"),
        }
        // As an administrator at work, not as one flood more.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    done
}

/// Goes through with a flood while the map is changed at a node.
fn changed_meanwhile(node: &Node, flood: impl Future<Output = ()>) {
    let stop = CancellationToken::new();
    let changes = Runtime::new().unwrap().block_on(async {
        let flood = async {
            flood.await;
            stop.cancel();
        };
        tokio::join!(change_until(node, &stop), flood).0
    });
    assert!(changes > 0, "no change was acknowledged during the flood");
}

/// Everything at once: silent connections, watchers that read nothing, messages and headers that are too large, ten thousand calls.
async fn flood(target: &Node, reader: &str) {
    // Whoever says nothing at all holds a place as long as it is let; of one address there is a limit, short of which these stay.
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(TcpStream::connect(("127.0.0.1", target.client)).await);
    }
    // Watchers that read nothing, while there is much to be read.
    let mut slow = Vec::new();
    for _ in 0..40 {
        let mut watcher = client(target, reader).await;
        slow.push(watcher.watch(pb::WatchRequest { after: Some(1) }).await.unwrap());
    }
    let admin = client(target, &target.local_token()).await;
    put_with(target, 1 << 20).await.expect("a smaller one is taken");
    call_with_headers(admin.clone(), 2).await.expect("a few are taken");
    for _ in 0..2 {
        let refused = put_with(target, 100 << 20).await.unwrap_err();
        assert_eq!(refused.code(), Code::OutOfRange, "{refused:?}");
        assert!(refused.message().contains("too large"), "{refused:?}");
        let refused = call_with_headers(admin.clone(), 64).await.unwrap_err();
        // It is the connection that ends, with a word about it or without.
        assert!(std::error::Error::source(&refused).is_some(), "{refused:?}");
    }
    // Ten thousand calls, many at once on few connections: by somebody who may make them, and by somebody who may not.
    let mut flood = JoinSet::new();
    for _ in 0..4 {
        let (known, nobody) = (
            client(target, &target.local_token()).await,
            FederationClient::new(channel(target).await),
        );
        for _ in 0..1_250 {
            let (mut known, mut nobody) = (known.clone(), nobody.clone());
            flood.spawn(async move { known.status(pb::StatusRequest {}).await.err().map(|error| error.code()) });
            flood.spawn(async move {
                let refused = nobody.status(pb::StatusRequest {}).await.unwrap_err();
                assert_eq!(
                    refused.code(),
                    Code::Unauthenticated,
                    "nobody is told how the node is: {refused:?}"
                );
                None
            });
        }
    }
    while let Some(answered) = flood.join_next().await {
        assert_eq!(answered.unwrap(), None, "whoever may is answered");
    }
    drop((silent, slow));
}

#[test]
fn floods_of_clients_are_refused_and_heartbeats_keep() {
    let federation = calm_federation();
    let (leader, other) = leader_and_other(&federation);
    let (target, other) = (&federation.nodes[leader], &federation.nodes[other]);
    let before = who_leads(other);
    let reader = std::fs::read_to_string(target.token("reader", &["--role", "reader"])).unwrap();
    changed_meanwhile(other, flood(target, reader.trim()));
    assert_eq!(who_leads(other), before, "the leader was lost");
    target.add_user("alice", "1001").ok();
    federation.hashes_agree();
}

#[test]
fn ten_thousand_watches_are_bounded_for_a_connection_and_for_a_token() {
    let federation = calm_federation();
    let (leader, other) = leader_and_other(&federation);
    let (target, other) = (&federation.nodes[leader], &federation.nodes[other]);
    let before = who_leads(other);
    let [one, many] =
        ["one", "many"].map(|name| std::fs::read_to_string(target.token(name, &["--role", "reader"])).unwrap());
    changed_meanwhile(other, async {
        let open = watch_ten_thousand_times(target, one.trim()).await;
        watch_over_many_connections(target, many.trim()).await;
        drop(open);
    });
    assert_eq!(who_leads(other), before, "the leader was lost");
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
    let federation = calm_federation();
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
        let seen = tokio::time::timeout(PATIENCE, watching).await;
        assert_eq!(seen.expect("the good watcher sees all of it").unwrap(), CHANGES);
        // Beside a stream that nobody reads its connection still answers.
        for (_, watcher) in &mut slow {
            watcher.status(pb::StatusRequest {}).await.unwrap();
        }
    });
}
