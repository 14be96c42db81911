//! Nodes that stop, die and come back.

use std::time::Duration;

use fed_core::ids::ClientId;
use fed_core::machine::Request;
use fed_raft::{Consistency, ProposeError, ReadError};
use tokio::time::Instant;

use crate::lab::{Lab, PATIENCE, until};
use crate::machine::{self, Command, Reply};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_leader_is_replaced_and_nothing_acknowledged_is_lost() {
    let mut lab = Lab::of(3).await;
    for round in 0..3 {
        let key = format!("before {round}");
        lab.put(round, &key, "kept").await;
        let leader = lab.leader().await;
        lab.kill(leader);
        let begun = Instant::now();
        let left = lab.followers().await;
        let left = left.first().copied().unwrap_or_else(|| (leader + 1) % 3);
        lab.put(left, &format!("after {round}"), "kept").await;
        let gap = begun.elapsed();
        assert!(gap < Duration::from_secs(10), "writes took {gap:?} to resume");
        assert_eq!(lab.get(left, &key).await.as_deref(), Some("kept"));
        lab.start(leader).await;
    }
    lab.agree().await;
    for round in 0..3 {
        for key in [format!("before {round}"), format!("after {round}")] {
            assert_eq!(lab.get(0, &key).await.as_deref(), Some("kept"), "{key}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stops_hands_over() {
    let mut lab = Lab::of(3).await;
    lab.put(0, "a", "1").await;
    let leader = lab.leader().await;
    lab.stop(leader).await;
    let begun = Instant::now();
    let left = (leader + 1) % 3;
    lab.put(left, "a", "2").await;
    let gap = begun.elapsed();
    assert!(gap < Duration::from_millis(750), "no hand-over: {gap:?}");
    lab.start(leader).await;
    lab.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_catches_up() {
    let mut lab = Lab::of(3).await;
    let away = lab.followers().await[0];
    lab.kill(away);
    let here = (away + 1) % 3;
    for n in 0..50 {
        lab.put(here, &format!("k{n}"), "v").await;
    }
    lab.start(away).await;
    lab.agree().await;
    assert_eq!(lab.get(away, "k49").await.as_deref(), Some("v"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_nodes_dead_at_once_come_back_with_everything() {
    let mut lab = Lab::of(3).await;
    for n in 0..20 {
        lab.put(n % 3, &format!("k{n}"), "v").await;
    }
    let before = lab.node(0).status().cluster;
    for _ in 0..2 {
        (0..3).for_each(|n| lab.kill(n));
        for n in 0..3 {
            lab.start(n).await;
        }
        lab.leader().await;
        for n in 0..20 {
            assert_eq!(lab.get(n % 3, &format!("k{n}")).await.as_deref(), Some("v"));
        }
    }
    lab.put(1, "after", "v").await;
    lab.agree().await;
    assert_eq!(lab.node(0).status().cluster, before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_that_wait_for_a_majority_are_bounded_in_number() {
    let mut lab = Lab::tuned(3, |config| config.queue_requests = 4).await;
    lab.put(0, "a", "1").await;
    lab.agree().await;
    lab.kill(1);
    lab.kill(2);
    let node = lab.node(0).clone();
    until("the node notices that it is alone", async || node.local().stale()).await;
    let read = || node.read(Consistency::Linearizable, Duration::from_millis(500));
    let (a, b, c, d, e, f) = tokio::join!(read(), read(), read(), read(), read(), read());
    let refused = [a, b, c, d, e, f]
        .into_iter()
        .map(|read| read.expect_err("no majority"));
    let (waited, at_once): (Vec<_>, Vec<_>) = refused.partition(|error| *error == ReadError::NoQuorum);
    assert_eq!(waited.len(), 4, "{waited:?} {at_once:?}");
    assert!(
        at_once
            .iter()
            .all(|error| matches!(error, ReadError::Overloaded { .. })),
        "{at_once:?}"
    );
    until("their places are free again", async || {
        read().await.err() == Some(ReadError::NoQuorum)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minority_answers_local_reads_and_refuses_the_rest_in_time() {
    let mut lab = Lab::tuned(3, |config| config.propose_timeout = Duration::from_secs(2)).await;
    lab.put(0, "a", "1").await;
    lab.agree().await;
    lab.kill(1);
    lab.kill(2);
    let node = lab.node(0).clone();
    until("the node notices that it is alone", async || node.local().stale()).await;
    let begun = Instant::now();
    let read = node.read(Consistency::Linearizable, Duration::from_millis(300)).await;
    assert_eq!(read.expect_err("no majority"), ReadError::NoQuorum);
    assert!(begun.elapsed() < Duration::from_secs(1));
    let command = Command::Put {
        key: "a".to_owned(),
        value: "2".to_owned(),
    };
    let proposed = node.propose(command).await.expect_err("no majority");
    assert!(
        matches!(proposed, ProposeError::NoLeader | ProposeError::OutcomeUnknown { .. }),
        "{proposed}"
    );
    assert!(begun.elapsed() < Duration::from_secs(4));
    let local = node.local();
    assert!(local.age() > Duration::from_millis(500), "{:?}", local.age());
    assert_eq!(machine::value(&local, "a").expect("works").as_deref(), Some("1"));
    drop(local);
    lab.start(1).await;
    lab.put(0, "a", "3").await;
    assert_eq!(lab.get(1, "a").await.as_deref(), Some("3"));
    assert!(!lab.node(0).local().stale());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn writes_under_way_when_the_leader_dies_have_at_most_one_effect() {
    let mut lab = Lab::of(3).await;
    let leader = lab.leader().await;
    let asking = (leader + 1) % 3;
    let callers: Vec<_> = (0..40)
        .map(|n| {
            let node = lab.node(asking).clone();
            tokio::spawn(async move {
                let key = format!("c{n}");
                let mut acknowledged = 0;
                for _ in 0..20 {
                    let command = Command::Count { key: key.clone() };
                    acknowledged += u64::from(node.propose(command).await.is_ok());
                }
                acknowledged
            })
        })
        .collect();
    let node = lab.node(asking).clone();
    until("some writes are through", async || node.status().revision.0 > 40).await;
    lab.kill(leader);
    for (n, caller) in callers.into_iter().enumerate() {
        let acknowledged = caller.await.expect("no panic");
        let counted = lab.get(asking, &format!("c{n}")).await;
        let counted: u64 = counted.map_or(0, |text| text.parse().expect("a number"));
        assert!(
            (acknowledged..=20).contains(&counted),
            "{acknowledged} acknowledged, {counted} applied, 20 asked"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_no_majority_confirmed_in_time_is_unknown_and_has_one_effect_when_sent_again() {
    let mut lab = Lab::of(3).await;
    let leader = lab.leader().await;
    let others = lab.followers().await;
    others.iter().for_each(|&other| lab.kill(other));
    let request = Request {
        client: ClientId(5),
        sequence: 1,
        command: Command::Count {
            key: "calls".to_owned(),
        },
    };
    let node = lab.node(leader).clone();
    let within = Duration::from_secs(1);
    let alone = node.propose_request(request.clone(), within).await;
    assert!(matches!(alone, Err(ProposeError::OutcomeUnknown { .. })), "{alone:?}");
    for &other in &others {
        lab.start(other).await;
    }
    let again = lab.node(others[0]).propose_request(request, PATIENCE).await;
    assert_eq!(again.expect("acknowledged").reply, Reply::Counted(1));
    assert_eq!(lab.get(others[1], "calls").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_node_says_so() {
    let lab = Lab::of(1).await;
    let node = lab.node(0).clone();
    node.shutdown().await;
    let command = Command::Open;
    assert!(matches!(node.propose(command).await, Err(ProposeError::Stopped(_))));
    let read = node.read(Consistency::Linearizable, Duration::from_secs(1)).await;
    assert!(matches!(read, Err(ReadError::Stopped(_))), "{read:?}");
    assert!(node.status().stopped.is_some());
}

/// A bulk of changes takes as long; the leader stays the leader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_apply_holds_up_no_heartbeat() {
    let lab = Lab::of(3).await;
    let follower = lab.followers().await[0];
    let before = lab.node(follower).status();
    let long = lab.hosts[0].config.election_max * 3;
    let millis = u64::try_from(long.as_millis()).expect("some seconds");
    let slow = lab.node(0).propose(Command::Slow { millis }).await.expect("applied");
    assert_eq!(slow.reply, Reply::Done);
    lab.put(follower, "after", "1").await;
    let after = lab.node(follower).status();
    assert_eq!((after.leader, after.term), (before.leader, before.term));
}
