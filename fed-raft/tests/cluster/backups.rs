//! A state that is carried away, and a new cluster made from it.

use fed_core::ids::Revision;
use fed_raft::{Backup, BackupError, Cluster, Config, OnFailure, Role, StartError, restore};

use crate::lab::{Lab, until};
use crate::machine::{self, Command, Reply, Values};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_cluster_begins_with_the_state_of_a_backup_and_takes_nodes_in() {
    let mut lab = Lab::of(3).await;
    for n in 0..20 {
        lab.put(n % 3, &format!("k{n}"), "v").await;
    }
    lab.agree().await;
    let kept = tempfile::tempdir().expect("a folder");
    let folder = kept.path().join("backup");
    let made = lab.node(1).backup(&folder).await.expect("made");
    let (info, before) = (made.info().clone(), lab.node(1).status());
    assert_eq!((info.revision, info.state_hash), (Revision(20), before.state_hash));
    assert_eq!((info.cluster, info.node), (before.cluster, before.node));
    drop(made);
    // What comes later is not in it.
    lab.put(0, "later", "v").await;
    let spent: Vec<_> = before.members.iter().map(|m| m.id).collect();
    for n in 0..3 {
        lab.kill(n);
    }

    let backup = Backup::open(&folder).expect("whole");
    backup.verify().expect("as the cluster had it");
    assert_eq!(backup.info(), &info);
    let mut config = Config::new(kept.path().join("new"), "127.0.0.1:0");
    config.on_failure = OnFailure::StopNode;
    let first = vec![Command::Delete { key: "k3".to_owned() }];
    let restored = restore(&config, &backup, &Values::default(), first).expect("restored");
    assert_eq!(restored.replies, [Reply::Done]);
    let id = restored.identity.node;
    assert!(id.0 > before.last_index && !spent.contains(&id), "{id}");
    assert_ne!(restored.identity.cluster, info.cluster);
    let again = restore(&config, &backup, &Values::default(), Vec::new()).expect_err("occupied");
    assert!(
        matches!(again, BackupError::Start(StartError::Occupied { .. })),
        "{again}"
    );

    let node = Cluster::start(config, Values::default()).await.expect("starts");
    until("it leads alone", async || node.status().leader == Some(id)).await;
    let value = |cluster: &Cluster<Values>, key: &str| machine::value(&cluster.local(), key).expect("readable");
    assert_eq!(value(&node, "k7").as_deref(), Some("v"));
    assert_eq!((value(&node, "k3"), value(&node, "later")), (None, None));

    let mut second = Config::new(kept.path().join("second"), "127.0.0.1:0");
    second.on_failure = OnFailure::StopNode;
    let seed = node.address().to_string();
    let joined = Cluster::<Values>::join(&second, &seed).await.expect("taken in");
    assert!(joined.node > id, "an id after all those of the old cluster");
    let other = Cluster::start(second, Values::default()).await.expect("starts");
    until("the new node has everything and votes", async || {
        value(&other, "k19").is_some() && other.members().iter().filter(|m| m.role != Role::Learner).count() == 2
    })
    .await;
    let put = Command::Put {
        key: "after".to_owned(),
        value: "v".to_owned(),
    };
    other.propose(put).await.expect("taken");
    until("both have it", async || {
        value(&node, "after").is_some() && value(&other, "after").is_some()
    })
    .await;
    until("both have the same state", async || {
        node.status().state_hash == other.status().state_hash
    })
    .await;
    other.shutdown().await;
    node.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_with_a_changed_or_missing_file_is_refused_and_makes_no_cluster() {
    let lab = Lab::of(1).await;
    lab.put(0, "k", "v").await;
    let kept = tempfile::tempdir().expect("a folder");
    let folder = kept.path().join("backup");
    let made = lab.node(0).backup(&folder).await.expect("made");
    let name = made
        .info()
        .files
        .iter()
        .find(|(_, size)| *size > 0)
        .expect("a file")
        .0
        .clone();
    drop(made);
    let file = folder.join(&name);
    let right = std::fs::read(&file).expect("readable");
    let mut wrong = right.clone();
    wrong[right.len() / 2] ^= 1;
    std::fs::write(&file, &wrong).expect("written");
    let error = Backup::open(&folder).expect_err("damaged");
    assert!(matches!(error, BackupError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains(&name), "{error}");
    std::fs::remove_file(&file).expect("removed");
    assert!(matches!(Backup::open(&folder), Err(BackupError::Damaged { .. })));
    std::fs::write(&file, &right).expect("written");
    Backup::open(&folder).expect("whole again").verify().expect("the same");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_newer_feature_level_is_refused_and_the_folder_stays_free() {
    let lab = Lab::of(1).await;
    lab.put(0, "k", "v").await;
    let kept = tempfile::tempdir().expect("a folder");
    let folder = kept.path().join("backup");
    let more = Config::new(kept.path().join("newer"), "127.0.0.1:0");
    Cluster::<Values>::init(&more).expect("made");
    let newer = Cluster::start(more, Values { more: 1 }).await.expect("starts");
    until("the level has risen", async || newer.status().feature_level == 2).await;
    newer.backup(&folder).await.expect("made");
    newer.shutdown().await;
    let config = Config::new(kept.path().join("new"), "127.0.0.1:0");
    let backup = Backup::open(&folder).expect("whole");
    let error = restore(&config, &backup, &Values::default(), Vec::new()).expect_err("newer");
    assert!(
        matches!(error, BackupError::Start(StartError::NewerLevel { found: 2, .. })),
        "{error}"
    );
    restore(&config, &backup, &Values { more: 1 }, Vec::new()).expect("the folder is still free");
}
