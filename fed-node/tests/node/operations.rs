//! What an administrator asks about the nodes: status in words, events, logs, checks, and what an error code means.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Federation, Node, says, until};

fn member<'a>(status: &'a serde_json::Value, name: &str) -> &'a serde_json::Value {
    let members = status["members"].as_array().unwrap();
    members.iter().find(|member| member["name"] == name).unwrap()
}

#[test]
fn status_says_in_words_who_is_up_since_when_and_what_can_be_lost() {
    let mut federation = Federation::start(3);
    let text = federation.nodes[1].asks(&["status"]).ok().out;
    let first = text.lines().next().unwrap();
    assert!(
        first.starts_with("3 of 3 nodes up, leader n") && first.ends_with(", one more can be lost"),
        "{text}"
    );
    assert!(first.contains(" for "), "since when it leads: {text}");
    federation.nodes[2].kill();
    let text = until("n3 is missed", || {
        let text = federation.nodes[1].asks(&["status"]).out;
        text.contains("2 of 3 nodes up").then_some(text)
    });
    assert!(text.contains("none more can be lost; n3 is down since "), "{text}");
}

#[test]
fn a_new_node_does_not_tell_of_the_others_as_if_they_had_come_after_it() {
    let federation = Federation::start(3);
    let last = &federation.nodes[2];
    let events = until("it tells that it started", || {
        let said = last.asks(&["events"]).ok();
        said.out.contains("n3 started").then_some(said.out)
    });
    assert!(!events.contains("n1 joined") && !events.contains("node 1 "), "{events}");
}

#[test]
fn without_a_quorum_status_says_who_is_heard_from_here_and_who_not() {
    let mut federation = Federation::start(3);
    federation.nodes[1].kill();
    federation.nodes[2].kill();
    let alone = &federation.nodes[0];
    let text = until("the loss of the quorum is noticed", || {
        let text = alone.asks(&["status"]).ok().out;
        text.starts_with("NO QUORUM at n1").then_some(text)
    });
    assert!(
        text.contains("1 of 3 voters heard from here, 2 are needed; heard: n1 (this); not heard: n2 (since "),
        "{text}"
    );
    assert!(!text.contains("nodes up"), "{text}");
    let status = alone.json(&["status"]);
    assert_eq!(member(&status, "n2")["state"], "not_heard");
    assert_eq!(
        (
            member(&status, "n2")["up"].as_bool(),
            member(&status, "n1")["up"].as_bool()
        ),
        (Some(false), Some(true))
    );

    // Both are dead: nobody says that one of them is up.
    let leave = alone.asks(&["leave", "n2", "--yes"]);
    assert!(matches!(leave.code, 5 | 6), "{leave:?}");
    assert!(
        !leave.err.contains("is up") && leave.err.contains("[FED-00"),
        "{leave:?}"
    );
}

#[test]
fn a_node_that_answers_is_not_taken_out_from_elsewhere() {
    let federation = Federation::start(2);
    let refused = federation.nodes[0].asks(&["leave", "n2", "--yes"]);
    assert_eq!(refused.code, 3, "{refused:?}");
    assert!(
        refused.err.contains("it answers") && refused.err.contains("[FED-0099]"),
        "{refused:?}"
    );
}

