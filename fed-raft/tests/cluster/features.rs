//! Clusters in which not every node runs the same program.

use std::time::Duration;

use fed_raft::{Cluster, Config, OnFailure, ProposeError, StartError};

use crate::lab::{Lab, until};
use crate::machine::{Command, Reply, Values};

fn append() -> Command {
    Command::Append {
        key: "a".to_owned(),
        value: "+".to_owned(),
    }
}

/// Restarts a node with a program that knows one more feature level.
async fn upgrade(lab: &mut Lab, node: usize) {
    lab.stop(node).await;
    lab.hosts[node].machine = Values { more: 1 };
    lab.start(node).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_kind_of_command_waits_until_every_node_knows_it() {
    let mut lab = Lab::of(3).await;
    lab.put(0, "a", "1").await;
    for node in 0..3 {
        for asked in 0..3 {
            let refused = lab.node(asked).propose(append()).await.expect_err("not all know it");
            let told = ProposeError::FeatureLevel { needed: 2, current: 1 };
            assert_eq!(refused, told);
            assert!(refused.to_string().contains("all nodes"), "{refused}");
        }
        upgrade(&mut lab, node).await;
        lab.put(node, "b", "old commands go on").await;
    }
    until("the level rises by itself", async || {
        lab.clone_handles().iter().all(|node| node.status().feature_level == 2)
    })
    .await;
    for node in 0..3 {
        let proposed = lab.node(node).propose(append()).await.expect("acknowledged");
        assert_eq!(proposed.reply, Reply::Done);
    }
    assert_eq!(lab.get(1, "a").await.as_deref(), Some("1+++"));
    lab.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_knows_too_little_does_not_open_the_state() {
    let mut lab = Lab::of(1).await;
    upgrade(&mut lab, 0).await;
    let node = lab.node(0).clone();
    until("the level rises", async || node.status().feature_level == 2).await;
    drop(node);
    lab.stop(0).await;
    let config = lab.hosts[0].config.clone();
    let mut refused = None;
    until("the folder is free", async || {
        refused = Cluster::start(config.clone(), Values::default()).await.err();
        !matches!(refused, Some(StartError::InUse(_)))
    })
    .await;
    assert!(
        matches!(refused, Some(StartError::NewerLevel { found: 2, known: 1, .. })),
        "{refused:?}"
    );
    lab.start(0).await;
    lab.put(0, "a", "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_that_knows_too_little_is_not_let_in_until_it_is_newer() {
    let mut lab = Lab::of(1).await;
    upgrade(&mut lab, 0).await;
    let leader = lab.node(0).clone();
    until("the level rises", async || leader.status().feature_level == 2).await;

    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    // Its folder goes before its last thread: a node that ends its process then ends all the tests.
    config.on_failure = OnFailure::StopNode;
    Cluster::<Values>::join(&config, &leader.address().to_string())
        .await
        .expect("an id");
    let old = Cluster::start(config.clone(), Values::default()).await.expect("starts");
    let id = old.id();
    // It asks at once, and again every second.
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(leader.members().iter().all(|member| member.id != id), "it was let in");
    old.shutdown().await;
    drop(old);

    let mut newer = None;
    until("the folder is free", async || {
        newer = Cluster::start(config.clone(), Values { more: 1 }).await.ok();
        newer.is_some()
    })
    .await;
    until("it is let in", async || {
        leader.members().iter().any(|member| member.id == id)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leader_refuses_what_a_member_may_not_propose() {
    let lab = Lab::of(3).await;
    let leader = lab.node(0).status().leader.expect("a leader");
    let follower = (0..3).find(|node| lab.id(*node) != leader).expect("a follower");
    let put = |of: fed_core::ids::NodeId| Command::Put {
        key: format!("of-{of}"),
        value: "x".to_owned(),
    };
    let forged = lab
        .node(follower)
        .propose(put(leader))
        .await
        .expect_err("it is the leader's");
    assert!(
        matches!(&forged, ProposeError::Refused(why) if why.contains("is not node")),
        "{forged}"
    );
    assert_eq!(lab.get(follower, &format!("of-{leader}")).await, None);
    lab.node(follower)
        .propose(put(lab.id(follower)))
        .await
        .expect("its own");
}
