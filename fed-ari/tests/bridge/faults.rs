//! What goes wrong around the bridge, and how it says so.

use std::sync::Arc;

use fed_ari::{
    bridge::{Bridge, BridgeConfig, BridgeFault, Phase},
    client::{AriClient, AriConfig},
    port::MapPort,
    router::Router,
    sim::SimVersion,
};
use fed_core::ids::NodeId;

use crate::site::{Site, map_with, pair, placed, places, until};

const AT_A: &str = "sip:alice@127.0.0.1:6001";

#[tokio::test]
async fn a_dead_asterisk_ends_the_session_at_once_and_a_restarted_one_is_filled_again() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    a.sim.stop().await;
    until("alice counts no more", || places(&map, "alice").is_empty()).await;
    a.when("down", |s| {
        s.phase == Phase::Down && s.session.is_none() && !s.faults.is_empty()
    })
    .await;
    assert_eq!(b.status().phase, Phase::Up);
    a.sim.start_again().await.expect("starts");
    a.up().await;
    // The registration was on Asterisk's disk; its objects come back through the bridge.
    placed(&map, "alice", 1, AT_A).await;
    a.agrees().await;
}

#[tokio::test]
async fn registrations_lost_with_asterisk_are_unbound_when_it_is_back() {
    let map = map_with(&["alice"]);
    let (a, _b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    a.sim.stop().await;
    a.sim.lose_database();
    a.when("down", |s| s.phase == Phase::Down).await;
    a.sim.start_again().await.expect("starts");
    a.up().await;
    assert_eq!(places(&map, "alice"), []);
    a.agrees().await;
}

#[tokio::test]
async fn a_wrong_password_is_named_with_user_and_file() {
    let map = map_with(&[]);
    let mut a = Site::new(&map, 1, SimVersion::V16).await;
    a.sim.change_password("another");
    a.start();
    a.when("refused", |s| matches!(&s.faults[..], [BridgeFault::Refused(_)]))
        .await;
    let text = a.status().faults[0].to_string();
    assert!(text.contains("\"fed\"") && text.contains("ari.conf"), "{text}");
}

#[tokio::test]
async fn no_ari_is_named_with_address_and_file() {
    let map = map_with(&[]);
    let port: Arc<dyn MapPort> = Arc::new(map.port(NodeId(1)));
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .expect("a port")
        .local_addr()
        .expect("an address");
    let client = AriClient::new(AriConfig::new(format!("http://{free}"), "fed", "secret", "fed")).expect("a client");
    let bridge = Bridge::start(
        client,
        port.clone(),
        Arc::new(Router::new(port)),
        BridgeConfig::new("127.0.0.1:5070", "test/1"),
    );
    until("the fault", || {
        matches!(&bridge.status().faults[..], [BridgeFault::NoAri(_)])
    })
    .await;
    let text = bridge.status().faults[0].to_string();
    assert!(text.contains(&free.to_string()) && text.contains("http.conf"), "{text}");
    bridge.stop().await;
}

#[tokio::test]
async fn a_second_fed_node_is_refused_and_does_not_steal_the_events() {
    let map = map_with(&["alice"]);
    let mut a = Site::new(&map, 1, SimVersion::V22).await;
    a.start();
    a.up().await;
    let other = map_with(&[]);
    let port: Arc<dyn MapPort> = Arc::new(other.port(NodeId(7)));
    let config = BridgeConfig::new("127.0.0.1:5070", "other/7");
    let intruder = Bridge::start(a.client.clone(), port.clone(), Arc::new(Router::new(port)), config);
    until(
        "refused",
        || matches!(&intruder.status().faults[..], [BridgeFault::SecondFedNode { owner, .. }] if owner == "test/1"),
    )
    .await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    assert_eq!(a.status().phase, Phase::Up);
    intruder.stop().await;
}

#[tokio::test]
async fn a_stopped_bridge_ends_its_session_and_leaves_asterisk_as_it_is() {
    let map = map_with(&["alice"]);
    let (mut a, _b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    a.bridge.take().expect("started").stop().await;
    assert_eq!(map.snapshot().view().session_of(NodeId(1)).expect("reads"), None);
    assert_eq!(a.sim.registrations("alice"), [AT_A]);
    assert!(a.sim.object("endpoint", "alice").is_some());
    a.start();
    placed(&map, "alice", 1, AT_A).await;
}
