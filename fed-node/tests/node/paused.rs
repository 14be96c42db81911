//! A leader that is paused: when it wakes up, others may have gone on without it.

use std::process::{Child, Stdio};

use crate::support::{Federation, Node, Signal, signal, until};
use serde_json::Value;

/// A linearizable read under way at a node, whatever that does.
fn asking(node: &Node) -> Child {
    node.way(&node.program)
        .command()
        .args(["-o", "json", "user", "show", "alice"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_leader_that_was_paused_never_answers_a_linearizable_read_from_the_past() {
    let federation = Federation::start(3);
    federation.nodes[0].add_user("alice", "1001").ok();
    for round in 0..3 {
        let name = format!("Alice {round}");
        let leader = until("a leader", || {
            federation
                .nodes
                .iter()
                .position(|node| node.json(&["status"])["role"] == "leader")
        });
        let paused = &federation.nodes[leader];
        let other = &federation.nodes[(leader + 1) % 3];
        signal(paused.pid(), Signal::STOP);
        until("the others go on", || {
            (other.asks(&["user", "set", "alice", "--name", &name]).code == 0).then_some(())
        });
        // Asked after the change was acknowledged, of a leader that does not know of it, nor that it leads no longer.
        let reads: Vec<Child> = (0..8).map(|_| asking(paused)).collect();
        signal(paused.pid(), Signal::CONT);
        for read in reads.into_iter().chain((0..8).map(|_| asking(paused))) {
            let said = read.wait_with_output().unwrap();
            let (out, err) = (
                String::from_utf8_lossy(&said.stdout),
                String::from_utf8_lossy(&said.stderr),
            );
            // Without an answer in time the command line asks again locally, and says so.
            if !said.status.success() || err.contains("stale") {
                continue;
            }
            let user: Value = serde_json::from_str(&out).unwrap();
            let read = user["name"].as_str();
            assert_eq!(read, Some(name.as_str()), "read from the past: {out} {err}");
        }
        federation.hashes_agree();
    }
}
