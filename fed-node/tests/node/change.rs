//! Changes that are only told (`--dry-run`), asked for, or planned, on real processes.

use crate::support::{Federation, Node, Said, until};
use serde_json::Value;

#[test]
fn who_is_named_and_is_not_there_is_warned_of_and_found_by_doctor() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let fine = node
        .asks(&[
            "user",
            "add",
            "bob",
            "--no-device",
            "--forward-busy",
            "1001",
            "--forward-always",
            "alice",
        ])
        .ok();
    assert!(!fine.err.contains("warning"), "{fine:?}");
    let loose = node
        .asks(&[
            "user",
            "set",
            "bob",
            "--forward-busy",
            "5555",
            "--service-class",
            "gold",
        ])
        .ok();
    assert!(
        loose.err.contains("--forward-busy 5555 leads nowhere") && loose.err.contains("service class gold"),
        "{loose:?}"
    );
    let back = node.asks(&["user", "set", "alice", "--forward-offline", "alice"]).ok();
    assert!(
        back.err.contains("--forward-offline alice leads back to alice"),
        "{back:?}"
    );
    let report = node.setup(&["-o", "json", "doctor"]).json();
    let mut checks = report["checks"].as_array().unwrap().iter();
    let found = checks.find(|check| check["check"] == "references").unwrap();
    assert_eq!(found["grade"], "warn", "{found}");
    let seen = found["seen"].as_str().unwrap();
    assert!(
        seen.contains("bob forwards calls when busy to 5555") && seen.contains("gold (1 user)"),
        "{seen}"
    );
}

#[test]
fn a_dry_run_tells_what_would_change_in_the_maps_terms_and_changes_nothing() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let before = node.json(&["status"])["revision"].clone();
    for (command, words) in [
        (
            vec!["user", "add", "bob", "--number", "1002", "--no-device"],
            "user bob would be made\n  numbers: 1002",
        ),
        (
            vec!["user", "set", "alice", "--number", "1003", "--mailbox", "1@x"],
            "user alice would be changed\n  numbers: 1001 -> 1003\n  mailbox: 1@x",
        ),
        (vec!["user", "remove", "alice"], "device alice would be deleted"),
        (
            vec!["device", "set", "alice", "--transport", "tcp"],
            "  transport: any -> tcp",
        ),
        (vec!["device", "remove", "alice"], "device alice would be deleted"),
        (
            vec!["setting", "set", "hop_limit", "9"],
            "setting hop_limit would be made\n  value: 9",
        ),
        (vec!["user", "set", "alice", "--name", ""], "nothing would change"),
    ] {
        let said = node.asks(&[&command[..], &["--dry-run"]].concat()).ok();
        assert!(said.out.contains(words), "{command:?}: {said:?}");
        assert!(said.err.contains("nothing was changed (--dry-run)"), "{said:?}");
    }
    let password = node
        .hears(&["device", "set", "alice", "--password-stdin", "--dry-run"], "canary\n")
        .ok();
    assert!(password.out.contains("password: *** -> *** (new)"), "{password:?}");
    let data = node.json(&["user", "remove", "alice", "--dry-run"]);
    assert_eq!(data["dry_run"], true);
    let objects: Vec<&str> = data["changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["object"].as_str().unwrap())
        .collect();
    assert!(
        objects.contains(&"user alice") && objects.contains(&"device alice"),
        "{data}"
    );
    for (command, code) in [
        (vec!["user", "remove", "nobody"], 4),
        (vec!["user", "add", "carol", "--number", "1001", "--no-device"], 3),
        (vec!["device", "remove", "nothing"], 4),
        (vec!["run"], 2),
    ] {
        let said = node.asks(&[&command[..], &["--dry-run"]].concat());
        assert_eq!(said.code, code, "as the real thing: {said:?}");
    }
    assert_eq!(node.json(&["status"])["revision"], before);

    let taken = node.setup(&["init", "--dry-run"]);
    assert_eq!(taken.code, 2, "{taken:?}");
    let other = Node::new(&node.dir, "other");
    let said = other.setup(&["init", "--dry-run"]).ok();
    assert!(
        said.out.contains("would be made") && !other.data_dir().exists(),
        "{said:?}"
    );
    for command in [&["init"][..], &["join", "TOKEN"]] {
        let told = other.setup(&[&["-o", "json"], command, &["--dry-run"]].concat()).ok();
        assert_eq!(told.json()["dry_run"], true, "{told:?}");
    }
    let file = node.dir.join("bundle.tar.gz");
    let told = node
        .setup(&["debug", "bundle", "--dry-run", "--file", file.to_str().unwrap()])
        .ok();
    assert!(
        told.out.contains("bundle.tar.gz would be made") && !file.exists(),
        "{told:?}"
    );
    let measuring = node.asks(&["check", "perf", "--dry-run"]);
    assert!(
        measuring.code == 2 && measuring.err.contains("leave --dry-run out"),
        "{measuring:?}"
    );
}

