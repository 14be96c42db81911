//! `user import` and `user export` against a running federation.

use std::fmt::Write;
use std::time::{Duration, Instant};

use crate::support::{Federation, until};

fn csv(users: usize) -> String {
    let mut text = "user,name,numbers,device,password\n".to_owned();
    for n in 0..users {
        writeln!(text, "u{n:04},User {n},{},u{n:04},password-{n}", 10_000 + n).unwrap();
    }
    text
}

#[test]
fn a_thousand_users_are_imported_once_and_exported_to_the_same() {
    let federation = Federation::start(3);
    let node = &federation.nodes[2];
    let file = node.dir.join("users.csv");
    std::fs::write(&file, csv(1_000)).unwrap();
    let path = file.to_str().unwrap();

    let dry = node.json(&["user", "import", path, "--dry-run"]);
    assert_eq!(
        (dry["added"].as_u64(), dry["dry_run"].as_bool()),
        (Some(2_000), Some(true))
    );
    assert!(
        node.json(&["user", "list"]).as_array().unwrap().is_empty(),
        "a dry run writes nothing"
    );

    let started = Instant::now();
    let first = node.asks(&["-o", "json", "user", "import", path]).ok();
    assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    assert!(
        !first.err.contains('%') && !first.err.contains("left"),
        "no progress bar without a terminal: {first:?}"
    );
    assert_eq!(first.json()["added"], 2_000);

    let again = node.json(&["user", "import", path]);
    assert_eq!(
        (
            again["added"].as_u64(),
            again["changed"].as_u64(),
            again["unchanged"].as_u64()
        ),
        (Some(0), Some(0), Some(2_000))
    );

    let exported = federation.nodes[0].asks(&["user", "export"]).ok().out;
    assert!(!exported.contains("password-7"));
    let copy = node.dir.join("copy.csv");
    std::fs::write(&copy, &exported).unwrap();
    let same = node.json(&["user", "import", copy.to_str().unwrap()]);
    assert_eq!(same["unchanged"], 2_000);
    assert_eq!(federation.nodes[1].asks(&["user", "export"]).ok().out, exported);
    let data = node.json(&["user", "export"]);
    let rows = data.as_array().unwrap();
    assert_eq!(rows.len(), exported.lines().count() - 1, "the columns are the names");
    assert!(rows[0]["md5_ha1"].as_str().unwrap().len() == 32 && rows[0].get("password").is_none());
}

#[test]
fn on_a_terminal_a_bar_shows_how_far_the_import_is() {
    const CHANGES: u64 = 2_000;
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let file = node.dir.join("users.csv");
    std::fs::write(&file, csv(1_000)).unwrap();
    let way = node.way(&node.program);
    let said = way.asks_on_a_terminal(&["user", "import", file.to_str().unwrap()]).ok();
    let counts: Vec<u64> = said
        .out
        .split(&format!("/{CHANGES} written"))
        .filter_map(|before| before.rsplit(' ').next()?.parse().ok())
        .collect();
    assert!(
        counts.is_sorted() && counts.iter().any(|count| (1..CHANGES).contains(count)),
        "it grows: {counts:?}, {said:?}"
    );
    assert_eq!(counts.last(), Some(&CHANGES), "it ends with all of them: {said:?}");
    assert!(said.out.contains('█') && said.out.contains(" left"), "{said:?}");
}

#[test]
fn a_file_with_wrong_lines_changes_nothing() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let file = node.dir.join("users.csv");
    let text = format!("{}bad;id,,,,\nu0001,Other,,,\nu9999,,10003,,\n", csv(10));
    std::fs::write(&file, text).unwrap();
    let said = node.asks(&["user", "import", file.to_str().unwrap()]);
    assert_eq!(said.code, 2, "{said:?}");
    for line in [
        "users.csv:12: ",
        "users.csv:13: ",
        "users.csv:14: ",
        "3 lines are wrong; nothing was changed",
    ] {
        assert!(said.err.contains(line), "{line}: {said:?}");
    }
    assert!(node.json(&["user", "list"]).as_array().unwrap().is_empty());
}