#[test]
fn a_node_tells_what_it_saw_happen_and_what_it_logged_from_any_node() {
    let mut federation = Federation::start(3);
    let status = federation.nodes[0].json(&["status"]);
    let leader = status["leader"].as_u64().unwrap();
    let index = status["members"]
        .as_array()
        .unwrap()
        .iter()
        .position(|m| m["id"] == leader)
        .unwrap();
    let leader = federation.nodes[index].name.clone();
    federation.nodes[index].kill();
    let mut others = federation.nodes.iter().filter(|node| node.name != leader);
    let (asked, told) = (others.next().unwrap(), others.next().unwrap());
    let of_the_other = |kind: &str| {
        let said = asked.asks(&["-o", "json", "events", "--node", &told.name]);
        let mut events = said
            .out
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        events.rfind(|event| event["event"] == kind)
    };
    let elected = until("the election is told", || {
        of_the_other("leader").filter(|event| event["subject"] != leader.as_str())
    });
    let why = elected["why"].as_str().unwrap();
    assert!(
        why.contains(&format!("{leader}, which led before, does not answer")),
        "{elected}"
    );
    let down = until("the loss is told", || of_the_other("node_down"));
    assert_eq!(down["subject"], leader.as_str());
    let followed = asked.asks(&["events", "--follow", "--count", "1"]).ok();
    assert!(followed.out.contains("started"), "{followed:?}");

    let logs = asked.asks(&["logs", "--node", &told.name, "--level", "info"]).ok();
    assert!(logs.out.contains("serving") && logs.out.contains("INFO"), "{logs:?}");
    let errors = asked.asks(&["logs", "--node", &told.name, "--level", "error"]).ok();
    assert!(!errors.out.contains("INFO"), "{errors:?}");
    assert_eq!(asked.asks(&["logs", "--level", "loud"]).code, 2);
    assert_eq!(asked.asks(&["events", "--node", "nobody"]).code, 4);
}

#[test]
fn replicas_are_compared_at_one_revision_and_a_gap_is_no_agreement() {
    let mut federation = Federation::start(3);
    federation.nodes[0].add_user("alice", "1001").ok();
    let same = federation.nodes[1].json(&["check", "replicas"]);
    assert!(same["revision"].as_u64().unwrap() > 0, "{same}");
    let nodes = same["nodes"].as_array().unwrap();
    assert!(
        nodes.len() == 3 && nodes.iter().all(|node| node["verdict"] == "same"),
        "{same}"
    );
    assert_eq!(nodes[0]["hash"], nodes[2]["hash"]);
    federation.nodes[2].kill();
    let gap = federation.nodes[1].asks(&["check", "replicas"]);
    assert_eq!(gap.code, 8, "{gap:?}");
    assert!(gap.err.contains("not compared: n3 [FED-0008]"), "{gap:?}");
}

/// Changes one byte of what a stopped node holds of a user, where it lies, past every checksum of the disk.
fn damage(data_dir: &Path, name: &str) {
    let states = std::fs::read_dir(data_dir.join("cluster/state")).unwrap();
    let state = states.map(|entry| entry.unwrap().path()).find(|path| path.is_dir());
    let state = state.unwrap();
    let options = rocksdb::Options::default();
    let columns = rocksdb::DB::list_cf(&options, &state).unwrap();
    let db = rocksdb::DB::open_cf(&options, &state, &columns).unwrap();
    let mut damaged = 0;
    for column in &columns {
        let column = db.cf_handle(column).unwrap();
        for row in db.iterator_cf(&column, rocksdb::IteratorMode::Start) {
            let (key, mut value) = row.unwrap();
            let at = value.windows(name.len()).position(|part| part == name.as_bytes());
            if let Some(at) = at {
                value[at] ^= 1;
                db.put_cf(&column, key, value).unwrap();
                damaged += 1;
            }
        }
    }
    assert!(damaged > 0, "{name} is in {}", state.display());
}

#[test]
fn a_replica_that_was_damaged_where_it_lies_is_named() {
    let mut federation = Federation::start(3);
    let add = ["user", "add", "alice", "--name", "A damaged name", "--no-device"];
    federation.nodes[0].asks(&add).ok();
    federation.hashes_agree();
    assert_eq!(federation.nodes[2].terminate().1, 0);
    damage(&federation.nodes[2].data_dir(), "A damaged name");
    federation.nodes[2].run();
    federation.settle(3);
    let found = federation.nodes[0].asks(&["check", "replicas"]);
    assert_eq!(found.code, 10, "{found:?}");
    assert!(
        found.err.contains("damaged: n3;") && found.err.contains("fed-node leave"),
        "{found:?}"
    );
    let row = |name: &str| found.out.lines().find(|line| line.contains(name)).unwrap().to_owned();
    assert!(
        row(" n3 ").contains("DAMAGED") && row(" n1 ").ends_with("same"),
        "{found:?}"
    );
    let json = federation.nodes[1].json_with_code(&["check", "replicas"], 10);
    assert_eq!(json["nodes"][2]["verdict"], "damaged", "{json}");
    let doctor = federation.nodes[0].asks(&["doctor"]);
    assert!(doctor.out.contains("replicas: "), "{doctor:?}");
}