#[test]
fn preferred_nodes_are_cleared_as_numbers_are() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.asks(&[
        "user",
        "add",
        "alice",
        "--number",
        "1001",
        "--no-device",
        "--preferred-node",
        "n1",
    ])
    .ok();
    let preferred = || node.json(&["user", "show", "alice"])["preferred_nodes"].clone();
    assert_eq!(preferred().as_array().unwrap().len(), 1);
    assert!(
        node.asks(&["user", "show", "alice"])
            .ok()
            .out
            .contains("preferred nodes")
    );
    node.asks(&["user", "set", "alice", "--name", "Alice"]).ok();
    assert_eq!(preferred().as_array().unwrap().len(), 1, "what is not named stays");
    node.asks(&["user", "set", "alice", "--preferred-node", "", "--number", ""])
        .ok();
    assert_eq!(preferred().as_array().unwrap().len(), 0);
    assert_eq!(
        node.json(&["user", "show", "alice"])["numbers"]
            .as_array()
            .unwrap()
            .len(),
        0
    );
}

#[test]
fn what_cannot_be_undone_is_refused_where_nobody_can_be_asked() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let refused = node.asks(&["user", "remove", "alice"]);
    assert!(refused.code == 2 && refused.err.contains("--yes"), "{refused:?}");
    node.asks(&["user", "show", "alice"]).ok();
    node.asks(&["user", "remove", "alice", "--yes"]).ok();
    assert_eq!(node.asks(&["user", "show", "alice"]).code, 4);
    node.asks(&["user", "add", "bob", "--no-device"]).ok();
    node.asks(&["user", "remove", "bob"]).ok();
}

#[test]
fn tokens_are_only_told_in_a_dry_run_and_a_device_is_not_removed_unasked() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let told = node
        .asks(&["token", "create", "--role", "reader", "--name", "billing", "--dry-run"])
        .ok();
    assert!(
        told.out.contains("a token would be made") && told.out.contains("role: reader") && !told.out.contains("fed1."),
        "{told:?}"
    );
    assert_eq!(node.json(&["token", "list"]).as_array().unwrap().len(), 0);
    // What would be refused is refused.
    for command in [
        &["token", "create", "--role", "king"][..],
        &["token", "create", "--role", "registrar"],
        &["token", "join", "--ttl", "30d"],
    ] {
        let (told, done) = (node.asks(&[command, &["--dry-run"]].concat()), node.asks(command));
        assert!(told.code == 2 && done.code == 2, "{command:?}: {told:?} {done:?}");
    }
    let made = node.asks(&["token", "create", "--role", "reader"]).ok().out;
    let id = made.split('.').nth(1).unwrap();
    let told = node.asks(&["token", "revoke", id, "--dry-run"]).ok();
    assert!(told.out.contains(&format!("token {id} would be deleted")), "{told:?}");
    assert_eq!(node.json(&["token", "list"]).as_array().unwrap().len(), 1);
    assert_eq!(node.asks(&["token", "revoke", "0123456789ab", "--dry-run"]).code, 4);

    node.add_user("alice", "1001").ok();
    let refused = node.asks(&["device", "remove", "alice"]);
    assert!(refused.code == 2 && refused.err.contains("--yes"), "{refused:?}");
    node.asks(&["device", "show", "alice"]).ok();
    node.asks(&["device", "remove", "alice", "--yes"]).ok();
    assert_eq!(node.asks(&["device", "show", "alice"]).code, 4);
}

#[test]
fn of_two_plans_of_the_same_members_that_are_applied_at_once_one_is_refused() {
    let mut federation = Federation::start(5);
    // Two that do not vote: both could go without a loss of the quorum.
    federation.nodes[3].kill();
    federation.nodes[4].kill();
    let planned = |node: &Node, gone: &str| {
        until(&format!("{gone} can be planned out"), || {
            let plan = node.json_if_ok(&["plan", "leave", gone])?;
            Some(plan["plan"].as_str()?.to_owned())
        })
    };
    let (n1, n2) = (&federation.nodes[0], &federation.nodes[1]);
    // On a busy machine another may lead meanwhile: then both are refused, and both are planned again.
    let said = until("one of two plans of the same members is made", || {
        let plans = [planned(n1, "n4"), planned(n2, "n5")];
        let of = |plan: &str| plan.split('@').nth(1).unwrap().to_owned();
        if of(&plans[0]) != of(&plans[1]) {
            return None;
        }
        let said = std::thread::scope(|scope| {
            let applied =
                [(n1, &plans[0]), (n2, &plans[1])].map(|(node, plan)| scope.spawn(|| node.asks(&["apply", plan])));
            applied.map(|one| one.join().unwrap())
        });
        let old = |said: &Said| said.code == 3 && said.err.contains("changed since");
        (!said.iter().all(old)).then_some(said)
    });
    let mut codes = [said[0].code, said[1].code];
    codes.sort_unstable();
    assert_eq!(codes, [0, 3], "{said:?}");
    let refused = said.iter().find(|said| said.code == 3).unwrap();
    assert!(refused.err.contains("changed since"), "{refused:?}");
    // A status is what the node itself knows, which another may have changed a moment ago.
    until("four members are left", || {
        (n1.json_if_ok(&["status"])?["members"].as_array()?.len() == 4).then_some(())
    });
    // What was refused left nothing behind: the node is still in the map.
    assert_eq!(n1.json(&["node", "list"]).as_array().unwrap().len(), 4);
}