#[test]
fn with_keep_going_the_right_users_are_imported_and_the_wrong_lines_are_kept_in_a_file() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("carol", "10003").ok();
    let (file, errors) = (node.dir.join("users.csv"), node.dir.join("errors.csv"));
    // u0003 has carol's number; u0005 has a wrong further device; bad;id is nobody.
    let text = format!("{}bad;id,,,,\nu0005,,,bad;device,x\n", csv(10));
    std::fs::write(&file, text).unwrap();
    let (path, kept) = (file.to_str().unwrap(), errors.to_str().unwrap());
    let stopped = node.asks(&["user", "import", path, "--errors", kept]);
    assert_eq!(stopped.code, 2, "{stopped:?}");
    assert_eq!(
        node.json(&["user", "list"]).as_array().unwrap().len(),
        1,
        "all or nothing"
    );
    assert_eq!(std::fs::read_to_string(&errors).unwrap().lines().count(), 3);

    let dry = node.asks(&["user", "import", path, "--keep-going", "--dry-run"]);
    assert!(
        dry.code == 1
            && dry
                .out
                .contains("user u0001 would be made\n  name: User 1\n  numbers: 10001"),
        "{dry:?}"
    );
    assert_eq!(node.json(&["user", "list"]).as_array().unwrap().len(), 1);
    let said = node.asks(&["user", "import", path, "--keep-going", "--errors", kept]);
    assert!(
        said.code == 1 && said.err.contains("3 lines are wrong; their users were left out"),
        "{said:?}"
    );
    let ids: Vec<String> = numbers(node).into_iter().map(|(id, _)| id).collect();
    assert_eq!(
        ids,
        [
            "carol", "u0000", "u0001", "u0002", "u0004", "u0006", "u0007", "u0008", "u0009"
        ]
    );
    let told = std::fs::read_to_string(&errors).unwrap();
    for line in ["line,user,error\n", "\n12,bad;id,", "\n13,u0005,", "\n5,u0003,"] {
        assert!(told.contains(line), "{line}: {told}");
    }
}

/// What everybody's numbers are.
fn numbers(node: &crate::support::Node) -> Vec<(String, String)> {
    let users = node.json(&["user", "list"]);
    let user = |user: &serde_json::Value| {
        let numbers = user["numbers"].as_array().unwrap().iter();
        let numbers: Vec<&str> = numbers.map(|number| number.as_str().unwrap()).collect();
        (user["id"].as_str().unwrap().to_owned(), numbers.join(" "))
    };
    users.as_array().unwrap().iter().map(user).collect()
}

#[test]
fn what_the_map_would_refuse_is_said_before_the_first_write_and_numbers_may_change_places() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    for (user, number) in [("alice", "1001"), ("bob", "1002"), ("carol", "10003")] {
        node.add_user(user, number).ok();
    }
    // An import reads digests, which is noted once in ten minutes.
    node.asks(&["user", "export"]).ok();
    until("the read is noted", || {
        let log = node.json(&["audit", "list"]).to_string();
        log.contains("read digests").then_some(())
    });
    let before = node.json(&["status"])["revision"].clone();
    let file = node.dir.join("users.csv");
    let path = file.to_str().unwrap();
    std::fs::write(&file, csv(600)).unwrap();
    for arguments in [vec!["user", "import", path, "--dry-run"], vec!["user", "import", path]] {
        let said = node.asks(&arguments);
        assert_eq!(said.code, 3, "{said:?}");
        assert!(
            said.err.contains("user u0003: 10003 already leads to user carol")
                && said.err.contains("nothing was changed"),
            "{said:?}"
        );
    }
    assert_eq!(node.json(&["status"])["revision"], before, "nothing was written");

    let import = |text: &str| {
        std::fs::write(&file, text).unwrap();
        node.asks(&["user", "import", path]).ok();
        numbers(node)
    };
    let all = |alice: &str, bob: &str| {
        [("alice", alice), ("bob", bob), ("carol", "10003")].map(|(user, number)| (user.to_owned(), number.to_owned()))
    };
    assert_eq!(
        import("user,numbers\nalice,1002\nbob,1001\n"),
        all("1002", "1001"),
        "a swap"
    );
    assert_eq!(
        import("user,numbers\nbob,1001 1002\nalice,\n"),
        all("", "1001 1002"),
        "a move"
    );
}
