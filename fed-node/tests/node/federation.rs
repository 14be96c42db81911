//! Federations of real processes, driven by the command line as an administrator would.

use std::time::{Duration, Instant};

use crate::support::{Federation, until};

#[test]
fn a_user_added_at_any_node_is_known_at_every_node() {
    let federation = Federation::start(3);
    let [n1, n2, n3] = federation.nodes.as_slice() else {
        panic!("three nodes")
    };
    n3.add_user("alice", "1001").ok();
    n2.add_user("bob", "1002").ok();
    for node in [n1, n2, n3] {
        let users = node.json(&["user", "list"]);
        let ids: Vec<_> = users
            .as_array()
            .unwrap()
            .iter()
            .map(|user| user["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["alice", "bob"]);
    }
    let shown = n1.json(&["user", "show", "alice"]);
    assert_eq!(shown["numbers"][0], "1001");
    assert_eq!(shown["devices"][0]["id"], "alice");
    assert!(
        !n1.asks(&["-o", "json", "user", "show", "alice"]).out.contains("md5"),
        "no digest is shown"
    );

    assert_eq!(n2.asks(&["where", "1001"]).ok().out, "user alice\nregistered nowhere\n");
    for node in [n1, n2, n3] {
        until("every node knows who leads and how far each is behind", || {
            let status = node.json(&["status"]);
            let members = status["members"].as_array()?.clone();
            let leaders: Vec<_> = members
                .iter()
                .filter(|m| m["role"] == "leader")
                .map(|m| m["id"].clone())
                .collect();
            let own = members.iter().find(|m| m["id"] == status["node"])?;
            assert_eq!(own["role"], status["role"], "one word for one thing: {status}");
            (leaders == [status["leader"].clone()] && members.iter().all(|m| m["lag"].is_u64())).then_some(())
        });
    }
    let route = n1.asks(&["route", "1001", "--explain"]).ok().out;
    assert!(route.contains("offline (SIP 480)") && route.contains("why:"), "{route}");
    assert!(n1.asks(&["route", "9999"]).ok().out.contains("unknown user (SIP 404)"));

    n1.asks(&["user", "set", "alice", "--name", "Alice", "--forward-offline", "1002"])
        .ok();
    assert_eq!(n3.json(&["user", "show", "alice"])["name"], "Alice");
    n2.asks(&["user", "remove", "bob", "--yes"]).ok();
    assert_eq!(n1.asks(&["user", "show", "bob"]).code, 4);
    assert_eq!(n1.asks(&["device", "show", "bob"]).code, 4, "its device went with it");

    let nodes = n2.json(&["node", "list"]);
    assert_eq!(nodes.as_array().unwrap().len(), 3);
    assert_eq!(n1.json(&["node", "show", "n3"])["name"], "n3");
    federation.hashes_agree();
}

#[test]
fn bad_input_is_refused_by_name_with_its_own_exit_code() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let held = || ["user", "device", "setting"].map(|what| node.json(&[what, "list"]));
    let before = held();
    for id in ["a&b", "a/b", "a;b", "a\nb", &"x".repeat(300)] {
        let said = node.add_user(id, "2000");
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("user id"), "{said:?}");
    }
    let taken = node.add_user("bob", "1001");
    assert_eq!(taken.code, 3, "{taken:?}");
    assert!(taken.err.contains("1001 already leads to user alice"), "{taken:?}");
    let twice = node.add_user("alice", "1003");
    assert_eq!(twice.code, 3, "{twice:?}");
    assert!(
        twice.err.starts_with("fed-node: user alice exists already")
            && twice.err.trim_end().ends_with("nothing was changed [FED-0060]"),
        "{twice:?}"
    );
    let number = node.add_user("carol", "10;01");
    assert_eq!(number.code, 2, "{number:?}");
    let missing = node.asks(&["user", "set", "nobody", "--name", "x"]);
    assert_eq!(missing.code, 4, "{missing:?}");
    assert!(missing.err.contains("user nobody does not exist"), "{missing:?}");
    let silent = node.asks(&["user", "add", "dave"]);
    assert_eq!(silent.code, 2, "{silent:?}");
    assert!(silent.err.contains("--password-stdin"), "{silent:?}");
    let several = [
        (vec!["where", ""], 2, "use 1 to 40"),
        (vec!["where", "a&b"], 2, "`a&b` names no user, device or number"),
        (vec!["where", "nobody"], 4, "nobody does not exist"),
        (vec!["node", "show", ""], 2, "names no node"),
        (vec!["node", "show", "a b"], 2, "`a b` names no node"),
        (vec!["route", "10;01"], 2, "`10;01` names no user, device or number"),
        (
            vec!["route", "1001", "--from", "nobody"],
            4,
            "device nobody does not exist",
        ),
        (vec!["user", "set", "alice"], 2, "--forward-busy"),
        (vec!["device", "set", "alice"], 2, "--password-stdin"),
        (
            vec!["device", "set", "alice", "--codec", "ulwa"],
            2,
            "no codec ulwa; did you mean ulaw?",
        ),
        (
            vec!["setting", "set", "realm", "example.org"],
            3,
            "the realm stays federated",
        ),
        (vec!["watch", "--after", "1000000"], 2, "lies ahead"),
    ];
    for (args, code, words) in several {
        for format in ["table", "json"] {
            let said = node.asks(&[&["-o", format], args.as_slice()].concat());
            assert_eq!(said.code, code, "{args:?}: {said:?}");
            assert!(
                said.err.starts_with("fed-node: ") && said.err.contains(words),
                "{args:?}: {said:?}"
            );
            assert_eq!(said.out, "", "data alone is on stdout: {args:?}");
        }
    }
    let key = node.asks(&["setting", "set", "relm", "x"]);
    assert_eq!(key.code, 2, "{key:?}");
    assert!(key.err.contains("did you mean \"realm\""), "{key:?}");
    let unknown = node.asks(&["setting", "set", "colour", "blue"]);
    assert_eq!(unknown.code, 2, "{unknown:?}");
    assert!(
        unknown.err.contains("hop_limit") && unknown.err.contains("begin with x-"),
        "{unknown:?}"
    );
    let key = node.asks(&["setting", "unset", "capability_key"]);
    assert_eq!(key.code, 2, "{key:?}");
    assert!(key.err.contains("every call between two servers is refused"), "{key:?}");
    assert_eq!(node.asks(&["setting", "get", "capability_key"]).ok().out.trim(), "***");
    assert_eq!(held(), before, "nothing was half-written");

    let nobody = crate::support::says(&["--server", "127.0.0.1:1", "status"]);
    assert_eq!(nobody.code, 5, "{nobody:?}");
    assert!(
        nobody.err.contains("127.0.0.1:1") && nobody.err.contains("fed-node run"),
        "{nobody:?}"
    );
}

