//! Backups on real processes: made, checked, and turned into a new federation after all nodes were lost.

use std::fmt::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use crate::support::{Federation, Node, says, until, write_private};

fn key_file(folder: &Path, key: &str) -> PathBuf {
    let file = folder.join(format!("key-{}", key.len()));
    std::fs::write(&file, format!("{key}\n")).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    file
}

fn import(node: &Node, users: usize) {
    let mut text = "user,name,numbers,device,password\n".to_owned();
    for n in 0..users {
        writeln!(text, "u{n:04},User {n},{},u{n:04},canary-password-{n}", 10_000 + n).unwrap();
    }
    let file = node.dir.join("users.csv");
    std::fs::write(&file, text).unwrap();
    node.asks(&["user", "import", file.to_str().unwrap()]).ok();
}

#[test]
fn after_the_loss_of_all_nodes_a_backup_becomes_a_new_federation_with_the_same_users() {
    let mut federation = Federation::start(3);
    import(&federation.nodes[1], 200);
    federation.nodes[0]
        .asks(&["setting", "set", "sip_peers", "192.0.2.1"])
        .ok();
    let before = federation.nodes[2].json(&["status"]);
    let exported = federation.nodes[2].asks(&["user", "export"]).ok().out;
    let old_ids: Vec<u64> = before["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m["id"].as_u64().unwrap())
        .collect();

    let token = federation.nodes[0].token("leaked", &["--role", "admin"]);
    let token = std::fs::read_to_string(token).unwrap();
    let before_tokens = federation.nodes[0].json(&["token", "list"]).as_array().unwrap().len();

    let root = tempfile::tempdir().unwrap();
    let key = key_file(root.path(), "a key of some length");
    let (key, file) = (key.to_str().unwrap(), root.path().join("map.fedbackup"));
    let path = file.to_str().unwrap();
    let said = federation.nodes[2]
        .asks(&["backup", "create", path, "--key-file", key])
        .ok();
    assert!(
        said.out.contains("saved and verified to revision") && said.out.contains("200 users and 200 devices"),
        "{said:?}"
    );
    until("that it was made is in the audit log", || {
        let log = federation.nodes[2].json(&["audit", "list"]).to_string();
        log.contains("made a backup").then_some(())
    });
    let again = federation.nodes[2].asks(&["backup", "create", path, "--key-file", key]);
    assert!(again.code == 2 && again.err.contains("exists already"), "{again:?}");
    let bytes = std::fs::read(&file).unwrap();
    for canary in ["canary-password", "u0007"] {
        assert!(
            !bytes.windows(canary.len()).any(|w| w == canary.as_bytes()),
            "{canary} can be read"
        );
    }
    let shown = says(&["-o", "json", "backup", "inspect", path, "--key-file", key])
        .ok()
        .json();
    assert_eq!((shown["users"].as_u64(), shown["nodes"].as_u64()), (Some(200), Some(3)));
    assert_eq!(shown["federation"], before["cluster"]);
    // Everything is lost.
    for node in &mut federation.nodes {
        node.kill();
        std::fs::remove_dir_all(node.data_dir()).unwrap();
    }

    let mut first = Node::new(root.path(), "r1");
    let unasked = first.setup(&["backup", "restore", path, "--key-file", key]);
    assert!(unasked.code == 2 && unasked.err.contains("--yes"), "{unasked:?}");
    let told = first
        .setup(&["backup", "restore", path, "--key-file", key, "--dry-run"])
        .ok();
    assert!(
        told.out.contains("would be made") && told.out.contains("200 users"),
        "{told:?}"
    );
    let said = first
        .setup(&["-o", "json", "backup", "restore", path, "--key-file", key, "--yes"])
        .ok()
        .json();
    assert_ne!(said["federation"], before["cluster"]);
    assert!(!old_ids.contains(&said["node"].as_u64().unwrap()), "{said}");
    let twice = first.setup(&["backup", "restore", path, "--key-file", key]);
    assert!(
        twice.code == 2 && twice.err.contains("already belongs to node"),
        "{twice:?}"
    );
    first.run();
    until("it leads", || (first.json(&["status"])["quorum"] == true).then_some(()));
    assert_eq!(first.asks(&["user", "export"]).ok().out, exported);
    assert_eq!(first.json(&["setting", "get", "sip_peers"])["value"], "192.0.2.1");
    // It may have been revoked after the backup was made.
    let leaked = first.dir.join("leaked");
    write_private(&leaked, &token);
    let refused = first.asks_as(&leaked, &["status"]);
    assert!(
        refused.code == 3 && refused.err.contains("not known here"),
        "{refused:?}"
    );
    let id = token.split('.').nth(1).unwrap();
    assert!(!first.json(&["token", "list"]).to_string().contains(id));
    assert!(before_tokens > 0 && said["tokens_revoked"] == before_tokens, "{said}");
    until("the restoration is in the audit log", || {
        let log = first.json(&["audit", "list"]).to_string();
        log.contains("restored a backup of federation").then_some(())
    });
    first.asks(&["audit", "verify"]).ok();
    let mut others: Vec<Node> = Vec::new();
    for name in ["r2", "r3"] {
        let mut node = Node::new(root.path(), name);
        node.setup(&["join", &first.invitation()]).ok();
        node.run();
        others.push(node);
    }
    for node in &others {
        until("it has every user", || {
            let said = node.asks(&["user", "export"]);
            (said.code == 0 && said.out == exported).then_some(())
        });
    }
    until("three vote, and nobody else is there", || {
        let members = first.json(&["status"])["members"].clone();
        let voters = members.as_array()?.iter().filter(|m| m["role"] != "learner").count();
        (voters == 3 && members.as_array()?.len() == 3).then_some(())
    });
    let nodes = others[1].json(&["node", "list"]);
    let names: Vec<&str> = nodes
        .as_array()
        .unwrap()
        .iter()
        .map(|n| n["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        names,
        ["r1", "r2", "r3"],
        "the nodes of the old federation are not there"
    );
    others[0].add_user("new", "9999").ok();
}

#[test]
fn what_is_no_whole_backup_or_is_opened_with_a_wrong_key_is_refused_with_the_remedy() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    let root = tempfile::tempdir().unwrap();
    let key = key_file(root.path(), "a key of some length");
    let wrong = key_file(root.path(), "another key");
    let (key, wrong) = (key.to_str().unwrap(), wrong.to_str().unwrap());
    let file = root.path().join("map.fedbackup");
    let path = file.to_str().unwrap();
    let short = node.asks(&["backup", "create", path, "--key-file", wrong]);
    assert!(short.code == 2 && short.err.contains("too short"), "{short:?}");
    let none = node.asks(&["backup", "create", path]);
    assert!(none.code == 2 && none.err.contains("--key-file"), "{none:?}");
    node.asks(&["backup", "create", path, "--key-file", key]).ok();
    let said = says(&["backup", "verify", path, "--key-file", key]).ok();
    assert!(
        said.out.contains("verified to revision") && said.out.contains("1 users"),
        "{said:?}"
    );
    let said = says(&["backup", "verify", path, "--key-file", wrong]);
    assert!(said.code == 2 && said.err.contains("with this key"), "{said:?}");

    let right = std::fs::read(&file).unwrap();
    let mut new = Node::new(root.path(), "r1");
    let refused = |bytes: &[u8], words: &str| {
        std::fs::write(&file, bytes).unwrap();
        for said in [
            says(&["backup", "verify", path, "--key-file", key]),
            new.setup(&["backup", "restore", path, "--key-file", key]),
        ] {
            assert!(said.code == 2 && said.err.contains(words), "{words}: {said:?}");
        }
        let made = new.data_dir().join("cluster");
        assert!(!made.exists(), "nothing was made");
    };
    refused(&right[..right.len() / 2], "its end is missing");
    let mut damaged = right.clone();
    damaged[right.len() / 2] ^= 1;
    refused(&damaged, "damaged");
    let mut newer = right.clone();
    newer[6] = 99;
    refused(&newer, "in format 99");
    refused(b"user,name,numbers\n", "is no backup");
    let left: Vec<_> = std::fs::read_dir(root.path())
        .unwrap()
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().ends_with(".part")),
        "{left:?}"
    );
    std::fs::write(&file, &right).unwrap();
    new.setup(&["backup", "restore", path, "--key-file", key, "--yes"]).ok();
    new.run();
    until("alice is there", || {
        (new.asks(&["user", "show", "alice"]).code == 0).then_some(())
    });
}

