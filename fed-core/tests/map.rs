//! What commands do to the map.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::{Federation, device, device_id, node, number, user, user_id};
use fed_core::command::{Command, Expect, Object, Refusal, Reply};
use fed_core::event::{Change, UnboundWhy};
use fed_core::ids::{NodeId, Revision, SessionId};
use fed_core::records::setting;

fn refusal(reply: Reply) -> Refusal {
    match reply {
        Reply::Refused(refusal) => refusal,
        other => panic!("not refused: {other:?}"),
    }
}

fn put_user(user: fed_core::records::User, expect: Expect) -> Command {
    Command::PutUser { user, expect }
}

#[test]
fn a_change_gives_its_object_a_new_revision_and_keeps_when_it_was_made() {
    let mut federation = Federation::default();
    let made = federation.put_user(user("alice", &[]));
    let mut alice = user("alice", &[]);
    alice.display_name = "Alice".to_owned();
    let changed = federation.put_user(alice);
    let record = federation.view().user(&user_id("alice")).unwrap().unwrap();
    assert_eq!((record.created, record.modified), (made, changed));
    assert_eq!((made, changed), (Revision(1), Revision(2)));
}

#[test]
fn putting_what_is_there_already_changes_nothing() {
    let mut federation = Federation::of(1);
    federation.provision("alice", &["100"]);
    let before = federation.put_user(user("alice", &["100"]));
    assert_eq!(federation.put_device(device("alice", "alice")), before);
    let same_node = Command::PutNode {
        node: node(1),
        expect: Expect::Any,
    };
    assert_eq!(federation.done(same_node), before);
    assert!(federation.events.is_empty());
}

#[test]
fn compare_and_set_refuses_what_was_changed_meanwhile_and_says_where_it_is() {
    let mut federation = Federation::default();
    let made = federation.put_user(user("alice", &[]));
    let again = federation.reply(put_user(user("alice", &["1"]), Expect::Absent));
    assert_eq!(
        refusal(again).to_string(),
        "user alice exists already, at revision 1: choose another id, or change the one there is"
    );
    federation.done(put_user(user("alice", &["1"]), Expect::Revision(made)));
    let late = federation.reply(put_user(user("alice", &["2"]), Expect::Revision(made)));
    assert_eq!(
        refusal(late),
        Refusal::Conflict {
            object: Object::User(user_id("alice")),
            expected: Expect::Revision(made),
            actual: Some(Revision(2)),
        }
    );
    let missing = federation.reply(put_user(user("bob", &[]), Expect::Revision(made)));
    assert!(matches!(refusal(missing), Refusal::Conflict { actual: None, .. }));
    let late = Command::DeleteUser {
        id: user_id("alice"),
        expect: Expect::Revision(made),
    };
    assert!(matches!(refusal(federation.reply(late)), Refusal::Conflict { .. }));
}

#[test]
fn a_name_leads_to_one_user_whether_number_user_or_device() {
    let mut federation = Federation::default();
    federation.put_user(user("alice", &["100", "boss"]));
    federation.put_device(device("alice-desk", "alice"));
    let taken = |name: &str| Refusal::NumberTaken {
        number: name.to_owned(),
        user: user_id("alice"),
    };
    for name in ["100", "boss", "alice", "alice-desk"] {
        let reply = federation.reply(put_user(user("bob", &[name]), Expect::Any));
        assert_eq!(refusal(reply), taken(name));
    }
    for name in ["100", "boss", "alice-desk"] {
        let reply = federation.reply(put_user(user(name, &[]), Expect::Any));
        assert_eq!(refusal(reply), taken(name));
    }
    federation.put_user(user("bob", &[]));
    for name in ["100", "boss", "alice"] {
        let put = Command::PutDevice {
            device: device(name, "bob"),
            expect: Expect::Any,
        };
        assert_eq!(refusal(federation.reply(put)), taken(name));
    }
    // Freed, they may be taken.
    federation.put_user(user("alice", &[]));
    federation.put_user(user("bob", &["100", "boss"]));
    assert_eq!(federation.view().number(&number("100")).unwrap(), Some(user_id("bob")));
}