#[test]
fn a_node_killed_and_started_again_has_everything_that_was_acknowledged() {
    let mut federation = Federation::start(3);
    federation.nodes[0].add_user("alice", "1001").ok();
    let leader = federation.nodes[0].json(&["status"])["leader"].as_u64().unwrap();
    let leading = federation
        .nodes
        .iter()
        .position(|node| node.json(&["status"])["node"] == leader)
        .unwrap();
    federation.nodes[leading].kill();
    let other = (leading + 1) % 3;
    let started = Instant::now();
    until("writes resume", || {
        (federation.nodes[other].add_user("bob", "1002").code == 0).then_some(())
    });
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    until("the dead node is seen as down", || {
        let status = federation.nodes[other].json(&["status"]);
        let down = status["members"]
            .as_array()?
            .iter()
            .any(|m| m["id"] == leader && m["up"] == false);
        down.then_some(())
    });
    let drift = federation.nodes[other].asks(&["drift"]);
    assert_eq!(drift.code, 8, "a node that was not compared is no agreement: {drift:?}");
    assert!(drift.err.contains("not compared: 1 of 3 nodes"), "{drift:?}");
    federation.nodes[leading].run();
    federation.settle(3);
    let users = federation.nodes[leading].json(&["user", "list"]);
    assert_eq!(users.as_array().unwrap().len(), 2);
    federation.hashes_agree();
}

