//! The event socket: what is announced in which order, and what happens when it breaks.

use std::time::Duration;

use fed_ari::{
    client::{AriClient, AriError, AriEvent, ContactStatus, Link, ObjectType},
    sim::{RegisterOutcome, SimAsterisk, SimVersion},
};

use crate::common::{add_device, connected, eventually, next, next_event, put, sim};

const PHONE: &str = "sip:alice@192.0.2.1:5060";

/// The types and contact statuses of the events so far waiting, up to the one that ends the list.
async fn until_removed_or_added(events: &mut fed_ari::client::EventStream) -> Vec<String> {
    let mut seen = Vec::new();
    loop {
        match next_event(events).await {
            AriEvent::ContactStatusChange { status, uri, .. } => {
                seen.push(format!("{status:?} {uri}"));
                return seen;
            }
            AriEvent::PeerStatusChange { status, .. } => seen.push(status),
            AriEvent::DeviceStateChanged { state, .. } => seen.push(state),
            AriEvent::Other { type_ } => seen.push(type_),
            other => seen.push(format!("{other:?}")),
        }
    }
}

/// A device with its own aor alone: only such a one goes offline and online.
async fn lone_device(client: &AriClient, id: &str) {
    let zeros = "0".repeat(32);
    put(
        client,
        ObjectType::Auth,
        id,
        &[("auth_type", "md5"), ("md5_cred", &zeros)],
    )
    .await;
    put(client, ObjectType::Aor, id, &[("max_contacts", "1")]).await;
    put(
        client,
        ObjectType::Endpoint,
        id,
        &[("auth", id), ("aors", id), ("allow", "ulaw")],
    )
    .await;
}

#[tokio::test]
async fn a_registration_is_announced_in_asterisks_order() {
    let (sim, client) = sim(SimVersion::V22).await;
    lone_device(&client, "alice").await;
    let mut events = client.events(&["endpoint:PJSIP", "deviceState:PJSIP/alice"]);
    connected(&mut events).await;
    assert_eq!(sim.register("alice", PHONE), RegisterOutcome::Ok);
    assert_eq!(
        until_removed_or_added(&mut events).await,
        ["EndpointStateChange", "Reachable", &format!("NonQualified {PHONE}")]
    );
    assert!(
        matches!(next_event(&mut events).await, AriEvent::DeviceStateChanged { state, .. } if state == "NOT_INUSE")
    );
    sim.unregister("alice", PHONE);
    let gone = until_removed_or_added(&mut events).await;
    assert_eq!(
        gone,
        [
            "EndpointStateChange",
            "Unreachable",
            "UNAVAILABLE",
            &format!("Removed {PHONE}")
        ]
    );
}

#[tokio::test]
async fn a_device_with_a_second_aor_announces_its_contacts_only() {
    let (sim, client) = sim(SimVersion::V16).await;
    add_device(&client, "alice").await;
    let mut events = client.events(&["endpoint:PJSIP"]);
    connected(&mut events).await;
    sim.register("alice", PHONE);
    sim.register("alice", PHONE);
    sim.unregister("alice", PHONE);
    assert_eq!(
        until_removed_or_added(&mut events).await,
        [format!("NonQualified {PHONE}")]
    );
    assert_eq!(
        until_removed_or_added(&mut events).await,
        [format!("Removed {PHONE}")],
        "a refresh announces nothing"
    );
}

#[tokio::test]
async fn a_contact_deleted_through_ari_is_announced_like_any_other() {
    let (sim, client) = sim(SimVersion::V22).await;
    add_device(&client, "alice").await;
    sim.register("alice", PHONE);
    let mut events = client.events(&["endpoint:PJSIP"]);
    connected(&mut events).await;
    client.delete_contact("alice", PHONE).await.expect("deletes");
    let event = next_event(&mut events).await;
    assert!(
        matches!(&event, AriEvent::ContactStatusChange { status: ContactStatus::Removed, aor, .. } if aor == "alice"),
        "{event:?}"
    );
}

#[tokio::test]
async fn deleting_an_aor_announces_no_contact() {
    let (sim, client) = sim(SimVersion::V22).await;
    lone_device(&client, "alice").await;
    lone_device(&client, "bob").await;
    sim.register("alice", PHONE);
    let mut events = client.events(&["endpoint:PJSIP"]);
    connected(&mut events).await;
    client.delete_object(ObjectType::Aor, "alice").await.expect("deletes");
    sim.register("bob", "sip:bob@192.0.2.2");
    let seen = until_removed_or_added(&mut events).await;
    assert_eq!(
        seen,
        [
            "EndpointStateChange",
            "Unreachable",
            "EndpointStateChange",
            "Reachable",
            "NonQualified sip:bob@192.0.2.2"
        ]
    );
}

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
async fn lost_events_stay_lost() {
    let (sim, client) = sim(SimVersion::V22).await;
    add_device(&client, "alice").await;
    let mut events = client.events(&["endpoint:PJSIP"]);
    connected(&mut events).await;
    sim.lose_events(true);
    sim.register("alice", "sip:alice@192.0.2.1:1");
    sim.lose_events(false);
    sim.register("alice", "sip:alice@192.0.2.1:2");
    assert_eq!(
        until_removed_or_added(&mut events).await,
        ["NonQualified sip:alice@192.0.2.1:2"]
    );
}

#[tokio::test]
async fn a_second_socket_takes_the_application_over() {
    let (sim, client) = sim(SimVersion::V22).await;
    let mut first = client.events(&[]);
    connected(&mut first).await;
    let second = AriClient::new(sim.ari_config("fed")).expect("a client");
    let mut second = second.events(&[]);
    connected(&mut second).await;
    assert!(matches!(
        next(&mut first).await,
        Link::Event(AriEvent::ApplicationReplaced { .. })
    ));
    let lost = next(&mut first).await;
    assert!(
        matches!(&lost, Link::Disconnected { why } if why.contains("application name of its own")),
        "{lost:?}"
    );
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