#[test]
fn a_node_without_a_quorum_changes_nothing_says_so_and_does_not_pass_the_past_off_as_the_present() {
    let mut federation = Federation::start(3);
    let status = federation.nodes[0].json(&["status"]);
    let leads = |node: &Node| member(&status, &node.name)["id"] == status["leader"];
    let alone = federation.nodes.iter().position(|node| !leads(node)).unwrap();
    for index in (0..3).filter(|index| *index != alone) {
        federation.nodes[index].kill();
    }
    let alone = &federation.nodes[alone];
    until("the loss of the quorum is noticed", || {
        let status = alone.json(&["status"]);
        (status["quorum"] == false).then_some(())
    });
    for change in [
        &["setting", "set", "hop_limit", "7"][..],
        &["token", "create", "--role", "reader"],
        &["node", "lead", &alone.name],
    ] {
        let said = alone.asks(change);
        assert_eq!(said.code, 5, "{change:?}: {said:?}");
    }
    let nodes = alone.json(&["node", "list"]);
    assert_eq!(nodes[0]["state"], "unknown", "{nodes}");
    let gone = if alone.name == "n1" { "n2" } else { "n1" };
    let plan = alone.asks(&["plan", "leave", gone]);
    assert!(
        plan.code == 5 && plan.err.contains("fed-node status") && plan.err.contains("fed-node recover"),
        "the remedy is said: {plan:?}"
    );
    let logs = alone.asks(&["logs", "--node", gone]);
    assert!(
        logs.code == 5 && logs.err.contains(&format!("no answer from {gone}")),
        "{logs:?}"
    );
    let perf = alone.asks(&["check", "perf"]);
    assert!(
        perf.code == 10
            && perf
                .err
                .contains(&format!("did not pass: {}; not measured: ", alone.name)),
        "{perf:?}"
    );
    let replicas = alone.asks(&["check", "replicas"]);
    assert!(replicas.code == 8 && !replicas.out.contains("same"), "{replicas:?}");
}

#[test]
fn a_full_disk_behind_stdout_or_stderr_is_told_or_borne_and_never_a_panic() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let full = || std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let run = |args: &[&str], out: Stdio, err: Stdio| {
        let mut command = node.program.command();
        command
            .env("FED_DATA_DIR", node.data_dir())
            .arg(format!("--server=127.0.0.1:{}", node.client))
            .args(args);
        command.stdin(Stdio::null()).stdout(out).stderr(err).output().unwrap()
    };
    let lost = run(&["status"], full().into(), Stdio::piped());
    let text = String::from_utf8(lost.stderr).unwrap();
    assert!(
        lost.status.code() == Some(1) && text.contains("could not be written to stdout"),
        "{text}"
    );
    let unheard = run(&["user", "show", "nobody"], Stdio::piped(), full().into());
    assert_eq!(unheard.status.code(), Some(4));
    let token = run(&["token", "create", "--role", "reader"], Stdio::piped(), full().into());
    assert!(
        token.status.success() && token.stdout.starts_with(b"fed1."),
        "{token:?}"
    );
    let help = run(&["--help"], full().into(), Stdio::piped());
    assert_eq!(help.status.code(), Some(1));
}

