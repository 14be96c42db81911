//! Floods at the leader's client API: what is too much is refused, and nobody loses the leader by it.

use crate::support::{Client, Federation, Node, channel, client, until};
use fed_proto::client as pb;
use fed_proto::client::federation_client::FederationClient;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
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
