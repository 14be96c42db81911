//! Bugs that the consensus engine once had, as a cluster would suffer from them.

use std::time::Duration;

use fed_raft::{Cluster, Config, OnFailure, ProposeError};
use tokio::time::Instant;

use crate::lab::{Lab, until};
use crate::machine::{Command, Values};

fn put(key: String) -> Command {
    let value = "v".to_owned();
    Command::Put { key, value }
}

/// openraft #1802: the quorum's position was computed wrongly when voters that were ahead already advanced further.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_committed_by_two_of_five_however_far_they_advance() {
    let mut lab = Lab::tuned(5, |config| {
        config.target_voters = 5;
        config.propose_timeout = Duration::from_millis(300);
        // The leader is not to notice that it is alone with one.
        config.election_min = Duration::from_secs(20);
        config.election_max = Duration::from_secs(30);
    })
    .await;
    lab.put(0, "before", "v").await;
    lab.agree().await;
    let leader = lab.leader().await;
    let node = lab.node(leader).clone();
    let dying: Vec<usize> = lab.followers().await.into_iter().take(3).collect();
    // At different places of the log, so that the leader knows each of them differently.
    for (n, dead) in dying.iter().enumerate() {
        lab.kill(*dead);
        if n < 2 {
            lab.put(leader, &format!("with {n} dead"), "v").await;
        }
    }
    let committed = node.status().applied_index;
    for n in 0..40 {
        let outcome = node.propose(put(format!("never {n}"))).await;
        assert!(
            matches!(
                outcome,
                Err(ProposeError::OutcomeUnknown { .. } | ProposeError::NoLeader)
            ),
            "two of five acknowledged it: {outcome:?}"
        );
    }
    assert!(node.status().last_index >= committed + 10, "the two did advance");
    assert_eq!(node.status().applied_index, committed, "two of five committed");
    lab.start(dying[0]).await;
    until("three of five commit", async || {
        node.propose(put("after".to_owned())).await.is_ok()
    })
    .await;
}

/// openraft #1828: a follower was never sent anything while the leader's log was purged to its end and nobody wrote.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_catches_up_with_a_leader_whose_log_is_empty_though_nobody_writes() {
    let mut lab = Lab::tuned(3, |config| {
        config.snapshot_bytes = 4 << 10;
        config.keep_entries = 0;
        config.keep_bytes = 0;
    })
    .await;
    lab.put(0, "a", "1").await;
    lab.agree().await;
    let away = lab.followers().await[0];
    lab.kill(away);
    let leader = lab.leader().await;
    let node = lab.node(leader).clone();
    let purged = || {
        let status = node.status();
        status.purged_index >= status.last_index
    };
    let mut n = 0;
    until("the leader's log is purged to its end", async || {
        // As much as makes a snapshot, then silence; again where something came after the snapshot, or there is another leader.
        n += 1;
        lab.put(leader, &format!("k{n}"), &"v".repeat(5000)).await;
        let silence = Instant::now() + Duration::from_secs(3);
        while !purged() && Instant::now() < silence {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        purged()
    })
    .await;
    let last = node.status().last_index;
    lab.start(away).await;
    lab.agree().await;
    assert_eq!(node.status().last_index, last, "nobody wrote");
    assert!(lab.get(away, "k1").await.is_some());
}

/// A log that lost its middle must not be served: openraft #1795 sent entries with a gap after such a read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_node_gets_a_snapshot_where_the_log_does_not_reach_back() {
    let lab = Lab::tuned(1, |config| {
        config.snapshot_bytes = 4 << 10;
        config.keep_entries = 0;
        config.keep_bytes = 0;
    })
    .await;
    for n in 0..10 {
        lab.put(0, &format!("k{n}"), &"v".repeat(1000)).await;
    }
    let node = lab.node(0).clone();
    until("the log is purged", async || node.status().purged_index > 3).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    config.on_failure = OnFailure::StopNode;
    let seed = node.address().to_string();
    Cluster::<Values>::join(&config, &seed).await.expect("an id");
    let new = Cluster::start(config, Values::default()).await.expect("starts");
    until("it has everything", async || {
        let (here, there) = (node.status(), new.status());
        here.revision == there.revision && here.state_hash == there.state_hash
    })
    .await;
    new.shutdown().await;
}