#[test]
fn without_a_quorum_reads_go_on_and_writes_are_refused_in_time() {
    let mut federation = Federation::start(3);
    federation.nodes[0].add_user("alice", "1001").ok();
    federation.hashes_agree();
    federation.nodes[1].kill();
    federation.nodes[2].kill();
    let alone = &federation.nodes[0];
    until("the loss of the quorum is noticed", || {
        (alone.json(&["status"])["quorum"] == false).then_some(())
    });
    assert!(alone.asks(&["status"]).ok().out.contains("NO QUORUM"));
    let status = alone.json(&["status"]);
    assert!(
        status["leader"].is_null() && status["role"] == "voter",
        "nobody leads here: {status}"
    );
    let members = status["members"].as_array().unwrap();
    assert!(
        members.iter().all(|m| m["role"] == "voter" && m["lag"].is_null()),
        "{status}"
    );
    let ahead = alone.asks(&["watch", "--after", "1000000"]);
    assert!(ahead.code == 5 && ahead.err.contains("no quorum"), "{ahead:?}");
    let read = alone.asks(&["user", "show", "alice"]).ok();
    assert!(read.out.contains("1001") && read.err.contains("stale"), "{read:?}");
    let route = alone.asks(&["route", "1001", "--explain"]).ok();
    assert!(
        route.out.contains("stale")
            && route.out.contains("ring alice here")
            && route.out.contains("may be registered here"),
        "as a call would now: {route:?}"
    );
    let started = Instant::now();
    let refused = alone.add_user("bob", "1002");
    assert_eq!(refused.code, 5, "{refused:?}");
    let changed = alone.asks(&["user", "set", "alice", "--name", "Alice"]);
    assert_eq!(changed.code, 5, "{changed:?}");
    for said in [&refused, &changed] {
        assert!(
            said.err.contains("nothing was changed") && !said.err.contains("read"),
            "{said:?}"
        );
    }
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}

