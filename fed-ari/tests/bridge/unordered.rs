//! Two registrations of which no clock says which was the later one: one where there is a quorum, one at a node that is cut off from it. What happens
//! then is a choice; these pin it, and that the next REGISTER finds the phone again in any case.

use fed_ari::bridge::Phase;
use fed_ari::port::memory::MemoryMap;
use fed_core::{command::Command, ids::NodeId};

use crate::site::{Site, done, map_with, pair, placed, places, until};

const AT_A: &str = "sip:alice@127.0.0.1:6001";
const AT_B: &str = "sip:alice@127.0.0.1:6002";
const AT_B_AGAIN: &str = "sip:alice@127.0.0.1:6003";

/// A is cut off from the map, B is not, and alice is registered at B.
async fn cut_off(ended: bool) -> (MemoryMap, Site, Site) {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    b.agrees().await;
    let session = a.status().session.expect("a session");
    map.cut_off(NodeId(1), true);
    // Or the cut is over before the others have noticed it.
    if ended {
        done(&map, Command::EndSession { session });
    }
    (map, a, b)
}

/// She registers at A and it cannot be told to the map.
async fn registers_at_a(a: &Site) {
    a.register("alice", AT_A);
    a.when("seen, and the map does not answer", |s| s.phase != Phase::Up)
        .await;
}

async fn healed(map: &MemoryMap, a: &Site, b: &Site) {
    map.cut_off(NodeId(1), false);
    a.up().await;
    a.agrees().await;
    b.agrees().await;
}

#[tokio::test]
async fn who_registers_with_the_majority_and_then_at_a_node_that_is_cut_off_stays_with_the_majority() {
    for ended in [false, true] {
        let (map, a, b) = cut_off(ended).await;
        b.register("alice", AT_B_AGAIN);
        placed(&map, "alice", 2, AT_B_AGAIN).await;
        registers_at_a(&a).await;
        healed(&map, &a, &b).await;
        until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
        assert_eq!(places(&map, "alice"), [(2, AT_B_AGAIN.to_owned())]);
        a.register("alice", AT_A);
        placed(&map, "alice", 1, AT_A).await;
        until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
    }
}

#[tokio::test]
async fn who_comes_back_to_the_very_same_contact_from_a_node_that_is_cut_off_is_looked_for_there() {
    for ended in [false, true] {
        let (map, a, b) = cut_off(ended).await;
        registers_at_a(&a).await;
        // To her server that is a refresh.
        b.register("alice", AT_B);
        healed(&map, &a, &b).await;
        until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
        assert_eq!(places(&map, "alice"), [(1, AT_A.to_owned())]);
        b.register("alice", AT_B);
        placed(&map, "alice", 2, AT_B).await;
        until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
    }
}

#[tokio::test]
async fn who_comes_back_with_another_contact_from_a_node_that_is_cut_off_is_where_she_came_back_to() {
    for ended in [false, true] {
        let (map, a, b) = cut_off(ended).await;
        registers_at_a(&a).await;
        b.register("alice", AT_B_AGAIN);
        placed(&map, "alice", 2, AT_B_AGAIN).await;
        healed(&map, &a, &b).await;
        until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
        assert_eq!(places(&map, "alice"), [(2, AT_B_AGAIN.to_owned())]);
    }
}
