//! The stored format, byte by byte: what is in `tests/golden` must be written the same and read for ever.
//!
//! A change of these files is a change of format: it needs a new version and a migration, not new files. To
//! write the files of a new kind, run with `FED_GOLDEN=write`.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use std::fmt::Write as _;
use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;

use common::{Federation, contact, device, device_id, node, number, user, user_id};
use fed_core::audit::{Actor, Origin, verify};
use fed_core::codec::{decode, encode};
use fed_core::command::{Command, Expect, Object, Refusal, Reply};
use fed_core::event::{Change, UnboundWhy};
use fed_core::ids::{NodeId, Revision, SessionId, TokenId};
use fed_core::kv::{MemStore, ReadStore, Table, WriteStore};
use fed_core::machine::{recomputed_state_hash, state_hash};
use fed_core::map::MapView;
use fed_core::records::{
    Binding, Device, Forwards, Node, NodeState, RingStrategy, Role, SecretHash, Technology, Token, TransportProfile,
    User,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

const TABLES: [(u8, &str); 16] = [
    (0, "ledger"),
    (1, "reply"),
    (2, "client_ordinal"),
    (3, "client_order"),
    (16, "user"),
    (17, "device"),
    (18, "bindings"),
    (19, "node"),
    (20, "session"),
    (21, "setting"),
    (22, "number"),
    (23, "devices_of_user"),
    (24, "bindings_at_node"),
    (25, "node_name"),
    (26, "session_of_node"),
    (27, "count"),
];

fn full_user() -> User {
    let to = |text| Some(number(text));
    User {
        display_name: "Alice Ä".to_owned(),
        service_class: Some("office".to_owned()),
        ring: RingStrategy::Sequential,
        ring_timeout_s: 300,
        forwards: Forwards {
            always: to("1"),
            busy: to("2"),
            no_answer: to("3"),
            offline: to("4"),
        },
        do_not_disturb: true,
        mailbox: Some("100@default".to_owned()),
        preferred_nodes: vec![NodeId(1), NodeId(u64::MAX)],
        ..user("alice", &["100", "+49.30#*"])
    }
}

fn full_device() -> Device {
    Device {
        technology: Technology::Iax2,
        codecs: vec!["opus".to_owned(), "alaw".to_owned()],
        transport: TransportProfile::WebRtc,
        max_contacts: 2,
        ..device("alice-desk", "alice")
    }
}

fn full_node() -> Node {
    Node {
        state: NodeState::Draining,
        weight: 500,
        zone: Some("berlin".to_owned()),
        ..node(2)
    }
}

fn binding(node: u64) -> Binding {
    Binding {
        device: device_id("alice-desk"),
        contact: contact(&format!("sip:alice@192.0.2.{node}:5060;transport=tcp")),
        node: NodeId(node),
        session: SessionId(5),
        user_agent: Some("Phone 1.0".to_owned()),
        path: (node == 2).then(|| "sip:edge@192.0.2.9;lr".to_owned()),
    }
}

fn token() -> Token {
    Token {
        id: TokenId::new("a1b2c3").unwrap(),
        name: "billing".to_owned(),
        role: Role::Registrar,
        secret_hash: SecretHash([7; 32]),
        expires_at_unix: 4_000_000_000,
        one_use: true,
        node: Some(NodeId(300)),
    }
}

fn put_setting() -> Command {
    Command::PutSetting {
        key: "realm".to_owned(),
        value: "federated".into(),
        expect: Expect::Revision(Revision(300)),
    }
}

/// A map with a row in every table.
fn federation() -> Federation {
    let mut federation = Federation::of(1);
    federation.done(Command::PutNode {
        node: full_node(),
        expect: Expect::Absent,
    });
    federation.open(2);
    federation.put_user(full_user());
    federation.put_device(full_device());
    for node in [1, 2] {
        let Binding {
            contact,
            user_agent,
            path,
            ..
        } = binding(node);
        let mut bind = federation.bind("alice-desk", contact.as_str(), node, true);
        if let Command::Bind {
            user_agent: agent,
            path: way,
            ..
        } = &mut bind
        {
            (*agent, *way) = (user_agent, path);
        }
        federation.done(bind);
    }
    federation.reply(put_setting());
    let realm = Command::PutSetting {
        key: "realm".to_owned(),
        value: "federated".into(),
        expect: Expect::Absent,
    };
    federation.done(realm);
    federation
}

fn commands() -> Vec<Command> {
    let device = device_id("alice-desk");
    vec![
        Command::PutUser {
            user: full_user(),
            expect: Expect::Any,
        },
        Command::DeleteUser {
            id: user_id("alice"),
            expect: Expect::Absent,
        },
        Command::PutDevice {
            device: full_device(),
            expect: Expect::Revision(Revision(7)),
        },
        Command::DeleteDevice {
            id: device.clone(),
            expect: Expect::Any,
        },
        Command::Bind {
            device: device.clone(),
            contact: binding(2).contact,
            node: NodeId(2),
            session: SessionId(5),
            basis: Some(Revision(9)),
            user_agent: binding(2).user_agent,
            path: None,
        },
        Command::Unbind {
            device,
            contact: binding(2).contact,
            node: NodeId(2),
        },
        Command::PutNode {
            node: full_node(),
            expect: Expect::Any,
        },
        Command::DeleteNode { id: NodeId(2) },
        Command::OpenSession { node: NodeId(2) },
        Command::EndSession { session: SessionId(5) },
        put_setting(),
        Command::DeleteSetting {
            key: "realm".to_owned(),
            expect: Expect::Any,
        },
        Command::Batch(vec![Command::OpenSession { node: NodeId(1) }]),
    ]
}

fn refusals() -> Vec<Refusal> {
    let (id, user) = (device_id("d"), user_id("u"));
    let objects = [
        Object::User(user.clone()),
        Object::Device(id.clone()),
        Object::Node(NodeId(3)),
        Object::Session(SessionId(4)),
        Object::Setting("k".to_owned()),
        Object::Batch,
    ];
    let mut refusals: Vec<_> = objects.into_iter().map(|object| Refusal::NotFound { object }).collect();
    let conflict = Refusal::Conflict {
        object: Object::User(user.clone()),
        expected: Expect::Revision(Revision(1)),
        actual: Some(Revision(2)),
    };
    refusals.extend([
        conflict,
        Refusal::NumberTaken {
            number: "100".to_owned(),
            user: user.clone(),
        },
        Refusal::UserMissing {
            device: id.clone(),
            user,
        },
        Refusal::SessionEnded {
            session: SessionId(4),
            node: NodeId(3),
        },
        Refusal::Invalid {
            object: Object::Batch,
            field: "f".to_owned(),
            why: "w".to_owned(),
        },
        Refusal::InUse {
            name: "n".to_owned(),
            by: Object::Node(NodeId(3)),
        },
        Refusal::BoundElsewhere {
            device: id,
            node: NodeId(3),
        },
        Refusal::InBatch {
            index: 7,
            why: Box::new(Refusal::Forgotten),
        },
        Refusal::RealmBound {
            realm: "federated".to_owned(),
            devices: 300,
        },
    ]);
    refusals
}

fn replies() -> Vec<Reply> {
    let mut replies = vec![
        Reply::Done {
            revision: Revision(300),
        },
        Reply::SessionOpened { session: SessionId(5) },
        Reply::Bound {
            revision: Revision(8),
            superseded: vec![binding(1)],
        },
        Reply::BindingRefused { by: binding(2) },
        Reply::Batch(vec![Reply::Done { revision: Revision(1) }]),
    ];
    replies.extend(refusals().into_iter().map(Reply::Refused));
    replies
}

fn events() -> Vec<Change> {
    let (user, device) = (user_id("alice"), device_id("alice-desk"));
    let mut events = vec![
        Change::UserPut { id: user.clone() },
        Change::UserDeleted { id: user },
        Change::DevicePut { id: device.clone() },
        Change::DeviceDeleted { id: device },
        Change::Bound { binding: binding(2) },
        Change::NodePut { id: NodeId(2) },
        Change::NodeDeleted { id: NodeId(2) },
        Change::SessionOpened {
            session: SessionId(5),
            node: NodeId(2),
        },
        Change::SessionEnded {
            session: SessionId(5),
            node: NodeId(2),
        },
        Change::SettingPut {
            key: "realm".to_owned(),
        },
        Change::SettingDeleted {
            key: "realm".to_owned(),
        },
    ];
    let whys = [
        UnboundWhy::Unregistered,
        UnboundWhy::Superseded,
        UnboundWhy::DeviceDeleted,
        UnboundWhy::NodeDeleted,
        UnboundWhy::Dead,
    ];
    events.extend(whys.map(|why| Change::Unbound {
        binding: binding(1),
        why,
    }));
    events
}

/// What feature level 2 added, in files of its own: those of before stay as they are.
mod level_2 {
    use super::*;

    pub(super) fn commands() -> Vec<Command> {
        let id = token().id;
        vec![
            Command::PutToken {
                token: token(),
                expect: Expect::Absent,
            },
            Command::RevokeToken { id: id.clone() },
            Command::UseToken {
                id,
                expect: Revision(300),
            },
            common::by(300, Command::OpenSession { node: NodeId(1) }),
            Command::By {
                origin: Origin {
                    who: Actor::Token(token().id),
                    via: NodeId(1),
                    at_unix: 4_000_000_000,
                },
                command: Box::new(Command::DeleteNode { id: NodeId(2) }),
            },
        ]
    }

    pub(super) fn replies() -> Vec<Reply> {
        let object = Object::Token(token().id);
        vec![Reply::Refused(Refusal::NotFound { object })]
    }

    pub(super) fn events() -> Vec<Change> {
        let id = token().id;
        vec![Change::TokenPut { id: id.clone() }, Change::TokenDeleted { id }]
    }
}

/// What feature level 3 added.
mod level_3 {
    use super::*;

    pub(super) fn commands() -> Vec<Command> {
        let text = "leadership given to node 2".to_owned();
        let note = Command::Note { text };
        vec![note.clone(), common::by(300, note)]
    }
}

fn golden(name: &str, now: &str) -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/golden/{name}.hex"));
    if std::env::var_os("FED_GOLDEN").is_some_and(|what| what == "write") && !path.exists() {
        std::fs::write(&path, now).unwrap();
    }
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

fn dump(store: &dyn ReadStore, table: u8) -> String {
    let mut lines = String::new();
    store
        .scan(Table(table), Bound::Unbounded, Bound::Unbounded, &mut |key, value| {
            writeln!(lines, "{} {}", hex(key), hex(value)).unwrap();
            ControlFlow::Continue(())
        })
        .unwrap();
    lines
}

#[test]
fn every_row_is_written_as_it_always_was() {
    let federation = federation();
    for (table, name) in TABLES {
        let now = dump(&federation.store, table);
        assert!(!now.is_empty(), "no row of {name}");
        assert_eq!(now, golden(name, &now), "table {table}, {name}");
    }
}

#[test]
fn rows_written_long_ago_are_read() {
    let mut store = MemStore::new();
    for (table, name) in TABLES {
        for line in golden(name, "").lines() {
            let (key, value) = line.split_once(' ').unwrap();
            store.put(Table(table), unhex(key), unhex(value));
        }
    }
    let federation = federation();
    let (then, now) = (MapView::new(&store), federation.view());
    assert_eq!(then.user(&user_id("alice")).unwrap().unwrap().value, full_user());
    assert_eq!(then.number(&number("100")).unwrap(), Some(user_id("alice")));
    assert_eq!(then.devices_of(&user_id("alice")).unwrap()[0].value, full_device());
    let device = device_id("alice-desk");
    assert_eq!(then.bindings_of(&device).unwrap(), now.bindings_of(&device).unwrap());
    assert_eq!(then.live_bindings_of(&device).unwrap().len(), 2);
    assert_eq!(
        then.bindings_at(NodeId(2)).unwrap(),
        now.bindings_at(NodeId(2)).unwrap()
    );
    assert_eq!(then.node_by_name("n2").unwrap().unwrap().value, full_node());
    assert_eq!(then.session_of(NodeId(2)).unwrap(), now.session_of(NodeId(2)).unwrap());
    assert_eq!(then.realm().unwrap(), "federated");
    assert_eq!(then.counts().unwrap(), now.counts().unwrap());
    assert_eq!(state_hash(&store).unwrap(), recomputed_state_hash(&store).unwrap());
    assert_eq!(state_hash(&store).unwrap(), state_hash(&federation.store).unwrap());
}

/// Log entries and replies live in stores as they are: their encoding is frozen too.
fn assert_frozen<T>(name: &str, values: &[T])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let mut now = String::new();
    for value in values {
        writeln!(now, "{}", hex(&encode(200, 1, value).unwrap())).unwrap();
    }
    let then = golden(name, &now);
    assert_eq!(now, then, "{name}");
    for (line, value) in then.lines().zip(values) {
        assert_eq!(&decode::<T>(200, 1, &unhex(line)).unwrap(), value);
    }
}

