//! What the router does with calls that are on their way while the map changes, or while it cannot be read afresh.

use fed_ari::{
    port::memory::MemoryMap,
    router::{Ask, Decision, Leg, Question, Router},
};
use fed_core::{
    capability::{Claims, Path, mint, verify},
    command::{Command, Expect, Reply},
    ids::{ContactUri, DeviceId, NodeId, Revision, UserId},
    records::{Device, DigestCredentials, Node, NodeState, User},
    route::Cause,
};
use std::sync::Arc;

const KEY: [u8; 32] = [9; 32];

fn alice() -> DeviceId {
    DeviceId::new("alice").expect("an id")
}

/// Two nodes with open sessions, the user alice with a device, registered at `at` (0: nowhere).
fn map(at: u64) -> MemoryMap {
    map_of(2, at)
}

/// The same with this many nodes.
fn map_of(nodes: u64, at: u64) -> MemoryMap {
    let map = MemoryMap::new();
    let key: String = KEY.iter().map(|b| format!("{b:02x}")).collect();
    map.apply(Command::PutSetting {
        key: "capability_key".into(),
        value: key.into(),
        expect: Expect::Any,
    });
    let user = UserId::new("alice").expect("an id");
    map.apply(Command::PutUser {
        user: User::new(user.clone()),
        expect: Expect::Any,
    });
    let credentials = DigestCredentials {
        realm: "federated".into(),
        md5_ha1: "0".repeat(32),
    };
    map.apply(Command::PutDevice {
        device: Device::new(alice(), user, credentials),
        expect: Expect::Any,
    });
    for id in 1..=nodes {
        let node = Node {
            id: NodeId(id),
            name: format!("n{id}"),
            peer_address: format!("10.0.0.{id}:7401"),
            client_address: format!("10.0.0.{id}:7400"),
            sip_address: format!("10.0.0.{id}:5060"),
            asterisk_version: None,
            capabilities: Vec::new(),
            state: NodeState::Up,
            weight: 100,
            zone: None,
        };
        map.apply(Command::PutNode {
            node,
            expect: Expect::Any,
        });
        let opened = map.apply(Command::OpenSession { node: NodeId(id) });
        let Reply::SessionOpened { session } = opened.reply else {
            panic!("{opened:?}")
        };
        if id == at {
            map.apply(Command::Bind {
                device: alice(),
                contact: ContactUri::new("sip:alice@10.0.0.9:5060").expect("a contact"),
                node: NodeId(id),
                session,
                basis: Some(Revision(1_000)),
                user_agent: None,
                path: None,
            });
        }
    }
    map
}

async fn arrives(map: &MemoryMap, here: u64, hops: u8) -> Decision {
    comes(map, here, hops, &[2], Question::Trunk, false).await
}

/// A call for alice that these nodes sent on asks at node `here`.
async fn comes(map: &MemoryMap, here: u64, hops: u8, path: &[u64], question: Question, again: bool) -> Decision {
    let claims = Claims {
        device: alice(),
        path: path.iter().fold(Path::default(), |path, &node| path.then(NodeId(node))),
        expires_unix_s: u32::MAX,
        nonce: u32::from(hops),
        hops,
    };
    let dialled = mint(&KEY, NodeId(here), &claims);
    let router = Router::new(Arc::new(map.port(NodeId(here))));
    if again {
        router.recalling(&dialled);
    }
    router.ask(&asks(question, dialled, again)).await
}

fn asks(question: Question, dialled: String, again: bool) -> Ask {
    Ask {
        question,
        dialled,
        device: None,
        number: None,
        again,
    }
}

fn legs(decision: &Decision) -> Vec<Vec<Leg>> {
    match decision {
        Decision::Dial { stages, .. } => stages.iter().map(|stage| stage.legs.clone()).collect(),
        Decision::Refuse { .. } => panic!("{decision:?}"),
    }
}

