//! Phones that come and go while no bridge runs, or unseen: told from what was there before by how far map and Asterisk had agreed.

use std::time::Duration;

use fed_ari::{bridge::Phase, port::memory::MemoryMap, sim::SimVersion};
use fed_core::{
    command::{Command, Expect},
    ids::DeviceId,
};

use crate::site::{Site, device, done, map_with, placed, places, until};

const AT_A: &str = "sip:alice@127.0.0.1:6001";
const AT_B: &str = "sip:alice@127.0.0.1:6002";

/// As [`crate::site::pair`], and soon sure that nothing is left to do.
async fn pair(map: &MemoryMap) -> (Site, Site) {
    let mut sites = (
        Site::new(map, 1, SimVersion::V22).await,
        Site::new(map, 2, SimVersion::V16).await,
    );
    for site in [&mut sites.0, &mut sites.1] {
        site.settle = Duration::from_millis(40);
        site.start();
        site.up().await;
    }
    sites
}

/// Waits until it is noted that the two agree about all that the map has now.
async fn settled(map: &MemoryMap, site: &Site) {
    let now = map.snapshot().revision.0;
    until("map and Asterisk agree", || site.settled() >= now).await;
}

#[tokio::test]
async fn a_phone_that_came_while_no_bridge_ran_is_found_where_it_came() {
    let map = map_with(&["alice"]);
    let (a, mut b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    settled(&map, &b).await;
    b.stop().await;
    b.register("alice", AT_B);
    b.start();
    placed(&map, "alice", 2, AT_B).await;
    until("nothing stale at A", || a.sim.registrations("alice").is_empty()).await;
    assert_eq!(b.sim.registrations("alice"), [AT_B]);
    b.agrees().await;
}

#[tokio::test]
async fn a_phone_that_came_unseen_is_found_where_it_came_once_that_is_noticed() {
    let map = map_with(&["alice"]);
    let (a, b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    settled(&map, &a).await;
    a.sim.lose_events(true);
    a.register("alice", AT_A);
    a.sim.lose_events(false);
    a.sim.drop_sockets();
    placed(&map, "alice", 1, AT_A).await;
    until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
}

#[tokio::test]
async fn a_phone_that_left_while_no_bridge_ran_stays_where_it_went() {
    let map = map_with(&["alice"]);
    let (a, mut b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    settled(&map, &b).await;
    b.stop().await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    // Another change that B's note does not know either.
    done(
        &map,
        Command::PutDevice {
            device: device("alice"),
            expect: Expect::Any,
        },
    );
    assert_eq!(b.sim.registrations("alice"), [AT_B], "nobody has deleted it yet");
    b.start();
    until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
    assert_eq!(places(&map, "alice"), [(1, AT_A.to_owned())]);
}

#[tokio::test]
async fn refreshes_while_all_is_compared_do_not_hold_up_the_note() {
    let map = map_with(&["alice", "bob"]);
    let (_a, b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    settled(&map, &b).await;
    b.sim.clear_requests();
    b.sim.slow_down(Duration::from_millis(200));
    b.sim.drop_sockets();
    let asked = || {
        b.sim
            .requests()
            .iter()
            .any(|request| request.path.contains("/aor/alice"))
    };
    until("all is compared again", || {
        asked() && b.status().phase == Phase::Reconciling
    })
    .await;
    b.register("alice", AT_B);
    b.sim.slow_down(Duration::ZERO);
    b.up().await;
    done(
        &map,
        Command::PutDevice {
            device: device("bob"),
            expect: Expect::Any,
        },
    );
    settled(&map, &b).await;
}

#[tokio::test]
async fn a_phone_that_was_there_before_its_device_was_in_the_map_is_bound_and_no_newer_than_a_move() {
    let map = map_with(&["alice", "bob"]);
    let (a, mut b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    settled(&map, &b).await;
    // Made again before Asterisk was told: her registration stays there, her binding does not.
    done(
        &map,
        Command::DeleteDevice {
            id: DeviceId::new("alice").expect("an id"),
            expect: Expect::Any,
        },
    );
    done(
        &map,
        Command::PutDevice {
            device: device("alice"),
            expect: Expect::Any,
        },
    );
    placed(&map, "alice", 2, AT_B).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    settled(&map, &b).await;
    b.stop().await;
    b.start();
    b.up().await;
    assert_eq!(places(&map, "alice"), [(1, AT_A.to_owned())]);
}

#[tokio::test]
async fn what_waits_to_be_deleted_is_not_agreed_upon() {
    let map = map_with(&["alice"]);
    let (a, mut b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    settled(&map, &b).await;
    b.sim.slow_down(Duration::from_millis(600));
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    let moved = map
        .snapshot()
        .view()
        .bindings_of(&DeviceId::new("alice").expect("an id"));
    let moved = moved.expect("reads")[0].created.0;
    // Many rounds pass while the deletion is on its way.
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert_eq!(b.sim.registrations("alice"), [AT_B]);
    assert!(b.settled() < moved, "{} of {moved}", b.settled());
    b.stop().await;
    b.sim.slow_down(Duration::ZERO);
    b.start();
    until("nothing stale at B", || b.sim.registrations("alice").is_empty()).await;
    assert_eq!(places(&map, "alice"), [(1, AT_A.to_owned())]);
    settled(&map, &b).await;
}
