//! Commands that broke off in the middle: what they leave behind.

use std::fmt::Write as _;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::{Federation, Node, Signal, fed_node, signal, until, write_private};

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect()
}

/// A data folder that is there already, as the package makes it, in which the certificates cannot be put away.
fn obstructed(node: &Node) {
    std::fs::create_dir(node.data_dir()).unwrap();
    std::fs::set_permissions(node.data_dir(), std::fs::Permissions::from_mode(0o700)).unwrap();
    std::fs::write(node.data_dir().join("security"), "in the way").unwrap();
}

fn cleared(node: &Node) {
    std::fs::remove_file(node.data_dir().join("security")).unwrap();
}

/// What a process that was killed in the middle leaves.
fn half_made(node: &Node) {
    let unfinished = node.data_dir().join("unfinished/cluster/log");
    std::fs::create_dir_all(&unfinished).unwrap();
    std::fs::write(unfinished.join("CURRENT"), "half").unwrap();
}

#[test]
fn an_init_that_broke_off_is_simply_given_again() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "n1");
    obstructed(&node);
    let failed = node.setup(&["init"]);
    assert_eq!(failed.code, 2, "{failed:?}");
    assert_eq!(names(&node.data_dir()), ["security"], "nothing of it is left");
    cleared(&node);
    half_made(&node);
    node.setup(&["init"]).ok();
    assert!(!names(&node.data_dir()).contains(&"unfinished".to_owned()));
    half_made(&node);
    node.run();
    assert!(!names(&node.data_dir()).contains(&"unfinished".to_owned()), "swept up");
}

#[test]
fn a_node_that_joins_after_an_init_that_broke_off_believes_and_gets_the_federations_authority() {
    let federation = Federation::start(1);
    let mut node = Node::new(&federation.nodes[0].dir, "n2");
    let realm = node.data_dir().join("founding-realm");
    std::fs::create_dir_all(&realm).unwrap();
    assert_eq!(node.setup(&["init"]).code, 2);
    std::fs::remove_dir(&realm).unwrap();
    let key = |node: &Node| std::fs::read_to_string(node.data_dir().join("security/ca.key")).unwrap_or_default();
    assert!(!key(&node).is_empty(), "it came so far");
    node.setup(&["join", &federation.nodes[0].invitation()]).ok();
    node.run();
    until("it votes and has the authority's key", || {
        (key(&node) == key(&federation.nodes[0])).then_some(())
    });
}

/// A backup of a federation with alice and so many others, and the file with its key.
fn backup(root: &Path, others: u64) -> (String, String) {
    let federation = Federation::start(1);
    federation.nodes[0].add_user("alice", "1001").ok();
    let mut users = "user,name,device,password\n".to_owned();
    for n in 0..others {
        // Names that cannot be packed into less.
        let word = |salt: u64| {
            format!(
                "{:016x}",
                (n + salt).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
            )
        };
        writeln!(users, "u{n},{}{}{},u{n},p{n}", word(1), word(1 << 40), word(1 << 50)).unwrap();
    }
    let file = root.join("users.csv");
    std::fs::write(&file, users).unwrap();
    federation.nodes[0]
        .asks(&["user", "import", file.to_str().unwrap()])
        .ok();
    let key = root.join("key");
    write_private(&key, "a key of some length\n");
    let (file, key) = (
        root.join("map.fedbackup").display().to_string(),
        key.display().to_string(),
    );
    federation.nodes[0]
        .asks(&["backup", "create", &file, "--key-file", &key])
        .ok();
    (file, key)
}

#[test]
fn a_restore_that_broke_off_is_simply_given_again() {
    let root = tempfile::tempdir().unwrap();
    let (file, key) = backup(root.path(), 1);
    let mut node = Node::new(root.path(), "r1");
    let restore = ["backup", "restore", &file, "--key-file", &key, "--yes"];
    obstructed(&node);
    let failed = node.setup(&restore);
    assert_eq!(failed.code, 2, "{failed:?}");
    assert_eq!(names(&node.data_dir()), ["security"], "nothing of it is left");
    cleared(&node);
    half_made(&node);
    node.setup(&restore).ok();
    node.run();
    until("alice is there", || {
        (node.asks(&["user", "show", "alice"]).code == 0).then_some(())
    });
}

#[test]
fn a_backup_that_is_read_when_somebody_interrupts_leaves_nothing_open_behind() {
    let root = tempfile::tempdir().unwrap();
    // More than two of the pieces in which a backup is encrypted: the first is read when the second one is there.
    let (file, key) = backup(root.path(), 3_000);
    assert!(std::fs::metadata(&file).unwrap().len() > 3 * 65_536);
    let temporary = root.path().join("tmp");
    std::fs::create_dir(&temporary).unwrap();
    // Read from a pipe, its end does not come before the test wants it to.
    let pipe = root.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    for (number, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut reading = fed_node()
            .args(["backup", "verify", pipe.to_str().unwrap(), "--key-file", &key])
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut into = std::fs::OpenOptions::new().write(true).open(&pipe).unwrap();
        into.write_all(&std::fs::read(&file).unwrap()).unwrap();
        until("the state is unpacked", || {
            (!names(&temporary).is_empty()).then_some(())
        });
        signal(reading.id(), number);
        until("what is not encrypted is taken away", || {
            names(&temporary).is_empty().then_some(())
        });
        // Whatever the reading comes to meanwhile, it was interrupted.
        drop(into);
        let ended = until("it ends", || reading.try_wait().unwrap());
        assert_eq!(ended.code(), Some(code));
        assert_eq!(names(&temporary), [""; 0], "and nothing comes after it");
    }
}