#[test]
fn perf_measures_every_node_and_names_the_one_that_it_could_not() {
    let mut federation = Federation::start_with(3, |_, node| {
        // A busy machine must not fail the test: elections here wait longer than any disk of this world.
        node.flags.push("--raft-election-min-ms=20000".to_owned());
        node.flags.push("--raft-election-max-ms=30000".to_owned());
    });
    let measured = federation.nodes[0].json(&["check", "perf"]);
    let nodes = measured["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 3);
    for node in nodes {
        assert!(
            node["fsync"]["p99_us"].as_u64().unwrap() > 0 && node["commit"]["samples"].as_u64().unwrap() > 0,
            "{node}"
        );
        assert_eq!(
            (&node["passed"], &node["verdict"]),
            (&true.into(), &"pass".into()),
            "{node}"
        );
    }
    federation.nodes[2].kill();
    let gap = federation.nodes[0].asks(&["check", "perf"]);
    assert_eq!(gap.code, 8, "{gap:?}");
    assert!(gap.out.contains("not measured") && gap.err.contains("n3"), "{gap:?}");
}

#[test]
fn every_error_is_shown_with_a_code_that_can_be_explained() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n1");
    let federation = Federation::start(1);
    let asked = &federation.nodes[0];
    asked.add_user("alice", "1001").ok();
    for (said, code) in [
        (node.setup(&["run"]), "FED-0031"),
        (node.asks(&["status"]), "FED-0011"),
        (says(&["statsu"]), "FED-0002"),
        (says(&["status", "--server", "nowhere"]), "FED-0002"),
        (asked.asks(&["user", "show", "bob"]), "FED-0004"),
        (asked.add_user("alice", "1002"), "FED-0060"),
        (asked.add_user("bob", "1001"), "FED-0062"),
        (asked.asks(&["leave"]), "FED-0015"),
        (asked.asks(&["leave", "--yes"]), "FED-0098"),
        (asked.asks(&["where", "a;b"]), "FED-0014"),
    ] {
        assert!(said.err.contains(&format!("[{code}]")), "{code}: {said:?}");
        let explained = says(&["explain", code]).ok();
        assert!(
            explained.out.starts_with(&format!("{code}: ")) && explained.out.contains("What mends it"),
            "{explained:?}"
        );
    }
    let all = says(&["explain"]).ok();
    assert!(all.out.lines().count() > 80 && all.out.contains("FED-0080"), "{all:?}");
    assert_eq!(says(&["explain", "FED-9999"]).code, 2);
}

/// What a command prints at a terminal, which does not say how wide it is.
fn at_a_terminal(node: &Node, args: &[&str], colours: &str) -> String {
    let command = node.way(&node.program).command();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words = words.map(|word| word.to_string_lossy().into_owned());
    let line: Vec<String> = words.chain(args.iter().map(|word| (*word).to_owned())).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &line.join(" "), "/dev/null"]);
    script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script
        .env("TERM", "xterm")
        .env("NO_COLOR", colours)
        .stdin(Stdio::null());
    let said = script.output().unwrap();
    assert!(said.status.success(), "{said:?}");
    String::from_utf8(said.stdout).unwrap().replace('\r', "")
}

#[test]
fn states_have_colours_at_a_terminal_alone_and_one_without_a_width_breaks_no_table() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let piped = node.asks(&["node", "list"]).ok().out;
    assert!(!piped.contains('\u{1b}'), "{piped:?}");
    let plain = at_a_terminal(node, &["node", "list"], "1");
    assert_eq!(plain, piped, "NO_COLOR is set");
    let coloured = at_a_terminal(node, &["node", "list"], "");
    assert!(coloured.contains("\u{1b}[32mup\u{1b}[0m"), "{coloured:?}");
    assert_eq!(console::strip_ansi_codes(&coloured), piped);
    let unmarked = at_a_terminal(node, &["user", "list"], "");
    assert!(!unmarked.contains('\u{1b}'), "{unmarked:?}");
}
