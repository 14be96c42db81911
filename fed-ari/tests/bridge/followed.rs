//! Calls to a phone that moves, or a node that dies, while they are on their way: they follow it, are taken back, or are left alone.

use std::time::Duration;

use fed_ari::{
    port::MapPort,
    sim::{CallOutcome, PhoneScript, SimVersion},
};
use fed_core::{
    command::{Command, Expect, Reply},
    ids::{ContactUri, DeviceId, NodeId, Number, Revision, UserId},
    records::{RingStrategy, User},
};

use tokio::net::UdpSocket;

use crate::site::{Site, device, done, map_with, pair, placed, put_node, until};

const ALICE: &str = "sip:alice@127.0.0.1:6001";
const BOB: &str = "sip:bob@127.0.0.1:6002";

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
