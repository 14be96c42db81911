//! A member speaks for itself: what the leader refuses when another member sends it.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::{by, contact, device_id, node, user};
use fed_core::audit::{Actor, Origin};
use fed_core::command::{Command, Expect};
use fed_core::ids::{NodeId, SessionId};
use fed_core::machine::Machine;
use fed_core::map::FederationMap;

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

#[test]
fn a_member_tells_its_own_registrations_and_opens_its_own_sessions_only() {
    let may = |command: &Command| FederationMap.may_propose(NodeId(2), command).is_ok();
    for (forged, own) in [
        (bind(3), bind(2)),
        (unbind(3), unbind(2)),
        (
            Command::OpenSession { node: NodeId(3) },
            Command::OpenSession { node: NodeId(2) },
        ),
    ] {
        assert!(may(&own) && !may(&forged), "{forged:?}");
        assert!(!may(&Command::Batch(vec![own.clone(), forged.clone()])));
        assert!(may(&by(2, own.clone())) && !may(&by(2, forged.clone())));
    }
    let why = FederationMap.may_propose(NodeId(2), &bind(3)).unwrap_err();
    assert_eq!(why, "node 2 may not tell the registrations of node 3");
}

#[test]
fn a_member_puts_nobody_elses_name_under_a_change() {
    let put = || Command::PutUser {
        user: user("alice", &[]),
        expect: Expect::Any,
    };
    let may = |who, via| {
        let origin = Origin {
            who,
            via: NodeId(via),
            at_unix: 0,
        };
        let command = Box::new(put());
        FederationMap
            .may_propose(NodeId(2), &Command::By { origin, command })
            .is_ok()
    };
    assert!(may(Actor::Local, 2) && may(Actor::Node(NodeId(2)), 2));
    assert!(!may(Actor::Local, 3) && !may(Actor::Node(NodeId(3)), 2));
}

#[test]
fn what_concerns_everybody_anybody_may_propose() {
    let put = Command::PutNode {
        node: node(3),
        expect: Expect::Any,
    };
    for command in [
        put,
        Command::DeleteNode { id: NodeId(3) },
        Command::EndSession { session: SessionId(1) },
    ] {
        assert!(FederationMap.may_propose(NodeId(2), &command).is_ok());
    }
}
