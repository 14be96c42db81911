//! What the router does with calls that are on their way while the map changes, or while it cannot be read afresh.

use fed_ari::{
    port::{MapPort, memory::MemoryMap},
    router::{Ask, Decision, Leg, Question, Router},
};
use fed_core::{
    capability::{Claims, mint},
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
    for id in [1, 2] {
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
    let port: Arc<dyn MapPort> = Arc::new(map.port(NodeId(here)));
    let claims = Claims {
        device: alice(),
        issuer: NodeId(2),
        expires_unix_s: u32::MAX,
        nonce: u32::from(hops),
        hops,
    };
    let dialled = mint(&KEY, NodeId(here), &claims);
    Router::new(port)
        .ask(&Ask {
            question: Question::Trunk,
            dialled,
            device: None,
            number: None,
            again: false,
        })
        .await
}

fn legs(decision: &Decision) -> Vec<Vec<Leg>> {
    match decision {
        Decision::Dial { stages, .. } => stages.iter().map(|stage| stage.legs.clone()).collect(),
        Decision::Refuse { .. } => panic!("{decision:?}"),
    }
}

#[tokio::test]
async fn a_call_that_arrives_after_the_device_moved_on_goes_after_it() {
    let legs = legs(&arrives(&map(2), 1, 1).await);
    assert_eq!(
        legs[0],
        [Leg::Registered(alice())],
        "whoever is registered here rings first"
    );
    let [Leg::Dial(dial)] = legs[1].as_slice() else {
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