fn names(shape: &Value) -> Vec<&str> {
    shape["voters"]
        .as_array()
        .unwrap()
        .iter()
        .map(|name| name.as_str().unwrap())
        .collect()
}

#[test]
fn a_plan_is_made_as_it_was_shown_or_not_at_all() {
    // However busy the machine is: who leads is decided here alone, and nobody is taken for down who is up.
    let patient = |node: &mut Node| {
        for flag in ["election-min-ms=20000", "election-max-ms=30000", "session-ttl-ms=60000"] {
            node.flags.push(format!("--raft-{flag}"));
        }
    };
    let mut federation = Federation::start_with(4, |_, node| patient(node));
    let n1 = &federation.nodes[0];
    until("three vote, one does not, and all answer", || {
        let plan = n1.json_if_ok(&["plan", "lead", "n1"])?;
        let before = &plan["before"];
        let all_up = n1.json_if_ok(&["status"])?["members"]
            .as_array()?
            .iter()
            .all(|member| member["up"] == true);
        (names(before) == ["n1", "n2", "n3"] && before["learners"][0] == "n4" && before["up"] == 3 && all_up)
            .then_some(())
    });
    let leader_is = |node: &Node, name: &str| {
        until(&format!("{name} leads"), || {
            let status = node.json_if_ok(&["status"])?;
            let members = status["members"].as_array()?.clone();
            let leads = members.iter().find(|m| m["id"] == status["leader"])?;
            (leads["name"] == name).then_some(())
        });
    };
    n1.asks(&["node", "lead", "n2"]).ok();
    leader_is(n1, "n2");
    // A node that serves is planned out at that node only.
    let up = n1.asks(&["plan", "leave", "n3"]);
    assert!(up.code == 3 && up.err.contains("is up"), "{up:?}");

    let stale = n1.json(&["plan", "lead", "n1"])["plan"].as_str().unwrap().to_owned();
    let plan = n1.json(&["plan", "lead", "n3"]);
    assert_eq!(
        (&plan["before"]["leader"], &plan["after"]["leader"]),
        (&"n2".into(), &"n3".into())
    );
    let name = plan["plan"].as_str().unwrap();
    let told = n1.json(&["apply", name, "--dry-run"]);
    assert_eq!(
        (&told["dry_run"], &told["plan"]),
        (&true.into(), &name.into()),
        "{told}"
    );
    leader_is(n1, "n2");
    n1.asks(&["apply", name]).ok();
    leader_is(n1, "n3");
    let refused = n1.asks(&["apply", &stale]);
    assert!(refused.code == 3 && refused.err.contains("plan again"), "{refused:?}");
    assert_eq!(n1.asks(&["apply", "nonsense"]).code, 2);

    leader_is(&federation.nodes[1], "n3");
    let told = federation.nodes[1].asks(&["leave", "--dry-run"]).ok();
    assert!(
        told.out.contains("leaves the federation for good") && told.err.contains("nothing was changed"),
        "{told:?}"
    );
    let shown = federation.nodes[1].asks(&["plan", "leave"]).ok();
    assert!(
        shown.out.contains("may still be lost")
            && shown.out.contains("n4 gets a vote")
            && shown.err.contains("fed-node apply leave-"),
        "{shown:?}"
    );
    let plan = federation.nodes[1].json(&["plan", "leave"]);
    assert_eq!(
        (names(&plan["after"]), &plan["after"]["can_lose"]),
        (vec!["n1", "n3", "n4"], &1.into())
    );
    federation.nodes[1]
        .asks(&["apply", plan["plan"].as_str().unwrap()])
        .ok();
    assert_eq!(federation.nodes[1].ends(), 0);
    until("it came as planned", || {
        let plan = federation.nodes[0].json_if_ok(&["plan", "lead", "n1"])?;
        (names(&plan["before"]) == ["n1", "n3", "n4"]).then_some(())
    });
}
