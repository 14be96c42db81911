//! Random commands over a handful of names, so that they meet.

use fed_core::command::{Command, Expect};
use fed_core::ids::{ContactUri, DeviceId, NodeId, Number, Revision, SessionId, TokenId, UserId};
use fed_core::records::{Device, Forwards, Node, RingStrategy, Role, Token, User};
use proptest::collection::vec;
use proptest::option::of;
use proptest::prelude::*;

use crate::common;

/// Stands for the open session of the node concerned, which a generator cannot know.
pub(crate) const CURRENT: SessionId = SessionId(u64::MAX);

/// A request, or an earlier one once more.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    New { client: u128, command: Box<Command> },
    Retry { back: usize },
}

pub(crate) fn steps(most: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        9 => (1u128..4, command()).prop_map(|(client, command)| Step::New { client, command: Box::new(command) }),
        1 => (0usize..20).prop_map(|back| Step::Retry { back }),
    ];
    vec(step, 0..most)
}

fn command() -> impl Strategy<Value = Command> {
    let plain = prop_oneof![9 => single(), 1 => vec(single(), 0..4).prop_map(Command::Batch)];
    let plain =
        (plain, any::<bool>()).prop_map(|(command, named)| if named { common::by(1, command) } else { command });
    let note = any::<bool>().prop_map(|named| {
        let text = "something happened".to_owned();
        let note = Command::Note { text };
        if named { common::by(1, note) } else { note }
    });
    prop_oneof![30 => plain, 1 => note]
}

fn single() -> impl Strategy<Value = Command> {
    prop_oneof![
        3 => (user(), expect()).prop_map(|(user, expect)| Command::PutUser { user, expect }),
        1 => (user_id(), expect()).prop_map(|(id, expect)| Command::DeleteUser { id, expect }),
        3 => (device(), expect()).prop_map(|(device, expect)| Command::PutDevice { device, expect }),
        1 => (device_id(), expect()).prop_map(|(id, expect)| Command::DeleteDevice { id, expect }),
        12 => bind(),
        3 => (device_id(), contact(), node_id())
            .prop_map(|(device, contact, node)| Command::Unbind { device, contact, node }),
        1 => (node(), expect()).prop_map(|(node, expect)| Command::PutNode { node, expect }),
        1 => node_id().prop_map(|id| Command::DeleteNode { id }),
        2 => node_id().prop_map(|node| Command::OpenSession { node }),
        1 => (1u64..60).prop_map(|session| Command::EndSession { session: SessionId(session) }),
        1 => (setting_key(), setting_value(), expect())
            .prop_map(|(key, value, expect)| Command::PutSetting { key, value: value.into(), expect }),
        1 => (setting_key(), expect())
            .prop_map(|(key, expect)| Command::DeleteSetting { key, expect }),
        2 => (token(), expect()).prop_map(|(token, expect)| Command::PutToken { token, expect }),
        1 => token_id().prop_map(|id| Command::RevokeToken { id }),
        2 => (token_id(), 1u64..40).prop_map(|(id, at)| Command::UseToken { id, expect: Revision(at) }),
    ]
}

/// Everything exists and all nodes are up: where most sequences should begin.
pub(crate) fn provisioned() -> Vec<Command> {
    let mut commands = Vec::new();
    for n in 0..3u8 {
        let id = u64::from(n) + 1;
        commands.push(Command::PutNode {
            node: common::node(id),
            expect: Expect::Any,
        });
        commands.push(Command::OpenSession { node: NodeId(id) });
        let name = format!("u{n}");
        commands.push(Command::PutUser {
            user: common::user(&name, &[]),
            expect: Expect::Any,
        });
        let device = Device {
            max_contacts: n + 1,
            ..common::device(&format!("d{n}"), &name)
        };
        commands.push(Command::PutDevice {
            device,
            expect: Expect::Any,
        });
    }
    commands
}

fn bind() -> impl Strategy<Value = Command> {
    let session = prop_oneof![9 => Just(CURRENT), 1 => (1u64..60).prop_map(SessionId)];
    let basis = prop_oneof![3 => Just(Some(Revision(1))), 2 => Just(None)];
    (device_id(), contact(), node_id(), session, basis, of("[ab]"), of("[p]")).prop_map(
        |(device, contact, node, session, basis, user_agent, path)| Command::Bind {
            device,
            contact,
            node,
            session,
            basis,
            user_agent,
            path,
        },
    )
}

fn user() -> impl Strategy<Value = User> {
    (user_id(), "[ab\"]?", vec(number(), 0..3), any::<bool>(), 0u16..302).prop_map(
        |(id, display_name, numbers, sequential, ring_timeout_s)| User {
            display_name,
            numbers,
            ring: if sequential {
                RingStrategy::Sequential
            } else {
                RingStrategy::All
            },
            ring_timeout_s,
            forwards: Forwards::default(),
            ..User::new(id)
        },
    )
}

fn device() -> impl Strategy<Value = Device> {
    (device_id(), user_id(), 0u8..5).prop_map(|(id, user, max_contacts)| Device {
        max_contacts,
        ..common::device(id.as_str(), user.as_str())
    })
}

fn node() -> impl Strategy<Value = Node> {
    (1u64..5, prop::sample::select(vec!["n1", "n2", "n3", "x"]), 0u16..2).prop_map(|(id, name, weight)| Node {
        name: name.to_owned(),
        weight,
        ..common::node(id)
    })
}

fn token() -> impl Strategy<Value = Token> {
    let role = prop::sample::select(Role::ALL.to_vec());
    (token_id(), role, any::<bool>(), of(node_id())).prop_map(|(id, role, one_use, node)| Token {
        role,
        one_use,
        node,
        ..common::token(id.as_str())
    })
}

fn token_id() -> impl Strategy<Value = TokenId> {
    (0u8..3).prop_map(|n| TokenId::new(format!("t{n}")).unwrap())
}

fn expect() -> impl Strategy<Value = Expect> {
    prop_oneof![
        6 => Just(Expect::Any),
        1 => Just(Expect::Absent),
        1 => (1u64..40).prop_map(|revision| Expect::Revision(Revision(revision))),
    ]
}

fn user_id() -> impl Strategy<Value = UserId> {
    (0u8..4).prop_map(|n| UserId::new(format!("u{n}")).unwrap())
}

fn device_id() -> impl Strategy<Value = DeviceId> {
    prop::sample::select(vec!["d0", "d1", "d2", "d3", "u1"]).prop_map(|name| DeviceId::new(name).unwrap())
}

fn number() -> impl Strategy<Value = Number> {
    prop::sample::select(vec!["1", "2", "3", "u0", "u1", "d0", "d1"]).prop_map(|name| Number::new(name).unwrap())
}

fn contact() -> impl Strategy<Value = ContactUri> {
    (1u8..6).prop_map(|n| ContactUri::new(format!("sip:c@h:{n}")).unwrap())
}

fn node_id() -> impl Strategy<Value = NodeId> {
    (1u64..4).prop_map(NodeId)
}

fn setting_key() -> impl Strategy<Value = String> {
    prop_oneof![2 => (0u8..3).prop_map(|n| format!("k{n}")), 1 => Just("realm".to_owned())]
}

/// Fine for any key; the realm's default is among them.
fn setting_value() -> impl Strategy<Value = String> {
    prop_oneof![3 => "[a-z]{1,2}", 1 => Just("federated".to_owned())]
}