#[test]
fn a_device_may_go_to_another_user() {
    let mut federation = Federation::default();
    federation.put_user(user("alice", &[]));
    federation.put_user(user("bob", &[]));
    federation.put_device(device("desk-7", "alice"));
    federation.put_device(device("desk-7", "bob"));
    let view = federation.view();
    assert!(view.devices_of(&user_id("alice")).unwrap().is_empty());
    assert_eq!(view.device_ids_of(&user_id("bob")).unwrap(), [device_id("desk-7")]);
    assert_eq!(view.counts().unwrap().devices, 1);
}

#[test]
fn a_device_needs_its_user() {
    let mut federation = Federation::default();
    let put = Command::PutDevice {
        device: device("desk", "nobody"),
        expect: Expect::Any,
    };
    assert_eq!(
        refusal(federation.reply(put)).to_string(),
        "device desk cannot be made: there is no user nobody; create the user first"
    );
}

#[test]
fn a_deleted_user_takes_devices_bindings_and_numbers_along() {
    let mut federation = Federation::of(1);
    federation.provision("alice", &["100"]);
    federation.register("alice", 1);
    federation.done(Command::DeleteUser {
        id: user_id("alice"),
        expect: Expect::Any,
    });
    let view = federation.view();
    assert_eq!(view.device(&device_id("alice")).unwrap(), None);
    assert_eq!(view.number(&number("100")).unwrap(), None);
    assert!(view.bindings_at(NodeId(1)).unwrap().is_empty());
    let counts = view.counts().unwrap();
    assert_eq!(
        (counts.users, counts.devices, counts.bindings, counts.numbers),
        (0, 0, 0, 0)
    );
    assert!(matches!(
        federation.events.as_slice(),
        [
            Change::Unbound {
                why: UnboundWhy::DeviceDeleted,
                ..
            },
            Change::DeviceDeleted { .. },
            Change::UserDeleted { .. }
        ]
    ));
    let again = Command::DeleteUser {
        id: user_id("alice"),
        expect: Expect::Any,
    };
    assert!(matches!(refusal(federation.reply(again)), Refusal::NotFound { .. }));
}

#[test]
fn fields_that_could_reach_a_dialplan_are_refused_by_name() {
    let mut federation = Federation::default();
    let mut alice = user("alice", &[]);
    alice.display_name = "Alice\"\r\nX-Evil: 1".to_owned();
    let reply = refusal(federation.reply(put_user(alice, Expect::Any)));
    assert!(
        matches!(&reply, Refusal::Invalid { field, .. } if field == "display_name"),
        "{reply}"
    );
    let mut alice = user("alice", &[]);
    alice.ring_timeout_s = 301;
    let reply = refusal(federation.reply(put_user(alice, Expect::Any)));
    assert_eq!(
        reply.to_string(),
        "ring_timeout_s of user alice is not valid: use 1 to 300 seconds"
    );
    federation.put_user(user("alice", &[]));
    let mut desk = device("alice", "alice");
    desk.credentials.md5_ha1 = "secret".to_owned();
    let put = Command::PutDevice {
        device: desk,
        expect: Expect::Any,
    };
    let reply = refusal(federation.reply(put)).to_string();
    assert!(reply.contains("md5_ha1") && !reply.contains("secret"), "{reply}");
    for address in ["10.0.0.1", "10.0.0.1:0", "[::1:5060", "a b:5060", "host:99999", ":5060"] {
        let mut odd = node(1);
        odd.sip_address = address.to_owned();
        let put = Command::PutNode {
            node: odd,
            expect: Expect::Any,
        };
        let reply = refusal(federation.reply(put));
        assert!(matches!(&reply, Refusal::Invalid { field, .. } if field == "sip_address"));
    }
    for address in ["10.0.0.1:5060", "[2001:db8::1]:5060", "a.example.org:5061"] {
        let mut fine = node(1);
        fine.sip_address = address.to_owned();
        federation.done(Command::PutNode {
            node: fine,
            expect: Expect::Any,
        });
    }
}