#[tokio::test]
async fn only_a_call_to_what_was_taken_back_may_ask_again() {
    let map = map(2);
    let router = Router::new(Arc::new(map.port(NodeId(1))));
    let ask = asks(Question::Route, "alice".to_owned(), true);
    let again = || router.ask(&ask);
    router.recalling("bob");
    let refused = again().await;
    assert!(
        matches!(&refused, Decision::Refuse { cause: 31, why } if why.contains("not taken back")),
        "a gateway's own 31, whatever was taken back for others: {refused:?}"
    );
    router.recalling("alice");
    assert_eq!(legs(&again().await).len(), 1);
}

#[tokio::test]
async fn a_call_that_arrives_after_the_device_moved_on_goes_after_it() {
    let legs = legs(&arrives(&map(2), 1, 1).await);
    assert_eq!(
        legs[0],
        [Leg::Registered(alice())],
        "whoever is registered here rings first"
    );
    let [Leg::There { dial, .. }] = legs[1].as_slice() else {
        panic!("{legs:?}")
    };
    assert!(
        dial.starts_with("PJSIP/fed-node-2/sip:alice~") && dial.ends_with("@10.0.0.2:5060"),
        "{dial}"
    );
}

#[tokio::test]
async fn a_call_for_a_device_that_is_here_or_nowhere_goes_no_further() {
    for at in [1, 0] {
        assert_eq!(
            legs(&arrives(&map(at), 1, 1).await),
            [[Leg::Registered(alice())]],
            "registered at {at}"
        );
    }
}

#[tokio::test]
async fn the_hop_limit_ends_a_chase() {
    let limit = map(2).snapshot().view().hop_limit().expect("reads");
    assert_eq!(
        legs(&arrives(&map(2), 1, limit).await).len(),
        1,
        "at the limit it goes no further"
    );
    let beyond = arrives(&map(2), 1, limit + 1).await;
    assert!(
        matches!(beyond, Decision::Refuse { cause, .. } if cause == Cause::TooManyHops.q850()),
        "{beyond:?}"
    );
}

#[tokio::test]
async fn a_call_that_comes_back_is_sent_on_only_when_it_rang_here() {
    let refused = |decision: &Decision| match decision {
        Decision::Dial { .. } => None,
        Decision::Refuse { cause, why } => Some((*cause, why.clone())),
    };
    // Registered at 2; asked at 1.
    for (what, path, hops, again, loops) in [
        ("a first crossing", &[3][..], 1, false, false),
        ("a second one", &[3, 2], 2, false, false),
        ("it was here before", &[1, 2], 2, false, true),
        ("long ago", &[1, 4, 3, 2], 3, false, true),
        ("it rang here, and she moved on again", &[1, 2], 2, true, false),
        // The previous release sends its id and no path; only hops are counted.
        ("by a node that knows no path", &[2], 2, false, false),
    ] {
        let decision = comes(&map(2), 1, hops, path, Question::Moved, again).await;
        match refused(&decision) {
            None => assert!(
                !loops && matches!(legs(&decision)[0][0], Leg::There { .. }),
                "{what}: {decision:?}"
            ),
            Some((cause, why)) => {
                assert!(loops && cause == Cause::Loop.q850(), "{what}: {decision:?}");
                let shown: Vec<String> = path.iter().map(u64::to_string).collect();
                assert!(why.contains(&shown.join(" -> ")), "{what}: {why}");
            }
        }
        // On arrival it rings whatever is registered here, and nothing further where it would go round.
        let arrives = legs(&comes(&map(2), 1, hops, path, Question::Trunk, false).await);
        let circles = path.contains(&1);
        assert_eq!(arrives.len(), if circles { 1 } else { 2 }, "{what}: {arrives:?}");
        // She came back: it rings.
        let back = comes(&map(1), 1, hops, path, Question::Moved, again).await;
        assert_eq!(legs(&back), [[Leg::Registered(alice())]], "{what}");
    }
}

