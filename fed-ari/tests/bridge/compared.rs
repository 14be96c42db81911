//! Comparisons while phones go on, and while the map forgets what led to it.

use std::time::Duration;

use fed_ari::{bridge::Phase, sim::SimVersion};
use fed_core::{
    command::{Command, Expect},
    ids::NodeId,
};

use crate::site::{Site, add_user, device, done, map_with, pair, placed, places, until};

const AT_A: &str = "sip:alice@127.0.0.1:6001";
const BOB_AT_A: &str = "sip:bob@127.0.0.1:6011";

#[tokio::test]
async fn a_phone_that_left_and_came_back_while_its_server_was_cut_off_is_there() {
    let map = map_with(&["alice", "bob"]);
    let (a, _b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    for round in 0..10 {
        map.cut_off(NodeId(1), true);
        // That cannot be recorded, so a comparison is wanted and waits for the map.
        a.sim.unregister("alice", AT_A);
        a.when("a comparison is under way", |s| s.phase == Phase::Reconciling)
            .await;
        a.register("alice", AT_A);
        a.sim.unregister("alice", AT_A);
        a.register("alice", AT_A);
        // The comparison that succeeds has been told of all of these, of some or of none: each round tries another moment, and the
        // outcome has to be the same at any.
        tokio::time::sleep(Duration::from_millis(2 * round)).await;
        map.cut_off(NodeId(1), false);
        a.up().await;
        // What was told meanwhile is followed from here on, and comes to the same end.
        a.register("bob", BOB_AT_A);
        placed(&map, "bob", 1, BOB_AT_A).await;
        a.sim.unregister("bob", BOB_AT_A);
        until("bob is gone", || places(&map, "bob").is_empty()).await;
        placed(&map, "alice", 1, AT_A).await;
    }
    a.agrees().await;
}

#[tokio::test]
async fn a_map_that_no_longer_has_the_changes_of_before_is_followed_on_without_a_new_link() {
    let map = map_with(&["alice", "bob"]);
    let (a, _b) = pair(&map).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    let before = a.status();
    // Something happens that it is not told of before it is forgotten.
    map.cut_off(NodeId(1), true);
    done(
        &map,
        Command::PutDevice {
            device: device("bob"),
            expect: Expect::Any,
        },
    );
    add_user(&map, "carol", "1003");
    map.compact();
    map.cut_off(NodeId(1), false);
    until("carol is written", || a.sim.object("endpoint", "carol").is_some()).await;
    add_user(&map, "dave", "1004");
    until("dave is written", || a.sim.object("endpoint", "dave").is_some()).await;
    let after = a.status();
    assert_eq!(after.session, before.session);
    assert_eq!(after.counts.link_losses, before.counts.link_losses);
    placed(&map, "alice", 1, AT_A).await;
}

#[tokio::test]
async fn what_registers_does_not_wait_for_devices_that_are_looked_at() {
    const MANY: usize = 200;
    let map = map_with(&["alice"]);
    let mut a = Site::new(&map, 1, SimVersion::V22).await;
    a.settle = Duration::from_millis(100);
    a.start_looking_again(Duration::from_secs(600));
    a.up().await;
    let others: Vec<String> = (0..MANY).map(|number| format!("u{number}")).collect();
    for (number, other) in others.iter().enumerate() {
        add_user(&map, other, &format!("{}", 2_000 + number));
    }
    let written = |device: &String| a.sim.object("endpoint", device).is_some();
    until("all are written", || others.iter().all(written)).await;
    let at = map.snapshot().revision;
    until("nothing is left to do", || a.settled() >= at.0).await;
    a.sim.slow_down(Duration::from_millis(100));
    a.sim.clear_requests();
    let asked = || {
        let requests = a.sim.requests().into_iter();
        requests
            .filter(|r| r.method == "GET" && r.path.contains("/aor/u"))
            .count()
    };
    for other in &others {
        done(
            &map,
            Command::PutDevice {
                device: device(other),
                expect: Expect::Any,
            },
        );
    }
    until("they are looked at", || asked() > 0).await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    let so_far = asked();
    assert!(
        so_far < MANY / 2,
        "{so_far} of {MANY} were looked at before alice was found"
    );
    until("all are looked at", || asked() >= MANY).await;
}
