//! The audit log of a live federation: what is in it that is no change of the map, and that nobody fills it by being refused.

use crate::support::{Federation, Insider, Node, client, until};
use fed_core::command::{Command, Expect, Reply};
use fed_core::ids::{NodeId, UserId};
use fed_core::records::User;
use fed_proto::client as pb;
use fed_raft::ProposeError;
use tokio::runtime::Runtime;

/// All entries that say this: who, and what.
fn entries(node: &Node, what: &str) -> Vec<String> {
    let log = node.json(&["audit", "list"]);
    let found = log.as_array().unwrap().iter().map(ToString::to_string);
    found.filter(|entry| entry.contains(what)).collect()
}

#[test]
fn leadership_and_members_that_somebody_changes_are_written_down() {
    let mut federation = Federation::start(3);
    let leader = until("a leader", || {
        let leads = |node: &Node| node.json(&["status"])["role"] == "leader";
        federation.nodes.iter().position(leads)
    });
    let next = (leader + 1) % 3;
    let name = federation.nodes[next].name.clone();
    federation.nodes[leader].asks(&["node", "lead", &name]).ok();
    let asked = &federation.nodes[leader];
    until("the leadership is in the log", || {
        let given = entries(asked, "leadership given to node");
        given.first().is_some_and(|entry| entry.contains("local")).then_some(())
    });
    let gone = (leader + 2) % 3;
    federation.nodes[gone].kill();
    let name = federation.nodes[gone].name.clone();
    let asked = &federation.nodes[leader];
    until("it can be taken out", || {
        (asked.asks(&["leave", &name, "--yes"]).code == 0).then_some(())
    });
    for what in ["node_deleted", "removed"] {
        assert!(!entries(asked, what).is_empty(), "{what}");
    }
    asked.asks(&["audit", "verify"]).ok();
}

/// A change that puts a user with a number.
fn put(id: &str, number: &str) -> pb::Change {
    let user = pb::User {
        id: id.to_owned(),
        numbers: vec![number.to_owned()],
        ring_timeout_s: 30,
        ..pb::User::default()
    };
    pb::Change {
        what: Some(pb::change::What::PutUser(pb::PutUserRequest {
            user: Some(user),
            expect: None,
        })),
    }
}

#[test]
fn every_object_of_a_large_change_is_named_and_what_the_map_refuses_is_told() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let token = std::fs::read_to_string(node.token("importer", &["--role", "operator"])).unwrap();
    let (id, all) = (token.split('.').nth(1).unwrap().to_owned(), true);
    let names: Vec<String> = (0..40).map(|n| format!("somebody-of-forty-{n}")).collect();
    let write = |changes: Vec<pb::Change>, all_or_nothing| {
        Runtime::new().unwrap().block_on(async {
            let mut operator = client(node, token.trim()).await;
            let asked = pb::WriteManyRequest {
                changes,
                all_or_nothing,
                ..pb::WriteManyRequest::default()
            };
            operator.write(asked).await.map(tonic::Response::into_inner)
        })
    };
    let changes = (0..).zip(&names).map(|(n, name)| put(name, &format!("4{n:03}")));
    write(changes.collect(), all).unwrap();
    let told = entries(node, "");
    let last = told
        .iter()
        .position(|entry| entry.contains("and 24 more"))
        .expect("the change itself");
    for name in &names {
        let named = |entry: &String| entry.contains(&format!("{name}\"")) || entry.contains(&format!("{name} "));
        let found = told[..=last].iter().filter(|entry| entry.contains(&id));
        assert!(found.into_iter().any(named), "{name}: {told:?}");
    }
    // A few have an entry each, and nothing is said beforehand.
    let before = told.len();
    write(vec![put("carol", "5001"), put("dave", "5002")], all).unwrap();
    assert_eq!(entries(node, "").len(), before + 1);
    // Asked for once more it changes nothing, and with somebody too much it is refused: by no number of names is anything pushed out.
    let noted = || entries(node, "asked for together").len();
    let notes = noted();
    assert!(notes > 0);
    let again = || (0..).zip(&names).map(|(n, name)| put(name, &format!("4{n:03}")));
    write(again().collect(), all).unwrap();
    let why = write(again().chain([put("erin", "5001")]).collect(), all).unwrap_err();
    assert!(why.message().contains("5001"), "{why}");
    until("the refusal is told", || {
        entries(node, "refused changes: nothing of the batch was done: command 41: 5001").pop()
    });
    assert_eq!(noted(), notes);
    // With a user go the devices, by name.
    for device in ["dave-desk", "dave-mobile"] {
        node.hears(
            &["device", "add", device, "--user", "dave", "--password-stdin"],
            "secret",
        )
        .ok();
    }
    node.asks(&["user", "remove", "dave", "--yes"]).ok();
    let named = entries(node, "user_deleted dave; device_deleted dave-desk dave-mobile");
    assert_eq!(named.len(), 1, "{named:?}");
    write(vec![put("dave", "5002")], all).unwrap();
    // Refused as a whole, and one of several.
    write(vec![put("erin", "5003"), put("frank", "5001")], all).unwrap_err();
    let results = write(vec![put("erin", "5003"), put("frank", "5002")], false)
        .unwrap()
        .results;
    assert_eq!(results.iter().filter(|result| !result.refusal.is_empty()).count(), 1);
    for what in [
        "refused changes: nothing of the batch was done: command 2: 5001",
        "refused user_put: 5002",
    ] {
        let entry = until("the refusal is told", || entries(node, what).pop());
        assert!(entry.contains(&id), "{entry}");
    }
    node.asks(&["audit", "verify"]).ok();
}

