//! Somebody who may read and write the disk changes the map on it while the node is down.

use std::path::{Path, PathBuf};

use fed_core::audit::{Actor, Broken, Origin, verify};
use fed_core::command::{Command, Expect};
use fed_core::ids::UserId;
use fed_core::machine::{recomputed_state_hash, state_hash};
use fed_core::map::{FederationMap, MapView};
use fed_core::records::User;
use fed_raft::{Cluster, Config, Snapshot};

use crate::lab::until;

/// The table of the audit log; its keys are sequences.
const AUDIT: u8 = 29;

async fn start(config: &Config) -> Cluster<FederationMap> {
    let cluster = Cluster::start(config.clone(), FederationMap).await.expect("starts");
    until("it leads and knows changes in somebody's name", async || {
        let status = cluster.status();
        status.leader.is_some() && status.feature_level >= 2
    })
    .await;
    cluster
}

async fn put_user(cluster: &Cluster<FederationMap>, id: &str) {
    let put = Command::PutUser {
        user: User::new(UserId::new(id).expect("an id")),
        expect: Expect::Any,
    };
    let origin = Origin {
        who: Actor::Local,
        via: cluster.id(),
        at_unix: 1_000,
    };
    let command = Box::new(put);
    let named = Command::By { origin, command };
    cluster.propose(named).await.expect("acknowledged");
}

/// What `audit verify` finds.
fn verified(snapshot: &Snapshot) -> Result<u64, Broken> {
    let view = MapView::new(snapshot);
    let head = view.audit_head().expect("readable");
    let entries = view.audit(0, usize::MAX).expect("readable");
    let (last, hash) = verify(head.first - 1, head.before_first, &entries)?;
    if (last, hash) == (head.next - 1, head.last) {
        Ok(last)
    } else {
        Err(Broken::Missing(last + 1))
    }
}

/// The database of the state.
fn database(data_dir: &Path) -> PathBuf {
    let generations = std::fs::read_dir(data_dir.join("state")).expect("a folder");
    let mut folders = generations.map(|entry| entry.expect("readable").path());
    folders.find(|path| path.is_dir()).expect("a generation")
}

/// Does something to an entry's bytes, and makes its checksum right again.
fn forge(data_dir: &Path, sequence: u64, change: impl FnOnce(Vec<u8>) -> Option<Vec<u8>>) {
    let db = rocksdb::DB::open_default(database(data_dir)).expect("nobody has it open");
    let key = [&[AUDIT][..], &sequence.to_be_bytes()].concat();
    let bytes = db.get(&key).expect("readable").expect("an entry");
    match change(bytes) {
        None => db.delete(&key).expect("written"),
        Some(mut bytes) => {
            let summed = [&bytes[2..5], &bytes[9..]].concat();
            let sum = crc32c::crc32c(&summed).to_be_bytes();
            bytes[5..9].copy_from_slice(&sum);
            db.put(&key, bytes).expect("written");
        }
    }
    db.flush().expect("written");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_the_audit_log_that_was_changed_or_taken_out_on_the_disk_is_found() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    Cluster::<FederationMap>::init(&config).expect("made");
    let cluster = start(&config).await;
    for id in ["alice", "mallory", "carol"] {
        put_user(&cluster, id).await;
    }
    cluster.shutdown().await;
    drop(cluster);

    let renamed = |mut bytes: Vec<u8>| {
        let at = bytes.windows(7).position(|text| text == b"mallory").expect("named");
        bytes[at..at + 7].copy_from_slice(b"dorothy");
        Some(bytes)
    };
    let intact = start(&config).await;
    assert_eq!(verified(&intact.local()), Ok(3));
    intact.shutdown().await;
    drop(intact);

    forge(&config.data_dir, 2, renamed);
    let changed = start(&config).await;
    let snapshot = changed.local();
    let entries = MapView::new(&snapshot).audit(0, 10).expect("it can be read");
    assert_eq!(entries[1].what, ["user_put dorothy"], "it was forged");
    assert_eq!(verified(&snapshot), Err(Broken::Changed(2)));
    assert_ne!(
        state_hash(&snapshot).expect("readable"),
        recomputed_state_hash(&snapshot).expect("readable"),
        "other replicas would differ too"
    );
    drop(snapshot);
    changed.shutdown().await;
    drop(changed);

    forge(&config.data_dir, 2, |_| None);
    let without = start(&config).await;
    assert_eq!(verified(&without.local()), Err(Broken::Missing(2)));
    without.shutdown().await;
}
