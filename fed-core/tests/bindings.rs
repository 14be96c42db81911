//! Registrations: which binding stands, which gives way.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::{Federation, contact, device, device_id};
use fed_core::command::{Command, Refusal, Reply};
use fed_core::event::{Change, UnboundWhy};
use fed_core::ids::{NodeId, SessionId};

fn superseded(reply: &Reply) -> Vec<u64> {
    match reply {
        Reply::Bound { superseded, .. } => superseded.iter().map(|b| b.node.0).collect(),
        other => panic!("not bound: {other:?}"),
    }
}

fn federation_with_alice(nodes: u64, max_contacts: u8) -> Federation {
    let mut federation = Federation::of(nodes);
    federation.provision("alice", &["100"]);
    let mut alice = device("alice", "alice");
    alice.max_contacts = max_contacts;
    federation.put_device(alice);
    federation
}

#[test]
fn older_binding_is_fenced_after_a_move() {
    let mut federation = federation_with_alice(2, 1);
    federation.register("alice", 1);
    let reply = federation.register("alice", 2);
    assert_eq!(superseded(&reply), [1]);
    assert_eq!(federation.live_at("alice"), [2]);
    let [Change::Unbound { binding, why }, Change::Bound { .. }] = federation.events.as_slice() else {
        panic!("{:?}", federation.events)
    };
    assert_eq!((binding.node, *why), (NodeId(1), UnboundWhy::Superseded));
    assert!(federation.view().bindings_at(NodeId(1)).unwrap().is_empty());
    assert_eq!(federation.view().bindings_at(NodeId(2)).unwrap().len(), 1);
}

#[test]
fn a_late_unregistration_at_the_old_node_does_not_touch_the_new_binding() {
    let mut federation = federation_with_alice(2, 1);
    let uri = "sip:alice@192.0.2.7:5060";
    for node in [1, 2] {
        let bind = federation.bind("alice", uri, node, true);
        federation.done(bind);
    }
    let before = federation.view().counts().unwrap();
    let late = Command::Unbind {
        device: device_id("alice"),
        contact: contact(uri),
        node: NodeId(1),
    };
    federation.done(late);
    assert!(federation.events.is_empty());
    assert_eq!(federation.live_at("alice"), [2]);
    assert_eq!(federation.view().counts().unwrap(), before);
}

#[test]
fn one_contact_has_one_place_whatever_the_limit() {
    let mut federation = federation_with_alice(2, 5);
    let uri = "sip:alice@192.0.2.7:5060";
    let bind = federation.bind("alice", uri, 1, true);
    federation.done(bind);
    let bind = federation.bind("alice", uri, 2, true);
    assert_eq!(superseded(&federation.reply(bind)), [1]);
    assert_eq!(federation.live_at("alice"), [2]);
    let found = federation.bind("alice", uri, 1, false);
    assert!(matches!(federation.reply(found), Reply::BindingRefused { by } if by.node == NodeId(2)));
}

#[test]
fn a_refresh_that_changes_nothing_writes_nothing() {
    let mut federation = federation_with_alice(1, 1);
    federation.register("alice", 1);
    let before = federation.view().bindings_of(&device_id("alice")).unwrap();
    let Reply::Bound { revision, superseded } = federation.register("alice", 1) else {
        panic!()
    };
    assert!(superseded.is_empty() && federation.events.is_empty());
    assert_eq!(revision, before[0].modified);
    assert_eq!(federation.view().bindings_of(&device_id("alice")).unwrap(), before);
}

#[test]
fn a_refresh_keeps_the_details_it_does_not_tell() {
    let mut federation = federation_with_alice(1, 1);
    let details = |federation: &Federation, agent: Option<&str>| {
        let mut bind = federation.bind("alice", "sip:alice@192.0.2.7", 1, true);
        if let Command::Bind { user_agent, .. } = &mut bind {
            *user_agent = agent.map(str::to_owned);
        }
        bind
    };
    let told = details(&federation, Some("Phone\r\n 1.0"));
    federation.done(told);
    let silent = details(&federation, None);
    federation.done(silent);
    assert!(federation.events.is_empty());
    let stored = federation.view().bindings_of(&device_id("alice")).unwrap();
    assert_eq!(stored[0].value.user_agent.as_deref(), Some("Phone 1.0"));
    let long = details(&federation, Some(&"x".repeat(1000)));
    federation.done(long);
    let stored = federation.view().bindings_of(&device_id("alice")).unwrap();
    assert_eq!(stored[0].value.user_agent.as_ref().map(String::len), Some(255));
}

#[test]
fn a_contact_found_standing_gives_way_to_a_live_binding_elsewhere() {
    let mut federation = federation_with_alice(2, 1);
    federation.register("alice", 1);
    let found = federation.bind("alice", "sip:alice@192.0.2.9", 2, false);
    let outcome = federation.run(found);
    assert!(matches!(outcome.reply, Reply::BindingRefused { by } if by.node == NodeId(1)));
    assert!(outcome.events.is_empty());
    assert_eq!(federation.live_at("alice"), [1]);
}

#[test]
fn a_contact_found_standing_takes_a_dead_bindings_place() {
    let mut federation = federation_with_alice(2, 1);
    federation.register("alice", 1);
    federation.end(1);
    assert!(federation.live_at("alice").is_empty());
    let found = federation.bind("alice", "sip:alice@192.0.2.9", 2, false);
    assert!(superseded(&federation.reply(found)).is_empty());
    assert!(matches!(
        federation.events.first(),
        Some(Change::Unbound {
            why: UnboundWhy::Dead,
            ..
        })
    ));
    assert_eq!(federation.live_at("alice"), [2]);
}

