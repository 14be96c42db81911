//! A federation of which one node is left.

use crate::support::{Federation, Node, says, until};

#[test]
fn the_last_node_of_a_lost_federation_goes_on_and_takes_new_ones_in() {
    let mut federation = Federation::start(3);
    federation.nodes[0].add_user("alice", "1001").ok();
    federation.hashes_agree();
    let old = federation.nodes[2].json(&["status"]);
    let refused = federation.nodes[2].setup(&["recover", "--yes"]);
    assert_eq!(refused.code, 2, "it runs: {refused:?}");
    assert!(refused.err.contains("in use"), "{refused:?}");
    for node in &mut federation.nodes {
        node.kill();
    }
    for lost in &federation.nodes[..2] {
        std::fs::remove_dir_all(lost.data_dir()).unwrap();
    }

    let survivor = &mut federation.nodes[2];
    let planned = survivor.setup(&["recover"]).ok().out;
    assert!(
        planned.contains("would become") && planned.contains("Nothing was changed"),
        "{planned}"
    );
    assert_eq!(planned.matches("(voter, 127.0.0.1:").count(), 2, "{planned}");
    let done = survivor.setup(&["recover", "--yes", "-o", "json"]).ok().json();
    assert_eq!(done["done"], true);
    assert_ne!(done["new_cluster"], old["cluster"]);
    assert_eq!(done["revision"], old["revision"]);
    survivor.run();
    until("it leads alone", || {
        (survivor.json(&["status"])["quorum"] == true).then_some(())
    });
    assert_eq!(survivor.json(&["user", "show", "alice"])["id"], "alice");
    until("changes are taken", || {
        (survivor.add_user("bob", "1002").code == 0).then_some(())
    });
    until("the sessions of the lost nodes have ended", || {
        (survivor.asks(&["leave", "n1", "--yes"]).code == 0).then_some(())
    });

    until("it is in the audit log", || {
        let log = survivor.json(&["audit", "list"]).to_string();
        log.contains("recovered: made a federation of its own").then_some(())
    });

    let root = tempfile::tempdir().unwrap();
    let mut new = Node::new(root.path(), "n4");
    new.setup(&["join", &survivor.invitation()]).ok();
    new.run();
    until("the new node has everything", || {
        (new.asks(&["user", "show", "alice"]).code == 0).then_some(())
    });
    let two = |node: &Node| {
        let status = node.json(&["status"]);
        let voters = status["members"]
            .as_array()?
            .iter()
            .filter(|m| m["role"] != "learner")
            .count();
        (voters == 2 && status["quorum"] == true).then_some(())
    };
    until("two vote", || two(&new));
    // A node that has been let in writes its name into the map a moment later.
    until("it is in the map", || {
        (new.asks(&["node", "show", "n4"]).code == 0).then_some(())
    });
    new.asks(&["node", "lead", "n4"]).ok();
    until("the new node leads", || {
        (new.json(&["status"])["role"] == "leader").then_some(())
    });
    let none = new.asks(&["leave", "n3", "--yes", "--force-lose-quorum", "n4"]);
    assert_eq!(none.code, 2, "the wrong node is named: {none:?}");
}

#[test]
fn a_recovery_that_could_make_no_certificate_is_simply_given_again() {
    let mut federation = Federation::start(1);
    let node = &mut federation.nodes[0];
    node.add_user("alice", "1001").ok();
    node.terminate();
    let key = node.data_dir().join("security/ca.key");
    std::fs::remove_file(&key).unwrap();
    std::fs::create_dir(&key).unwrap();
    let failed = node.setup(&["recover", "--yes"]);
    assert!(
        failed.code == 1 && failed.err.contains("give `fed-node recover --yes` again"),
        "{failed:?}"
    );
    std::fs::remove_dir(&key).unwrap();
    let refused = node.setup(&["run"]);
    assert!(refused.code == 2 && refused.err.contains("[FED-0053]"), "{refused:?}");
    assert!(
        says(&["explain", "FED-0053"])
            .ok()
            .out
            .contains("fed-node recover --yes")
    );
    node.setup(&["recover", "--yes"]).ok();
    node.run();
    until("it leads", || (node.json(&["status"])["quorum"] == true).then_some(()));
    node.asks(&["user", "show", "alice"]).ok();
}
