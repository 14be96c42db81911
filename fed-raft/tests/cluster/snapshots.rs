//! Nodes for which the log is not enough any more.

use crate::lab::{Lab, until};
use crate::machine::Command;

/// A log that is cut short all the time.
async fn forgetful(size: usize) -> Lab {
    Lab::tuned(size, |config| {
        config.snapshot_bytes = 16 << 10;
        config.keep_entries = 5;
    })
    .await
}

/// Writes at a node until its log has lost what everybody had at the beginning.
async fn outgrow(lab: &Lab, at: usize) {
    let before = lab.node(at).status().last_index;
    let leader = lab.leader().await;
    let mut n = 0;
    until("the log is purged", async || {
        for _ in 0..20 {
            n += 1;
            lab.put(at, &format!("k{n}"), &"v".repeat(500)).await;
        }
        lab.node(leader).status().purged_index > before
    })
    .await;
    lab.put(at, "last", "one").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_too_long_gets_a_snapshot() {
    let mut lab = forgetful(3).await;
    lab.put(0, "gone", "soon").await;
    let away = lab.followers().await[0];
    let here = (away + 1) % 3;
    lab.agree().await;
    lab.kill(away);
    outgrow(&lab, here).await;
    lab.start(away).await;
    lab.agree().await;
    assert!(lab.node(away).status().snapshot_index > 0);
    assert_eq!(lab.get(away, "last").await.as_deref(), Some("one"));
    // It is whole: it survives a restart, and goes on.
    lab.kill(away);
    lab.start(away).await;
    lab.put(away, "after", "that").await;
    lab.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_node_joins_a_cluster_that_has_forgotten_its_beginnings() {
    let mut lab = forgetful(1).await;
    outgrow(&lab, 0).await;
    let new = lab.add().await;
    lab.agree().await;
    assert_eq!(lab.get(new, "k1").await.map(|v| v.len()), Some(500));
    assert_eq!(lab.get(new, "last").await.as_deref(), Some("one"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_is_remembered_through_a_snapshot() {
    let mut lab = forgetful(1).await;
    let request = fed_core::machine::Request {
        client: fed_core::ids::ClientId(5),
        sequence: 1,
        command: Command::Count { key: "once".to_owned() },
    };
    let within = crate::lab::PATIENCE;
    let node = lab.node(0).clone();
    node.propose_request(request.clone(), within)
        .await
        .expect("acknowledged");
    outgrow(&lab, 0).await;
    let new = lab.add().await;
    lab.agree().await;
    let again = lab.node(new).propose_request(request, within).await;
    assert!(again.expect("acknowledged").duplicate);
    assert_eq!(lab.get(new, "once").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_restarts_after_its_own_snapshots() {
    let mut lab = forgetful(1).await;
    outgrow(&lab, 0).await;
    let before = lab.node(0).status();
    lab.kill(0);
    lab.start(0).await;
    lab.leader().await;
    assert_eq!(lab.get(0, "last").await.as_deref(), Some("one"));
    let after = lab.node(0).status();
    assert_eq!(after.revision, before.revision);
    assert_eq!(after.state_hash, before.state_hash);
}