#[test]
fn known_settings_are_checked_and_read_with_their_defaults() {
    let mut federation = Federation::default();
    assert_eq!(federation.view().realm().unwrap(), "federated");
    assert_eq!(federation.view().dialplan_context().unwrap(), "fed-users");
    assert_eq!(federation.view().hop_limit().unwrap(), 4);
    assert_eq!(federation.view().capability_key().unwrap(), None);
    let put = |key: &str, value: &str| Command::PutSetting {
        key: key.to_owned(),
        value: value.into(),
        expect: Expect::Any,
    };
    for (key, value) in [
        (setting::REALM, "a b"),
        (setting::DIALPLAN_CONTEXT, "x,y"),
        (setting::SIP_PEERS, "10.0.0.1,;"),
        (setting::CAPABILITY_KEY, "12"),
        (setting::HOP_LIMIT, "0"),
        ("Odd Key", "x"),
        ("note", "two\nlines"),
    ] {
        let reply = refusal(federation.reply(put(key, value)));
        assert!(matches!(reply, Refusal::Invalid { .. }), "{key}");
    }
    federation.done(put(setting::HOP_LIMIT, "7"));
    federation.done(put(setting::CAPABILITY_KEY, &"0f".repeat(32)));
    federation.done(put(setting::SIP_PEERS, "10.0.0.1, 2001:db8::/32,sbc.example.org:5060"));
    let view = federation.view();
    assert_eq!(view.hop_limit().unwrap(), 7);
    assert_eq!(view.capability_key().unwrap(), Some([15; 32]));
    assert_eq!(
        view.sip_peers().unwrap(),
        ["10.0.0.1", "2001:db8::/32", "sbc.example.org:5060"]
    );
    assert_eq!(view.setting_keys().unwrap().len(), 3);
    let delete = Command::DeleteSetting {
        key: "realm".to_owned(),
        expect: Expect::Any,
    };
    assert!(matches!(refusal(federation.reply(delete)), Refusal::NotFound { .. }));
}

#[test]
fn the_realm_stays_while_devices_have_passwords_in_it() {
    let mut federation = Federation::default();
    let realm = |value: &str| Command::PutSetting {
        key: setting::REALM.to_owned(),
        value: value.into(),
        expect: Expect::Any,
    };
    let unset = || Command::DeleteSetting {
        key: setting::REALM.to_owned(),
        expect: Expect::Any,
    };
    federation.done(realm("example.org"));
    federation.put_user(user("alice", &[]));
    let before = federation.put_device(device("alice", "alice"));
    for other in [
        realm("example.com"),
        unset(),
        Command::Batch(vec![realm("example.com")]),
    ] {
        let refused = match refusal(federation.reply(other)) {
            Refusal::InBatch { why, .. } => *why,
            refused => refused,
        };
        let text = refused.to_string();
        assert!(
            text.contains("example.org") && text.contains("all devices (1)") && text.contains("remove"),
            "{text}"
        );
        assert!(matches!(refused, Refusal::RealmBound { devices: 1, .. }), "{text}");
    }
    assert_eq!(
        federation.done(realm("example.org")),
        before,
        "nothing was written, and the same realm is no change"
    );
    federation.done(Command::DeleteDevice {
        id: device_id("alice"),
        expect: Expect::Any,
    });
    federation.done(realm("example.com"));
    federation.done(unset());
    assert_eq!(federation.view().realm().unwrap(), "federated");
}

#[test]
fn secrets_are_not_printed() {
    let key = "0f".repeat(32);
    let put = Command::PutSetting {
        key: setting::CAPABILITY_KEY.to_owned(),
        value: key.as_str().into(),
        expect: Expect::Any,
    };
    assert!(!format!("{put:?}").contains(&key));
    let put = Command::PutDevice {
        device: device("a", "a"),
        expect: Expect::Any,
    };
    assert!(!format!("{put:?}").contains("0123456789abcdef"));
}

