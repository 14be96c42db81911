//! What keeps a node from starting, said in time and by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::support::{Federation, Node, says};
use fed_node::config::Secret;
use fed_node::security::JoinToken;

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
    let join = node.setup(&["join", &token_of_nobody()]);
    assert_eq!(join.code, 2, "{join:?}");
    assert!(join.err.contains("already belongs to node 1"), "{join:?}");
}

/// A join token of a node that is not there.
fn token_of_nobody() -> String {
    let token = JoinToken {
        address: "127.0.0.1:1".parse().unwrap(),
        node: format!("fed://{}/node/1", "a".repeat(32)).parse().unwrap(),
        authority: [7; 32],
        id: "abc123".parse().unwrap(),
        secret: Secret::new("0".repeat(64)),
    };
    token.reveal()
}

/// Every file below a folder with its bytes.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

#[test]
fn a_folder_of_a_newer_format_is_refused_with_the_version_it_needs() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n1");
    node.setup(&["init"]).ok();
    std::fs::write(node.data_dir().join("cluster/FORMAT"), "fed-raft 99\nneeds 9.9.9\n").unwrap();
    let before = files(&node.data_dir());
    let said = node.setup(&["run"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("9.9.9"), "{said:?}");
    assert_eq!(files(&node.data_dir()), before, "nothing was written");
}

#[test]
fn a_folder_of_another_node_is_refused_by_both_ids() {
    let mut federation = Federation::start(2);
    let second = &mut federation.nodes[1];
    let id = second.json(&["status"])["node"].as_u64().unwrap();
    second.terminate();
    let before = files(&second.data_dir());
    second.flags.push("--node-id=999".to_owned());
    let said = second.setup(&["run"]);
    assert_eq!(said.code, 2, "{said:?}");
    let folder = second.data_dir().display().to_string();
    assert!(
        said.err.contains(&format!("belongs to node {id}, this is node 999")) && said.err.contains(&folder),
        "{said:?}"
    );
    assert_eq!(files(&second.data_dir()), before, "nothing was written");
    second.flags.pop();
    second.flags.push(format!("--node-id={id}"));
    second.run();
    federation.settle(2);
}

#[test]
fn a_folder_put_together_from_two_nodes_is_refused_and_the_right_parts_still_work() {
    let mut federation = Federation::start(2);
    federation.nodes[0].add_user("alice", "1001").ok();
    federation.hashes_agree();
    for node in &mut federation.nodes {
        node.terminate();
    }
    let part = |node: &Node, part: &str| node.data_dir().join("cluster").join(part);
    let exchange = |nodes: &[Node], name: &str| {
        let (one, other) = (part(&nodes[0], name), part(&nodes[1], name));
        let aside = nodes[0].dir.join("aside");
        std::fs::rename(&one, &aside).unwrap();
        std::fs::rename(&other, &one).unwrap();
        std::fs::rename(&aside, &other).unwrap();
    };
    for name in ["log", "state"] {
        exchange(&federation.nodes, name);
        for node in &federation.nodes {
            let said = node.setup(&["run"]);
            assert_eq!(said.code, 2, "{name}: {said:?}");
            assert!(
                said.err.contains("put together from different nodes") && said.err.contains("join again"),
                "{name}: {said:?}"
            );
        }
        exchange(&federation.nodes, name);
    }
    for node in &mut federation.nodes {
        node.spawn();
    }
    federation.settle(2);
    federation.nodes[1].asks(&["user", "show", "alice"]).ok();
    federation.hashes_agree();
}

#[test]
fn a_folder_in_use_and_a_port_in_use_are_named_and_may_be_tried_again() {
    let federation = Federation::start(1);
    let running = &federation.nodes[0];
    // Never 2: after that the packaged service is not started again, and what is in the way may go by itself.
    let same_folder = running.setup(&["run"]);
    assert_eq!(same_folder.code, 1, "{same_folder:?}");
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
        assert_eq!(said.code, 1, "{key}: {said:?}");
        assert!(said.err.contains(&format!("127.0.0.1:{port}")), "{key}: {said:?}");
        (other.peer, other.client, other.redirect, other.agi) = kept;
    }
    // An address that this host has not got (yet).
    for key in ["peer-listen", "client-listen", "redirect-listen"] {
        other.flags.push(format!("--{key}=192.0.2.1:7999"));
        let said = other.setup(&["run"]);
        assert!(said.code == 1 && said.err.contains("192.0.2.1:7999"), "{key}: {said:?}");
        other.flags.pop();
    }
    // Nothing was left behind by the attempts.
    other.run();
}

#[test]
fn a_folder_that_is_not_whole_ends_with_the_code_after_which_no_service_tries_again() {
    let root = tempfile::tempdir().unwrap();
    for (name, gone, code) in [("n1", "FORMAT", "FED-0039"), ("n2", "log", "FED-0035")] {
        let node = Node::new(root.path(), name);
        node.setup(&["init"]).ok();
        std::fs::rename(node.data_dir().join("cluster").join(gone), node.dir.join(gone)).unwrap();
        let said = node.setup(&["run"]);
        assert!(said.code == 2 && said.err.contains(code), "{gone}: {said:?}");
    }
}

#[test]
fn nobody_to_join_is_said_with_the_address() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n1");
    let address = node.setup(&["join", "127.0.0.1:1"]);
    assert!(
        address.code == 2 && address.err.contains("fed-node token join"),
        "{address:?}"
    );
    let said = node.setup(&["join", &token_of_nobody()]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains("127.0.0.1:1"), "{said:?}");
    assert!(!node.data_dir().exists(), "what was made for it is gone again");
    // A folder that was there before stays.
    std::fs::create_dir(node.data_dir()).unwrap();
    assert_eq!(node.setup(&["join", &token_of_nobody()]).code, 5);
    assert!(node.data_dir().exists());
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
    let as_data = says(&["-o", "json", "example-config"]);
    assert!(as_data.code == 2 && as_data.out.is_empty(), "{as_data:?}");
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
