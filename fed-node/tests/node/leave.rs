//! A node that leaves, and a leaving that was interrupted half-way.

use crate::support::{Federation, Insider, until};
use fed_core::command::Command;
use fed_core::ids::NodeId;

/// The first half of a leaving.
fn delete_record(insider: &Insider, id: u64) {
    let command = insider.asked(Command::DeleteNode { id: NodeId(id) });
    until("the record is deleted", || insider.propose(command.clone()).ok());
}

#[test]
fn a_leaving_that_was_interrupted_is_seen_and_can_be_finished_or_undone() {
    // The insider has no certificate.
    let mut federation = Federation::start_plain(2);
    let insider = Insider::join(&federation.nodes[0].peer_address());
    let third = insider.id().0;
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
    delete_record(&insider, second);
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
    delete_record(&insider, second);
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
    insider.stop();
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
    // The packaged service starts it again after 1, and not after 3.
    assert_eq!(gone.ends(), 3);
    let log = gone.log();
    assert!(
        log.contains("was removed from the cluster: empty its data folder and join again"),
        "{log}"
    );
}
