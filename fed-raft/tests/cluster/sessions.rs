//! Who is alive, as the leader times it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fed_core::ids::SessionId;
use fed_raft::{Cluster, KeepAliveError};

use crate::lab::{Lab, until};
use crate::machine::{self, Command, Reply, Values};

async fn open(lab: &Lab, at: usize) -> SessionId {
    let proposed = lab.node(at).propose(Command::Open).await.expect("acknowledged");
    match proposed.reply {
        Reply::Opened(session) => SessionId(session),
        other => panic!("{other:?}"),
    }
}

fn is_open(node: &Cluster<Values>, session: SessionId) -> bool {
    machine::is_open(&node.local(), session.0)
}

/// Keeps a session; counts the keep-alives that were answered.
fn keep(node: Cluster<Values>, session: SessionId) -> (tokio::task::JoinHandle<()>, Arc<AtomicU32>) {
    let kept = Arc::new(AtomicU32::new(0));
    let count = kept.clone();
    let keeping = tokio::spawn(async move {
        loop {
            // While a leader is being elected nobody answers; the next one gives a fresh ttl.
            if node.keep_alive(session).await.is_ok() {
                count.fetch_add(1, Ordering::Relaxed);
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    (keeping, kept)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_nobody_keeps_ends_in_time_and_a_kept_one_does_not() {
    let lab = Lab::of(3).await;
    let follower = lab.followers().await[0];
    let (left, kept) = (open(&lab, follower).await, open(&lab, follower).await);
    let (keeping, kept_times) = keep(lab.node(follower).clone(), kept);
    let ttl = lab.node(follower).keep_alive(kept).await.expect("open");
    assert_eq!(ttl, Duration::from_millis(1500));
    let node = lab.node(follower).clone();
    until("the session ends", async || !is_open(&node, left)).await;
    let times = kept_times.load(Ordering::Relaxed);
    assert!(
        times >= 2,
        "it ended before the other was kept for the {times}th time: too soon"
    );
    assert!(is_open(&node, kept));
    let again = node.keep_alive(left).await;
    assert_eq!(again, Err(KeepAliveError::Ended(left)));
    keeping.abort();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_outlive_their_leader_and_end_under_the_next() {
    let mut lab = Lab::of(3).await;
    let leader = lab.leader().await;
    let here = (leader + 1) % 3;
    let (left, kept) = (open(&lab, here).await, open(&lab, here).await);
    let node = lab.node(here).clone();
    let (keeping, _) = keep(node.clone(), kept);
    lab.kill(leader);
    until("the session ends under the new leader", async || !is_open(&node, left)).await;
    assert!(
        is_open(&node, kept),
        "the change of leader ended a session that was kept"
    );
    keeping.abort();
    until("the other ends when nobody keeps it", async || !is_open(&node, kept)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_cut_off_ends_no_session_for_it() {
    let mut lab = Lab::of(3).await;
    let leader = lab.leader().await;
    let session = open(&lab, leader).await;
    lab.node(leader).keep_alive(session).await.expect("open");
    // The keep-alive that would come now finds nobody.
    tokio::time::sleep(Duration::from_millis(700)).await;
    let followers: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    for at in &followers {
        lab.kill(*at);
    }
    let node = lab.node(leader).clone();
    until("the leader notices that it is alone", async || node.local().stale()).await;
    // Longer than any session lives.
    tokio::time::sleep(Duration::from_secs(2)).await;
    for at in followers {
        lab.start(at).await;
    }
    until("the session is kept again", async || {
        match node.keep_alive(session).await {
            Ok(_) => true,
            Err(KeepAliveError::NoLeader(_)) => false,
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    lab.agree().await;
    assert!(is_open(&node, session));
}
