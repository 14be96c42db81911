//! Data folders as earlier versions wrote them. Every later version must open them, or say what is needed to.
//!
//! `tests/fixtures/format-1` was made by
//! `cargo test -p fed-raft --test cluster make_the_fixture -- --ignored`
//! and is never made again: a changed format gets a folder of its own, and a migration.

use std::path::{Path, PathBuf};

use fed_core::ids::{ClientId, NodeId, Revision};
use fed_core::machine::Request;
use fed_raft::{Cluster, Config, OnFailure, Role, inspect, plan_recovery};

use crate::lab::{Lab, PATIENCE, until};
use crate::machine::{self, Command, Reply, Values};

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"))
}

/// A request whose reply the state remembers.
fn remembered() -> Request<Command> {
    Request {
        client: ClientId(77),
        sequence: 1,
        command: Command::Count {
            key: "counted".to_owned(),
        },
    }
}

/// Copies a folder without what RocksDB makes anew: locks, its own log files, its options. The manifest of a fixture's snapshot does not name its
/// options either: they hold paths of where it was made, and were taken out of both.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let name = entry.file_name().to_string_lossy().into_owned();
        let made_anew = ["LOCK", "LOG", "OPTIONS-", "probe"].iter().any(|n| name.starts_with(n));
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(name));
        } else if !made_anew {
            std::fs::copy(entry.path(), to.join(name)).expect("copied");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_format_1_opens_with_everything_that_was_in_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    copy(&fixture(1), &data);
    let owner = inspect(&data).expect("readable").expect("owned");
    assert_eq!(owner.node, NodeId(1));
    let held = plan_recovery(&data).expect("readable");
    assert_eq!(held.given_up.len(), 1, "one learner: {held:?}");

    let mut config = Config::new(&data, "127.0.0.1:0");
    config.on_failure = OnFailure::StopNode;
    let node = Cluster::start(config, Values::default()).await.expect("opens");
    until("it leads", async || node.status().leader == Some(NodeId(1))).await;
    let snapshot = node.local();
    for n in 0..30 {
        let value = machine::value(&snapshot, &format!("k{n}")).expect("readable");
        assert_eq!(value.as_deref(), Some("v"), "k{n}");
    }
    let session = machine::value(&snapshot, "session").expect("readable").expect("noted");
    assert!(machine::is_open(&snapshot, session.parse().expect("a number")));
    assert_eq!(snapshot.state_hash().ok(), node.status().state_hash.into());
    let again = node
        .propose_request(remembered(), PATIENCE)
        .await
        .expect("acknowledged");
    assert!(again.duplicate);
    assert_eq!(again.reply, Reply::Counted(1));
    let status = node.status();
    assert!(status.snapshot_index > 0 && status.purged_index > 0, "{status:?}");
    let learner = status.members.iter().find(|m| m.id != NodeId(1)).expect("there is one");
    assert_eq!(learner.role, Role::Learner);
    let more = Command::Count {
        key: "counted".to_owned(),
    };
    assert_eq!(node.propose(more).await.expect("acknowledged").reply, Reply::Counted(2));
    drop(snapshot);
    node.shutdown().await;
}

/// Every kind of log entry, a vote, a snapshot, a purged log, a learner, an id that is spent, a session, a reply that is
/// remembered.
#[ignore = "writes tests/fixtures; for a new format only"]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn make_the_fixture() {
    let mut lab = Lab::tuned(1, |config| {
        config.snapshot_bytes = 3000;
        config.keep_entries = 2;
        config.target_voters = 1;
        config.session_ttl = std::time::Duration::from_secs(3600);
    })
    .await;
    let node = lab.node(0).clone();
    node.propose_request(remembered(), PATIENCE)
        .await
        .expect("acknowledged");
    let opened = node.propose(Command::Open).await.expect("acknowledged").reply;
    let Reply::Opened(session) = opened else {
        panic!("{opened:?}")
    };
    lab.put(0, "session", &session.to_string()).await;
    let (spent, learner) = (lab.add().await, lab.add().await);
    lab.node(0).remove(lab.id(spent)).await.expect("removed");
    lab.kill(spent);
    for n in 0..30 {
        lab.put(0, &format!("k{n}"), "v").await;
    }
    until("the log is purged", async || {
        lab.put(0, "k0", "v").await;
        let status = node.status();
        status.purged_index > 20 && status.snapshot_index > 20
    })
    .await;
    assert!(node.local().revision() > Revision(30));
    drop(node);
    let data = lab.hosts[0].config.data_dir.clone();
    lab.kill(learner);
    lab.stop(0).await;
    until("the folder is free", async || plan_recovery(&data).is_ok()).await;
    let target = fixture(1);
    assert!(!target.exists(), "a fixture is made once");
    copy(&data, &target);
}
