//! A member speaks for itself: what the leader takes from another member, and what it refuses.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::{Federation, by, contact, device, device_id, node, token, user, user_id};
use fed_core::audit::{Actor, Origin};
use fed_core::command::{Command, Expect};
use fed_core::ids::{ContactUri, NodeId, Number, Revision, SessionId, TokenId};
use fed_core::machine::Machine;
use fed_core::map::FederationMap;
use fed_core::records::setting;

/// The member that proposes, and another one.
const OWN: u64 = 2;
const OTHER: u64 = 3;

fn bind(node: u64) -> Command {
    Command::Bind {
        device: device_id("alice"),
        contact: contact("sip:alice@192.0.2.1"),
        node: NodeId(node),
        session: SessionId(1),
        basis: None,
        user_agent: None,
        path: None,
    }
}

fn unbind(node: u64) -> Command {
    Command::Unbind {
        device: device_id("alice"),
        contact: contact("sip:alice@192.0.2.1"),
        node: NodeId(node),
    }
}

fn put_node(id: u64) -> Command {
    Command::PutNode {
        node: node(id),
        expect: Expect::Any,
    }
}

fn put_setting(key: &str, expect: Expect) -> Command {
    Command::PutSetting {
        key: key.to_owned(),
        value: "x".into(),
        expect,
    }
}

fn named(who: Actor, via: u64, command: Command) -> Command {
    Command::By {
        origin: Origin {
            who,
            via: NodeId(via),
            at_unix: 0,
        },
        command: Box::new(command),
    }
}

/// The leader of three nodes, each with a session.
struct Leader(Federation);

impl Leader {
    fn new() -> Self {
        Self(Federation::of(3))
    }

    fn at_level(&self, level: u32, command: &Command) -> Result<(), String> {
        FederationMap.may_propose(NodeId(OWN), level, &self.0.store, command)
    }

    fn takes(&self, command: &Command) -> bool {
        self.at_level(2, command).is_ok()
    }
}

/// Each command with whether the member may propose it: bare, in its own name, in that of somebody who asked it.
fn table(leader: &Leader) -> Vec<(Command, [bool; 3])> {
    const NEVER: [bool; 3] = [false; 3];
    const ALWAYS: [bool; 3] = [true; 3];
    const ASKED: [bool; 3] = [false, false, true];
    let end = |node| Command::EndSession {
        session: leader.0.session(node),
    };
    let open = |node| Command::OpenSession { node: NodeId(node) };
    let expect = Expect::Any;
    vec![
        (bind(OWN), ALWAYS),
        (bind(OTHER), NEVER),
        (unbind(OWN), ALWAYS),
        (unbind(OTHER), NEVER),
        (open(OWN), ALWAYS),
        (open(OTHER), NEVER),
        (end(OWN), ALWAYS),
        (end(OTHER), NEVER),
        (
            Command::EndSession {
                session: SessionId(9_999),
            },
            ALWAYS,
        ),
        (put_node(OWN), ALWAYS),
        // Put back when its removal was refused.
        (put_node(OTHER), ASKED),
        (Command::DeleteNode { id: NodeId(OWN) }, ASKED),
        (Command::DeleteNode { id: NodeId(OTHER) }, ASKED),
        (
            Command::PutUser {
                user: user("alice", &["1001"]),
                expect,
            },
            ASKED,
        ),
        (
            Command::DeleteUser {
                id: user_id("alice"),
                expect,
            },
            ASKED,
        ),
        (
            Command::PutDevice {
                device: device("alice", "alice"),
                expect,
            },
            ASKED,
        ),
        (
            Command::DeleteDevice {
                id: device_id("alice"),
                expect,
            },
            ASKED,
        ),
        // A founder sets them once.
        (put_setting(setting::REALM, Expect::Absent), [false, true, true]),
        (
            put_setting(setting::CAPABILITY_KEY, Expect::Absent),
            [false, true, true],
        ),
        (put_setting(setting::REALM, expect), ASKED),
        (put_setting(setting::CAPABILITY_KEY, expect), ASKED),
        (put_setting("x-note", Expect::Absent), ASKED),
        (put_setting(setting::SEAL_KEY, Expect::Absent), NEVER),
        (
            Command::DeleteSetting {
                key: "x-note".to_owned(),
                expect,
            },
            ASKED,
        ),
        (
            Command::DeleteSetting {
                key: setting::SEAL_KEY.to_owned(),
                expect,
            },
            NEVER,
        ),
        (
            Command::PutToken {
                token: token("t1"),
                expect,
            },
            ASKED,
        ),
        (
            Command::RevokeToken {
                id: TokenId::new("t1").unwrap(),
            },
            ASKED,
        ),
        // The leader uses them up.
        (
            Command::UseToken {
                id: TokenId::new("t1").unwrap(),
                expect: Revision(1),
            },
            NEVER,
        ),
        (Command::Note { text: "x".to_owned() }, ASKED),
        (by(OWN, bind(OWN)), [true, false, false]),
    ]
}

