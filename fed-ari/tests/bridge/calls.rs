//! Calls through the generated dialplan, on Stasis and on FastAGI.

use std::time::{Duration, Instant};

use fed_ari::{
    port::MapPort,
    router::{Ask, Decision, Question},
    sim::{CallOutcome, PhoneScript, SimVersion},
};
use fed_core::{
    capability::{Claims, Path, mint},
    command::{Command, Expect, Reply},
    ids::{ContactUri, DeviceId, NodeId, Number, Revision, UserId},
    records::{Device, RingStrategy, User},
    route::Cause,
};

use tokio::net::UdpSocket;

use crate::site::{Site, device, done, map_with, pair, placed, put_node, until};

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

/// Bob's phone at `old` rings, unanswered; then bob registers at `new`, and the call goes there.
async fn follows(old: &Site, new: &Site, from: &Site, map: &fed_ari::port::memory::MemoryMap) {
    old.sim.phone("bob", PhoneScript::Ring);
    old.register("bob", BOB);
    placed(map, "bob", old.port.here().0, BOB).await;
    let mut call = from.sim.call("alice", "1002");
    until("the old phone rings", || {
        old.sim.rings().contains(&("bob".into(), BOB.into()))
    })
    .await;
    new.register("bob", "sip:bob@127.0.0.1:6102");
    let outcome = call.outcome().await;
    assert!(
        matches!(outcome, CallOutcome::Answered { .. }),
        "{outcome:?}: {:?}",
        call.steps()
    );
    assert_eq!(new.sim.rings().len(), 1, "{:?}", call.steps());
}

#[tokio::test]
async fn a_call_that_another_node_sent_to_the_phone_she_has_just_left_follows_her() {
    let map = map_with(&["alice", "bob"]);
    let (a, b) = pair(&map).await;
    b.register("alice", ALICE);
    placed(&map, "alice", 2, ALICE).await;
    follows(&a, &b, &b, &map).await;
}

#[tokio::test]
async fn a_call_to_the_phone_she_has_just_left_at_the_callers_own_server_follows_her() {
    // `pair` is of two versions: one asks through Stasis, the other through FastAGI.
    for turned in [false, true] {
        let map = map_with(&["alice", "bob"]);
        let (a, b) = pair(&map).await;
        let (old, new) = if turned { (&b, &a) } else { (&a, &b) };
        old.register("alice", ALICE);
        placed(&map, "alice", old.port.here().0, ALICE).await;
        follows(old, new, old, &map).await;
    }
}

/// Bob's phones ring one after the other; while the second rings, it registers elsewhere: the first has had its turn.
#[tokio::test]
async fn a_call_that_follows_a_phone_goes_on_at_its_turn() {
    const DESK: &str = "sip:bob-desk@127.0.0.1:6003";
    let map = map_with(&["alice", "bob"]);
    let mut desk = device("bob-desk");
    let mut bob = User::new(UserId::new("bob").expect("an id"));
    desk.user = bob.id.clone();
    bob.numbers = vec![Number::new("1002").expect("a number")];
    bob.ring = RingStrategy::Sequential;
    bob.ring_timeout_s = 1;
    for command in [
        Command::PutUser {
            user: bob,
            expect: Expect::Any,
        },
        Command::PutDevice {
            device: desk,
            expect: Expect::Any,
        },
    ] {
        done(&map, command);
    }
    let (a, b) = pair(&map).await;
    for (name, contact) in [("alice", ALICE), ("bob", BOB), ("bob-desk", DESK)] {
        a.register(name, contact);
        placed(&map, name, 1, contact).await;
        a.sim.phone(name, PhoneScript::Ring);
    }
    let mut call = a.sim.call("alice", "1002");
    let ring = |device: &str, contact: &str| (device.to_owned(), contact.to_owned());
    until("the second rings", || {
        a.sim.rings() == [ring("bob", BOB), ring("bob-desk", DESK)]
    })
    .await;
    b.register("bob-desk", "sip:bob-desk@127.0.0.1:6103");
    let outcome = call.outcome().await;
    assert!(
        matches!(outcome, CallOutcome::Answered { .. }),
        "{outcome:?}: {:?}",
        call.steps()
    );
    assert_eq!(a.sim.rings().len(), 2, "{:?}", call.steps());
    assert_eq!(
        b.sim.rings(),
        [ring("bob-desk", "sip:bob-desk@127.0.0.1:6103")],
        "{:?}",
        call.steps()
    );
}

