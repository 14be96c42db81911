//! Calls through the simulated Asterisk: the dialplan, phones, redirects and legs to other servers.

use std::time::Duration;

use fed_ari::{
    client::{AriClient, ObjectType},
    sim::{CallOutcome, PhoneScript, SimAsterisk, SimVersion},
};
use tokio::{net::UdpSocket, time::timeout};

use crate::common::{PATIENCE, add_device_redirected, eventually, put, sim};

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
pub(crate) const PHONE: &str = "sip:bob@192.0.2.2:5060";

/// A server with alice and bob, bob registered.
pub(crate) async fn office(version: SimVersion, redirect: &str) -> (SimAsterisk, AriClient) {
    let (sim, client) = sim(version).await;
    sim.load_dialplan(DIALPLAN);
    for device in ["alice", "bob"] {
        add_device_redirected(&client, device, redirect).await;
    }
    sim.register("alice", CALLER);
    (sim, client)
}

pub(crate) async fn outcome(sim: &SimAsterisk, dialled: &str) -> CallOutcome {
    let mut call = sim.call("alice", dialled);
    timeout(PATIENCE, call.outcome())
        .await
        .expect("the call is answered or over")
}

pub(crate) fn failed(q850: u16, sip_status: u16) -> CallOutcome {
    CallOutcome::Failed { q850, sip_status }
}

pub(crate) fn answered(by: &str) -> CallOutcome {
    CallOutcome::Answered { by: by.to_owned() }
}

#[tokio::test]
async fn each_phone_behaves_as_scripted() {
    let (sim, _client) = office(SimVersion::V22, "127.0.0.1:9").await;
    sim.register("bob", PHONE);
    assert_eq!(outcome(&sim, "bob").await, answered(PHONE));
    for (script, expected) in [
        (PhoneScript::Busy, failed(17, 486)),
        (
            PhoneScript::Refuse {
                status: 480,
                after: Duration::ZERO,
            },
            failed(19, 480),
        ),
        (
            PhoneScript::Refuse {
                status: 603,
                after: Duration::ZERO,
            },
            failed(21, 403),
        ),
        (
            PhoneScript::Silent {
                after: Duration::from_millis(10),
            },
            failed(18, 408),
        ),
        (PhoneScript::Ring, failed(19, 480)),
    ] {
        sim.phone("bob", script.clone());
        assert_eq!(outcome(&sim, "bob").await, expected, "{script:?}");
    }
}

#[tokio::test]
async fn either_side_hangs_up() {
    let (sim, _client) = office(SimVersion::V16, "127.0.0.1:9").await;
    sim.register("bob", PHONE);
    sim.phone(
        "bob",
        PhoneScript::AnswerFor {
            after: Duration::ZERO,
            talk: Duration::from_millis(50),
        },
    );
    let mut call = sim.call("alice", "bob");
    assert_eq!(call.outcome().await, answered(PHONE));
    timeout(PATIENCE, call.over()).await.expect("bob hangs up");
    sim.phone("bob", PhoneScript::default());
    let mut call = sim.call("alice", "bob");
    assert_eq!(call.outcome().await, answered(PHONE));
    call.hang_up();
    timeout(PATIENCE, call.over()).await.expect("alice hung up");
    assert_eq!(sim.channel_count(), 0);
}

#[tokio::test]
async fn a_caller_can_cancel_while_it_rings() {
    let (sim, _client) = office(SimVersion::V22, "127.0.0.1:9").await;
    sim.register("bob", PHONE);
    sim.phone("bob", PhoneScript::Ring);
    let mut call = sim.call("alice", "bob");
    assert!(timeout(PATIENCE, call.rings()).await.expect("it rings"));
    call.hang_up();
    timeout(PATIENCE, call.over()).await.expect("cancelled");
    assert_eq!(sim.rings(), [("bob".to_owned(), PHONE.to_owned())]);
}

#[tokio::test]
async fn an_unknown_extension_or_endpoint_is_not_found() {
    let (sim, _client) = office(SimVersion::V22, "127.0.0.1:9").await;
    assert_eq!(outcome(&sim, "#1").await, failed(1, 404));
    assert_eq!(outcome(&sim, "carol").await, failed(3, 404));
    let mut stranger = sim.call("mallory", "bob");
    assert_eq!(stranger.outcome().await, failed(21, 401));
}

/// A redirect server that answers every INVITE the same way, as long as the test runs.
async fn redirect_server(answer: &'static str, contact: String) -> String {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    let address = socket.local_addr().expect("an address").to_string();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            let (size, from) = socket.recv_from(&mut buffer).await.expect("receives");
            let text = String::from_utf8_lossy(&buffer[..size]).into_owned();
            if !text.starts_with("INVITE") {
                continue;
            }
            let copied: String = text
                .lines()
                .filter(|l| {
                    ["Via:", "From:", "To:", "Call-ID:", "CSeq:"]
                        .iter()
                        .any(|h| l.starts_with(h))
                })
                .map(|l| format!("{l}\r\n"))
                .collect();
            let reply = format!("SIP/2.0 {answer}\r\n{copied}Contact: <{contact}>\r\nContent-Length: 0\r\n\r\n");
            socket.send_to(reply.as_bytes(), from).await.expect("sends");
        }
    });
    address
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
    let redirect = redirect_server("302 Moved Temporarily", target.clone()).await;
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
    let redirect = redirect_server("302 Moved Temporarily", format!("sip:bob@{}", there.sip_address())).await;
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
async fn what_the_redirect_server_refuses_fails_the_call() {
    for (answer, expected) in [
        ("404 Not Found", failed(1, 404)),
        ("480 Temporarily Unavailable", failed(19, 480)),
        ("503 No", failed(34, 503)),
    ] {
        let redirect = redirect_server(answer, "sip:x@y".to_owned()).await;
        let (here, _client) = office(SimVersion::V16, &redirect).await;
        assert_eq!(outcome(&here, "bob").await, expected, "{answer}");
    }
}

#[tokio::test]
async fn a_redirect_server_that_is_down_is_waited_for_until_the_dial_times_out() {
    let free = UdpSocket::bind("127.0.0.1:0")
        .await
        .expect("a socket")
        .local_addr()
        .expect("an address");
    let (here, _client) = office(SimVersion::V22, &free.to_string()).await;
    assert_eq!(outcome(&here, "bob").await, failed(19, 480));
}

#[tokio::test]
async fn a_call_from_an_unknown_address_is_not_taken() {
    let (there, client) = branch().await;
    client
        .delete_object(ObjectType::Identify, "trunk")
        .await
        .expect("deletes");
    let redirect = redirect_server("302 Moved Temporarily", format!("sip:bob@{}", there.sip_address())).await;
    let (here, _client) = office(SimVersion::V22, &redirect).await;
    assert_eq!(outcome(&here, "bob").await, failed(21, 403));
    assert!(there.rings().is_empty());
}
