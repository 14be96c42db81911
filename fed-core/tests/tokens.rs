//! Tokens and roles: what they may, and that a one-use token works once.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::{Federation, token};
use fed_core::command::{Command, Expect, Object, Refusal, Reply};
use fed_core::event::Change;
use fed_core::ids::{NodeId, TokenId};
use fed_core::machine::Machine;
use fed_core::map::FederationMap;
use fed_core::records::{Role, Token};

fn put(token: Token) -> Command {
    Command::PutToken {
        token,
        expect: Expect::Absent,
    }
}

#[test]
fn a_role_holds_what_the_ones_before_it_hold_and_a_node_only_itself() {
    use Role::{Admin, Node, Operator, Reader, Registrar};
    let ranks = [Reader, Registrar, Operator, Admin];
    for (have, role) in ranks.into_iter().enumerate() {
        for (need, least) in ranks.into_iter().enumerate() {
            assert_eq!(role.holds(least), have >= need, "{role} {least}");
        }
        assert!(!role.holds(Node) && !Node.holds(role));
        assert_eq!(Role::named(role.name()), Some(role));
    }
    assert!(Node.holds(Node));
    assert_eq!(Role::named("root"), None);
}

#[test]
fn a_one_use_token_works_once() {
    let mut federation = Federation::default();
    let made = federation.done(put(token("t1")));
    let id = TokenId::new("t1").unwrap();
    let used = Command::UseToken {
        id: id.clone(),
        expect: made,
    };
    federation.done(used.clone());
    assert_eq!(federation.events, [Change::TokenDeleted { id: id.clone() }]);
    let object = Object::Token(id);
    assert_eq!(federation.reply(used), Reply::Refused(Refusal::NotFound { object }));
    assert_eq!(federation.view().counts().unwrap().tokens, 0);
}

#[test]
fn a_token_made_anew_is_not_used_up_by_who_saw_the_old_one() {
    let mut federation = Federation::default();
    let made = federation.done(put(token("t1")));
    let id = TokenId::new("t1").unwrap();
    federation.done(Command::RevokeToken { id: id.clone() });
    federation.done(put(token("t1")));
    let late = federation.reply(Command::UseToken { id, expect: made });
    assert!(matches!(late, Reply::Refused(Refusal::Conflict { .. })), "{late:?}");
}

#[test]
fn a_token_that_may_be_shown_again_and_again_is_not_used_up() {
    let mut federation = Federation::default();
    let lasting = Token {
        one_use: false,
        ..token("t1")
    };
    let expect = federation.done(put(lasting));
    let id = TokenId::new("t1").unwrap();
    let reply = federation.reply(Command::UseToken { id, expect });
    assert!(matches!(reply, Reply::Refused(Refusal::Invalid { .. })), "{reply:?}");
}

#[test]
fn a_registrar_belongs_to_a_node() {
    let mut federation = Federation::default();
    let registrar = |node| Token {
        role: Role::Registrar,
        node,
        ..token("t1")
    };
    let reply = federation.reply(put(registrar(None)));
    assert!(matches!(reply, Reply::Refused(Refusal::Invalid { .. })), "{reply:?}");
    federation.done(put(registrar(Some(NodeId(2)))));
}

#[test]
fn a_hash_is_never_printed() {
    let shown = format!("{:?}", put(token("t1")));
    assert!(shown.contains("***") && !shown.contains("1, 1"), "{shown}");
}

#[test]
fn members_that_do_not_know_tokens_get_none() {
    let level = |command: &Command| FederationMap.level_of(command);
    assert_eq!(level(&put(token("t1"))), 2);
    assert_eq!(level(&Command::Batch(vec![put(token("t1"))])), 2);
    assert_eq!(level(&Command::Batch(Vec::new())), 1);
    assert_eq!(FederationMap.newest_level(), 3, "with the notes of the audit log");
}