#[test]
fn each_command_is_taken_of_a_member_or_refused() {
    let leader = Leader::new();
    for (command, [bare, own, asked]) in table(&leader) {
        let token = Actor::Token(TokenId::new("t1").unwrap());
        assert_eq!(leader.takes(&command), bare, "bare: {command:?}");
        let itself = named(Actor::Node(NodeId(OWN)), OWN, command.clone());
        assert_eq!(leader.takes(&itself), own, "in its own name: {command:?}");
        for who in [Actor::Local, token.clone(), Actor::Anyone] {
            let somebody = named(who.clone(), OWN, command.clone());
            assert_eq!(leader.takes(&somebody), asked, "asked by {who}: {command:?}");
            // In somebody's name at another node: never.
            assert!(!leader.takes(&named(who, OTHER, command.clone())), "{command:?}");
        }
        let other = named(Actor::Node(NodeId(OTHER)), OWN, command.clone());
        assert!(!leader.takes(&other), "in another's name: {command:?}");
        // A batch is as good as the worst in it.
        if !matches!(command, Command::By { .. }) {
            let batch = Command::Batch(vec![bind(OWN), command.clone()]);
            assert_eq!(leader.takes(&batch), bare, "{command:?}");
            let batch = named(Actor::Local, OWN, batch);
            assert_eq!(leader.takes(&batch), asked, "{command:?}");
        }
    }
}

#[test]
fn members_of_before_the_audit_log_name_nobody() {
    let leader = Leader::new();
    for (command, [bare, _, asked]) in table(&leader) {
        let taken = leader.at_level(1, &command).is_ok();
        assert_eq!(taken, bare || asked, "{command:?}");
    }
}

#[test]
fn what_the_edge_refuses_does_not_come_in_beside_it() {
    let leader = Leader::new();
    let mut forged = bind(OWN);
    let evil: ContactUri = serde_json::from_str("\"sip:x&Local/900@out\"").unwrap();
    if let Command::Bind { contact, .. } = &mut forged {
        contact.clone_from(&evil);
    }
    let why = leader.at_level(2, &forged).unwrap_err();
    assert!(why.contains("contact"), "{why}");
    // What was taken once can be taken away.
    let gone = Command::Unbind {
        device: device_id("alice"),
        contact: evil,
        node: NodeId(OWN),
    };
    assert!(leader.takes(&gone));
    let pattern: Number = serde_json::from_str("\"_X.\"").unwrap();
    let mut numbered = user("alice", &[]);
    numbered.numbers.push(pattern.clone());
    let mut forwarded = user("alice", &[]);
    forwarded.forwards.always = Some(pattern);
    for user in [numbered, forwarded] {
        let expect = Expect::Any;
        let put = named(Actor::Local, OWN, Command::PutUser { user, expect });
        assert!(leader.at_level(2, &put).unwrap_err().contains("number"));
    }
    let expect = Expect::Any;
    let mut turned = user("alice", &[]);
    turned.display_name = "Bank\u{202e}1001".to_owned();
    let mut token = token("t1");
    token.name.clone_from(&turned.display_name);
    for (put, field) in [
        (Command::PutUser { user: turned, expect }, "display_name of user alice"),
        (Command::PutToken { token, expect }, "name of token t1"),
    ] {
        let why = leader.at_level(2, &named(Actor::Local, OWN, put)).unwrap_err();
        assert!(why.contains(field), "{why}");
    }
}

#[test]
fn a_refusal_says_who_may_not_do_what() {
    let leader = Leader::new();
    let why = leader.at_level(2, &bind(OTHER)).unwrap_err();
    assert_eq!(why, "node 2 may not tell the registrations of node 3");
    let bare = Command::DeleteNode { id: NodeId(OTHER) };
    let why = leader.at_level(2, &bare).unwrap_err();
    assert_eq!(why, "node 2 may not propose the deletion of a node in nobody's name");
}
