//! A map from before there was sealing: it opens, and an upkeep step seals it.

use std::path::Path;
use std::time::Duration;

use crate::support::{Node, until};
use fed_core::command::{Command, Expect};
use fed_core::ids::{DeviceId, UserId};
use fed_core::map::{FederationMap, MapView};
use fed_core::records::{Device, DigestCredentials, User, setting};
use fed_raft::{Cluster, Config, StartError};

const HA1: &str = "0123456789abcdef0123456789abcdef";

fn config(folder: &Path) -> Config {
    let mut config = Config::new(folder, "127.0.0.1:0");
    config.min_free_bytes = 0;
    config
}

/// What a node of before wrote: digests and the key of capabilities as they are, and no key beside them.
async fn before(folder: &Path) {
    Cluster::<FederationMap>::init(&config(folder)).unwrap();
    let cluster = Cluster::start(config(folder), FederationMap).await.unwrap();
    let mut commands = vec![Command::PutSetting {
        key: setting::CAPABILITY_KEY.to_owned(),
        value: "cd".repeat(32).into(),
        expect: Expect::Any,
    }];
    for n in 0..450 {
        let id = format!("u{n:03}");
        let user = User::new(UserId::new(id.as_str()).unwrap());
        let credentials = DigestCredentials {
            realm: "federated".to_owned(),
            md5_ha1: HA1.to_owned(),
        };
        let device = Device::new(DeviceId::new(id).unwrap(), user.id.clone(), credentials);
        let expect = Expect::Any;
        commands.push(Command::PutUser { user, expect });
        commands.push(Command::PutDevice { device, expect });
    }
    cluster.propose_many(commands).await.unwrap();
    cluster.shutdown().await;
}

/// How many devices of the map are sealed and how many are not, and whether the key of capabilities is.
async fn counted(folder: &Path) -> (usize, usize, bool) {
    let deadline = std::time::Instant::now() + crate::support::PATIENCE;
    let cluster = loop {
        // Whoever had the folder before may still be letting it go.
        match Cluster::start(config(folder), FederationMap).await {
            Err(StartError::InUse(_)) if std::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            started => break started.unwrap(),
        }
    };
    let read = cluster
        .read(fed_raft::Consistency::Linearizable, Duration::from_secs(10))
        .await;
    let snapshot = read.unwrap();
    let view = MapView::new(&snapshot);
    let devices = view.devices(None, usize::MAX).unwrap();
    let sealed = devices
        .iter()
        .filter(|device| device.value.credentials.is_sealed())
        .count();
    let key = view.setting(setting::CAPABILITY_KEY).unwrap().unwrap();
    let counted = (sealed, devices.len() - sealed, key.value.is_sealed());
    drop(snapshot);
    cluster.shutdown().await;
    counted
}

#[test]
fn a_map_of_before_opens_and_is_sealed_by_the_way() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "n1");
    // Nor certificates.
    node.plaintext = true;
    let folder = node.data_dir().join("cluster");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(before(&folder));
    assert_eq!(runtime.block_on(counted(&folder)), (0, 450, false));

    node.run();
    let export = node.asks(&["user", "export"]).ok().out;
    assert_eq!(export.matches(HA1).count(), 450, "every digest opens, sealed or not");
    until("everything is sealed", || {
        node.log().contains("sealed secrets that stood open").then_some(())
    });
    assert!(node.log().contains("made the key"), "{}", node.log());
    let export = node.asks(&["user", "export"]).ok().out;
    assert_eq!(export.matches(HA1).count(), 450, "and after it");
    // An import of what is there changes nothing, whatever nonce it was sealed with.
    let roster = node.dir.join("roster.csv");
    crate::support::write_private(&roster, &export);
    let again = node.asks(&["user", "import", roster.to_str().unwrap()]).ok();
    assert!(
        !again.out.contains("added") || again.out.contains("0 added"),
        "{again:?}"
    );
    node.terminate();
    assert_eq!(runtime.block_on(counted(&folder)), (450, 0, true));
}

#[test]
fn without_its_key_a_node_says_what_to_do_and_takes_nothing_away() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "n1");
    node.setup(&["init"]).ok();
    node.run();
    until("founded", || {
        let list = node.json(&["setting", "list"]).to_string();
        list.contains("seal_key").then_some(())
    });
    until("a user", || (node.add_user("alice", "1001").code == 0).then_some(()));
    node.terminate();
    let key = node.data_dir().join("security/cluster.key");
    let kept = std::fs::read_to_string(&key).unwrap();
    std::fs::remove_file(&key).unwrap();

    node.run();
    until("it says so", || {
        node.log().contains("cannot open credentials").then_some(())
    });
    let export = node.asks(&["user", "export"]);
    assert!(
        export.code != 0 && export.err.contains("security/cluster.key"),
        "{export:?}"
    );
    assert!(!key.exists(), "another key would open nothing");
    node.asks(&["user", "show", "alice"]).ok();
    let refused = node.add_user("bob", "1002");
    assert!(
        refused.code != 0 && refused.err.contains("security/cluster.key"),
        "{refused:?}"
    );
    node.asks(&["user", "add", "carol", "--number", "1003", "--no-device"])
        .ok();
    node.terminate();

    // The key of another federation is none either.
    crate::support::write_private(&key, &"ab".repeat(32));
    node.run();
    until("it says so", || {
        let refused = node.add_user("bob", "1002");
        (refused.code != 0 && refused.err.contains("security/cluster.key")).then_some(())
    });
    node.terminate();

    crate::support::write_private(&key, &kept);
    node.run();
    node.asks(&["user", "export"]).ok();
}
