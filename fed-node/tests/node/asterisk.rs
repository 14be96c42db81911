//! Federations of real processes, each beside a simulated Asterisk.

use std::time::Duration;

use crate::support::{Federation, Node, until};
use fed_ari::client::{AriClient, ObjectType};
use fed_ari::sim::{SimAsterisk, SimConfig, SimVersion};
use tokio::runtime::Runtime;

/// Simulated Asterisks and the runtime they live on.
pub(crate) struct Asterisks {
    runtime: Runtime,
    pub(crate) all: Vec<SimAsterisk>,
}

impl Asterisks {
    pub(crate) fn start(versions: &[SimVersion]) -> Self {
        let runtime = Runtime::new().unwrap();
        let all = versions
            .iter()
            .map(|version| runtime.block_on(SimAsterisk::start(SimConfig::new(*version))).unwrap());
        Self {
            all: all.collect(),
            runtime,
        }
    }

    fn give(&self, index: usize, node: &mut Node) {
        node.flags = vec![
            format!("--asterisk-url={}", self.all[index].url()),
            "--asterisk-password=secret".to_owned(),
            // Whatever an Asterisk of this machine has.
            "--redirect-transport=udp".to_owned(),
            format!("--sip-advertise={}", self.all[index].sip_address()),
        ];
    }

    pub(crate) fn federation(&self) -> Federation {
        Federation::start_with(self.all.len(), |index, node| self.give(index, node))
    }
}

fn trouble(node: &Node) -> String {
    node.json(&["status"])["asterisk"]["trouble"]
        .as_str()
        .unwrap()
        .to_owned()
}

#[test]
fn a_phone_is_found_from_every_node_and_again_after_a_move() {
    let asterisks = Asterisks::start(&[SimVersion::V22, SimVersion::V22, SimVersion::V16]);
    let federation = asterisks.federation();
    let [n1, n2, n3] = federation.nodes.as_slice() else {
        panic!("three nodes")
    };
    let before = n1.add_user("alice", "1001").ok();
    assert!(before.out.contains("revision"), "{before:?}");
    for asterisk in &asterisks.all {
        until("alice can register everywhere", || asterisk.object("endpoint", "alice"));
    }
    let revision = n1.json(&["status"])["revision"].as_u64().unwrap();

    asterisks.all[1].register("alice", "sip:alice@127.0.0.1:20001");
    for node in [n1, n2, n3] {
        until("alice is found at n2", || {
            node.asks(&["where", "alice"]).out.contains("n2").then_some(())
        });
    }
    assert!(n1.asks(&["route", "1001"]).ok().out.contains("ring alice at n2"));
    assert!(n2.asks(&["route", "1001"]).ok().out.contains("ring alice here"));
    // What the nodes say of themselves may come between.
    let mut after = revision;
    until("the watch tells that alice is bound", || {
        let seen = n3.asks(&["-o", "json", "watch", "--after", &after.to_string(), "--count", "1"]);
        let events: Vec<serde_json::Value> = seen.ok().out.lines().map(|line| line.parse().unwrap()).collect();
        after = events[0]["revision"].as_u64().unwrap();
        let bound = |event: &serde_json::Value| event["event"] == "bound" && event["object"] == "alice";
        events.iter().any(bound).then_some(())
    });

    asterisks.all[2].register("alice", "sip:alice@127.0.0.1:20002");
    for node in [n1, n2, n3] {
        until("alice is found at n3", || {
            let route = node.json(&["route", "1001"]);
            (route["stages"][0]["targets"][0]["node_name"] == "n3").then_some(())
        });
    }
    until("the stale contact is gone from n2", || {
        asterisks.all[1].registrations("alice").is_empty().then_some(())
    });
    until("no drift", || (n1.asks(&["drift"]).code == 0).then_some(()));
    let drift = n1.json(&["drift"]);
    assert_eq!(drift["nodes"].as_array().unwrap().len(), 3);
    assert!(
        drift["nodes"]
            .as_array()
            .unwrap()
            .iter()
            .all(|node| node.get("skipped").is_none()),
        "{drift}"
    );
}