#[test]
fn a_node_has_its_name_to_itself_and_one_session() {
    let mut federation = Federation::of(2);
    let mut twin = node(3);
    twin.name = "n2".to_owned();
    let reply = federation.reply(Command::PutNode {
        node: twin,
        expect: Expect::Any,
    });
    assert_eq!(
        refusal(reply),
        Refusal::InUse {
            name: "n2".to_owned(),
            by: Object::Node(NodeId(2))
        }
    );
    let mut renamed = node(2);
    renamed.name = "berlin".to_owned();
    federation.done(Command::PutNode {
        node: renamed,
        expect: Expect::Any,
    });
    assert!(federation.view().node_by_name("n2").unwrap().is_none());
    assert_eq!(
        federation.view().node_by_name("berlin").unwrap().unwrap().value.id,
        NodeId(2)
    );

    let first = federation.session(1);
    let second = federation.open(1);
    assert_ne!(first, second);
    assert!(federation.view().session(first).unwrap().is_none());
    assert_eq!(
        federation.events,
        [
            Change::SessionEnded {
                session: first,
                node: NodeId(1)
            },
            Change::SessionOpened {
                session: second,
                node: NodeId(1)
            }
        ]
    );
    assert_eq!(federation.view().counts().unwrap().sessions, 2);
    let open = federation.reply(Command::OpenSession { node: NodeId(9) });
    assert!(matches!(refusal(open), Refusal::NotFound { .. }));
}

#[test]
fn a_deleted_node_takes_its_session_and_bindings_along() {
    let mut federation = Federation::of(2);
    federation.provision("alice", &[]);
    federation.register("alice", 2);
    federation.done(Command::DeleteNode { id: NodeId(2) });
    assert!(matches!(
        federation.events.as_slice(),
        [
            Change::SessionEnded { .. },
            Change::Unbound {
                why: UnboundWhy::NodeDeleted,
                ..
            },
            Change::NodeDeleted { id: NodeId(2) }
        ]
    ));
    assert!(federation.live_at("alice").is_empty());
    assert!(federation.view().node_by_name("n2").unwrap().is_none());
}

#[test]
fn a_batch_is_done_whole_at_one_revision_or_not_at_all() {
    let mut federation = Federation::default();
    let fine = vec![
        put_user(user("alice", &["100"]), Expect::Absent),
        Command::PutDevice {
            device: device("alice", "alice"),
            expect: Expect::Absent,
        },
    ];
    let outcome = federation.run(Command::Batch(fine));
    let one = Reply::Done { revision: Revision(1) };
    assert_eq!(outcome.reply, Reply::Batch(vec![one.clone(), one]));
    assert_eq!(outcome.events.len(), 2);

    let before = federation.store.clone();
    let half = vec![
        put_user(user("bob", &["101"]), Expect::Any),
        put_user(user("carol", &["100"]), Expect::Any),
    ];
    let outcome = federation.run(Command::Batch(half));
    let Reply::Refused(Refusal::InBatch { index: 1, why }) = outcome.reply else {
        panic!("{:?}", outcome.reply)
    };
    assert!(matches!(*why, Refusal::NumberTaken { .. }));
    assert!(outcome.events.is_empty());
    assert_eq!(outcome.revision, Revision(1));
    assert_eq!(federation.view().user(&user_id("bob")).unwrap(), None);
    assert_eq!(
        fed_core::map::MapView::new(&before).counts().unwrap(),
        federation.view().counts().unwrap()
    );
    let nested = Command::Batch(vec![Command::Batch(vec![])]);
    assert!(matches!(refusal(federation.reply(nested)), Refusal::InBatch { .. }));
}

#[test]
fn two_sessions_do_not_share_the_revision_of_a_batch() {
    let mut federation = Federation::of(2);
    let open = |id| Command::OpenSession { node: NodeId(id) };
    let reply = federation.reply(Command::Batch(vec![open(1), open(2)]));
    assert!(matches!(refusal(reply), Refusal::InBatch { index: 1, .. }));
    assert_eq!(federation.view().session_of(NodeId(1)).unwrap(), Some(SessionId(2)));
}

#[test]
fn a_stale_contact_in_a_batch_refuses_the_batch() {
    let mut federation = Federation::of(2);
    federation.provision("alice", &[]);
    federation.register("alice", 1);
    let found = federation.bind("alice", "sip:alice@192.0.2.9", 2, false);
    let reply = refusal(federation.reply(Command::Batch(vec![found])));
    assert_eq!(
        reply.to_string(),
        "nothing of the batch was done: command 1: device alice is registered at node 1 since: drop the stale contact"
    );
}