#[tokio::test]
async fn a_call_between_servers_that_disagree_where_she_is_ends_where_its_circle_closes() {
    let maps = [1, 2].map(|_| map_with(&["alice", "bob"]));
    let mut sites = [
        Site::new(&maps[0], 1, SimVersion::V22).await,
        Site::new(&maps[1], 2, SimVersion::V16).await,
    ];
    for (here, other) in [(0, 1), (1, 0)] {
        let (map, node) = (&maps[here], other as u64 + 1);
        put_node(map, node, &sites[other].sim.sip_address().to_string());
        let Reply::SessionOpened { session } = map.apply(Command::OpenSession { node: NodeId(node) }).reply else {
            panic!("a session")
        };
        map.apply(Command::Bind {
            device: DeviceId::new("bob").expect("an id"),
            contact: ContactUri::new(BOB).expect("a contact"),
            node: NodeId(node),
            session,
            basis: Some(Revision(1_000)),
            user_agent: None,
            path: None,
        });
    }
    for site in &mut sites {
        site.start();
        site.up().await;
    }
    sites[0].register("alice", ALICE);
    let mut call = sites[0].sim.call("alice", "1002");
    let outcome = call.outcome().await;
    // Refused with 25 (603), which is a 403 two servers on.
    assert!(
        matches!(outcome, CallOutcome::Failed { sip_status: 403, .. }),
        "{outcome:?}: {:?}",
        call.steps()
    );
    for site in &sites {
        assert!(site.sim.rings().is_empty());
    }
    let (first, second) = (sites[0].router.counts(), sites[1].router.counts());
    // Asked, let in to whoever is registered, and refused; at the other server let in and sent on.
    assert_eq!(
        (first.dialled, first.refused, second.dialled),
        (2, 1, 1),
        "{:?}",
        call.steps()
    );
}

#[tokio::test]
async fn a_call_on_its_way_to_a_node_that_has_died_is_taken_back_and_refused() {
    // `pair` is of two versions: one asks through Stasis, the other through FastAGI.
    for turned in [false, true] {
        let map = map_with(&["alice", "bob"]);
        let (a, b) = pair(&map).await;
        let (here, mut there) = if turned { (b, a) } else { (a, b) };
        here.register("alice", ALICE);
        there.register("bob", BOB);
        let node = there.port.here().0;
        placed(&map, "bob", node, BOB).await;
        // It takes datagrams and answers none, as the wire to a dead host does.
        let dead = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
        put_node(&map, node, &dead.local_addr().expect("an address").to_string());
        let mut call = here.sim.call("alice", "1002");
        dead.recv_from(&mut [0; 2_048]).await.expect("an INVITE");
        drop(there.bridge.take());
        let outcome = call.outcome().await;
        assert!(
            matches!(outcome, CallOutcome::Failed { sip_status: 480, .. }),
            "{outcome:?}: {:?}",
            call.steps()
        );
        assert!(
            call.steps().iter().any(|step| step.contains("fed-ask,again")),
            "{:?}",
            call.steps()
        );
    }
}

/// A redirect server that says of every call that it rings: what it rings is where the device is now. Ends with the test.
async fn always_rings(site: &mut Site) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a socket");
    site.redirect = socket.local_addr().expect("an address").to_string();
    let router = site.router.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4_096];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let invite = String::from_utf8_lossy(&buffer[..length]).into_owned();
            let header = |name: &str| {
                let mut lines = invite.lines();
                lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            };
            let (Some(call_id), true) = (header("Call-ID"), invite.starts_with("INVITE ")) else {
                continue;
            };
            router.redirected(call_id);
            let copied = ["Via", "From", "To", "Call-ID", "CSeq"]
                .map(|name| format!("{name}: {}\r\n", header(name).unwrap_or_default()))
                .concat();
            let answer = format!("SIP/2.0 180 Ringing\r\n{copied}Content-Length: 0\r\n\r\n");
            socket.send_to(answer.as_bytes(), from).await.expect("sends");
        }
    });
}

#[tokio::test]
async fn a_customers_own_call_that_goes_after_her_is_not_taken_back_whatever_its_extension() {
    let map = map_with(&["alice", "bob"]);
    let mut old = Site::new(&map, 1, SimVersion::V22).await;
    let mut new = Site::new(&map, 2, SimVersion::V16).await;
    always_rings(&mut old).await;
    for site in [&mut old, &mut new] {
        site.start();
        site.up().await;
    }
    old.sim.phone("bob", PhoneScript::Ring);
    old.register("alice", ALICE);
    old.register("bob", BOB);
    placed(&map, "alice", 1, ALICE).await;
    placed(&map, "bob", 1, BOB).await;
    // The router has sent a call to bob's phone here.
    let asked = old.sim.call("alice", "1002");
    until("the old phone rings", || !old.sim.rings().is_empty()).await;
    done(
        &map,
        Command::PutSetting {
            key: "dialplan_context".into(),
            value: "customer".into(),
            expect: Expect::Any,
        },
    );
    until("alice calls from the customer's context", || {
        let endpoint = old.sim.object("endpoint", "alice").expect("there");
        endpoint.contains(&("context".to_owned(), "customer".to_owned()))
    })
    .await;
    new.register("bob", "sip:bob@127.0.0.1:6102");
    until("bob's old contact is gone", || old.sim.registrations("bob").is_empty()).await;
    let mut own = old.sim.call("alice", "1002");
    // All looks for calls to bob's old phone are over.
    let ended = tokio::time::timeout(Duration::from_secs(2), own.outcome()).await;
    assert!(ended.is_err(), "{ended:?}: {:?}", own.steps());
    assert!(
        own.steps().iter().any(|step| step.contains("Dial(PJSIP/bob,20)")),
        "{:?}",
        own.steps()
    );
    assert!(
        asked.steps().iter().any(|step| step.contains("fed-ask,again")),
        "the other call was taken back: {:?}",
        asked.steps()
    );
}
