//! A node that leaves, and a leaving that was interrupted half-way.

use crate::support::{Federation, until};
use fed_core::command::Command;
use fed_core::ids::NodeId;
use fed_core::map::FederationMap;
use fed_raft::{Cluster, Config, OnFailure};
use tokio::runtime::Runtime;

/// A member in this process: it can say to the cluster what no command line would say alone.
struct Insider {
    runtime: Runtime,
    cluster: Cluster<FederationMap>,
    _folder: tempfile::TempDir,
}

impl Insider {
    fn join(seed: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut config = Config::new(folder.path().join("cluster"), "127.0.0.1:0");
        config.on_failure = OnFailure::StopNode;
        let runtime = Runtime::new().unwrap();
        runtime.block_on(Cluster::<FederationMap>::join(&config, seed)).unwrap();
        let cluster = runtime.block_on(Cluster::start(config, FederationMap)).unwrap();
        Self {
            runtime,
            cluster,
            _folder: folder,
        }
    }

    /// The first half of a leaving.
    fn delete_record(&self, id: u64) {
        let command = Command::DeleteNode { id: NodeId(id) };
        until("the record is deleted", || {
            self.runtime.block_on(self.cluster.propose(command.clone())).ok()
        });
    }
}

#[test]
fn a_leaving_that_was_interrupted_is_seen_and_can_be_finished_or_undone() {
    // The insider has no certificate.
    let mut federation = Federation::start_plain(2);
    let insider = Insider::join(&federation.nodes[0].peer_address());
    let third = insider.cluster.id().0;
    until("the third votes", || {
        let status = federation.nodes[0].json(&["status"]);
        let members = status["members"].as_array()?.clone();
        members
            .iter()
            .any(|m| m["id"] == third && m["role"] != "learner")
            .then_some(())
    });
    let second = federation.nodes[1].json(&["status"])["node"].as_u64().unwrap();

    // Who gave the order died between the two steps, and the node that was to leave is up: it puts its record back.
    insider.delete_record(second);
    until("the record is back", || {
        (federation.nodes[0].asks(&["node", "show", "n2"]).code == 0).then_some(())
    });

    // The same with a node that is gone.
    federation.nodes[1].kill();
    until("its session has ended", || {
        let status = federation.nodes[0].json(&["status"]);
        let members = status["members"].as_array()?.clone();
        members
            .iter()
            .any(|m| m["id"] == second && m["up"] == false)
            .then_some(())
    });
    insider.delete_record(second);
    let first = &federation.nodes[0];
    until("the node asked has it", || {
        (first.asks(&["node", "show", "n2"]).code == 4).then_some(())
    });
    assert!(first.asks(&["status"]).ok().out.contains("(no record)"));
    let drift = first.asks(&["drift"]);
    assert_eq!(drift.code, 8, "{drift:?}");
    assert!(drift.out.contains("repeat `fed-node leave`"), "{drift:?}");
    let by_name = first.asks(&["leave", "n2", "--yes"]);
    assert_eq!(by_name.code, 4, "{by_name:?}");
    assert!(
        by_name.err.contains("to be named by id") && by_name.err.contains(&second.to_string()),
        "{by_name:?}"
    );
    first.asks(&["leave", &second.to_string(), "--yes"]).ok();
    let status = first.json(&["status"]);
    assert!(
        status["members"].as_array().unwrap().iter().all(|m| m["id"] != second),
        "{status}"
    );
    let again = first.asks(&["leave", &second.to_string(), "--yes"]);
    assert_eq!(again.code, 4, "it is gone: {again:?}");
    insider.runtime.block_on(insider.cluster.shutdown());
}

#[test]
fn a_leaving_without_a_quorum_changes_nothing_and_says_so() {
    let mut federation = Federation::start(3);
    federation.nodes[1].kill();
    federation.nodes[2].kill();
    let alone = &federation.nodes[0];
    until("the loss of the quorum is noticed", || {
        (alone.json(&["status"])["quorum"] == false).then_some(())
    });
    let refused = alone.asks(&["leave", "--yes"]);
    assert!(matches!(refused.code, 5 | 6), "{refused:?}");
    federation.nodes[1].run();
    federation.nodes[2].run();
    federation.settle(3);
    let name = federation.nodes[0].name.clone();
    until("nobody has left", || {
        (federation.nodes[1].asks(&["node", "show", &name]).code == 0).then_some(())
    });
}

#[test]
fn a_node_that_was_taken_out_while_it_was_down_says_so_and_ends() {
    let mut federation = Federation::start(3);
    federation.nodes[2].kill();
    until("it is gone", || {
        let left = federation.nodes[0].asks(&["leave", "n3", "--yes"]);
        (left.code == 0 || left.code == 4).then_some(())
    });
    let gone = &mut federation.nodes[2];
    gone.spawn();
    assert_eq!(gone.ends(), 1);
    let log = gone.log();
    assert!(
        log.contains("was removed from the cluster: empty its data folder and join again"),
        "{log}"
    );
}
