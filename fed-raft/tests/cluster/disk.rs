//! Disks that are slow, dead, full or broken.

use std::path::{Path, PathBuf};
use std::process::Command as Program;
use std::time::Duration;

use fed_raft::{Cluster, Config, OnFailure, ProposeError};

use crate::lab::{Lab, PATIENCE, until};
use crate::machine::{self, Command, Values};

fn put(key: &str) -> Command {
    let (key, value) = (key.to_owned(), "v".repeat(1000));
    Command::Put { key, value }
}

fn impatient(config: &mut Config) {
    config.disk_probe_every = Duration::from_millis(50);
    config.disk_late = Duration::from_millis(500);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_hangs_gives_up_leading_and_then_stops() {
    let lab = Lab::tuned(3, |config| {
        impatient(config);
        config.disk_dead = Duration::from_secs(6);
    })
    .await;
    let leader = lab.leader().await;
    let (hung, other) = (lab.node(leader).clone(), lab.node((leader + 1) % 3).clone());
    let faults = &lab.hosts[leader].config.faults;
    faults.stall(true);
    until("another leads", async || {
        let leading = other.status().leader;
        leading.is_some() && leading != Some(hung.id())
    })
    .await;
    assert_eq!(hung.status().stopped, None, "handed over while it still ran");
    let why = tokio::time::timeout(PATIENCE, hung.stopped()).await.expect("it stops");
    let folder = lab.hosts[leader].config.data_dir.display().to_string();
    assert!(why.contains(&folder) && why.contains("6s"), "{why}");
    lab.put((leader + 1) % 3, "a", "1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_hangs_for_a_moment_costs_nothing_but_the_leadership() {
    let lab = Lab::tuned(3, |config| {
        impatient(config);
        // However long a busy machine takes for what follows, it is a moment.
        config.disk_dead = Duration::from_secs(3600);
    })
    .await;
    let leader = lab.leader().await;
    let hung = lab.node(leader).clone();
    let faults = lab.hosts[leader].config.faults.clone();
    faults.stall(true);
    until("another leads", async || {
        let leading = hung.status().leader;
        leading.is_some() && leading != Some(hung.id())
    })
    .await;
    faults.stall(false);
    lab.put(leader, "a", "1").await;
    // Where the machine is busy, the disk is late again now and then, and so may be an answer.
    until("it may lead again", async || {
        hung.transfer_leadership(hung.id()).await.is_ok()
    })
    .await;
    lab.agree().await;
    assert_eq!(hung.status().stopped, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_sync_and_an_error_that_a_database_keeps_stop_the_node() {
    for latched in [false, true] {
        let lab = Lab::tuned(1, impatient).await;
        lab.put(0, "a", "1").await;
        let faults = &lab.hosts[0].config.faults;
        if latched {
            faults.latch_error(true);
        } else {
            faults.fail_sync(true);
        }
        let node = lab.node(0).clone();
        let why = tokio::time::timeout(PATIENCE, node.stopped()).await.expect("it stops");
        let expected = if latched {
            "takes no more"
        } else {
            "a synced write failed"
        };
        assert!(why.contains(expected), "{why}");
        let proposed = node.propose(put("b")).await;
        assert!(matches!(proposed, Err(ProposeError::Stopped(_))), "{proposed:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_little_space_only_deletes_are_taken_until_there_is_more() {
    let lab = Lab::tuned(3, impatient).await;
    lab.put(0, "a", "1").await;
    let leader = lab.leader().await;
    let other = (leader + 1) % 3;
    let config = lab.hosts[leader].config.clone();
    config.faults.pretend_free(Some(1 << 20));
    // Refused at the leader, and over it at the others.
    for asked in [leader, other] {
        until("growth is refused", async || {
            let folder = &config.data_dir;
            matches!(
                lab.node(asked).propose(put("b")).await,
                Err(ProposeError::LowSpace { path, free, .. }) if path == *folder && free == 1 << 20
            )
        })
        .await;
        let refused = lab
            .node(asked)
            .propose(put("b"))
            .await
            .expect_err("refused")
            .to_string();
        assert!(
            refused.contains("Free some space") && refused.contains("nothing was changed"),
            "{refused}"
        );
        let both = vec![Command::Delete { key: "a".to_owned() }, put("c")];
        let mixed = lab.node(asked).propose_many(both).await;
        assert!(matches!(mixed, Err(ProposeError::LowSpace { .. })), "{mixed:?}");
        let delete = Command::Delete { key: "a".to_owned() };
        lab.node(asked).propose(delete).await.expect("deletes are taken");
        assert_eq!(lab.get(asked, "a").await, None);
    }
    assert!(lab.node(leader).metrics().contains("fed_raft_low_space 1\n"));
    config.faults.pretend_free(None);
    until("writes are taken again by itself", async || {
        lab.node(other).propose(put("b")).await.is_ok()
    })
    .await;
    assert_eq!(lab.node(leader).status().stopped, None);
}

/// A file system of its own, in memory; gone when dropped.
struct Mount {
    folder: tempfile::TempDir,
}

impl Mount {
    /// `None` without the right to mount.
    fn of(megabytes: u32) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let mounted = Program::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "fed-raft-test"])
            .arg(folder.path())
            .output();
        let mounted = mounted.is_ok_and(|said| said.status.success());
        mounted.then_some(Self { folder })
    }

    /// Takes all space but so much.
    fn fill_but(&self, bytes: u64) -> PathBuf {
        let ballast = self.folder.path().join("ballast");
        let mut file = std::fs::File::create(&ballast).expect("room");
        while free(self.folder.path()) > bytes {
            let chunk = (free(self.folder.path()) - bytes).min(1 << 20);
            let chunk = vec![1; usize::try_from(chunk).expect("small")];
            if std::io::Write::write_all(&mut file, &chunk).is_err() {
                break;
            }
        }
        ballast
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let lazily = Program::new("umount").arg("-l").arg(self.folder.path()).status();
        assert!(lazily.is_ok_and(|status| status.success()), "the test's mount stays");
    }
}

fn free(folder: &Path) -> u64 {
    let found = rustix::fs::statvfs(folder).expect("a file system");
    found.f_bavail * found.f_frsize
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_real_disk_fills_up_and_a_node_lives_through_it() {
    let Some(mount) = Mount::of(600) else {
        eprintln!("SKIPPED: a test of a full disk needs the right to mount a file system");
        return;
    };
    let mut config = Config::new(mount.folder.path().join("data"), "127.0.0.1:0");
    config.on_failure = OnFailure::StopNode;
    config.min_free_bytes = 64 << 20;
    impatient(&mut config);
    Cluster::<Values>::init(&config).expect("an empty folder");
    let node = Cluster::start(config.clone(), Values::default()).await.expect("starts");
    node.propose(put("before")).await.expect("there is room");

    // Nearly full: refused in time, and taken again when there is space.
    let ballast = mount.fill_but(32 << 20);
    until("growth is refused", async || {
        matches!(node.propose(put("b")).await, Err(ProposeError::LowSpace { .. }))
    })
    .await;
    let delete = Command::Delete { key: "b".to_owned() };
    node.propose(delete).await.expect("deletes are taken");
    std::fs::remove_file(&ballast).expect("removed");
    until("writes are taken again", async || {
        node.propose(put("after")).await.is_ok()
    })
    .await;
    node.shutdown().await;
    drop(node);

    // Full to the last byte, with nothing to warn: the node stops, acknowledges nothing that is not on disk, and comes
    // back with everything else once there is space.
    let mut unwarned = config.clone();
    unwarned.min_free_bytes = 0;
    unwarned.propose_timeout = Duration::from_secs(2);
    let node = started(&unwarned).await;
    let ballast = mount.fill_but(0);
    let mut acknowledged = Vec::new();
    for n in 0.. {
        let key = format!("k{n}");
        match node.propose(put(&key)).await {
            Ok(_) => acknowledged.push(key),
            Err(_) => break,
        }
        assert!(n < 2_000_000, "the disk never filled");
    }
    let why = tokio::time::timeout(PATIENCE, node.stopped()).await.expect("it stops");
    assert!(!why.is_empty());
    node.shutdown().await;
    drop(node);
    std::fs::remove_file(&ballast).expect("removed");
    let node = started(&config).await;
    until("it leads again", async || node.status().leader.is_some()).await;
    let snapshot = node.local();
    for key in ["before".to_owned(), "after".to_owned()].iter().chain(&acknowledged) {
        let found = machine::value(&snapshot, key).expect("the store works");
        assert!(found.is_some(), "{key} was acknowledged and is gone");
    }
    drop(snapshot);
    node.shutdown().await;
}

/// A node that starts as soon as its folder is free.
async fn started(config: &Config) -> Cluster<Values> {
    let mut found = None;
    until("the folder is free", async || {
        found = Cluster::start(config.clone(), Values::default()).await.ok();
        found.is_some()
    })
    .await;
    found.expect("started")
}