#[test]
fn who_was_added_can_register_everywhere_when_the_command_ends_and_who_was_removed_nowhere() {
    let asterisks = Asterisks::start(&[SimVersion::V22, SimVersion::V22, SimVersion::V16]);
    let mut federation = asterisks.federation();
    let everywhere = |kind: &str, id: &str| asterisks.all.iter().filter(|a| a.object(kind, id).is_some()).count();
    let up = |nodes: &[Node], wanted: usize| {
        until("Asterisks are up or down", || {
            let listed = nodes[0].json(&["node", "list"]);
            let up = listed
                .as_array()?
                .iter()
                .filter(|node| node["session"].as_u64() > Some(0));
            (up.count() == wanted).then_some(())
        });
    };
    up(&federation.nodes, 3);
    for asterisk in &asterisks.all {
        asterisk.slow_down(Duration::from_millis(40));
    }
    for (index, node) in federation.nodes.iter().enumerate() {
        let (user, number) = (format!("anna{index}"), format!("200{index}"));
        let said = node.add_user(&user, &number).ok();
        assert_eq!(said.err, "", "nothing is missing anywhere");
        assert_eq!(everywhere("endpoint", &user), 3, "{user}");
        let said = node.asks(&["device", "set", &user, "--codec", "g722"]).ok();
        assert_eq!(said.err, "");
        for asterisk in &asterisks.all {
            assert_eq!(asterisk.holds("endpoint", &user, "allow").as_deref(), Some("(g722)"));
        }
        node.asks(&["user", "remove", &user, "--yes"]).ok();
        assert_eq!(everywhere("auth", &user), 0, "{user}");
    }
    asterisks.runtime.block_on(asterisks.all[2].stop());
    up(&federation.nodes, 2);
    let said = federation.nodes[0].add_user("bob", "1002").ok();
    assert!(
        said.err.contains("not at n3 yet: it is down, or its Asterisk is"),
        "{said:?}"
    );
    assert_eq!(everywhere("endpoint", "bob"), 2);
    let said = federation.nodes[2].add_user("carl", "1003").ok();
    assert!(
        said.err.contains("not at n3 yet: its Asterisk is not connected"),
        "{said:?}"
    );
    federation.nodes[2].terminate();
    let said = federation.nodes[0].add_user("dora", "1004").ok();
    assert!(said.err.contains("not at n3 yet: it is down"), "{said:?}");
}

#[test]
fn a_registration_that_the_map_does_not_know_is_drift() {
    let asterisks = Asterisks::start(&[SimVersion::V22]);
    let federation = asterisks.federation();
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    until("alice can register", || asterisks.all[0].object("endpoint", "alice"));
    until("the map and Asterisk agree", || {
        (node.asks(&["drift"]).code == 0).then_some(())
    });
    asterisks.all[0].lose_events(true);
    let mut port = 20_000;
    // The bridge may look by itself in between and learn of a phone: then the next one registers.
    until("the drift is reported", || {
        port += 1;
        asterisks.all[0].register("alice", &format!("sip:alice@127.0.0.1:{port}"));
        let drift = node.asks(&["drift"]);
        (drift.code == 7 && drift.out.contains("contact_without_binding") && drift.out.contains("alice")).then_some(())
    });
}

#[test]
fn an_object_that_was_taken_from_asterisk_or_changed_there_is_drift() {
    let asterisks = Asterisks::start(&[SimVersion::V22]);
    let federation = asterisks.federation();
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    until("alice can register", || asterisks.all[0].object("endpoint", "alice"));
    until("the map and Asterisk agree", || {
        (node.asks(&["drift"]).code == 0).then_some(())
    });
    let ari = AriClient::new(asterisks.all[0].ari_config("somebody")).unwrap();
    let done = asterisks.runtime.block_on(async {
        ari.delete_object(ObjectType::Auth, "alice").await?;
        ari.put_object(ObjectType::Endpoint, "alice", &[("context", "elsewhere")])
            .await
    });
    done.unwrap();
    let drift = node.asks(&["drift", "--here"]);
    assert_eq!(drift.code, 7, "{drift:?}");
    assert!(
        drift.out.contains("object_missing") && drift.out.contains("auth/alice"),
        "{drift:?}"
    );
    assert!(
        drift.out.contains("object_differs") && drift.out.contains("context is not as the map wants it"),
        "{drift:?}"
    );
}

