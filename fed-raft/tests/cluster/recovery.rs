//! A quorum that is lost for good, and the one folder that is left.

use std::time::Duration;

use fed_core::ids::Revision;
use fed_raft::{Cluster, Config, Consistency, OnFailure, ReadError, Role, StartError, inspect, plan_recovery, recover};

use crate::lab::{Lab, until};
use crate::machine::{self, Command, Values};

/// A cluster of three, two of which are gone; the number of the survivor.
async fn one_is_left() -> (Lab, usize) {
    let mut lab = Lab::of(3).await;
    for n in 0..20 {
        lab.put(n % 3, &format!("k{n}"), "v").await;
    }
    lab.agree().await;
    let survivor = lab.followers().await[0];
    for n in (0..3).filter(|n| *n != survivor) {
        lab.kill(n);
    }
    (lab, survivor)
}

fn folder(lab: &Lab, number: usize) -> &std::path::Path {
    &lab.hosts[number].config.data_dir
}

/// Waits for the folder of a node that was killed.
pub async fn freed(lab: &Lab, number: usize) {
    until("the folder is free", async || {
        plan_recovery(folder(lab, number)).is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_survivor_becomes_a_cluster_and_the_old_members_are_refused() {
    let (mut lab, survivor) = one_is_left().await;
    let (id, before) = (lab.id(survivor), lab.node(survivor).status());
    assert!(
        matches!(recover(folder(&lab, survivor)), Err(StartError::InUse(_))),
        "it runs"
    );
    lab.kill(survivor);
    freed(&lab, survivor).await;

    let planned = plan_recovery(folder(&lab, survivor)).expect("readable");
    assert_eq!(planned.new_cluster, None);
    assert_eq!((planned.node, planned.old_cluster), (id, before.cluster));
    assert_eq!(
        (planned.last_index, planned.revision),
        (before.last_index, Revision(20))
    );
    let given_up: Vec<_> = planned.given_up.iter().map(|g| (g.id, g.voter)).collect();
    let others: Vec<_> = before
        .members
        .iter()
        .filter(|m| m.id != id)
        .map(|m| (m.id, true))
        .collect();
    assert_eq!(given_up, others);
    // Looking changes nothing.
    assert_eq!(plan_recovery(folder(&lab, survivor)).expect("readable"), planned);
    let owner = inspect(folder(&lab, survivor)).expect("readable").expect("owned");
    assert_eq!(owner.cluster, before.cluster);

    let done = recover(folder(&lab, survivor)).expect("recovered");
    let cluster = done.new_cluster.expect("carried out");
    assert_ne!(cluster, before.cluster);
    lab.start(survivor).await;
    until("it leads alone", async || {
        lab.node(survivor).status().leader == Some(id)
    })
    .await;
    let status = lab.node(survivor).status();
    assert_eq!((status.cluster, status.members.len()), (cluster, 1));
    assert_eq!(lab.get(survivor, "k19").await.as_deref(), Some("v"));
    assert!(lab.put(survivor, "after", "v").await > before.revision);

    // The old ones come back: they are two of three, and may go on among themselves, but never with the survivor.
    let old = (survivor + 1) % 3;
    lab.start(old).await;
    let alone = lab.node(old).clone();
    let read = alone.read(Consistency::Linearizable, Duration::from_secs(3)).await;
    assert!(
        matches!(read, Err(ReadError::NoQuorum)),
        "one of three is no majority: {read:?}"
    );
    assert!(!alone.status().quorum);
    assert_eq!(alone.status().cluster, before.cluster);
    drop(alone);
    assert_eq!(lab.node(survivor).members().len(), 1);
    assert_eq!(lab.get(survivor, "after").await.as_deref(), Some("v"));
    lab.kill(old);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_nodes_join_the_recovered_cluster_and_get_everything() {
    let (mut lab, survivor) = one_is_left().await;
    let spent: Vec<_> = lab.node(survivor).members().iter().map(|m| m.id).collect();
    lab.kill(survivor);
    freed(&lab, survivor).await;
    recover(folder(&lab, survivor)).expect("recovered");
    lab.start(survivor).await;
    let added = [lab.add().await, lab.add().await];
    let voters = || {
        let members = lab.node(survivor).members();
        members.iter().filter(|m| m.role != Role::Learner).count()
    };
    until("three vote again", async || voters() == 3).await;
    for node in added {
        assert!(!spent.contains(&lab.id(node)), "an id was used again");
        assert_eq!(lab.get(node, "k7").await.as_deref(), Some("v"));
    }
    lab.put(added[1], "after", "v").await;
    lab.agree().await;
    // The survivor may die now.
    lab.kill(survivor);
    lab.put(added[0], "later", "v").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_recovery_refuses_the_start_and_goes_on_when_run_again() {
    let (mut lab, survivor) = one_is_left().await;
    let status = lab.node(survivor).status();
    lab.kill(survivor);
    freed(&lab, survivor).await;
    let mut config = lab.hosts[survivor].config.clone();
    config.listen = "127.0.0.1:0".to_owned();
    let data = config.data_dir.clone();
    // As after a crash that left the mark and the log, but not the state and the identity.
    let identity = std::fs::read(data.join("identity")).expect("readable");
    let state = tempfile::tempdir().expect("a folder");
    copy(&data.join("state"), &state.path().join("state"));
    recover(&data).expect("recovered");
    let new = std::fs::read(data.join("identity")).expect("readable");
    std::fs::write(data.join("recovery"), &new).expect("written");
    std::fs::write(data.join("identity"), &identity).expect("written");
    std::fs::remove_dir_all(data.join("state")).expect("removed");
    copy(&state.path().join("state"), &data.join("state"));

    let refused = Cluster::start(config.clone(), Values::default())
        .await
        .expect_err("refused");
    assert!(matches!(refused, StartError::Unfinished(_)), "{refused}");
    let again = recover(&data).expect("it goes on");
    assert!(again.resumed);
    assert_eq!(again.last_index, status.last_index);
    assert_eq!(again.given_up.len(), 2);
    lab.start(survivor).await;
    lab.put(survivor, "after", "v").await;
    assert_eq!(lab.get(survivor, "k3").await.as_deref(), Some("v"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_whose_log_was_purged_recovers_and_hands_out_its_state() {
    let mut lab = Lab::tuned(3, |config| {
        config.snapshot_bytes = 16 << 10;
        config.keep_entries = 5;
    })
    .await;
    let survivor = lab.followers().await[0];
    let mut n = 0;
    until("the log is purged", async || {
        n += 1;
        lab.put(survivor, &format!("k{n}"), &"v".repeat(2000)).await;
        lab.node(survivor).status().purged_index > 20
    })
    .await;
    for other in (0..3).filter(|n| *n != survivor) {
        lab.kill(other);
    }
    lab.kill(survivor);
    freed(&lab, survivor).await;
    recover(folder(&lab, survivor)).expect("recovered");
    lab.start(survivor).await;
    let added = lab.add().await;
    lab.agree().await;
    assert_eq!(lab.get(added, "k1").await.map(|v| v.len()), Some(2000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_never_was_let_in_has_nothing_to_recover() {
    let mut first = Lab::of(1).await;
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    config.on_failure = OnFailure::StopNode;
    let seed = first.node(0).address().to_string();
    Cluster::<Values>::join(&config, &seed).await.expect("an id");
    let refused = recover(&config.data_dir).expect_err("refused");
    assert!(matches!(refused, StartError::NothingToRecover(_)), "{refused}");
    first.put(0, "a", "1").await;
    let local = first.node(0).local();
    assert_eq!(machine::value(&local, "a").expect("works").as_deref(), Some("1"));
    drop(local);
    let command = Command::Open;
    first.node(0).propose(command).await.expect("it goes on");
    first.kill(0);
}

pub fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("made");
    for entry in std::fs::read_dir(from).expect("readable") {
        let entry = entry.expect("readable");
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copied");
        }
    }
}
