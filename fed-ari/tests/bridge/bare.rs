//! Asterisks that have no endpoint but those of the federation: until there is one, events of the technology cannot be subscribed.

use fed_ari::{port::memory::MemoryMap, sim::SimVersion};

use crate::site::{Site, add_user, map_with, placed, places, until};

const FIRST: &str = "sip:alice@127.0.0.1:6001";
const SECOND: &str = "sip:alice@127.0.0.1:6002";

/// Registered, gone and registered again: no comparison finds all of that in the order of events.
async fn is_heard(site: &Site, map: &MemoryMap) {
    for contact in [FIRST, SECOND, FIRST] {
        site.register("alice", contact);
        placed(map, "alice", 1, contact).await;
        site.sim.unregister("alice", contact);
        until("alice is gone", || places(map, "alice").is_empty()).await;
    }
}

#[tokio::test]
async fn the_first_user_of_all_is_heard() {
    for version in [SimVersion::V22, SimVersion::V16] {
        let map = map_with(&[]);
        let mut a = Site::new(&map, 1, version).await;
        a.start();
        a.up().await;
        assert!(a.sim.object_ids("endpoint").is_empty());
        add_user(&map, "alice", "1001");
        until("alice is written", || a.sim.object("endpoint", "alice").is_some()).await;
        is_heard(&a, &map).await;
        // Whatever is asked of it costs Asterisk's log a warning where there is nothing yet.
        let asked = a
            .sim
            .requests()
            .into_iter()
            .filter(|r| r.path.contains("/subscription"));
        assert_eq!(asked.map(|r| r.status).collect::<Vec<_>>(), [422, 200]);
    }
}

#[tokio::test]
async fn after_a_restart_of_asterisk_its_users_are_heard_again() {
    let map = map_with(&["alice"]);
    let mut a = Site::new(&map, 1, SimVersion::V16).await;
    a.start();
    a.up().await;
    is_heard(&a, &map).await;
    let before = a.status().session;
    a.sim.restart().await.expect("restarts");
    a.when("another session", |s| s.session.is_some() && s.session != before)
        .await;
    is_heard(&a, &map).await;
}