#[test]
fn tokens_and_the_audit_log_are_written_as_they_always_were() {
    let mut federation = Federation::of(2);
    federation.done(level_2::commands().remove(0));
    federation.done(level_2::commands().remove(3));
    federation.done(level_2::commands().remove(4));
    let mut store = MemStore::new();
    for (table, name) in [(28, "token"), (29, "audit"), (30, "audit_head")] {
        let now = dump(&federation.store, table);
        let then = golden(name, &now);
        assert_eq!(now, then, "table {table}, {name}");
        for line in then.lines() {
            let (key, value) = line.split_once(' ').unwrap();
            store.put(Table(table), unhex(key), unhex(value));
        }
    }
    let view = MapView::new(&store);
    assert_eq!(view.token(&token().id).unwrap().unwrap().value, token());
    let (head, entries) = (view.audit_head().unwrap(), view.audit(0, 10).unwrap());
    assert_eq!(verify(0, head.before_first, &entries), Ok((2, head.last)));
    assert_frozen("commands_2", &level_2::commands());
    assert_frozen("replies_2", &level_2::replies());
    assert_frozen("events_2", &level_2::events());
    assert_frozen("commands_3", &level_3::commands());
}

#[test]
fn commands_replies_and_events_are_written_as_they_always_were() {
    assert_frozen("commands", &commands());
    assert_frozen("replies", &replies());
    assert_frozen("events", &events());
}
