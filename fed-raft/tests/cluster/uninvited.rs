//! Every call that there is between nodes, by everybody who may make none of them.

use fed_raft::security::{Authority, Connector, Credentials, Keyring, Trust, request_key};
use fed_raft::{ClusterId, Role};
use prost::Message;
use prost_types::FileDescriptorSet;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

use crate::lab::until;
use crate::secured::{Secured, certified, channel};

/// The paths of all calls, as the protocol has them: one that is added to it is walked as well.
fn calls() -> Vec<String> {
    let files = FileDescriptorSet::decode(fed_proto::DESCRIPTORS).expect("descriptors");
    let peer = files.file.iter().find(|file| file.package() == "federated.peer.v1");
    let services = &peer.expect("the nodes' protocol").service;
    let of_one = services.iter().flat_map(|service| {
        let name = service.name();
        service
            .method
            .iter()
            .map(move |method| format!("/federated.peer.v1.{name}/{}", method.name()))
    });
    of_one.collect()
}

/// Makes the call with one empty message and says how it ended. To the bytes on the wire a stream of one message is the same.
async fn call(channel: &Channel, path: &str, badge: Option<&str>) -> Result<(), Status> {
    let mut request = Request::new(());
    if let Some(badge) = badge {
        let badge = badge.parse().expect("ASCII");
        request.metadata_mut().insert("fed-peer", badge);
    }
    let mut client = Grpc::new(channel.clone());
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let path = PathAndQuery::try_from(path).expect("a path");
    let codec = ProstCodec::<(), ()>::default();
    client.unary(request, path, codec).await.map(drop)
}

/// Refused by the node itself, before it looks at the message.
fn is_refused(answer: &Result<(), Status>) -> bool {
    let refused = |status: &Status| matches!(status.code(), Code::Unauthenticated | Code::PermissionDenied);
    answer.as_ref().is_err_and(refused)
}

/// No answer of the node: there is no connection, or no longer.
fn is_cut(answer: &Result<(), Status>) -> bool {
    let cut = |status: &Status| std::error::Error::source(status).is_some();
    answer.as_ref().is_err_and(cut)
}

/// Heard as far as the doorkeeper, without the word that lets in.
fn is_turned_away(answer: &Result<(), Status>) -> bool {
    answer
        .as_ref()
        .is_err_and(|status| status.message() == "the word is wrong")
}

fn is_join(path: &str) -> bool {
    path.ends_with("/Join")
}

/// What the node between two numbers says it is, to whom.
fn badge(lab: &Secured, from: usize, to: usize) -> String {
    let request = lab.request(from, to, ());
    let badge = request.metadata().get("fed-peer").expect("set");
    badge.to_str().expect("ASCII").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_call_is_open_to_anybody_but_members_but_the_one_by_which_they_join() {
    let lab = Secured::of(4).await;
    until("three vote", async || {
        let members = lab.nodes[0].cluster.members();
        members.iter().filter(|m| m.role != Role::Learner).count() == 3
    })
    .await;
    let paths = calls();
    assert_eq!(paths.iter().filter(|path| is_join(path)).count(), 1, "{paths:?}");

    let trust = Trust::authorities(lab.authority.certificate_pem()).expect("an authority");
    let nameless = channel(&lab.address(0), Connector::tls(trust).expect("TLS"));
    let by = |keyring: &Keyring| {
        let connector = Connector::tls(Trust::node(keyring, lab.name(0))).expect("TLS");
        channel(&lab.address(0), connector)
    };
    let (second, removed) = (by(&lab.nodes[1].keyring), lab.nodes[3].keyring.clone());
    // By an authority of its own, and it believes the real one.
    let impostor = Authority::make(lab.name(0).cluster).expect("an authority");
    let made = request_key(None).expect("a key");
    let certificate = certified(&impostor, lab.name(1), &made.public_key);
    let both = format!("{}{}", lab.authority.certificate_pem(), impostor.certificate_pem());
    let credentials = Credentials::from_pem(&both, &certificate, &made.key).expect("fits");
    let foreign = by(&Keyring::new(credentials));

    let own = badge(&lab, 1, 0);
    let here = lab.name(0).cluster.to_string();
    let elsewhere = own.replace(&here, &ClusterId(7).to_string());
    assert_ne!(elsewhere, own);
    let refused = [
        ("no certificate and no badge", &nameless, None),
        ("no certificate and a member's badge", &nameless, Some(own.clone())),
        ("a certificate and no badge", &second, None),
        ("a certificate and nonsense", &second, Some("1/2/3".to_owned())),
        ("another member's badge", &second, Some(badge(&lab, 2, 0))),
        ("the badge of the one that is asked", &second, Some(badge(&lab, 0, 0))),
        ("the badge of another cluster", &second, Some(elsewhere)),
        ("a call for another node", &second, Some(badge(&lab, 1, 2))),
    ];
    for path in &paths {
        let member = call(&second, path, Some(&own)).await;
        let heard = !is_refused(&member) || is_join(path) && is_turned_away(&member);
        assert!(heard, "{path} is heard from a member: {member:?}");
        for (who, channel, badge) in &refused {
            let answer = call(channel, path, badge.as_deref()).await;
            assert!(is_refused(&answer), "{path} by {who}: {answer:?}");
        }
        let stranger = call(&nameless, path, Some("1/0/0/77/0")).await;
        if is_join(path) {
            assert!(is_turned_away(&stranger), "a stranger may ask to join: {stranger:?}");
        } else {
            assert!(is_refused(&stranger), "{path} by a stranger: {stranger:?}");
        }
        // This one does not get as far as a call.
        let answer = call(&foreign, path, Some(&own)).await;
        assert!(
            is_cut(&answer),
            "{path} with a certificate of another authority: {answer:?}"
        );
    }

    let (name, last) = (badge(&lab, 3, 0), lab.nodes[3].cluster.id());
    lab.nodes[0].cluster.remove(last).await.expect("removed");
    let gone = async |path: &str| call(&by(&removed), path, Some(&name)).await;
    until("it is known to be gone", async || is_refused(&gone(&paths[0]).await)).await;
    for path in &paths {
        until(path, async || {
            let answer = gone(path).await;
            assert!(
                is_refused(&answer) || is_cut(&answer),
                "{path} by a node that was removed: {answer:?}"
            );
            is_refused(&answer)
        })
        .await;
    }
}
