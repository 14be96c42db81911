//! Calls through the generated dialplan, on Stasis and on FastAGI.

use std::time::{Duration, Instant};

use fed_ari::{
    port::MapPort,
    router::{Ask, Decision, Question},
    sim::{CallOutcome, PhoneScript},
};
use fed_core::{
    capability::{Claims, Path, mint},
    command::{Command, Expect},
    ids::{ContactUri, DeviceId, NodeId, Number, UserId},
    records::{Device, User},
    route::Cause,
};

use crate::site::{Site, device, done, map_with, pair, placed, until};

const ALICE: &str = "sip:alice@127.0.0.1:6001";
const BOB: &str = "sip:bob@127.0.0.1:6002";

async fn two_users(a: &Site, b: &Site, map: &fed_ari::port::memory::MemoryMap) {
    a.register("alice", ALICE);
    b.register("bob", BOB);
    placed(map, "alice", 1, ALICE).await;
    placed(map, "bob", 2, BOB).await;
}

async fn status(site: &Site, from: &str, to: &str) -> u16 {
    match site.sim.call(from, to).outcome().await {
        CallOutcome::Answered { .. } => 200,
        CallOutcome::Failed { sip_status, .. } => sip_status,
    }
}

#[tokio::test]
async fn users_at_different_servers_and_versions_call_each_other_by_number_and_by_name() {
    let map = map_with(&["alice", "bob"]);
    let (a, b) = pair(&map).await;
    two_users(&a, &b, &map).await;
    for dialled in ["1002", "bob"] {
        assert_eq!(status(&a, "alice", dialled).await, 200, "alice calls {dialled}");
    }
    for dialled in ["1001", "alice"] {
        assert_eq!(status(&b, "bob", dialled).await, 200, "bob calls {dialled}");
    }
    assert!(
        b.sim
            .rings()
            .iter()
            .all(|(device, contact)| device == "bob" && contact == BOB)
    );
    assert_eq!(b.sim.rings().len(), 2);
}

#[tokio::test]
async fn causes_come_back_from_the_other_server() {
    let map = map_with(&["alice", "bob", "carol"]);
    let (a, b) = pair(&map).await;
    two_users(&a, &b, &map).await;
    b.sim.phone("bob", PhoneScript::Busy);
    assert_eq!(status(&a, "alice", "bob").await, 486);
    b.sim.phone(
        "bob",
        PhoneScript::Refuse {
            status: 404,
            after: Duration::ZERO,
        },
    );
    assert_eq!(status(&a, "alice", "bob").await, 404);
    assert_eq!(status(&a, "alice", "nobody").await, 404);
    assert_eq!(status(&a, "alice", "carol").await, 480, "registered nowhere");
}

#[tokio::test]
async fn a_call_without_an_answer_goes_on_to_the_forward() {
    let map = map_with(&["alice", "bob", "carol"]);
    let (a, b) = pair(&map).await;
    two_users(&a, &b, &map).await;
    let mut carol = User::new(UserId::new("carol").expect("an id"));
    carol.ring_timeout_s = 1;
    carol.forwards.no_answer = Some(Number::new("1002").expect("a number"));
    done(
        &map,
        Command::PutUser {
            user: carol,
            expect: Expect::Any,
        },
    );
    a.register("carol", "sip:carol@127.0.0.1:6003");
    placed(&map, "carol", 1, "sip:carol@127.0.0.1:6003").await;
    a.sim.phone("carol", PhoneScript::Ring);
    let mut call = a.sim.call("alice", "carol");
    assert!(
        matches!(call.outcome().await, CallOutcome::Answered { .. }),
        "{:?}",
        call.steps()
    );
    until("bob rang", || b.sim.rings().iter().any(|(device, _)| device == "bob")).await;
    assert!(a.sim.rings().iter().any(|(device, _)| device == "carol"));
}

#[tokio::test]
async fn without_fed_node_local_calls_go_on_by_number_and_by_name() {
    let map = map_with(&["alice", "bob"]);
    let (mut a, _b) = pair(&map).await;
    a.register("alice", ALICE);
    a.register("bob", BOB);
    placed(&map, "bob", 1, BOB).await;
    until("the numbers are there", || a.sim.global("FED_DEVICES_1002").is_some()).await;
    drop(a.bridge.take());
    until("fed-node is gone", || !a.sim.is_connected("fed")).await;
    for dialled in ["1002", "bob"] {
        assert_eq!(status(&a, "alice", dialled).await, 200, "{dialled}");
    }
}

