//! Attacks on who is who: other authorities, other names, people in between, and certificates of nodes that were removed.

use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_proto::peer as proto;
use fed_raft::security::{Authority, Connector, Credentials, Door, Limits, Security, Trust, fingerprint, request_key};
use fed_raft::{Application, Cluster, Config, Consistency, Role, StartError};
use tonic::Code;

use crate::lab::{PATIENCE, until};
use crate::machine::Values;
use crate::secured::{Secured, certified, dial, keyring};

fn ask() -> proto::AskRequest {
    proto::AskRequest::default()
}

#[tokio::test(flavor = "multi_thread")]
async fn members_with_certificates_are_one_cluster() {
    let lab = Secured::of(3).await;
    lab.put(2, "key").await;
    for node in &lab.nodes {
        let read = node
            .cluster
            .read(Consistency::Linearizable, PATIENCE)
            .await
            .expect("a majority is up");
        assert!(crate::machine::value(&read, "key").expect("the store works").is_some());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_cannot_convince_the_doorkeeper_is_told_why() {
    let lab = Secured::of(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    let pin = fingerprint(lab.authority.certificate_pem()).expect("an authority");
    let refused = Cluster::<Values>::apply(&config, lab.application(pin, b"let me in"), |_, _| Ok(())).await;
    let error = refused.expect_err("the word is wrong").to_string();
    assert!(error.contains("the word is wrong"), "{error}");
    assert!(!folder.path().join("data").exists(), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_in_between_at_a_join_hears_nothing() {
    let lab = Secured::of(1).await;
    // Says that it is the node, by an authority of its own.
    let impostor = Authority::make(lab.name(0).cluster).expect("an authority");
    let security = Security::Tls(keyring(&impostor, lab.name(0)));
    let nobody_is_gone = Arc::new(|_: NodeId| false);
    let door = Door::open("127.0.0.1:0", &security, &[b"h2"], Limits::default(), nobody_is_gone);
    let mut door = door.await.expect("a free port");
    let address = door.local_addr().expect("bound").to_string();
    let listening = tokio::spawn(async move { door.accept().await });

    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    let pin = fingerprint(lab.authority.certificate_pem()).expect("an authority");
    let application = Application {
        seed: address,
        ..lab.application(pin, b"open sesame")
    };
    let refused = Cluster::<Values>::apply(&config, application, |_, _| Ok(())).await;
    let error = refused.expect_err("it is not the node").to_string();
    assert!(error.contains("somebody in between"), "{error}");
    assert!(!listening.is_finished(), "no connection came about");
    listening.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_node_of_the_same_cluster_is_not_taken_for_the_one_expected() {
    let lab = Secured::of(2).await;
    let trust = Trust::node(&lab.nodes[0].keyring, lab.name(0));
    let mut client = dial(&lab.address(1), Connector::tls(trust).expect("TLS"));
    let refused = client.ask(lab.request(0, 1, ask())).await.expect_err("it is node 2");
    let why = format!("{refused:?}");
    assert!(why.contains(&format!("not {}", lab.name(0))), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_talks_to_the_host_or_the_node_it_meant_and_to_no_other() {
    let lab = Secured::of(1).await;
    let trust = || Trust::authorities(lab.authority.certificate_pem()).expect("an authority");
    let mut other = lab.name(0);
    other.node = NodeId(99);
    let answer = async |trust: Trust| {
        let mut client = dial(&lab.address(0), Connector::tls(trust).expect("TLS"));
        let refused = client.ask(lab.request(0, 0, ask())).await.expect_err("no certificate");
        (refused.code(), format!("{refused:?}"))
    };
    // Its certificate holds the address that was dialled, and this name.
    for heard in [
        trust(),
        trust().at("localhost").expect("a name"),
        trust().of(lab.name(0)),
    ] {
        let (code, why) = answer(heard).await;
        assert_eq!(code, Code::Unauthenticated, "{why}");
    }
    let (code, why) = answer(trust().at("pbx2.example.org").expect("a name")).await;
    assert_ne!(code, Code::Unauthenticated, "{why}");
    let words = [
        "not for",
        "pbx2.example.org",
        "localhost, 127.0.0.1",
        &lab.name(0).to_string(),
    ];
    assert!(words.iter().all(|word| why.contains(word)), "{why}");
    let (code, why) = answer(trust().of(other)).await;
    assert!(
        code != Code::Unauthenticated && why.contains(&format!("not {other}")),
        "{why}"
    );
    assert!(trust().at("no name").is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_authority_opens_nothing() {
    let lab = Secured::of(1).await;
    let impostor = Authority::make(lab.name(0).cluster).expect("an authority");
    let made = request_key(None).expect("a key");
    let certificate = certified(&impostor, lab.name(0), &made.public_key);
    // It believes the real authority, and shows a certificate of its own.
    let both = format!("{}{}", lab.authority.certificate_pem(), impostor.certificate_pem());
    let credentials = Credentials::from_pem(&both, &certificate, &made.key).expect("fits");
    let stranger = fed_raft::security::Keyring::new(credentials);
    let refused = lab.client(0, &stranger).ask(lab.request(0, 0, ask())).await;
    assert_ne!(
        refused.expect_err("refused").code(),
        Code::Unimplemented,
        "it was heard"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_cannot_speak_as_another() {
    let lab = Secured::of(3).await;
    let mut second = lab.client(0, &lab.nodes[1].keyring);
    let own = second.ask(lab.request(1, 0, ask())).await.expect_err("nobody answers");
    assert_eq!(own.code(), Code::Unimplemented, "as itself it is heard");
    let refused = second.ask(lab.request(2, 0, ask())).await.expect_err("it is node 2");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert!(refused.message().contains(&lab.name(1).to_string()), "{refused:?}");
    // Every call is checked, not the first alone.
    let vote = proto::VoteRequest {
        vote: Some(proto::Vote {
            term: 1_000_000,
            node: lab.name(2).node.0,
            committed: false,
        }),
        ..proto::VoteRequest::default()
    };
    let refused = second.vote(lab.request(2, 0, vote)).await.expect_err("it is node 2");
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused:?}");
    assert!(lab.nodes[0].cluster.status().term < 1_000_000);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_certificate_nothing_but_a_join_is_heard() {
    let lab = Secured::of(1).await;
    let trust = Trust::authorities(lab.authority.certificate_pem()).expect("an authority");
    let mut client = dial(&lab.address(0), Connector::tls(trust).expect("TLS"));
    let refused = client.ask(lab.request(0, 0, ask())).await.expect_err("no certificate");
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused:?}");
    let mut plain = dial(&lab.address(0), Connector::plain());
    plain.ask(lab.request(0, 0, ask())).await.expect_err("no TLS at all");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_removed_node_is_cut_off_and_its_certificate_is_worth_nothing() {
    let lab = Secured::of(3).await;
    until("all vote", async || {
        let members = lab.nodes[0].cluster.members();
        members.iter().filter(|m| m.role != Role::Learner).count() == 3
    })
    .await;
    let stolen = lab.nodes[2].keyring.clone();
    let mut thief = lab.client(0, &stolen);
    let silent = tokio_stream::pending::<proto::AppendRequest>();
    let stream = thief
        .append(lab.request(2, 0, silent))
        .await
        .expect("a member's stream");
    let mut stream = stream.into_inner();

    lab.nodes[0]
        .cluster
        .remove(lab.nodes[2].cluster.id())
        .await
        .expect("removed");
    let ended = tokio::time::timeout(Duration::from_secs(5), stream.message()).await;
    let ended = ended.expect("its open stream ends within 5 s");
    assert!(!matches!(ended, Ok(Some(_))), "{ended:?}");
    for node in [0, 1] {
        until("its certificate opens nothing any more", async || {
            let answer = lab.client(node, &stolen).ask(lab.request(2, node, ask())).await;
            let refused = answer.expect_err("refused");
            refused.code() == Code::PermissionDenied && refused.message().contains("was removed")
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_is_used_and_no_stream_is_dropped() {
    let lab = Secured::of(2).await;
    let mut client = lab.client(0, &lab.nodes[1].keyring);
    let silent = tokio_stream::pending::<proto::AppendRequest>();
    let stream = client
        .append(lab.request(1, 0, silent))
        .await
        .expect("a member's stream");
    let mut stream = stream.into_inner();
    let new = Authority::make(lab.name(0).cluster).expect("an authority");
    let trust = Trust::authorities(new.certificate_pem()).expect("an authority");
    let newcomer = async || {
        let connector = Connector::tls(trust.clone()).expect("TLS");
        let answer = dial(&lab.address(0), connector).ask(lab.request(0, 0, ask())).await;
        answer.expect_err("no certificate").code() == Code::Unauthenticated
    };
    assert!(!newcomer().await, "the new authority has signed nothing yet");

    let made = request_key(None).expect("a key");
    let certificate = certified(&new, lab.name(0), &made.public_key);
    let both = format!("{}{}", lab.authority.certificate_pem(), new.certificate_pem());
    let credentials = Credentials::from_pem(&both, &certificate, &made.key);
    lab.nodes[0].keyring.replace(credentials.expect("fits"));

    assert!(newcomer().await, "the next connection sees the new certificate");
    let term = lab.nodes[1].cluster.status().term;
    lab.put(1, "key").await;
    assert_eq!(lab.nodes[1].cluster.status().term, term, "nobody lost the leader");
    let quiet = tokio::time::timeout(Duration::from_millis(200), stream.message()).await;
    assert!(quiet.is_err(), "the stream is still open: {quiet:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_of_another_node_does_not_start_this_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    let identity = Cluster::<Values>::init(&config).expect("an empty folder");
    let authority = Authority::make(identity.cluster).expect("an authority");
    let mut other = identity.name();
    other.node = NodeId(2);
    config.security = Security::Tls(keyring(&authority, other));
    let refused = Cluster::start(config, Values::default()).await.expect_err("another's");
    assert!(matches!(refused, StartError::OtherName { .. }), "{refused}");
}