#[test]
fn every_node_is_compared_though_only_its_own_host_reaches_its_client_api() {
    let asterisks = Asterisks::start(&[SimVersion::V22, SimVersion::V16]);
    let federation = Federation::start_with(2, |index, node| {
        asterisks.give(index, node);
        // What a client API on another host's loopback is: an address, and nobody there.
        node.flags
            .push(format!("--client-advertise=127.0.0.1:{}", crate::support::free_port()));
    });
    let [n1, n2] = federation.nodes.as_slice() else {
        panic!("two nodes")
    };
    n1.add_user("alice", "1001").ok();
    until("alice can register everywhere", || {
        asterisks.all[1].object("endpoint", "alice")
    });
    until("no drift anywhere", || (n1.asks(&["drift"]).code == 0).then_some(()));
    let ari = AriClient::new(asterisks.all[1].ari_config("somebody")).unwrap();
    let deleted = asterisks.runtime.block_on(ari.delete_object(ObjectType::Auth, "alice"));
    deleted.unwrap();
    let drift = n1.json_with_code(&["drift"], 7);
    let nodes = drift["nodes"].as_array().unwrap();
    assert_eq!(
        (nodes[0]["node_name"].as_str(), nodes[1]["node_name"].as_str()),
        (Some("n1"), Some("n2"))
    );
    assert!(nodes[0]["differences"].as_array().unwrap().is_empty(), "{drift}");
    assert_eq!(nodes[1]["differences"][0]["object"], "auth/alice", "{drift}");
    assert_eq!(n2.asks(&["drift", "--here"]).code, 7);
}

#[test]
fn a_dead_asterisk_takes_its_users_with_it_and_brings_them_back() {
    let asterisks = Asterisks::start(&[SimVersion::V22, SimVersion::V16]);
    let federation = asterisks.federation();
    let [n1, n2] = federation.nodes.as_slice() else {
        panic!("two nodes")
    };
    n1.add_user("alice", "1001").ok();
    until("alice can register", || asterisks.all[1].object("endpoint", "alice"));
    asterisks.all[1].register("alice", "sip:alice@127.0.0.1:20001");
    until("alice is found", || {
        n1.asks(&["route", "1001"]).out.contains("ring alice").then_some(())
    });
    asterisks.runtime.block_on(asterisks.all[1].stop());
    let started = std::time::Instant::now();
    until("alice is not looked for", || {
        n1.asks(&["route", "1001"]).out.contains("offline").then_some(())
    });
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert!(!trouble(n2).is_empty());
    asterisks.runtime.block_on(asterisks.all[1].start_again()).unwrap();
    until("the objects are back", || asterisks.all[1].object("endpoint", "alice"));
    until("alice is found again", || {
        n1.asks(&["route", "1001"]).out.contains("ring alice").then_some(())
    });
}

#[test]
fn a_wrong_ari_password_is_said_with_the_remedy() {
    let asterisks = Asterisks::start(&[SimVersion::V22]);
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "n1");
    asterisks.give(0, &mut node);
    node.flags[1] = "--asterisk-password=canary".to_owned();
    node.setup(&["init"]).ok();
    node.run();
    let said = until("the trouble is seen", || {
        Some(trouble(&node)).filter(|text| text.contains("password"))
    });
    assert!(said.contains("ari.conf"), "{said}");
    assert!(!said.contains("canary") && !node.log().contains("canary"));
    let drift = node.asks(&["drift"]);
    assert_eq!(drift.code, 8, "what cannot be asked does not agree: {drift:?}");
}

