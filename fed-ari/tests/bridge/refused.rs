//! What Asterisk refuses, or takes late.

use std::time::Duration;

use fed_ari::sim::SimVersion;

use crate::site::{Site, add_user, map_with, pair, placed, until};

const AT_A: &str = "sip:alice@127.0.0.1:6001";
const AT_B: &str = "sip:alice@127.0.0.1:6002";

/// A contact is deleted over ARI.
const DELETION: &str = "DELETE /asterisk/config/dynamic/res_pjsip/contact/";

#[tokio::test]
async fn a_registration_that_comes_back_with_an_aor_written_late_is_found() {
    let map = map_with(&["alice"]);
    let mut a = Site::new(&map, 1, SimVersion::V22).await;
    a.settle = Duration::from_millis(100);
    a.start();
    a.up().await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    let before = a.status().session;
    a.sim.stop().await;
    // A refusal that is tried again after a while only.
    a.sim
        .fail_next_of("PUT /asterisk/config/dynamic/res_pjsip/aor/alice", 400);
    a.sim.start_again().await.expect("starts");
    a.when("another session", |s| s.session.is_some() && s.session != before)
        .await;
    assert!(a.sim.object("aor", "alice").is_none(), "it was refused");
    // No event tells of it: the phone has done nothing.
    placed(&map, "alice", 1, AT_A).await;
    assert!(a.sim.object("aor", "alice").is_some());
}

#[tokio::test]
async fn an_end_that_asterisk_refuses_is_asked_for_again_after_a_pause() {
    let map = map_with(&["alice"]);
    let (mut a, b) = pair(&map).await;
    a.stop().await;
    a.settle = Duration::from_millis(100);
    a.start();
    a.up().await;
    a.register("alice", AT_A);
    placed(&map, "alice", 1, AT_A).await;
    // So it is deleted, and no more made to run out.
    a.sim.take_no_change_of_contacts();
    for _ in 0..20 {
        a.sim.fail_next_of(DELETION, 403);
    }
    a.sim.clear_requests();
    let asked = || {
        let requests = a.sim.requests().into_iter();
        requests
            .filter(|r| format!("{} {}", r.method, r.path).starts_with(DELETION))
            .count()
    };
    b.register("alice", AT_B);
    placed(&map, "alice", 2, AT_B).await;
    until("it is asked for", || asked() > 0).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let so_often = asked();
    assert!(so_often < 10, "{so_often} times in half a second");
    until("alice is gone from a", || a.sim.registrations("alice").is_empty()).await;
    placed(&map, "alice", 2, AT_B).await;
}

#[tokio::test]
async fn what_could_not_be_applied_at_all_is_soon_tried_again() {
    let map = map_with(&[]);
    let mut a = Site::new(&map, 1, SimVersion::V22).await;
    // Whoever looks at everything again would find it too.
    a.start_looking_again(Duration::from_secs(600));
    a.up().await;
    for _ in 0..5 {
        a.sim
            .fail_next_of("GET /asterisk/config/dynamic/res_pjsip/auth/alice", 500);
    }
    add_user(&map, "alice", "1001");
    until("alice is written", || a.sim.object("endpoint", "alice").is_some()).await;
}