/// The contact is text of the phone's choosing: without fed-node the dialplan itself has to see that it is one destination.
#[tokio::test]
async fn without_fed_node_no_registration_makes_a_call_ring_anything_else() {
    let map = map_with(&["alice", "bob", "carol"]);
    let (mut a, _b) = pair(&map).await;
    a.register("alice", ALICE);
    a.register("carol", "sip:carol@127.0.0.1:6003");
    until("the numbers are there", || a.sim.global("FED_DEVICES_1002").is_some()).await;
    drop(a.bridge.take());
    until("fed-node is gone", || !a.sim.is_connected("fed")).await;
    for hostile in [
        "sip:bob&PJSIP/carol@127.0.0.1:6002",
        "sip:bob&PJSIP/carol/sip:carol@127.0.0.1:6003",
        "sip:bob&PJSI&PJSIP/bob/P/carol@127.0.0.1:6002",
        "sip:bob,30,G(fed-users^1003^1)@127.0.0.1:6002",
        "sip:bob|x@127.0.0.1:6002",
        "sip:${EXTEN}@127.0.0.1:6002",
        "sip:\"bob@127.0.0.1:6002",
        "sip:bob@127.0.0.1:6002;x=[",
        "sip:bob@127.0.0.1:6002;x=][",
        "sip:bob(@127.0.0.1:6002",
    ] {
        a.register("bob", hostile);
        for dialled in ["1002", "bob"] {
            assert_eq!(status(&a, "alice", dialled).await, 480, "{dialled} with {hostile}");
        }
        a.sim.unregister("bob", hostile);
    }
    assert_eq!(a.sim.rings(), [], "nothing rang");
    for honest in [BOB, "sip:bob@[::1]:6002;received=[::1]"] {
        a.register("bob", honest);
        assert_eq!(status(&a, "alice", "1002").await, 200, "{honest} rings");
        a.sim.unregister("bob", honest);
    }
}

/// To Asterisk no comma ends anything within a bracket: one that a phone opens must not hold what is said of others.
#[tokio::test]
async fn no_contact_makes_those_unreachable_who_forward_to_it() {
    let map = map_with(&["alice", "bob", "carol"]);
    let (a, b) = pair(&map).await;
    two_users(&a, &b, &map).await;
    let mut bob = User::new(UserId::new("bob").expect("an id"));
    bob.numbers = vec![Number::new("1002").expect("a number")];
    bob.forwards.no_answer = Some(Number::new("carol").expect("a number"));
    done(
        &map,
        Command::PutUser {
            user: bob,
            expect: Expect::Any,
        },
    );
    for hostile in ["sip:carol@127.0.0.1:6003;x=[", "sip:carol@127.0.0.1:6003;x=]["] {
        // Bound as old logs may hold it.
        let stored: ContactUri = serde_json::from_str(&format!("{hostile:?}")).expect("readable");
        let open = a.port.local().view().session_of(NodeId(1)).expect("reads");
        done(
            &map,
            Command::Bind {
                device: DeviceId::new("carol").expect("an id"),
                contact: stored,
                node: NodeId(1),
                session: open.expect("a session"),
                basis: None,
                user_agent: None,
                path: None,
            },
        );
        a.register("carol", hostile);
        assert_eq!(status(&a, "alice", "1002").await, 200, "bob, who forwards to {hostile}");
        a.sim.unregister("carol", hostile);
    }
}