/// Where a call to alice that begins at `start` goes when each node has a map of its own; the nodes it crosses to, and its end.
async fn chase(maps: &[MemoryMap], start: u64) -> (Vec<u64>, Decision) {
    let mut here = start;
    let mut ask = asks(Question::Route, "alice".into(), false);
    let mut crossed = Vec::new();
    loop {
        let router = Router::new(Arc::new(maps[here as usize - 1].port(NodeId(here))));
        let mut decision = router.ask(&ask).await;
        // Nothing is registered anywhere.
        let sent_on = |decision: &Decision| match decision {
            Decision::Dial { stages, .. } => stages.iter().flat_map(|stage| &stage.legs).find_map(|leg| match leg {
                Leg::There { dial, .. } => Some(dial.clone()),
                Leg::Registered(_) => None,
            }),
            Decision::Refuse { .. } => None,
        };
        if sent_on(&decision).is_none()
            && let Some(next) = fed_ari::router::in_vain(&ask)
            && next.question == Question::Moved
        {
            decision = router.ask(&next).await;
        }
        let Some(dial) = sent_on(&decision) else {
            return (crossed, decision);
        };
        let (node, rest) = dial
            .strip_prefix("PJSIP/fed-node-")
            .and_then(|rest| rest.split_once("/sip:"))
            .expect("a trunk");
        let user_part = rest.split('@').next().expect("a user part").to_owned();
        here = node.parse().expect("a node");
        assert!(verify(&KEY, NodeId(here), &user_part, 0).is_ok());
        crossed.push(here);
        assert!(crossed.len() < 300, "it never ends: {crossed:?}");
        ask = asks(Question::Trunk, user_part, false);
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    /// Each node believes that she is somewhere, whatever the others believe.
    #[test]
    fn a_call_between_nodes_that_disagree_ends_where_its_circle_closes(
        beliefs in proptest::collection::vec(0u64..7, 1..7),
        start in 0usize..7,
    ) {
        let nodes = beliefs.len() as u64;
        let maps: Vec<MemoryMap> = beliefs.iter().map(|&at| map_of(nodes, at.min(nodes))).collect();
        let start = start as u64 % nodes + 1;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (crossed, end) = runtime.block_on(chase(&maps, start));
        let limit = usize::from(maps[0].snapshot().view().hop_limit().expect("reads"));
        proptest::prop_assert!(crossed.len() <= limit, "{crossed:?}");
        let visits: Vec<u64> = std::iter::once(start).chain(crossed.iter().copied()).collect();
        let sent_on = &visits[..visits.len() - 1];
        for (place, node) in sent_on.iter().enumerate() {
            proptest::prop_assert!(!sent_on[..place].contains(node), "node {node} sent it on twice: {visits:?}");
        }
        // A circle is told as one, by the node where it closes.
        let last = *visits.last().expect("where it began");
        let elsewhere = ![0, last].contains(&beliefs[last as usize - 1].min(nodes));
        if sent_on.contains(&last) && elsewhere {
            let is_loop = matches!(&end, Decision::Refuse { cause, .. } if *cause == Cause::Loop.q850());
            proptest::prop_assert!(is_loop, "{visits:?}: {end:?}");
        }
    }
}

/// Cut off, or after a split in which the others ended this node's session, the map here does not know who is registered here.
#[tokio::test]
async fn while_the_map_cannot_know_who_is_here_the_own_registrar_is_asked_as_well() {
    for (at, is_cut_off) in [(0, true), (2, true), (1, false)] {
        let map = map(at);
        if is_cut_off {
            map.cut_off(NodeId(1), true);
        } else {
            let session = map.snapshot().view().session_of(NodeId(1)).expect("reads");
            let session = session.expect("it is open");
            map.apply(Command::EndSession { session });
        }
        let router = Router::new(Arc::new(map.port(NodeId(1))));
        let ask = Ask {
            question: Question::Route,
            dialled: "alice".into(),
            device: None,
            number: None,
            again: false,
        };
        let legs = legs(&router.ask(&ask).await);
        assert_eq!(
            legs[0][0],
            Leg::Registered(alice()),
            "registered at {at}, cut off: {is_cut_off}"
        );
    }
}
