//! What is found in a real map.

use fed_core::command::{Command, Expect, Reply};
use fed_core::ids::{ContactUri, Number, Revision, SessionId, UserId};
use fed_core::kv::MemStore;
use fed_core::machine::Machine;
use fed_core::map::{FederationMap, MapView};
use fed_core::records::{Device, DigestCredentials, Node, NodeState, RingStrategy, User, setting};

use super::*;
use crate::redirect::lookup::find;

/// Nodes 1 and 2; user alice (number 100) with the devices `alice` and `desk`, user bob (number 200, do not disturb)
/// with the device `bob`.
struct Federation {
    store: MemStore,
    revision: Revision,
    sessions: [SessionId; 2],
}

impl Federation {
    fn new() -> Self {
        let mut federation = Self {
            store: MemStore::default(),
            revision: Revision(1),
            sessions: [SessionId(0); 2],
        };
        for (n, name) in [(1, "a"), (2, "b")] {
            let node = Node {
                id: NodeId(n),
                name: name.to_owned(),
                peer_address: format!("192.0.2.{n}:7401"),
                client_address: format!("192.0.2.{n}:7400"),
                sip_address: format!("192.0.2.{n}:5060"),
                asterisk_version: None,
                capabilities: Vec::new(),
                state: NodeState::Up,
                weight: 100,
                zone: None,
            };
            federation.apply(Command::PutNode {
                node,
                expect: Expect::Any,
            });
            let Reply::SessionOpened { session } = federation.apply(Command::OpenSession { node: NodeId(n) }) else {
                panic!("a session")
            };
            federation.sessions[usize::try_from(n).expect("small") - 1] = session;
        }
        for (user, number, devices) in [("alice", "100", ["alice", "desk"].as_slice()), ("bob", "200", &["bob"])] {
            let id = UserId::new(user).expect("an id");
            let user = User {
                numbers: vec![Number::new(number).expect("a number")],
                do_not_disturb: user == "bob",
                ring: RingStrategy::Sequential,
                ..User::new(id.clone())
            };
            federation.apply(Command::PutUser {
                user,
                expect: Expect::Any,
            });
            for device in devices {
                let credentials = DigestCredentials {
                    realm: "federated".to_owned(),
                    md5_ha1: "0".repeat(32),
                };
                let device = Device {
                    max_contacts: 2,
                    ..Device::new(DeviceId::new(*device).expect("an id"), id.clone(), credentials)
                };
                federation.apply(Command::PutDevice {
                    device,
                    expect: Expect::Any,
                });
            }
        }
        federation.set_key();
        federation
    }

    fn set_key(&mut self) {
        let value = "07".repeat(32).into();
        self.apply(Command::PutSetting {
            key: setting::CAPABILITY_KEY.to_owned(),
            value,
            expect: Expect::Any,
        });
    }

    fn apply(&mut self, command: Command) -> Reply {
        self.revision = self.revision.next();
        let reply = FederationMap
            .apply(self.revision, command, &mut self.store, &mut Vec::new())
            .expect("a sound store");
        assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
        reply
    }

    fn bind(&mut self, device: &str, node: u64) {
        self.apply(Command::Bind {
            device: DeviceId::new(device).expect("an id"),
            contact: ContactUri::new(format!("sip:{device}@10.0.0.{node}:5060")).expect("a contact"),
            node: NodeId(node),
            session: self.sessions[usize::try_from(node).expect("small") - 1],
            basis: Some(self.revision),
            user_agent: None,
            path: None,
        });
    }

    fn find(&self, asked: &str) -> Place {
        find(&MapView::new(&self.store), HERE, asked).expect("a sound store")
    }
}

/// Each device, its node, its turn and how long the turns before take.
fn devices_at(place: Place) -> Vec<(String, u64, u8, u32)> {
    let Place::At(targets) = place else { panic!("{place:?}") };
    let read = |target: Target| {
        assert_eq!(
            (target.key, target.sip_address),
            (KEY, format!("192.0.2.{}:5060", target.node))
        );
        (target.device.to_string(), target.node.0, target.turn, target.after_s)
    };
    targets.into_iter().map(read).collect()
}

/// The first device and its node.
fn device_at(place: Place) -> (String, u64) {
    let (device, node, ..) = devices_at(place).swap_remove(0);
    (device, node)
}

#[test]
fn a_device_is_found_where_it_registered_last() {
    let mut federation = Federation::new();
    assert_eq!(federation.find("alice"), Place::Nowhere(Cause::Offline));
    federation.bind("alice", 1);
    let found = federation.find("alice");
    assert_eq!(device_at(found), ("alice".to_owned(), 1));
    federation.bind("alice", 2);
    assert_eq!(
        devices_at(federation.find("alice")),
        [("alice".to_owned(), 2, 0, 0), ("alice".to_owned(), 1, 0, 0)],
        "here and there: there first"
    );
    federation.apply(Command::EndSession {
        session: federation.sessions[1],
    });
    assert_eq!(device_at(federation.find("alice")).1, 1, "a dead node does not count");
}

#[test]
fn a_device_id_means_that_device_and_a_number_its_users_first_reachable_one() {
    let mut federation = Federation::new();
    federation.bind("desk", 2);
    assert_eq!(
        federation.find("alice"),
        Place::Nowhere(Cause::Offline),
        "the device, not the user of that name"
    );
    assert_eq!(device_at(federation.find("desk")).0, "desk");
    assert_eq!(device_at(federation.find("100")).0, "desk");
    federation.bind("bob", 2);
    assert_eq!(
        federation.find("200"),
        Place::Nowhere(Cause::DoNotDisturb),
        "a number is routed by its user's wishes"
    );
    assert_eq!(device_at(federation.find("bob")).0, "bob");
}

#[test]
fn a_users_devices_are_found_together_or_one_after_the_other_as_they_ring() {
    let mut federation = Federation::new();
    federation.bind("alice", 1);
    federation.bind("desk", 2);
    let of = |device: &str, node, turn, after_s| (device.to_owned(), node, turn, after_s);
    let user = |ring, no_answer: Option<&str>| Command::PutUser {
        user: User {
            numbers: vec![Number::new("100").expect("a number")],
            ring,
            ring_timeout_s: 25,
            forwards: fed_core::records::Forwards {
                no_answer: no_answer.map(|to| Number::new(to).expect("a number")),
                ..Default::default()
            },
            ..User::new(UserId::new("alice").expect("an id"))
        },
        expect: Expect::Any,
    };
    federation.apply(user(RingStrategy::All, None));
    assert_eq!(
        devices_at(federation.find("100")),
        [of("desk", 2, 0, 0), of("alice", 1, 0, 0)],
        "together; elsewhere first"
    );
    federation.apply(user(RingStrategy::Sequential, Some("200")));
    assert_eq!(
        devices_at(federation.find("100")),
        [of("alice", 1, 0, 0), of("desk", 2, 1, 25)],
        "one after the other; a forward of unanswered calls is none of them"
    );
}

#[test]
fn names_of_nothing_are_unknown_and_a_map_without_a_key_gives_out_no_target() {
    let mut federation = Federation::new();
    for asked in ["carol", "300", "+49", "*", "-"] {
        assert_eq!(federation.find(asked), Place::Nowhere(Cause::UnknownUser), "{asked}");
    }
    federation.bind("desk", 2);
    federation.apply(Command::DeleteSetting {
        key: setting::CAPABILITY_KEY.to_owned(),
        expect: Expect::Any,
    });
    assert_eq!(federation.find("desk"), Place::Nowhere(Cause::Unavailable));
}