#[test]
fn a_node_stops_within_five_seconds_and_hands_over() {
    let mut federation = Federation::start(3);
    federation.nodes[1].add_user("alice", "1001").ok();
    let leader = federation.nodes[0].json(&["status"])["leader"].clone();
    // A follower first: the leader keeps a stream to it open.
    let mut order = [0, 1, 2];
    order.sort_by_key(|index| federation.nodes[*index].json(&["status"])["node"] == leader);
    for index in order {
        let (took, code) = federation.nodes[index].terminate();
        let log = federation.nodes[index].log();
        assert_eq!(code, 0, "{log}");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
    for node in &mut federation.nodes {
        node.spawn();
    }
    until("the federation is back", || {
        let said = federation.nodes[2].asks(&["-o", "json", "user", "show", "alice"]);
        (said.code == 0 && !said.err.contains("stale")).then_some(())
    });
}

#[test]
fn a_node_that_left_is_gone_for_good() {
    let mut federation = Federation::start(3);
    let left = federation.nodes[2].asks(&["leave", "--yes"]).ok();
    assert!(left.out.contains("has left"), "{left:?}");
    assert_eq!(federation.nodes[2].ends(), 0, "{}", federation.nodes[2].log());
    until("two members are left", || {
        let status = federation.nodes[0].json(&["status"]);
        (status["members"].as_array()?.len() == 2).then_some(())
    });
    assert_eq!(federation.nodes[0].json(&["node", "list"]).as_array().unwrap().len(), 2);
    let unasked = federation.nodes[1].asks(&["leave"]);
    assert_eq!(unasked.code, 2, "{unasked:?}");
    let up = federation.nodes[1].asks(&["leave", "n1", "--yes"]);
    assert_eq!(up.code, 3, "{up:?}");
    assert!(up.err.contains("is up"), "{up:?}");
}

#[test]
fn a_refused_leave_leaves_nothing_behind() {
    let mut federation = Federation::start(3);
    federation.nodes[0].kill();
    // Two of three voters are up: without n2 there would be no majority.
    let refused = until("the survivors have a leader that refuses", || {
        let answer = federation.nodes[1].asks(&["leave", "--yes"]);
        (answer.code == 3).then_some(answer)
    });
    assert!(refused.err.contains("no majority"), "{refused:?}");
    until("n2 is in the map again, and up", || {
        let nodes = federation.nodes[2].json(&["node", "list"]);
        let n2 = nodes.as_array()?.iter().find(|node| node["name"] == "n2")?;
        (n2["state"] == "up").then_some(())
    });
}

#[test]
fn what_would_be_ignored_or_never_end_is_refused() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    for ignored in [["--codec", "alaw"], ["--password-file", "nowhere"]] {
        let said = node.asks(&[&["user", "add", "alice", "--no-device"], ignored.as_slice()].concat());
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains("--no-device adds no device"), "{said:?}");
    }
    let said = node.asks(&["user", "add", "alice", "--no-device", "--preferred-node", "99"]);
    assert_eq!(said.code, 2, "{said:?}");
    let name = node.json(&["node", "list"])[0]["name"].as_str().unwrap().to_owned();
    let known = format!("no node 99 to prefer: there are {name} (id 1)");
    assert!(said.err.contains(&known), "{said:?}");
    assert_eq!(node.asks(&["user", "show", "alice"]).code, 4, "nothing was added");
    node.asks(&["user", "add", "alice", "--no-device", "--preferred-node", &name])
        .ok();
    assert_eq!(node.json(&["user", "show", "alice"])["preferred_nodes"][0], 1);
    assert_eq!(node.asks(&["user", "set", "alice", "--preferred-node", "99"]).code, 2);
    assert_eq!(node.asks(&["watch", "--count", "0"]).code, 2);
    let said = node.hears(&["user", "add", "bob", "--password-stdin"], b"caf\xe9\n");
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("the password on stdin"), "{said:?}");
}

#[test]
fn a_watch_that_ends_after_a_change_ends_with_its_revision() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let mut after = node.json(&["status"])["revision"].as_u64().unwrap();
    node.hears(&["user", "add", "carol", "--password-stdin"], b"secret\n")
        .ok();
    // What the node says of itself may come between.
    let events = until("the watch tells of carol", || {
        let seen = node.asks(&["-o", "json", "watch", "--after", &after.to_string(), "--count", "1"]);
        let events: Vec<serde_json::Value> = seen.ok().out.lines().map(|line| line.parse().unwrap()).collect();
        after = events[0]["revision"].as_u64().unwrap();
        events.iter().any(|event| event["object"] == "carol").then_some(events)
    });
    assert_eq!(events.len(), 2, "user and device are one revision: {events:?}");
    assert!(events.iter().all(|event| event["revision"] == after), "{events:?}");
}

#[test]
fn what_answers_there_but_is_no_client_api_is_said_with_the_remedy() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    for (port, code) in [(node.peer, 2), (node.redirect, 5), (node.agi, 5)] {
        for command in [&["status"][..], &["user", "list"], &["drift"]] {
            let (server, authority) = (format!("127.0.0.1:{port}"), node.authority());
            let known = ["--server", &server, "--ca", authority.to_str().unwrap()];
            let said = crate::support::says(&[&known, command].concat());
            assert_eq!(said.code, code, "{command:?} at {port}: {said:?}");
            assert!(said.err.contains("client.listen"), "{command:?} at {port}: {said:?}");
        }
    }
}
