//! Comparisons while phones go on, and while the map forgets what led to it.

use std::time::Duration;

use fed_ari::{
    bridge::Phase,
    port::memory::MemoryMap,
    sim::{Request, SimVersion},
};
use fed_core::{
    command::{Command, Expect},
    ids::NodeId,
    records::Device,
};

use crate::site::{Site, add_user, device, done, map_with, pair, placed, places, until};

const AT_A: &str = "sip:alice@127.0.0.1:6001";
const BOB_AT_A: &str = "sip:bob@127.0.0.1:6011";

/// A change that has the device looked at, and leaves its aor as it is.
fn change(map: &MemoryMap, name: &str) {
    done(
        map,
        Command::PutDevice {
            device: Device {
                codecs: vec!["alaw".to_owned()],
                ..device(name)
            },
            expect: Expect::Any,
        },
    );
}

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

/// Asterisk was killed and has its database of a moment before: an older contact of the phone instead of the one it has. All is compared, and in the
/// middle of it the phone registers again: both are found. However long the older one is still there, the map must have the phone's own in the
/// end, and that one must stand.
async fn replaced_in_the_middle(between: Duration) {
    // Listed after the other one.
    const OLDER: &str = "sip:alice@127.0.0.1:6999";
    let map = map_with(&["alice", "bob"]);
    let (a, _b) = pair(&map).await;
    for round in 0..5 {
        a.register("alice", OLDER);
        placed(&map, "alice", 1, OLDER).await;
        a.register("alice", AT_A);
        placed(&map, "alice", 1, AT_A).await;
        a.agrees().await;
        a.sim.lose_events(true);
        a.register("alice", OLDER);
        a.sim.lose_events(false);
        let session = a.status().session.expect("a session");
        a.sim.slow_down(Duration::from_millis(20));
        done(&map, Command::EndSession { session });
        a.when("all is compared", |s| s.phase == Phase::Reconciling).await;
        // Each round another moment.
        tokio::time::sleep(Duration::from_millis(4 * round)).await;
        a.sim.register_slowly("alice", AT_A, between).await;
        a.sim.slow_down(Duration::ZERO);
        a.up().await;
        placed(&map, "alice", 1, AT_A).await;
        a.agrees().await;
        assert_eq!(a.sim.registrations("alice"), [AT_A], "round {round}");
        assert_eq!(places(&map, "alice"), [(1, AT_A.to_owned())], "round {round}");
    }
}

#[tokio::test]
async fn a_phone_found_beside_the_one_whose_place_it_took_is_the_one() {
    replaced_in_the_middle(Duration::from_millis(60)).await;
}

#[tokio::test]
async fn a_phone_is_the_one_however_long_asterisk_keeps_the_one_before_it() {
    replaced_in_the_middle(Duration::from_millis(1_500)).await;
}

/// Asterisk was killed before it had written that an older contact is gone: it has one more of her than may be, and tells nobody.
async fn brought_back(a: &Site, map: &MemoryMap, contact: &str) {
    let session = a.status().session.expect("a session");
    a.sim.lose_events(true);
    let never = a.sim.register_slowly("alice", contact, Duration::from_secs(3_600));
    tokio::time::timeout(Duration::from_millis(1), never)
        .await
        .expect_err("both stay");
    a.sim.lose_events(false);
    done(map, Command::EndSession { session });
}

#[tokio::test]
async fn an_older_contact_that_a_killed_asterisk_has_back_is_ended_and_the_phones_own_stands() {
    for older in ["sip:alice@127.0.0.1:6000", "sip:alice@127.0.0.1:6999"] {
        let map = map_with(&["alice", "bob"]);
        let (a, _b) = pair(&map).await;
        a.register("alice", AT_A);
        placed(&map, "alice", 1, AT_A).await;
        brought_back(&a, &map, older).await;
        until("the older one is gone", || a.sim.registrations("alice") == [AT_A]).await;
        assert_eq!(places(&map, "alice"), [(1, AT_A.to_owned())]);
        a.agrees().await;
    }
}

#[tokio::test]
async fn contacts_that_a_killed_asterisk_has_back_are_ended_where_she_is_elsewhere() {
    const AT_B: &str = "sip:alice@127.0.0.1:6002";
    let map = map_with(&["alice", "bob"]);
    let (a, b) = pair(&map).await;
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    a.sim.lose_events(true);
    a.register("alice", AT_A);
    brought_back(&a, &map, "sip:alice@127.0.0.1:6999").await;
    until("both are gone", || a.sim.registrations("alice").is_empty()).await;
    assert_eq!(places(&map, "alice"), [(2, AT_B.to_owned())]);
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
        change(&map, other);
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

#[tokio::test]
async fn a_registration_whose_word_is_on_its_way_is_not_taken_for_a_stale_one() {
    let map = map_with(&["alice"]);
    let mut a = Site::new(&map, 1, SimVersion::V22).await;
    let mut b = Site::new(&map, 2, SimVersion::V16).await;
    a.settle = Duration::from_secs(1);
    a.start_looking_again(Duration::from_secs(600));
    b.start();
    a.up().await;
    b.up().await;
    b.register("alice", "sip:alice@127.0.0.1:6002");
    placed(&map, "alice", 2, "sip:alice@127.0.0.1:6002").await;
    a.sim.hold_events(true);
    a.register("alice", AT_A);
    a.sim.clear_requests();
    change(&map, "alice");
    let looked = || {
        a.sim
            .requests()
            .iter()
            .any(|r| r.method == "GET" && r.path.contains("/contact/alice"))
    };
    until("she is looked at", looked).await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    a.sim.hold_events(false);
    placed(&map, "alice", 1, AT_A).await;
    let ended = |r: &Request| r.method != "GET" && r.path.contains("/contact/alice");
    assert!(!a.sim.requests().iter().any(ended), "it was ended, and put back");
    a.agrees().await;
}

#[tokio::test]
async fn a_stale_contact_that_only_a_look_finds_is_ended() {
    let map = map_with(&["alice"]);
    let (mut a, b) = pair(&map).await;
    a.stop().await;
    a.settle = Duration::from_millis(100);
    a.start_looking_again(Duration::from_secs(600));
    a.up().await;
    b.register("alice", "sip:alice@127.0.0.1:6002");
    placed(&map, "alice", 2, "sip:alice@127.0.0.1:6002").await;
    a.sim.lose_events(true);
    a.register("alice", AT_A);
    a.sim.lose_events(false);
    change(&map, "alice");
    until("it is ended", || a.sim.registrations("alice").is_empty()).await;
    placed(&map, "alice", 2, "sip:alice@127.0.0.1:6002").await;
}
