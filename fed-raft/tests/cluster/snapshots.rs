//! Nodes for which the log is not enough any more.

use std::path::{Path, PathBuf};

use crate::lab::{Lab, until};
use crate::machine::Command;

/// A log that is cut short all the time.
pub async fn forgetful(size: usize) -> Lab {
    Lab::tuned(size, |config| {
        config.snapshot_bytes = 16 << 10;
        config.keep_entries = 5;
    })
    .await
}

/// Writes at a node until its log has lost what everybody had at the beginning.
pub async fn outgrow(lab: &Lab, at: usize) {
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
    until("it says so", async || lab.node(away).status().snapshot_index > 0).await;
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

/// The folders of complete snapshots.
pub fn complete(snapshots: &Path) -> Vec<PathBuf> {
    let folders = std::fs::read_dir(snapshots).expect("readable");
    let whole = |path: &PathBuf| path.join("MANIFEST.fed").is_file();
    folders.flatten().map(|entry| entry.path()).filter(whole).collect()
}

/// A node with a state of a few megabytes, all of it in a snapshot and none of it in the log; the snapshot's folder.
async fn big(lab: &Lab) -> PathBuf {
    let node = lab.node(0).clone();
    for n in 0..40_u64 {
        // Bytes that do not compress, so that there is something to send.
        let value: String = (0..1500_u64)
            .map(|at| format!("{:x}", (n * 7919 + at).wrapping_mul(0x9e37_79b9_7f4a_7c15)))
            .collect();
        lab.put(0, &format!("k{n}"), &value).await;
    }
    let snapshots = lab.hosts[0].config.data_dir.join("snapshots");
    let mut found = None;
    until("all is in one snapshot", async || {
        let status = node.status();
        let mut folders = complete(&snapshots);
        found = folders.pop().filter(|_| folders.is_empty());
        status.snapshot_index + 20 > status.last_index && status.purged_index > 10 && found.is_some()
    })
    .await;
    found.expect("there is one")
}

/// The files of a snapshot, with the names under which a receiver keeps them until all have come.
fn files(snapshot: &Path) -> Vec<(PathBuf, String, u64)> {
    let entries = std::fs::read_dir(snapshot)
        .expect("readable")
        .map(|entry| entry.expect("readable").path());
    let named = entries.filter_map(|path| {
        let name = path.file_name()?.to_str()?.to_owned();
        let bytes = std::fs::read(&path).expect("readable");
        let kept = format!("{:032x}-{name}", xxhash_rust::xxh3::xxh3_128(&bytes));
        (name != "MANIFEST.fed").then_some((path, kept, bytes.len() as u64))
    });
    named.collect()
}

fn sent(node: &fed_raft::Cluster<crate::machine::Values>) -> u64 {
    let page = node.metrics();
    let sample = page
        .lines()
        .find_map(|line| line.strip_prefix("fed_raft_snapshot_sent_bytes_total "));
    sample.expect("it is served").parse().expect("a number")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_snapshot_goes_on_where_it_was_and_a_damaged_part_is_sent_anew() {
    for damaged in [false, true] {
        let lab = Lab::tuned(1, |config| {
            config.snapshot_bytes = 400 << 10;
            config.keep_entries = 5;
        })
        .await;
        let snapshot = big(&lab).await;
        let leader = lab.node(0).clone();
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = fed_raft::Config::new(folder.path().join("data"), "127.0.0.1:0");
        config.on_failure = fed_raft::OnFailure::StopNode;
        let seed = leader.address().to_string();
        fed_raft::Cluster::<crate::machine::Values>::join(&config, &seed)
            .await
            .expect("an id");
        // As after a transfer that broke off: one file whole, the largest one in part, the others not there.
        let mut parts = files(&snapshot);
        parts.sort_by_key(|(_, _, size)| *size);
        let total: u64 = parts.iter().map(|(_, _, size)| size).sum();
        let (largest, kept, size) = parts.pop().expect("files");
        assert!(size > 100_000, "the state is in one large file: {size}");
        let incoming = config.data_dir.join("incoming");
        let half = usize::try_from(size / 2).expect("small");
        let mut bytes = std::fs::read(&largest).expect("readable")[..half].to_vec();
        bytes[half / 2] ^= u8::from(damaged);
        std::fs::write(incoming.join(kept), bytes).expect("written");
        let (whole, kept, whole_size) = parts.pop().expect("more files");
        std::fs::copy(whole, incoming.join(kept)).expect("copied");

        let new = fed_raft::Cluster::start(config, crate::machine::Values::default())
            .await
            .expect("starts");
        until("it has everything", async || {
            new.status().revision == leader.status().revision
        })
        .await;
        assert_eq!(new.status().state_hash, leader.status().state_hash);
        let there = size / 2 + whole_size;
        if damaged {
            assert!(sent(&leader) >= total - there + size, "the damaged file was sent anew");
        } else {
            assert_eq!(sent(&leader), total - there, "only what was missing");
        }
        new.shutdown().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_follows_so_many_entries_however_small() {
    let lab = Lab::tuned(1, |config| {
        config.snapshot_entries = 10;
        config.keep_entries = 5;
    })
    .await;
    for snapshot in 1..=2 {
        let before = lab.node(0).status().snapshot_index;
        let mut n = 0;
        until("there is another snapshot", async || {
            n += 1;
            lab.put(0, &format!("k{n}"), "v").await;
            lab.node(0).status().snapshot_index > before
        })
        .await;
        let status = lab.node(0).status();
        assert!(status.snapshot_index >= before + 10, "number {snapshot}: {status:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_of_few_large_entries_is_purged_by_its_bytes() {
    let lab = Lab::tuned(1, |config| {
        config.snapshot_bytes = 64 << 10;
        config.keep_entries = 1_000_000;
        config.keep_bytes = 100 << 10;
    })
    .await;
    let node = lab.node(0).clone();
    let mut n = 0;
    until("the log is purged", async || {
        n += 1;
        lab.put(0, &format!("k{n}"), &"v".repeat(20_000)).await;
        node.status().purged_index > 3
    })
    .await;
}
