//! More than anybody should send, from members and from strangers: what is refused, and that the members keep hearing each other.

use std::time::Duration;

use bytes::Bytes;
use fed_proto::peer as proto;
use fed_raft::security::{Connector, Trust};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::Code;

use crate::lab::until;
use crate::secured::{Secured, dial};

/// Leader and term as a follower knows them.
fn reign(lab: &Secured) -> (Option<fed_core::ids::NodeId>, u64) {
    let status = lab.nodes[1].cluster.status();
    (status.leader, status.term)
}

/// Runs the attack on the leader and sees that it leads all the while, and acknowledges writes.
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
    let lab = Secured::of(2).await;
    let attack = async {
        let question = Bytes::from(vec![7; 100 << 20]);
        let mut member = lab.client(0, &lab.nodes[1].keyring);
        let request = lab.request(
            1,
            0,
            proto::AskRequest {
                question: question.clone(),
            },
        );
        let refused = member.ask(request).await.expect_err("too large");
        assert_ne!(refused.code(), Code::Unimplemented, "it was taken");
        let trust = Trust::authorities(lab.authority.certificate_pem()).expect("an authority");
        let mut stranger = dial(&lab.address(0), Connector::tls(trust).expect("TLS"));
        let join = proto::JoinRequest {
            application: question,
            ..proto::JoinRequest::default()
        };
        stranger.join(join).await.expect_err("too large");
    };
    heartbeats_keep(&lab, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_streams_on_one_connection_are_bounded() {
    let lab = Secured::of(2).await;
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
        // Those beyond the bound wait at the client, or are refused.
        while let Ok(Some(answer)) = tokio::time::timeout(Duration::from_secs(2), streams.next()).await {
            open.extend(answer);
        }
        assert!(open.len() <= 1024, "{} streams are open", open.len());
    };
    heartbeats_keep(&lab, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_headers_is_refused() {
    let lab = Secured::of(2).await;
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
            assert_ne!(refused.code(), Code::Unimplemented, "it was taken");
        }
    };
    heartbeats_keep(&lab, attack).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_connect_and_say_nothing_keep_nobody_out() {
    let lab = Secured::of(2).await;
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
    let lab = Secured::of(2).await;
    let attack = async {
        let mut nonsense = TcpStream::connect(lab.address(0)).await.expect("it listens");
        let _ = nonsense.write_all(&[0x16; 4096]).await;
        until("the connection is closed", async || {
            let mut bytes = [0; 4096];
            matches!(nonsense.read(&mut bytes).await, Ok(0) | Err(_))
        })
        .await;
        // A member that asks for much and reads nothing of it.
        let client = lab.client(0, &lab.nodes[1].keyring);
        let asked: FuturesUnordered<_> = (0..1000)
            .map(|_| {
                let mut client = client.clone();
                let request = lab.request(1, 0, proto::DescribeRequest {});
                async move { client.describe(request).await.map(drop) }
            })
            .collect();
        drop(asked);
    };
    heartbeats_keep(&lab, attack).await;
}