#[test]
fn a_flood_of_refusals_is_written_down_in_few_entries() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let before = entries(node, "").len();
    let tokens: Vec<String> = (0..20)
        .map(|n| std::fs::read_to_string(node.token(&format!("t{n}"), &["--role", "reader"])).unwrap())
        .collect();
    let made = entries(node, "").len() - before;
    Runtime::new().unwrap().block_on(async {
        for token in &tokens {
            let mut reader = client(node, token.trim()).await;
            for _ in 0..50 {
                let refused = reader.delete_user(pb::DeleteRequest::default()).await.unwrap_err();
                assert_eq!(refused.code(), tonic::Code::PermissionDenied, "{refused}");
            }
        }
    });
    until("some are in the log", || {
        let refused = entries(node, "refused DeleteUser").len();
        (refused >= 10).then_some(())
    });
    let all = entries(node, "").len() - before - made;
    // Ten at once, and one a minute.
    assert!(all <= 15, "{all} entries for a thousand refusals");
    node.asks(&["audit", "verify"]).ok();
}

#[test]
fn a_member_that_somebody_else_controls_changes_nothing_in_nobodys_name() {
    let federation = Federation::start_plain(1);
    let node = &federation.nodes[0];
    let insider = Insider::join(&node.peer_address());
    let put = |id: &str| Command::PutUser {
        user: User::new(UserId::new(id).unwrap()),
        expect: Expect::Any,
    };
    let why = until("it is let in", || match insider.propose(put("mallory")) {
        Err(ProposeError::Refused(why)) => Some(why),
        Ok(reply) => panic!("{reply:?}"),
        Err(_) => None,
    });
    assert!(why.contains("in nobody's name"), "{why}");
    for forged in [
        Command::DeleteNode { id: NodeId(1) },
        Command::OpenSession { node: NodeId(1) },
        insider.asked(Command::OpenSession { node: NodeId(1) }),
        insider.asked(insider.asked(put("mallory"))),
    ] {
        let refused = insider.propose(forged.clone());
        assert!(
            matches!(refused, Err(ProposeError::Refused(_))),
            "{forged:?}: {refused:?}"
        );
    }
    assert_eq!(node.asks(&["user", "show", "mallory"]).code, 4);
    // What it says somebody asked it for is written down with its name.
    let done = insider.propose(insider.asked(put("alice"))).unwrap();
    assert!(matches!(done, Reply::Done { .. }), "{done:?}");
    let entry = entries(node, "user_put alice").remove(0);
    assert!(entry.contains(&format!("\"via\":{}", insider.id())), "{entry}");
    insider.stop();
}
