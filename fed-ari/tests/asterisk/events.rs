//! The event socket: what is announced in which order, and what happens when it breaks.

use std::time::Duration;

use fed_ari::{
    client::{AriClient, AriError, AriEvent, Link},
    sim::{SimAsterisk, SimVersion},
};

use crate::common::{add_device, connected, eventually, next, next_event, sim};

const PHONE: &str = "sip:alice@192.0.2.1:5060";

#[tokio::test]
async fn the_link_returns_after_a_restart_and_after_a_longer_absence() {
    let (sim, client) = sim(SimVersion::V22).await;
    let mut events = client.events(&["endpoint:PJSIP"]);
    connected(&mut events).await;
    sim.stop().await;
    assert!(matches!(next(&mut events).await, Link::Disconnected { .. }));
    let failed = next(&mut events).await;
    assert!(
        matches!(&failed, Link::Disconnected { why } if why.contains("cannot be reached")),
        "{failed:?}"
    );
    sim.start_again().await.expect("starts again");
    connected(&mut events).await;
    add_device(&client, "alice").await;
    assert!(client.subscribe("endpoint:PJSIP").await.expect("subscribes"));
    sim.register("alice", PHONE);
    loop {
        if matches!(next_event(&mut events).await, AriEvent::ContactStatusChange { uri, .. } if uri == PHONE) {
            break;
        }
    }
}

#[tokio::test]
async fn a_dropped_socket_is_noticed_and_reopened() {
    let (sim, client) = sim(SimVersion::V16).await;
    let mut events = client.events(&["endpoint:PJSIP"]);
    connected(&mut events).await;
    sim.drop_sockets();
    assert!(matches!(next(&mut events).await, Link::Disconnected { .. }));
    connected(&mut events).await;
    assert!(sim.is_connected("fed"));
}

#[tokio::test]
async fn a_technology_is_known_from_its_first_endpoint_on() {
    let (_sim, client) = sim(SimVersion::V22).await;
    let mut events = client.events(&["endpoint:PJSIP"]);
    let link = next(&mut events).await;
    assert!(
        matches!(&link, Link::Connected { unknown } if unknown == &["endpoint:PJSIP"]),
        "{link:?}"
    );
    add_device(&client, "alice").await;
    assert!(client.subscribe("endpoint:PJSIP").await.expect("known"));
    assert!(client.subscribe("endpoint:PJSIP/alice").await.expect("known"));
    assert!(!client.subscribe("endpoint:PJSIP/bob").await.expect("asked"));
    assert!(!client.subscribe("endpoint:NOSUCH").await.expect("asked"));
}

#[tokio::test]
async fn a_link_without_its_application_is_none() {
    let (sim, client) = sim(SimVersion::V22).await;
    add_device(&client, "alice").await;
    // The socket is there, and whatever subscribes is told that its application is not.
    sim.fail_next_of("/subscription", 404);
    let mut events = client.events(&["endpoint:PJSIP"]);
    let link = next(&mut events).await;
    assert!(matches!(&link, Link::Disconnected { .. }), "{link:?}");
    connected(&mut events).await;
    sim.register("alice", PHONE);
    assert!(matches!(next_event(&mut events).await, AriEvent::ContactStatusChange { uri, .. } if uri == PHONE));
}

#[tokio::test]
async fn lost_events_stay_lost() {
    let (sim, client) = sim(SimVersion::V22).await;
    add_device(&client, "alice").await;
    let mut events = client.events(&["endpoint:PJSIP"]);
    connected(&mut events).await;
    sim.lose_events(true);
    sim.register("alice", "sip:alice@192.0.2.1:1");
    sim.lose_events(false);
    sim.register("alice", "sip:alice@192.0.2.1:2");
    let told = loop {
        if let AriEvent::ContactStatusChange { uri, .. } = next_event(&mut events).await {
            break uri;
        }
    };
    assert_eq!(told, "sip:alice@192.0.2.1:2");
}

#[tokio::test]
async fn a_wrong_password_names_the_user_and_the_file() {
    let (sim, client) = sim(SimVersion::V22).await;
    sim.change_password("another");
    let refused = client.info().await.expect_err("refused");
    assert!(matches!(refused, AriError::Unauthorized { status: 401, .. }));
    assert!(
        refused.to_string().contains("\"fed\"") && refused.to_string().contains("ari.conf"),
        "{refused}"
    );
    assert!(!refused.to_string().contains("secret"), "{refused}");
    let mut events = client.events(&[]);
    let why = next(&mut events).await;
    assert!(
        matches!(&why, Link::Disconnected { why } if why.contains("ari.conf")),
        "{why:?}"
    );
}

#[tokio::test]
async fn a_slow_asterisk_is_a_timeout_and_an_absent_one_is_unreachable() {
    let (sim, _) = sim(SimVersion::V22).await;
    let mut config = sim.ari_config("fed");
    config.timeouts.request = Duration::from_millis(200);
    let client = AriClient::new(config).expect("a client");
    sim.slow_down(Duration::from_secs(5));
    let slow = client.ping().await.expect_err("too slow");
    assert!(
        matches!(slow, AriError::Timeout { .. }) && slow.is_transient(),
        "{slow}"
    );
    sim.stop().await;
    let absent = client.ping().await.expect_err("absent");
    assert!(
        matches!(absent, AriError::Unreachable { .. }) && absent.is_transient(),
        "{absent}"
    );
}

#[tokio::test]
async fn requests_are_recorded_and_failures_come_as_asked() {
    let (sim, client) = sim(SimVersion::V22).await;
    sim.fail_next(1, 503);
    let failed = client.set_global("A", "1").await.expect_err("fails once");
    assert!(failed.is_transient(), "{failed}");
    client.set_global("A", "1 & 2").await.expect("sets");
    assert_eq!(client.get_global("A").await.expect("reads"), "1 & 2");
    assert_eq!(
        sim.requests()
            .iter()
            .map(|r| (r.method.as_str(), r.status))
            .collect::<Vec<_>>(),
        [("POST", 503), ("POST", 204), ("GET", 200)]
    );
}

#[tokio::test]
async fn both_versions_say_what_they_are() {
    for (version, quick) in [(SimVersion::V16, false), (SimVersion::V22, true)] {
        let (_sim, client): (SimAsterisk, _) = sim(version).await;
        let (info, capabilities) = client.capabilities().await.expect("tells");
        assert_eq!(info.version.major, version.branch());
        assert_eq!(capabilities.has(fed_ari::client::Feature::QuickStasis), quick);
        client.ping().await.expect("alive");
        client.reload_module("res_pjsip.so").await.expect("reloads");
        assert!(client.reload_module("nope.so").await.is_err_and(|e| e.is_not_found()));
        assert!(
            client
                .modules()
                .await
                .expect("lists")
                .iter()
                .any(|m| m.name == "res_pjsip.so")
        );
    }
}

#[tokio::test]
async fn closing_the_stream_closes_the_socket() {
    let (sim, client) = sim(SimVersion::V22).await;
    let mut events = client.events(&[]);
    connected(&mut events).await;
    drop(events);
    eventually("the socket to close", || !sim.is_connected("fed")).await;
}