#[tokio::test]
async fn a_fed_node_that_says_nothing_holds_one_call_up_for_its_limit_and_the_next_not_at_all() {
    let map = map_with(&["alice", "bob"]);
    let (_a, mut b) = pair(&map).await;
    b.register("alice", ALICE);
    b.register("bob", BOB);
    placed(&map, "bob", 2, BOB).await;
    until("the numbers are there", || b.sim.global("FED_DEVICES_1002").is_some()).await;
    // It would clear what the dialplan notes.
    drop(b.bridge.take());
    until("the bridge is gone", || !b.sim.is_connected("fed")).await;
    let _silent = b.say_nothing().await;
    let began = Instant::now();
    assert_eq!(status(&b, "alice", "1002").await, 200, "after the limit");
    let first = began.elapsed();
    assert!(first >= Duration::from_secs(3), "{first:?}");
    let silent: u64 = b.sim.global("FED_SILENT").expect("noted").parse().expect("a time");
    for dialled in ["1002", "bob"] {
        let mut call = b.sim.call("alice", dialled);
        assert!(
            matches!(call.outcome().await, CallOutcome::Answered { .. }),
            "{dialled}"
        );
        assert!(
            !call.steps().iter().any(|step| step.starts_with("AGI")),
            "{:?}",
            call.steps()
        );
    }
    // A clock that was set back in between is no reason not to ask.
    b.client
        .set_global("FED_SILENT", &(silent + 3_600).to_string())
        .await
        .expect("sets");
    let call = b.sim.call("alice", "1002");
    until("it asks again", || {
        call.steps().iter().any(|step| step.starts_with("AGI"))
    })
    .await;
}

#[tokio::test]
async fn a_cut_off_side_still_rings_its_own_users() {
    let map = map_with(&["alice", "bob"]);
    let (_a, b) = pair(&map).await;
    b.register("alice", ALICE);
    b.register("bob", BOB);
    placed(&map, "bob", 2, BOB).await;
    placed(&map, "alice", 2, ALICE).await;
    map.cut_off(NodeId(2), true);
    assert_eq!(status(&b, "alice", "1002").await, 200);
    assert_eq!(b.router.counts().stale, 1);
}

#[tokio::test]
async fn a_cut_off_side_rings_a_phone_that_registered_meanwhile_beside_one_that_was_elsewhere() {
    let map = map_with(&["alice", "bob"]);
    let second = Device {
        user: UserId::new("bob").expect("an id"),
        ..device("bob-cell")
    };
    done(
        &map,
        Command::PutDevice {
            device: second,
            expect: Expect::Any,
        },
    );
    let (a, b) = pair(&map).await;
    a.register("bob", BOB);
    b.register("alice", ALICE);
    placed(&map, "bob", 1, BOB).await;
    placed(&map, "alice", 2, ALICE).await;
    until("the second device is there", || {
        b.sim.object("endpoint", "bob-cell").is_some()
    })
    .await;
    map.cut_off(NodeId(2), true);
    drop(a);
    b.register("bob-cell", "sip:bob-cell@127.0.0.1:6999");
    assert_eq!(status(&b, "alice", "1002").await, 200);
    assert!(b.sim.rings().iter().any(|(device, _)| device == "bob-cell"));
}

fn claims(device: &str, expires_unix_s: u32, hops: u8) -> Claims {
    Claims {
        device: DeviceId::new(device).expect("an id"),
        path: Path::default().then(NodeId(1)),
        expires_unix_s,
        nonce: u32::from(hops),
        hops,
    }
}

#[tokio::test]
async fn only_a_fresh_genuine_unused_capability_for_this_node_is_let_in() {
    let map = map_with(&["alice", "bob"]);
    let (a, _b) = pair(&map).await;
    let key = map.snapshot().view().capability_key().expect("reads").expect("set");
    let ask = async |dialled: String| {
        let ask = Ask {
            question: Question::Trunk,
            dialled,
            device: None,
            number: None,
            again: false,
        };
        a.router.ask(&ask).await
    };
    let good = mint(&key, a.port.here(), &claims("bob", u32::MAX, 1));
    assert!(matches!(ask(good.clone()).await, Decision::Dial { .. }));
    let old = mint(&key, a.port.here(), &claims("bob", 1, 1));
    let elsewhere = mint(&key, NodeId(2), &claims("bob", u32::MAX, 1));
    let forged = mint(&[1; 32], a.port.here(), &claims("bob", u32::MAX, 1));
    for (what, dialled) in [
        ("used", good),
        ("expired", old),
        ("for another node", elsewhere),
        ("forged", forged),
        ("missing", "bob".into()),
    ] {
        let refused = ask(dialled).await;
        assert!(
            matches!(refused, Decision::Refuse { cause: 21, .. }),
            "{what}: {refused:?}"
        );
    }
    let far = mint(&key, a.port.here(), &claims("alice", u32::MAX, 200));
    let refused = ask(far).await;
    assert!(
        matches!(refused, Decision::Refuse { cause, .. } if cause == Cause::TooManyHops.q850()),
        "{refused:?}"
    );
}
