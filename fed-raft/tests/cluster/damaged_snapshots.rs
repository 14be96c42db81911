//! Bits that flip on disk in a snapshot, or in the state: found before anybody uses them, named, and refused with the two ways out.

use std::path::{Path, PathBuf};

use fed_raft::{Cluster, Config, OnFailure, StartError};

use crate::lab::{PATIENCE, until};
use crate::machine::Values;
use crate::snapshots::{complete, forgetful, outgrow};

/// A node that has stopped and has a snapshot; the snapshot's folder.
async fn stopped_with_a_snapshot() -> (tempfile::TempDir, Config, PathBuf) {
    stopped_with_a_snapshot_of(10, "v").await
}

/// The same, with so many entries in it that each put this value.
async fn stopped_with_a_snapshot_of(entries: u64, value: &str) -> (tempfile::TempDir, Config, PathBuf) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    config.on_failure = OnFailure::StopNode;
    config.snapshot_entries = entries;
    Cluster::<Values>::init(&config).expect("an empty folder");
    let node = started(&config).await.expect("starts");
    until("it leads", async || node.status().leader.is_some()).await;
    let mut n = 0;
    until("there is a snapshot", async || {
        n += 1;
        let (key, value) = (format!("k{n}"), value.to_owned());
        let put = crate::machine::Command::Put { key, value };
        node.propose(put).await.expect("acknowledged");
        node.status().snapshot_index > 0
    })
    .await;
    node.shutdown().await;
    drop(node);
    let snapshots = complete(&config.data_dir.join("snapshots"));
    (folder, config, snapshots.into_iter().next().expect("one snapshot"))
}

/// Starts it as soon as whoever ran before has gone.
async fn started(config: &Config) -> Result<Cluster<Values>, StartError> {
    let mut found = None;
    until("the folder is free", async || {
        let start = Cluster::start(config.clone(), Values::default()).await;
        if !matches!(start, Err(StartError::InUse(_))) {
            found = Some(start);
        }
        found.is_some()
    })
    .await;
    found.expect("started or refused")
}

/// Flips a bit in a file of the snapshot alone: the state may have the same file under another name.
fn flip_a_bit(file: &Path) {
    let mut bytes = std::fs::read(file).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::remove_file(file).expect("removed");
    std::fs::write(file, bytes).expect("written");
}

fn names_it_and_the_ways_out(text: &str, file: &Path) {
    assert!(text.contains(&file.display().to_string()), "{text}");
    assert!(
        text.contains("damaged") && text.contains("backup") && text.contains("join again"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_any_file_of_a_snapshot_is_refused_with_the_two_ways_out() {
    let (_folder, config, snapshot) = stopped_with_a_snapshot().await;
    let files = std::fs::read_dir(&snapshot).expect("readable");
    let files: Vec<PathBuf> = files.map(|entry| entry.expect("readable").path()).collect();
    assert!(files.iter().any(|file| file.ends_with("MANIFEST.fed")), "{files:?}");
    for file in files {
        let whole = std::fs::read(&file).expect("readable");
        // RocksDB's own notes are no part of it.
        let name = file.file_name().expect("named").to_string_lossy();
        if whole.is_empty() || name.starts_with("LOG") || name == "LOCK" {
            continue;
        }
        flip_a_bit(&file);
        let text = match started(&config).await {
            // Whoever was not stopped by its manifest finds it while it runs.
            Ok(node) => {
                let why = tokio::time::timeout(PATIENCE, node.stopped()).await.expect("it stops");
                node.shutdown().await;
                why
            }
            Err(error) => {
                assert!(matches!(error, StartError::Damaged { .. }), "{error}");
                error.to_string()
            }
        };
        names_it_and_the_ways_out(&text, &file);
        std::fs::write(&file, whole).expect("written");
    }
    let node = started(&config).await.expect("whole again");
    until("it leads", async || node.status().leader.is_some()).await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_state_is_found_though_nobody_asks_for_what_it_hit() {
    let (_folder, config, _) = stopped_with_a_snapshot_of(300, &"v".repeat(300)).await;
    let folder = config.data_dir.join("state").join("1");
    let files = std::fs::read_dir(&folder).expect("readable");
    let tables = files
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "sst"));
    let largest = tables.max_by_key(|path| path.metadata().map_or(0, |file| file.len()));
    let largest = largest.expect("the snapshot had it written");
    flip_a_bit(&largest);
    let node = started(&config).await.expect("its notes are whole");
    let why = tokio::time::timeout(PATIENCE, node.stopped()).await.expect("it stops");
    node.shutdown().await;
    names_it_and_the_ways_out(&why, &largest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_not_sent_and_whoever_has_it_ends() {
    let mut lab = forgetful(1).await;
    outgrow(&lab, 0).await;
    let leader = lab.node(0).clone();
    let snapshots = lab.hosts[0].config.data_dir.join("snapshots");
    // With so few entries after it that no other is on its way, which would take the place of the damaged one.
    until("there is one snapshot, and it is new", async || {
        lab.put(0, "last", &"v".repeat(500)).await;
        let status = leader.status();
        complete(&snapshots).len() == 1 && status.snapshot_index + 15 > status.last_index
    })
    .await;
    let damaged = complete(&snapshots).remove(0).join("CURRENT");
    let whole = std::fs::read(&damaged).expect("readable");
    flip_a_bit(&damaged);

    // Who joins needs it.
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    config.on_failure = OnFailure::StopNode;
    let seed = leader.address().to_string();
    let joined = Cluster::<Values>::join(&config, &seed).await;
    joined.expect("an id");
    let new = started(&config).await.expect("starts");
    let why = tokio::time::timeout(PATIENCE, leader.stopped()).await.expect("it ends");
    names_it_and_the_ways_out(&why, &damaged);
    assert_eq!(new.status().revision.0, 0, "nothing of it was taken");

    drop(leader);
    std::fs::write(&damaged, whole).expect("written");
    lab.kill(0);
    lab.start(0).await;
    until("it has everything", async || {
        let (here, there) = (lab.node(0).status(), new.status());
        there.revision.0 > 0 && there.revision == here.revision && there.state_hash == here.state_hash
    })
    .await;
    new.shutdown().await;
}
