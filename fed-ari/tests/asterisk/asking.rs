//! Calls that ask before they are dialled: through Stasis and through FastAGI.

use fed_ari::{
    client::{AriEvent, HangupReason},
    sim::SimVersion,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    net::TcpListener,
    time::timeout,
};

use crate::{
    calls::{PHONE, answered, failed, office, outcome},
    common::{PATIENCE, connected, eventually, next_event},
};

const STASIS: &str = "\
[fed-users]
exten => _X!,1,Stasis(fed,route,${EXTEN})
 same => n,GotoIf($[\"${STASISSTATUS}\" = \"FAILED\"]?alone)
 same => n,Dial(${TO},5)
 same => n,Hangup(16)
 same => n(alone),Hangup(41)
";

#[tokio::test]
async fn a_call_goes_through_stasis_and_on() {
    for version in [SimVersion::V16, SimVersion::V22] {
        let (sim, client) = office(version, "127.0.0.1:9").await;
        sim.register("bob", PHONE);
        sim.load_dialplan(STASIS);
        assert_eq!(
            outcome(&sim, "100").await,
            failed(41, 603),
            "no application: the dialplan goes on"
        );
        let mut events = client.events(&[]);
        connected(&mut events).await;
        let mut call = sim.call("alice", "100");
        let AriEvent::StasisStart { channel, args } = next_event(&mut events).await else {
            panic!("no StasisStart")
        };
        assert_eq!(args, ["route", "100"]);
        assert!(
            channel.name.starts_with("PJSIP/alice-") && channel.dialplan.exten == "100",
            "{channel:?}"
        );
        let asked = "EVAL(${PJSIP_DIAL_CONTACTS(bob,bob)}|${PJSIP_DIAL_CONTACTS(nobody,nobody)})";
        let found = client.channel_variable(&channel.id, asked).await.expect("reads");
        assert_eq!(found.as_deref(), Some(format!("PJSIP/bob/{PHONE}|").as_str()));
        assert_eq!(
            client.channel_variable(&channel.id, "NOTHING").await.expect("reads"),
            None
        );
        client
            .set_channel_variable(&channel.id, "TO", &format!("PJSIP/bob/{PHONE}"))
            .await
            .expect("sets");
        client.continue_in_dialplan(&channel.id, None).await.expect("goes on");
        assert_eq!(
            timeout(PATIENCE, call.outcome()).await.expect("answered"),
            answered(PHONE),
            "{:?}",
            call.steps()
        );
        let late = client
            .set_channel_variable(&channel.id, "TO", "x")
            .await
            .expect_err("not in Stasis any more");
        assert!(late.to_string().contains("409"), "{late}");
        assert!(matches!(next_event(&mut events).await, AriEvent::StasisEnd { .. }));
    }
}

#[tokio::test]
async fn a_hang_up_in_stasis_ends_the_call_with_its_cause() {
    let (sim, client) = office(SimVersion::V22, "127.0.0.1:9").await;
    sim.load_dialplan(STASIS);
    let mut events = client.events(&[]);
    connected(&mut events).await;
    let mut call = sim.call("alice", "100");
    let AriEvent::StasisStart { channel, .. } = next_event(&mut events).await else {
        panic!("no StasisStart")
    };
    assert!(client.hangup(&channel.id, HangupReason::Busy).await.expect("hangs up"));
    assert_eq!(timeout(PATIENCE, call.outcome()).await.expect("over"), failed(17, 486));
    eventually("the channel to go", || sim.channel_count() == 0).await;
    assert!(
        !client
            .hangup(&channel.id, HangupReason::Normal)
            .await
            .expect("has gone")
    );
}

/// A FastAGI server for one call: sets variables, asks for contacts, and answers what it was sent.
async fn agi_server() -> (String, tokio::task::JoinHandle<(Vec<String>, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a listener");
    let address = listener.local_addr().expect("an address").to_string();
    let served = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.expect("a call");
        let (input, mut output) = stream.into_split();
        let mut lines = BufReader::new(input).lines();
        let mut environment = Vec::new();
        while let Some(line) = lines.next_line().await.expect("reads").filter(|l| !l.is_empty()) {
            environment.push(line);
        }
        output
            .write_all(b"GET FULL VARIABLE \"${PJSIP_DIAL_CONTACTS(bob,bob)}\"\n")
            .await
            .expect("writes");
        let contacts = lines.next_line().await.expect("reads").expect("an answer");
        let to = contacts.trim_start_matches("200 result=1 (").trim_end_matches(')');
        output
            .write_all(format!("SET VARIABLE TO \"{to}\"\n").as_bytes())
            .await
            .expect("writes");
        assert_eq!(lines.next_line().await.expect("reads").as_deref(), Some("200 result=1"));
        (environment, contacts)
    });
    (address, served)
}

#[tokio::test]
async fn a_call_asks_over_fastagi() {
    let (sim, _client) = office(SimVersion::V16, "127.0.0.1:9").await;
    sim.register("bob", PHONE);
    let (address, served) = agi_server().await;
    sim.load_dialplan(&format!(
        "[fed-users]\nexten => _X!,1,AGI(agi://{address}/route,${{EXTEN}})\n same => n,Dial(${{TO}},5)\n"
    ));
    assert_eq!(outcome(&sim, "100").await, answered(PHONE));
    let (environment, contacts) = served.await.expect("served");
    assert!(
        environment.contains(&"agi_network_script: route".to_owned()),
        "{environment:?}"
    );
    assert!(environment.contains(&"agi_arg_1: 100".to_owned()), "{environment:?}");
    assert!(
        environment.iter().any(|l| l.starts_with("agi_channel: PJSIP/alice-")),
        "{environment:?}"
    );
    assert_eq!(contacts, format!("200 result=1 (PJSIP/bob/{PHONE})"));
}

#[tokio::test]
async fn without_a_fastagi_server_the_dialplan_goes_on() {
    let (sim, _client) = office(SimVersion::V16, "127.0.0.1:9").await;
    let free = TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a listener")
        .local_addr()
        .expect("an address");
    sim.load_dialplan(&format!(
        "[fed-users]\nexten => _X!,1,AGI(agi://{free}/route)\n same => n,GotoIf($[\"${{AGISTATUS}}\" = \"FAILURE\"]?alone)\n same => n,Hangup(16)\n same => n(alone),Hangup(20)\n"
    ));
    assert_eq!(outcome(&sim, "100").await, failed(20, 480));
}
