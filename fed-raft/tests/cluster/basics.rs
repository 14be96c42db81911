//! Writes and reads while nothing goes wrong.

use std::time::Duration;

use fed_core::ids::{ClientId, Revision};
use fed_core::machine::Request;
use fed_raft::{Consistency, ProposeError, ReadError, Role};

use crate::lab::{Lab, PATIENCE};
use crate::machine::{self, Command, Reply};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_node_is_a_cluster() {
    let lab = Lab::of(1).await;
    let revision = lab.put(0, "a", "1").await;
    assert_eq!(revision, Revision(1));
    assert_eq!(lab.get(0, "a").await.as_deref(), Some("1"));
    let status = lab.node(0).status();
    assert_eq!(status.leader, Some(lab.id(0)));
    assert!(status.quorum);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_any_node_acknowledged_every_node_reads() {
    let lab = Lab::of(3).await;
    for writer in 0..3 {
        let key = format!("from {writer}");
        let revision = lab.put(writer, &key, "here").await;
        for reader in 0..3 {
            assert_eq!(lab.get(reader, &key).await.as_deref(), Some("here"));
            let at_least = Consistency::AtLeast(revision);
            let read = lab.node(reader).read(at_least, PATIENCE).await;
            assert!(read.expect("it gets there").revision() >= revision);
        }
    }
    lab.agree().await;
    let members = lab.node(0).members();
    assert_eq!(members.len(), 3);
    assert!(members.iter().all(|m| m.role != Role::Learner));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_sent_again_at_another_node_has_one_effect() {
    let lab = Lab::of(3).await;
    let request = Request {
        client: ClientId(77),
        sequence: 1,
        command: Command::Count {
            key: "calls".to_owned(),
        },
    };
    for node in 0..3 {
        let again = lab.node(node).propose_request(request.clone(), PATIENCE);
        let proposed = again.await.expect("acknowledged");
        assert_eq!(proposed.reply, Reply::Counted(1));
        assert_eq!(proposed.duplicate, node > 0);
        assert_eq!(proposed.revision, Revision(1));
    }
    assert_eq!(lab.get(0, "calls").await.as_deref(), Some("1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_commands_at_once_are_answered_in_order() {
    let lab = Lab::of(3).await;
    let commands = |_| Command::Count { key: "many".to_owned() };
    for node in 0..3_u64 {
        let commands: Vec<_> = (0..3000).map(commands).collect();
        let proposed = lab.node(node as usize).propose_many(commands).await;
        let counted: Vec<_> = proposed
            .expect("acknowledged")
            .into_iter()
            .map(|answer| answer.reply)
            .collect();
        let expected: Vec<_> = (1..=3000).map(|n| Reply::Counted(node * 3000 + n)).collect();
        assert_eq!(counted, expected);
    }
    lab.agree().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_callers_share_entries() {
    let lab = Lab::of(3).await;
    let before = lab.node(0).status().last_index;
    let callers: Vec<_> = (0..500)
        .map(|_| {
            let node = lab.node(1).clone();
            tokio::spawn(async move {
                let key = "shared".to_owned();
                node.propose(Command::Count { key }).await.expect("acknowledged")
            })
        })
        .collect();
    for caller in callers {
        caller.await.expect("no panic");
    }
    assert_eq!(lab.get(2, "shared").await.as_deref(), Some("500"));
    let entries = lab.node(0).status().last_index - before;
    assert!(entries < 250, "500 commands took {entries} entries");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_too_large_is_refused_with_the_limit() {
    let lab = Lab::of(1).await;
    let command = Command::Put {
        key: "big".to_owned(),
        value: "x".repeat(300 << 10),
    };
    let refused = lab.node(0).propose(command).await;
    assert!(
        matches!(refused, Err(ProposeError::TooLarge { limit, .. }) if limit == 256 << 10),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_queue_says_when_to_come_back() {
    let lab = Lab::tuned(1, |config| config.queue_requests = 8).await;
    let callers: Vec<_> = (0..500)
        .map(|n| {
            let node = lab.node(0).clone();
            tokio::spawn(async move {
                let (key, value) = (n.to_string(), String::new());
                node.propose(Command::Put { key, value }).await
            })
        })
        .collect();
    let mut refused = 0;
    for caller in callers {
        match caller.await.expect("no panic") {
            Ok(_) => {}
            Err(ProposeError::Overloaded { retry_after }) => {
                assert!(!retry_after.is_zero());
                refused += 1;
            }
            Err(other) => panic!("{other}"),
        }
    }
    assert!(refused > 0, "nobody was turned away");
    lab.put(0, "later", "fine").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revision_that_is_not_there_yet_is_waited_for_and_no_longer() {
    let lab = Lab::of(1).await;
    lab.put(0, "a", "1").await;
    let node = lab.node(0).clone();
    let within = Duration::from_millis(50);
    let early = node.read(Consistency::AtLeast(Revision(2)), within).await;
    assert_eq!(
        early.expect_err("not there"),
        ReadError::Behind {
            wanted: Revision(2),
            reached: Revision(1)
        }
    );
    let waiting = tokio::spawn(async move { node.read(Consistency::AtLeast(Revision(2)), PATIENCE).await });
    lab.put(0, "a", "2").await;
    let snapshot = waiting.await.expect("no panic").expect("it came");
    assert_eq!(machine::value(&snapshot, "a").expect("works").as_deref(), Some("2"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_stays_as_it_is() {
    let lab = Lab::of(1).await;
    lab.put(0, "a", "1").await;
    let before = lab.node(0).local();
    lab.put(0, "a", "2").await;
    assert_eq!(machine::value(&before, "a").expect("works").as_deref(), Some("1"));
    let now = lab.node(0).local();
    assert_eq!(machine::value(&now, "a").expect("works").as_deref(), Some("2"));
    assert!(!now.stale());
}
