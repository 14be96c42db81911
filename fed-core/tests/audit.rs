//! The audit log: what is in it, and that nobody changes it unseen.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

mod common;

use common::{Federation, by, device, token, user};
use fed_core::audit::{Actor, Broken, Entry, Hash, MOST_ENTRIES, verify};
use fed_core::command::{Command, Expect, Refusal, Reply};
use fed_core::ids::{NodeId, Revision, TokenId};
use fed_core::machine::revision;

fn put_user(id: &str) -> Command {
    Command::PutUser {
        user: user(id, &[]),
        expect: Expect::Any,
    }
}

fn named(federation: &mut Federation, id: &str) -> Revision {
    federation.done(by(7, put_user(id)))
}

fn entries(federation: &Federation) -> Vec<Entry> {
    federation.view().audit(0, usize::MAX).unwrap()
}

#[test]
fn a_change_in_somebodys_name_is_written_down_with_its_revision() {
    let mut federation = Federation::default();
    federation.put_user(user("nobody", &[]));
    let at = named(&mut federation, "alice");
    let entry = entries(&federation).remove(0);
    assert_eq!((entry.sequence, entry.revision), (1, at));
    assert_eq!(entry.what, ["user_put alice"]);
    let origin = entry.origin;
    assert_eq!(
        (origin.who, origin.via, origin.at_unix),
        (Actor::Local, NodeId(7), 1_000)
    );
}

#[test]
fn what_is_refused_or_changes_nothing_leaves_no_entry() {
    let mut federation = Federation::default();
    named(&mut federation, "alice");
    let before = (revision(&federation.store).unwrap(), entries(&federation));
    federation.done(by(1, put_user("alice")));
    let taken = Command::PutUser {
        user: user("alice", &[]),
        expect: Expect::Absent,
    };
    assert!(matches!(federation.reply(by(1, taken)), Reply::Refused(_)));
    assert_eq!((revision(&federation.store).unwrap(), entries(&federation)), before);
}

#[test]
fn the_log_names_what_changed_and_never_what_it_is_now() {
    let mut federation = Federation::default();
    let setting = Command::PutSetting {
        key: "note".to_owned(),
        value: "canary".into(),
        expect: Expect::Any,
    };
    let mut alice = device("alice", "alice");
    alice.credentials.md5_ha1 = "c".repeat(32);
    let device = Command::PutDevice {
        device: alice,
        expect: Expect::Any,
    };
    let token = Command::PutToken {
        token: token("t1"),
        expect: Expect::Any,
    };
    federation.done(by(1, Command::Batch(vec![put_user("alice"), device, setting, token])));
    let entry = entries(&federation).remove(0);
    let what = ["user_put alice", "device_put alice", "setting_put note", "token_put t1"];
    assert_eq!(entry.what, what);
    let shown = format!("{entry:?}");
    assert!(!shown.contains("canary") && !shown.contains("cccc"), "{shown}");
}

#[test]
fn what_is_no_change_of_the_map_is_noted_in_somebodys_name() {
    let mut federation = Federation::default();
    let note = |text: &str| Command::Note { text: text.to_owned() };
    let at = federation.done(by(7, note("leadership given to node 2")));
    assert!(federation.events.is_empty());
    let entry = entries(&federation).remove(0);
    assert_eq!(
        (entry.revision, &entry.what[..]),
        (at, &["leadership given to node 2".to_owned()][..])
    );
    let head = federation.view().audit_head().unwrap();
    assert_eq!(verify(0, head.before_first, &entries(&federation)), Ok((1, head.last)));
    let long = "x".repeat(201);
    for refused in [
        note("in nobody's name"),
        by(7, Command::Batch(vec![note("in a batch")])),
        by(7, note("")),
        by(7, note("two\nlines")),
        by(7, note(&long)),
    ] {
        let reply = federation.reply(refused);
        assert!(matches!(reply, Reply::Refused(_)), "{reply:?}");
    }
    assert_eq!(entries(&federation).len(), 1);
}

#[test]
fn a_long_batch_is_named_in_short() {
    let mut federation = Federation::default();
    let users = (0..20).map(|n| put_user(&format!("u{n}"))).collect();
    federation.done(by(1, Command::Batch(users)));
    let what = entries(&federation).remove(0).what;
    assert_eq!((what.len(), what.last().unwrap().as_str()), (17, "and 4 more"));
}

#[test]
fn a_changed_a_missing_and_an_added_entry_are_found() {
    let mut federation = Federation::default();
    for n in 0..5 {
        named(&mut federation, &format!("u{n}"));
    }
    let (good, head) = (entries(&federation), federation.view().audit_head().unwrap());
    let check = |entries: &[Entry]| verify(0, head.before_first, entries);
    assert_eq!(check(&good), Ok((5, head.last)));

    type Change = fn(&mut Entry);
    let changes: [Change; 6] = [
        |entry| entry.revision.0 += 1,
        |entry| entry.origin.who = Actor::Token(TokenId::new("t").unwrap()),
        |entry| entry.origin.via.0 += 1,
        |entry| entry.origin.at_unix += 1,
        |entry| entry.what[0].push('x'),
        |entry| entry.hash = Hash([1; 32]),
    ];
    for change in changes {
        let mut entries = good.clone();
        change(&mut entries[2]);
        assert_eq!(check(&entries), Err(Broken::Changed(3)));
    }
    let mut entries = good.clone();
    entries.remove(2);
    assert_eq!(check(&entries), Err(Broken::Missing(3)));
    let mut entries = good.clone();
    entries.insert(2, good[2].clone());
    assert_eq!(check(&entries), Err(Broken::Missing(4)));
    // Without its end the chain holds, but it is not the one of the head.
    assert_ne!(check(&good[..4]), Ok((5, head.last)));
    // Made anew from the third on, it does not lead to the hash that somebody noted.
    let mut other = Federation::default();
    for id in ["u0", "u1", "mallory", "u3", "u4"] {
        named(&mut other, id);
    }
    assert_ne!(other.view().audit_head().unwrap().last, head.last);
}

#[test]
fn the_oldest_entries_go_and_the_chain_of_the_others_still_holds() {
    let mut federation = Federation::default();
    for n in 0..MOST_ENTRIES + 3 {
        named(&mut federation, if n % 2 == 0 { "alice" } else { "bob" });
        federation.done(Command::DeleteUser {
            id: common::user_id(if n % 2 == 0 { "alice" } else { "bob" }),
            expect: Expect::Any,
        });
    }
    let (head, kept) = (federation.view().audit_head().unwrap(), entries(&federation));
    assert_eq!((head.first, kept.len() as u64), (4, MOST_ENTRIES));
    assert_eq!(
        verify(head.first - 1, head.before_first, &kept),
        Ok((head.next - 1, head.last))
    );
}

#[test]
fn a_change_has_one_origin_and_a_batch_none_inside() {
    let mut federation = Federation::default();
    for command in [by(1, by(2, put_user("a"))), Command::Batch(vec![by(1, put_user("a"))])] {
        let reply = federation.reply(command);
        assert!(
            matches!(reply, Reply::Refused(Refusal::Invalid { .. } | Refusal::InBatch { .. })),
            "{reply:?}"
        );
    }
}