#[test]
fn a_node_that_comes_back_makes_its_bindings_count_again_in_its_new_session() {
    let mut federation = federation_with_alice(2, 1);
    federation.register("alice", 1);
    let made = federation.view().bindings_of(&device_id("alice")).unwrap()[0].created;
    federation.end(1);
    federation.open(1);
    assert!(federation.live_at("alice").is_empty(), "not before it was seen again");
    let found = federation.bind("alice", "sip:alice@192.0.2.1:5060", 1, false);
    federation.done(found);
    assert_eq!(federation.live_at("alice"), [1]);
    assert_eq!(
        federation.view().bindings_of(&device_id("alice")).unwrap()[0].created,
        made
    );
    assert_eq!(federation.view().counts().unwrap().bindings, 1);
}

#[test]
fn a_binding_that_died_while_the_device_moved_does_not_come_back() {
    let mut federation = federation_with_alice(2, 1);
    federation.register("alice", 1);
    federation.end(1);
    federation.register("alice", 2);
    federation.open(1);
    let found = federation.bind("alice", "sip:alice@192.0.2.1:5060", 1, false);
    assert!(matches!(federation.reply(found), Reply::BindingRefused { .. }));
    assert_eq!(federation.live_at("alice"), [2]);
}

#[test]
fn a_dead_binding_revived_in_its_place_gives_way_at_the_limit() {
    let mut federation = federation_with_alice(2, 2);
    let at =
        |federation: &Federation, n: u64, seen| federation.bind("alice", &format!("sip:alice@192.0.2.{n}"), n, seen);
    let bind = at(&federation, 1, true);
    federation.done(bind);
    federation.end(1);
    federation.open(1);
    let bind = at(&federation, 2, true);
    federation.done(bind);
    let one = {
        let mut one = device("alice", "alice");
        one.max_contacts = 1;
        one
    };
    federation.put_device(one);
    let revive = at(&federation, 1, false);
    assert!(matches!(federation.reply(revive), Reply::BindingRefused { by } if by.node == NodeId(2)));
}

#[test]
fn at_the_limit_the_binding_that_changed_longest_ago_goes() {
    let mut federation = federation_with_alice(4, 3);
    for node in [1, 2, 3] {
        assert!(superseded(&federation.register("alice", node)).is_empty());
    }
    assert_eq!(superseded(&federation.register("alice", 4)), [1]);
    let mut live = federation.live_at("alice");
    live.sort_unstable();
    assert_eq!(live, [2, 3, 4]);
}

#[test]
fn dead_bindings_make_room_before_live_ones() {
    let mut federation = federation_with_alice(4, 3);
    for node in [1, 2, 3] {
        federation.register("alice", node);
    }
    federation.end(2);
    assert!(superseded(&federation.register("alice", 4)).is_empty());
    let mut live = federation.live_at("alice");
    live.sort_unstable();
    assert_eq!(live, [1, 3, 4]);
    assert_eq!(federation.view().bindings_of(&device_id("alice")).unwrap().len(), 3);
}

#[test]
fn a_lowered_limit_is_enforced_by_the_next_registration() {
    let mut federation = federation_with_alice(3, 3);
    for node in [1, 2, 3] {
        federation.register("alice", node);
    }
    federation.put_device(device("alice", "alice"));
    assert_eq!(federation.live_at("alice").len(), 3);
    let bind = federation.bind("alice", "sip:alice@192.0.2.99", 2, true);
    let mut gone = superseded(&federation.reply(bind));
    gone.sort_unstable();
    assert_eq!(gone, [1, 2, 3]);
    assert_eq!(federation.live_at("alice"), [2]);
}

#[test]
fn a_node_replaces_its_own_contact_even_when_it_only_found_the_new_one() {
    let mut federation = federation_with_alice(2, 1);
    federation.register("alice", 1);
    let found = federation.bind("alice", "sip:alice@192.0.2.50", 1, false);
    assert_eq!(superseded(&federation.reply(found)), [1]);
    assert_eq!(federation.live_at("alice"), [1]);
}

#[test]
fn a_session_that_ended_or_is_anothers_binds_nothing() {
    let mut federation = federation_with_alice(2, 1);
    let old = federation.session(1);
    federation.open(1);
    let mut bind = federation.bind("alice", "sip:alice@192.0.2.1", 1, true);
    for wrong in [old, federation.session(2), SessionId(999)] {
        if let Command::Bind { session, .. } = &mut bind {
            *session = wrong;
        }
        let reply = federation.reply(bind.clone());
        let ended = Refusal::SessionEnded {
            session: wrong,
            node: NodeId(1),
        };
        assert_eq!(reply, Reply::Refused(ended));
    }
    assert_eq!(federation.view().counts().unwrap().bindings, 0);
}

#[test]
fn an_unknown_device_is_not_bound() {
    let mut federation = Federation::of(1);
    let reply = federation.register("ghost", 1);
    assert!(matches!(reply, Reply::Refused(Refusal::NotFound { .. })), "{reply:?}");
}

#[test]
fn a_live_binding_is_not_refused_its_details_because_the_limit_was_lowered() {
    let mut federation = federation_with_alice(2, 2);
    federation.register("alice", 1);
    federation.register("alice", 2);
    federation.put_device(device("alice", "alice"));
    let mut told = federation.bind("alice", "sip:alice@192.0.2.1:5060", 1, false);
    if let Command::Bind { user_agent, .. } = &mut told {
        *user_agent = Some("Phone".to_owned());
    }
    assert!(superseded(&federation.reply(told)).is_empty());
    assert_eq!(federation.live_at("alice").len(), 2);
}