#[test]
fn the_leader_alone_makes_scheduled_backups_and_keeps_the_newest() {
    let root = tempfile::tempdir().unwrap();
    let key = key_file(root.path(), "a key of some length");
    let dir = root.path().join("backups");
    let federation = Federation::start_with(3, |_, node| {
        node.flags.push("--backup-every=1s".to_owned());
        node.flags.push("--backup-keep=2".to_owned());
        node.flags.push(format!("--backup-dir={}", dir.display()));
        node.flags.push(format!("--backup-key-file={}", key.display()));
    });
    federation.nodes[0].add_user("alice", "1001").ok();
    let names = || -> Vec<String> {
        let entries = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.ends_with(".fedbackup")).collect();
        names.sort();
        names
    };
    let first = until("there are backups", || names().first().cloned());
    until("the oldest went", || {
        (!names().contains(&first) && names().len() == 2).then_some(())
    });
    let newest = names().pop().unwrap();
    let path = dir.join(newest);
    // It may be the next to go while it is read.
    let copy = root.path().join("copy");
    if std::fs::copy(&path, &copy).is_ok() {
        let said = says(&[
            "backup",
            "verify",
            copy.to_str().unwrap(),
            "--key-file",
            key.to_str().unwrap(),
        ]);
        assert_eq!(said.code, 0, "{said:?}");
    }
    let made = |node: &Node| node.log().matches("backup saved and verified").count();
    let makers = federation.nodes.iter().filter(|node| made(node) > 0).count();
    assert!(makers >= 1, "somebody makes them");
    let wrong = Node::new(root.path(), "w").setup(&["run", "--backup-every=1h"]);
    assert!(wrong.code == 2 && wrong.err.contains("backup.key_file"), "{wrong:?}");
}
