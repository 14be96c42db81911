//! Data folders that are not what they should be.

use fed_core::ids::NodeId;
use fed_raft::{AskError, Cluster, Config, StartError, inspect};

use crate::lab::{Lab, PATIENCE, until};
use crate::machine::Values;
use crate::recovery::{copy, freed};

/// A folder of node 1 that was used once, and its configuration.
async fn used() -> (tempfile::TempDir, Config) {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    Cluster::<Values>::init(&config).expect("made");
    let cluster = Cluster::start(config.clone(), Values::default()).await.expect("starts");
    cluster.shutdown().await;
    (folder, config)
}

async fn refusal(config: Config) -> StartError {
    Cluster::start(config, Values::default()).await.expect_err("refused")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_folder_is_no_node() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    assert_eq!(inspect(&config.data_dir).expect("readable"), None);
    assert!(matches!(refusal(config).await, StartError::Empty(_)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_is_made_once() {
    let (_folder, config) = used().await;
    let again = Cluster::<Values>::init(&config);
    assert!(matches!(again, Err(StartError::Occupied { node: NodeId(1), .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_folder_of_another_node_is_refused() {
    let (_folder, mut config) = used().await;
    config.expect_node = Some(NodeId(9));
    let error = refusal(config).await;
    assert!(matches!(
        error,
        StartError::OtherNode {
            expected: NodeId(9),
            found: NodeId(1),
            ..
        }
    ));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wiped_node_does_not_come_back_under_its_old_id() {
    for part in ["log", "state"] {
        let (_folder, config) = used().await;
        std::fs::remove_dir_all(config.data_dir.join(part)).expect("removed");
        let error = refusal(config).await;
        assert!(
            matches!(error, StartError::Wiped { node: NodeId(1), .. }),
            "{part}: {error}"
        );
        assert!(error.to_string().contains("join"), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_copy_of_a_folder_stops_nobody_else_and_its_node_is_told() {
    let mut lab = Lab::of(3).await;
    let (leader, old) = (lab.leader().await, lab.followers().await[0]);
    lab.put(leader, "a", "1").await;
    lab.agree().await;
    lab.stop(old).await;
    freed(&lab, old).await;
    let data = lab.hosts[old].config.data_dir.clone();
    let copied = tempfile::tempdir().expect("a folder");
    copy(&data, copied.path());
    lab.start(old).await;
    for n in 0..5 {
        lab.put(leader, "a", &n.to_string()).await;
    }
    lab.agree().await;
    lab.stop(old).await;
    freed(&lab, old).await;
    std::fs::remove_dir_all(&data).expect("removed");
    copy(copied.path(), &data);
    let before = lab.node(leader).status();
    lab.start(old).await;
    let (node, leads) = (lab.node(old).clone(), lab.id(leader));
    until("the node is told", async || {
        let asked = node.ask(leads, bytes::Bytes::new(), PATIENCE).await;
        matches!(asked, Err(AskError::Lost(why)) if why.starts_with(&format!("node {} has lost", node.id())))
    })
    .await;
    lab.put(leader, "a", "last").await;
    let after = lab.node(leader).status();
    assert_eq!((after.leader, after.term), (before.leader, before.term));
    assert_eq!(lab.get(leader, "a").await.as_deref(), Some("last"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_put_together_from_two_nodes_is_refused() {
    for part in ["log", "state"] {
        let (_first, config) = used().await;
        let (_second, other) = used().await;
        let target = config.data_dir.join(part);
        std::fs::remove_dir_all(&target).expect("removed");
        std::fs::rename(other.data_dir.join(part), &target).expect("moved");
        let error = refusal(config).await;
        assert!(matches!(error, StartError::Mixed { .. }), "{part}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newer_format_is_refused_untouched() {
    let (_folder, config) = used().await;
    let file = config.data_dir.join("FORMAT");
    std::fs::write(&file, "fed-raft 99\nneeds 7.0.0\n").expect("written");
    let error = refusal(config).await;
    assert!(matches!(error, StartError::NewerFormat { found: 99, .. }), "{error}");
    assert!(error.to_string().contains("7.0.0"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_in_use_is_named() {
    let (_folder, mut config) = used().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    config.listen = taken.local_addr().expect("bound").to_string();
    let error = refusal(config.clone()).await;
    assert!(matches!(error, StartError::Listen { .. }), "{error}");
    assert!(error.to_string().contains(&config.listen), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_folder_in_use_is_refused() {
    let lab = Lab::of(1).await;
    let mut config = lab.hosts[0].config.clone();
    config.listen = "127.0.0.1:0".to_owned();
    assert!(matches!(refusal(config).await, StartError::InUse(_)));
    lab.put(0, "still", "works").await;
}

/// The newest write-ahead file of the log.
fn write_ahead(config: &Config) -> std::path::PathBuf {
    let files = std::fs::read_dir(config.data_dir.join("log")).expect("readable");
    let files = files.map(|entry| entry.expect("readable").path());
    let logs = files.filter(|path| path.extension().is_some_and(|e| e == "log"));
    let newest = logs.max_by_key(|path| path.metadata().map_or(0, |m| m.len()));
    newest.expect("there is one")
}

/// A node that was killed in the middle of its work, with what it had acknowledged.
async fn killed() -> (Lab, Config) {
    let mut lab = Lab::of(1).await;
    for n in 0..50 {
        lab.put(0, &format!("k{n}"), &"v".repeat(300)).await;
    }
    let config = lab.hosts[0].config.clone();
    lab.kill(0);
    until("the folder is free", async || {
        fed_raft::plan_recovery(&config.data_dir).is_ok()
    })
    .await;
    // Opened once, the log begins a new file: written to again, and killed again.
    lab.start(0).await;
    for n in 50..100 {
        lab.put(0, &format!("k{n}"), &"v".repeat(300)).await;
    }
    lab.kill(0);
    let lock = config.data_dir.join("log/LOCK");
    until("the folder is free", async || {
        std::fs::File::open(&lock).is_ok_and(|file| file.try_lock().is_ok()) && lock_is_free(&config)
    })
    .await;
    (lab, config)
}

/// Whether no process, nor a thread of this one, holds the folder.
fn lock_is_free(config: &Config) -> bool {
    let file = std::fs::File::open(config.data_dir.join("LOCK"));
    file.is_ok_and(|file| file.try_lock().is_ok())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_written_end_of_the_log_is_cut_off_and_nothing_acknowledged_is_lost() {
    let (mut lab, config) = killed().await;
    let path = write_ahead(&config);
    let mut bytes = std::fs::read(&path).expect("readable");
    // A record that says it is long, and of which little arrived.
    let mut torn = bytes[..200].to_vec();
    torn[4..6].copy_from_slice(&5000_u16.to_le_bytes());
    torn[6] = 1;
    bytes.extend(torn);
    std::fs::write(&path, &bytes).expect("written");
    lab.start(0).await;
    lab.leader().await;
    for n in 0..100 {
        assert!(lab.get(0, &format!("k{n}")).await.is_some(), "k{n} is gone");
    }
    lab.put(0, "after", "v").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flipped_bit_in_the_log_is_refused_with_the_two_ways_out() {
    let (_lab, config) = killed().await;
    let path = write_ahead(&config);
    let mut bytes = std::fs::read(&path).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&path, bytes).expect("written");
    let error = refusal(config).await;
    assert!(matches!(error, StartError::Damaged { .. }), "{error}");
    let text = error.to_string();
    let file = path.file_name().expect("named").to_string_lossy().into_owned();
    assert!(text.contains(&file), "{text}");
    assert!(text.contains("backup") && text.contains("join again"), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn damage_in_the_middle_of_the_log_is_refused_with_the_two_ways_out() {
    let (_folder, config) = used().await;
    let log = config.data_dir.join("log");
    let files = std::fs::read_dir(&log).expect("readable");
    let manifest = files
        .map(|entry| entry.expect("readable").path())
        .find(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("MANIFEST"))
        })
        .expect("RocksDB has a manifest");
    let mut bytes = std::fs::read(&manifest).expect("readable");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0xff;
    std::fs::write(&manifest, bytes).expect("written");
    let error = refusal(config).await;
    assert!(matches!(error, StartError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("backup") && text.contains("join again"), "{text}");
}
