//! Calls between two simulated Asterisks.

use std::time::Duration;

use fed_ari::{
    client::{AriClient, ObjectType},
    sim::{CallOutcome, PhoneScript, SimAsterisk, SimVersion},
};
use tokio::time::timeout;

use crate::{
    common::{PATIENCE, add_device_redirected, eventually, put, sim},
    conformance::redirects::redirect_server,
};

/// Devices dial each other by name; what comes over a trunk rings own registrations only.
const DIALPLAN: &str = "\
[fed-users]
exten => _[0-9A-Za-z]!,1,Dial(PJSIP/${EXTEN},1)
 same => n,Hangup(${HANGUPCAUSE})
[fed-trunk]
exten => _[0-9A-Za-z]!,1,Dial(${PJSIP_DIAL_CONTACTS(${EXTEN},${EXTEN})},2)
 same => n,GotoIf($[\"${DIALSTATUS}\" = \"BUSY\"]?busy)
 same => n,Hangup(${IF($[0${HANGUPCAUSE} > 0]?${HANGUPCAUSE}:20)})
 same => n(busy),Hangup(17)
";

const CALLER: &str = "sip:alice@192.0.2.1:5060";
const PHONE: &str = "sip:bob@192.0.2.2:5060";

/// A server with alice and bob, bob registered.
async fn office(version: SimVersion, redirect: &str) -> (SimAsterisk, AriClient) {
    let (sim, client) = sim(version).await;
    sim.load_dialplan(DIALPLAN);
    for device in ["alice", "bob"] {
        add_device_redirected(&client, device, redirect).await;
    }
    sim.register("alice", CALLER);
    (sim, client)
}

async fn outcome(sim: &SimAsterisk, dialled: &str) -> CallOutcome {
    let mut call = sim.call("alice", dialled);
    timeout(PATIENCE, call.outcome())
        .await
        .expect("the call is answered or over")
}

fn failed(q850: u16, sip_status: u16) -> CallOutcome {
    CallOutcome::Failed { q850, sip_status }
}

fn answered(by: &str) -> CallOutcome {
    CallOutcome::Answered { by: by.to_owned() }
}

/// A server that takes calls over a trunk from loopback, with bob registered.
async fn branch() -> (SimAsterisk, AriClient) {
    let (there, client) = office(SimVersion::V16, "127.0.0.1:9").await;
    put(
        &client,
        ObjectType::Endpoint,
        "trunk",
        &[("context", "fed-trunk"), ("allow", "ulaw")],
    )
    .await;
    put(
        &client,
        ObjectType::Identify,
        "trunk",
        &[("endpoint", "trunk"), ("match", "127.0.0.1")],
    )
    .await;
    there.register("bob", PHONE);
    (there, client)
}

#[tokio::test]
async fn a_device_that_is_elsewhere_is_reached_by_redirect() {
    let (there, _client) = branch().await;
    let target = format!("sip:bob@{}", there.sip_address());
    let redirect = redirect_server("302 Moved Temporarily", &target).await;
    let (here, _client) = office(SimVersion::V22, &redirect).await;
    assert_eq!(outcome(&here, "bob").await, answered(&target));
    assert_eq!(there.rings(), [("bob".to_owned(), PHONE.to_owned())]);
    // Registered here, she rings here: the first aor with a contact decides.
    here.register("bob", "sip:bob@192.0.2.3:5060");
    assert_eq!(outcome(&here, "bob").await, answered("sip:bob@192.0.2.3:5060"));
    assert_eq!(there.rings().len(), 1);
}

#[tokio::test]
async fn refusals_and_hang_ups_cross_between_servers() {
    let (there, _client) = branch().await;
    let redirect = redirect_server("302 Moved Temporarily", &format!("sip:bob@{}", there.sip_address())).await;
    let (here, _client) = office(SimVersion::V22, &redirect).await;
    there.phone("bob", PhoneScript::Busy);
    assert_eq!(outcome(&here, "bob").await, failed(17, 486));
    there.phone("bob", PhoneScript::Ring);
    let mut call = here.call("alice", "bob");
    assert!(timeout(PATIENCE, call.rings()).await.expect("it rings there"));
    call.hang_up();
    eventually("the cancel to arrive", || there.channel_count() == 0).await;
    there.phone(
        "bob",
        PhoneScript::AnswerFor {
            after: Duration::ZERO,
            talk: Duration::from_millis(20),
        },
    );
    let mut call = here.call("alice", "bob");
    assert!(matches!(call.outcome().await, CallOutcome::Answered { .. }));
    timeout(PATIENCE, call.over()).await.expect("bob's hang-up arrives");
    there.phone("bob", PhoneScript::default());
    let mut call = here.call("alice", "bob");
    assert!(matches!(call.outcome().await, CallOutcome::Answered { .. }));
    call.hang_up();
    eventually("alice's hang-up to arrive", || there.channel_count() == 0).await;
}

#[tokio::test]
async fn a_call_from_an_unknown_address_is_not_taken() {
    let (there, client) = branch().await;
    client
        .delete_object(ObjectType::Identify, "trunk")
        .await
        .expect("deletes");
    let redirect = redirect_server("302 Moved Temporarily", &format!("sip:bob@{}", there.sip_address())).await;
    let (here, _client) = office(SimVersion::V22, &redirect).await;
    assert_eq!(outcome(&here, "bob").await, failed(21, 403));
    assert!(there.rings().is_empty());
}