#[test]
fn an_asterisk_that_is_not_there_or_lacks_mappings_is_said_with_the_remedy() {
    let asterisks = Asterisks::start(&[]);
    let config = SimConfig {
        writable: vec!["auth".to_owned()],
        ..SimConfig::new(SimVersion::V22)
    };
    let asterisk = asterisks.runtime.block_on(SimAsterisk::start(config)).unwrap();
    let root = tempfile::tempdir().unwrap();
    let mut lacking = Node::new(root.path(), "n1");
    lacking.flags = vec![
        format!("--asterisk-url={}", asterisk.url()),
        "--asterisk-password=secret".to_owned(),
    ];
    lacking.setup(&["init"]).ok();
    lacking.run();
    until("the founding", || {
        (lacking.json(&["setting", "get", "capability_key"])["set"] == true).then_some(())
    });
    lacking.add_user("alice", "1001").ok();
    until("the missing mapping is named", || {
        trouble(&lacking).contains("sorcery.conf").then_some(())
    });

    let mut alone = Node::new(root.path(), "n2");
    alone.flags = vec![
        format!("--asterisk-url=http://127.0.0.1:{}", crate::support::free_port()),
        "--asterisk-password=secret".to_owned(),
    ];
    alone.setup(&["init"]).ok();
    alone.run();
    until("the missing Asterisk is named", || {
        trouble(&alone).contains("127.0.0.1").then_some(())
    });
}

#[test]
fn a_second_node_at_the_same_asterisk_is_refused_by_name() {
    let asterisks = Asterisks::start(&[SimVersion::V22]);
    let root = tempfile::tempdir().unwrap();
    let mut nodes = ["n1", "n2"].map(|name| Node::new(root.path(), name));
    for node in &mut nodes {
        asterisks.give(0, node);
        node.setup(&["init"]).ok();
        node.run();
        if node.name == "n1" {
            until("the first has it", || {
                let status = node.json(&["status"]);
                (status["asterisk"]["session"].is_number()).then_some(())
            });
        }
    }
    let said = until("the second is refused", || {
        Some(trouble(&nodes[1])).filter(|text| text.contains("another fed-node"))
    });
    assert!(said.contains("stop it"), "{said}");
}

#[test]
fn a_node_without_an_ari_password_says_how_to_make_one() {
    let root = tempfile::tempdir().unwrap();
    let mut node = Node::new(root.path(), "n1");
    node.flags.clear();
    node.setup(&["init"]).ok();
    let said = node.setup(&["run"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("asterisk-config --write"), "{said:?}");
}

#[test]
fn the_stanzas_are_installed_once_and_the_password_is_found_by_the_node() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("etc");
    std::fs::create_dir(&folder).unwrap();
    std::fs::write(folder.join("extensions.conf"), "[office]\nexten => 1,1,Answer()\n").unwrap();
    let mut node = Node::new(root.path(), "n1");
    node.flags = vec![
        format!("--asterisk-config-dir={}", folder.display()),
        "--asterisk-url=http://127.0.0.1:1".to_owned(),
    ];
    node.setup(&["init"]).ok();
    let shown = node.setup(&["asterisk-config"]).ok();
    assert!(
        shown.out.contains("[fed-users]") && shown.out.contains("sorcery.conf"),
        "{shown:?}"
    );
    assert!(!folder.join("ari.conf").exists(), "printing installs nothing");
    let written = node.setup(&["asterisk-config", "--write"]).ok();
    assert!(written.out.contains("restart Asterisk"), "{written:?}");
    let text = std::fs::read_to_string(folder.join("extensions.conf")).unwrap();
    assert!(
        text.starts_with("[office]\nexten => 1,1,Answer()\n") && text.contains("[fed-trunk]"),
        "{text}"
    );
    let again = node.setup(&["asterisk-config", "--write"]).ok();
    assert_eq!(again.out.matches("as it was").count(), 5, "{again:?}");
    // The password that was made up is found.
    node.run();
}
