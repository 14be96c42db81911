//! What keeps a node from starting, said in time and by name.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod support;

use support::{Federation, Node, says};

#[test]
fn a_folder_that_holds_no_node_says_how_to_make_one() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n1");
    let said = node.setup(&["run"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("init") && said.err.contains("join"), "{said:?}");
}

#[test]
fn a_folder_belongs_to_one_node_for_good() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n1");
    node.setup(&["init"]).ok();
    let again = node.setup(&["init"]);
    assert_eq!(again.code, 2, "{again:?}");
    assert!(again.err.contains("already belongs to node 1"), "{again:?}");
    let join = node.setup(&["join", "127.0.0.1:1"]);
    assert_eq!(join.code, 2, "{join:?}");
}

#[test]
fn a_folder_of_a_newer_format_is_refused_with_the_version_it_needs() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n1");
    node.setup(&["init"]).ok();
    std::fs::write(node.data_dir().join("cluster/FORMAT"), "fed-raft 99\nneeds 9.9.9\n").unwrap();
    let said = node.setup(&["run"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("9.9.9"), "{said:?}");
}

#[test]
fn a_folder_in_use_and_a_port_in_use_are_named() {
    let federation = Federation::start(1);
    let running = &federation.nodes[0];
    let same_folder = running.setup(&["run"]);
    assert_eq!(same_folder.code, 2, "{same_folder:?}");
    assert!(same_folder.err.contains("in use by another process"), "{same_folder:?}");

    let root = tempfile::tempdir().unwrap();
    let mut other = Node::new(root.path(), "other");
    other.setup(&["init"]).ok();
    for (port, key) in [
        ("peer", running.peer),
        ("client", running.client),
        ("redirect", running.redirect),
        ("agi", running.agi),
    ]
    .map(|(name, port)| (port, name))
    {
        let kept = (other.peer, other.client, other.redirect, other.agi);
        match key {
            "peer" => other.peer = port,
            "client" => other.client = port,
            "redirect" => other.redirect = port,
            _ => other.agi = port,
        }
        let said = other.setup(&["run"]);
        assert_eq!(said.code, 2, "{key}: {said:?}");
        assert!(said.err.contains(&format!("127.0.0.1:{port}")), "{key}: {said:?}");
        (other.peer, other.client, other.redirect, other.agi) = kept;
    }
    // Nothing was left behind by the attempts.
    other.run();
}

#[test]
fn nobody_to_join_is_said_with_the_address() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n1");
    let said = node.setup(&["join", "127.0.0.1:1"]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains("127.0.0.1:1"), "{said:?}");
    // The folder is free for another attempt.
    node.setup(&["init"]).ok();
}

#[test]
fn a_wrong_configuration_names_file_line_and_the_right_key() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("fed-node.toml");
    std::fs::write(&file, "[peer]\nlisten = \"nowhere\"\nadvertize = \"a:1\"\n").unwrap();
    let said = says(&["--config", file.to_str().unwrap(), "run"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("fed-node.toml:2: peer.listen"), "{said:?}");
    assert!(
        said.err
            .contains("fed-node.toml:3: there is no key \"peer.advertize\"; did you mean \"peer.advertise\"?"),
        "{said:?}"
    );
}

#[test]
fn the_example_configuration_is_one() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("fed-node.toml");
    std::fs::write(&file, says(&["example-config"]).ok().out).unwrap();
    // It is read, and the next thing in the way is named.
    let said = says(&[
        "--config",
        file.to_str().unwrap(),
        "run",
        "--data-dir",
        root.path().join("none").to_str().unwrap(),
    ]);
    assert!(!said.err.contains("fed-node.toml:"), "{said:?}");
}
