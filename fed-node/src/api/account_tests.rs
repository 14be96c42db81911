use fed_core::command::{Expect, Refusal};
use fed_core::ids::UserId;
use fed_core::kv::{MemStore, Overlay, WriteStore};
use fed_core::machine::Machine;
use fed_core::map::FederationMap;
use fed_core::records::{Device, DigestCredentials, User};

use super::*;

fn put_user(id: &str) -> Command {
    Command::PutUser {
        user: User::new(UserId::new(id).unwrap()),
        expect: Expect::Any,
    }
}

fn put_device(id: &str, user: &str) -> Command {
    let credentials = DigestCredentials {
        realm: "federated".to_owned(),
        md5_ha1: "0".repeat(32),
    };
    Command::PutDevice {
        device: Device::new(DeviceId::new(id).unwrap(), UserId::new(user).unwrap(), credentials),
        expect: Expect::Any,
    }
}

fn delete_user(id: &str, expect: Expect) -> Command {
    Command::DeleteUser {
        id: UserId::new(id).unwrap(),
        expect,
    }
}

fn put_setting(key: &str) -> Command {
    Command::PutSetting {
        key: key.to_owned(),
        value: "canary".into(),
        expect: Expect::Any,
    }
}

/// A map made by these commands, and its revision.
fn map(commands: Vec<Command>) -> (MemStore, Revision) {
    let mut store = MemStore::new();
    let mut revision = Revision(0);
    for command in commands {
        let mut overlay = Overlay::new(&store);
        let reply = FederationMap.apply(revision.next(), command, &mut overlay, &mut Vec::new());
        assert!(!matches!(reply.unwrap(), Reply::Refused(_)));
        let changes = overlay.into_changes();
        changes.into_iter().for_each(|change| store.change(change));
        revision = revision.next();
    }
    (store, revision)
}

/// The whole names of the notes.
fn notes(before: &Before) -> Vec<&str> {
    let Before::Notes(notes) = before else {
        panic!("{before:?}")
    };
    notes
        .iter()
        .map(|note| note.split_once(": ").expect("a head").1)
        .collect()
}

#[test]
fn every_object_of_a_large_change_is_named_once_in_notes_that_the_map_takes() {
    // Of every length that an id may have.
    let names: Vec<String> = (0..500).map(|n| format!("{n:03}{}", "u".repeat(n % 38))).collect();
    let command = Command::Batch(names.iter().map(|name| put_user(name)).collect());
    let notes = spelt(&objects(&command, &MapView::new(&MemStore::new())));
    let mut found = Vec::new();
    for (note, number) in notes.iter().zip(1..) {
        assert!(note.chars().count() <= 200, "{note}");
        let head = format!("asked for together, {number} of {}: user_put ", notes.len());
        found.extend(note.strip_prefix(&head).unwrap_or_else(|| panic!("{note}")).split(' '));
    }
    assert_eq!(found, names);
}

#[test]
fn kinds_are_told_apart_and_values_are_not_told() {
    let command = Command::Batch(vec![
        put_user("a"),
        put_user("b"),
        put_setting("x-n\n; user_put c"),
        put_user("d"),
    ]);
    assert_eq!(
        spelt(&objects(&command, &MapView::new(&MemStore::new()))),
        ["asked for together, 1 of 1: user_put a b; setting_put x-n???user_put?c; user_put d"]
    );
}

#[test]
fn with_a_deleted_user_the_devices_that_go_are_named() {
    let (store, revision) = map(vec![
        put_user("one"),
        put_device("desk", "one"),
        put_user("many"),
        put_device("home", "many"),
        put_device("mobile", "many"),
    ]);
    let commands = [delete_user("many", Expect::Any), delete_user("one", Expect::Any)];
    let found = before(&store, Some(revision), &commands);
    assert_eq!(notes(&found[0]), ["user_deleted many; device_deleted home mobile"]);
    assert_eq!(notes(&found[1]), [""; 0], "the map's own entry names them all");
}

#[test]
fn what_would_be_refused_or_change_nothing_leaves_no_notes() {
    let names: Vec<String> = (0..40).map(|n| format!("u{n}")).collect();
    let users = |from: usize| names[from..].iter().map(|name| put_user(name)).collect::<Vec<_>>();
    let mut there = users(0);
    there.extend([put_device("d1", "u1"), put_device("d2", "u1")]);
    let (store, revision) = map(there);
    let same = Command::Batch(users(0));
    let mut with_nobody = users(20);
    with_nobody.push(delete_user("nobody", Expect::Any));
    let refused = Command::Batch(with_nobody);
    let stale = delete_user("u1", Expect::Revision(Revision(1)));
    let commands = [same, refused, stale, delete_user("u1", Expect::Any)];
    let found = before(&store, Some(revision), &commands);
    let answered = |at: usize| match &found[at] {
        Before::Answered(known) => {
            assert_eq!(known.revision, revision);
            &known.reply
        }
        notes @ Before::Notes(_) => panic!("{notes:?}"),
    };
    assert!(matches!(answered(0), Reply::Batch(replies) if replies.len() == 40));
    assert!(matches!(
        answered(1),
        Reply::Refused(Refusal::InBatch { index: 20, .. })
    ));
    assert!(matches!(answered(2), Reply::Refused(Refusal::Conflict { .. })));
    assert_eq!(notes(&found[3]), ["user_deleted u1; device_deleted d1 d2"]);
    // Where it is not sure how the map is now, nothing is said to be in vain.
    let unsure = before(&store, None, &commands);
    assert!(unsure.iter().all(|before| !notes(before).is_empty()), "{unsure:?}");
    // What is tried is tried in turn, as it will be done.
    let twice = [delete_user("u1", Expect::Any), delete_user("u1", Expect::Any)];
    let found = before(&store, Some(revision), &twice);
    assert!(matches!(&found[1], Before::Answered(known) if matches!(known.reply, Reply::Refused(_))));
}

#[test]
fn a_deletion_counts_as_much_as_may_go_with_it() {
    let (store, _) = map(vec![put_user("a"), put_device("d1", "a")]);
    let delete = delete_user("a", Expect::Any);
    assert!(!may_change_more(&delete, &MapView::new(&store)));
    let (store, _) = map(vec![put_user("a"), put_device("d1", "a"), put_device("d2", "a")]);
    let view = MapView::new(&store);
    assert!(may_change_more(&delete, &view));
    assert_eq!(most_changes(&put_user("a"), &view), 1);
}

#[test]
fn a_refusal_is_one_line() {
    assert_eq!(told("user_put", "a\nb"), "refused user_put: a?b");
}
