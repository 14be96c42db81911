//! `doctor` and `debug bundle` on what is really broken.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use crate::asterisk::Asterisks;
use crate::support::{Federation, Node, until};
use fed_ari::sim::{SimAsterisk, SimConfig, SimVersion};
use serde_json::Value;
use tokio::runtime::Runtime;

/// The grade and the words of each check.
fn examined(node: &Node, code: i32) -> BTreeMap<String, (String, String)> {
    let said = node.setup(&["-o", "json", "doctor"]);
    assert_eq!(said.code, code, "{said:?}");
    assert!(
        !said.out.contains("canary") && !said.err.contains("canary"),
        "no secret: {said:?}"
    );
    let report: Value = said.json();
    let checks = report["checks"].as_array().unwrap().iter();
    checks
        .map(|check| {
            let text = |name: &str| check[name].as_str().unwrap_or_default().to_owned();
            (
                text("check"),
                (text("grade"), format!("{}; {}", text("seen"), text("mend"))),
            )
        })
        .collect()
}

#[test]
fn what_is_really_broken_is_named_with_what_mends_it() {
    let runtime = Runtime::new().unwrap();
    let asterisk = runtime
        .block_on(SimAsterisk::start(SimConfig {
            password: "canary".to_owned(),
            ..SimConfig::new(SimVersion::V22)
        }))
        .unwrap();
    let root = tempfile::tempdir().unwrap();
    let etc = root.path().join("etc");
    std::fs::create_dir(&etc).unwrap();
    let mut node = Node::new(root.path(), "n1");
    node.flags = vec![
        format!("--asterisk-url={}", asterisk.url()),
        "--asterisk-password=canary".to_owned(),
        format!("--asterisk-config-dir={}", etc.display()),
        "--disk-min-free-mb=0".to_owned(),
        format!("--sip-advertise={}", asterisk.sip_address()),
    ];

    let nothing = examined(&node, 10);
    assert_eq!(nothing["data folder"].0, "fail", "{nothing:?}");
    assert!(nothing["data folder"].1.contains("fed-node init"), "{nothing:?}");
    assert_eq!(nothing["fed-node"].0, "fail");
    assert_eq!(nothing["quorum"].0, "skipped", "not taken for well");
    assert_eq!(nothing["peer port"].0, "ok", "free for it: {nothing:?}");
    assert_eq!(nothing["sorcery wiring"].0, "fail");
    assert!(nothing["sorcery wiring"].1.contains("asterisk-config --write"));

    node.setup(&["init"]).ok();
    node.setup(&["asterisk-config", "--write"]).ok();
    node.run();
    let well = until("the node and its Asterisk agree", || {
        let said = node.setup(&["-o", "json", "doctor"]);
        let report = said.json();
        let checks = report["checks"].as_array()?.clone();
        let good = |name: &str| {
            checks
                .iter()
                .any(|check| check["check"] == name && check["grade"] == "ok")
        };
        (good("bridge") && good("capability key")).then_some(checks.len())
    });
    assert!(well >= 25, "{well} checks");
    let well = node.setup(&["-o", "json", "doctor"]).json();
    for name in [
        "configuration",
        "data folder",
        "ARI",
        "rights of the ARI user",
        "sorcery wiring",
        "refresh wiring",
        "dialplan wiring",
        "fed-node",
        "quorum",
        "members heard",
        "redirect server",
        "metrics",
        "replicas",
        "realm",
        "drift",
    ] {
        let check = well["checks"]
            .as_array()
            .unwrap()
            .iter()
            .find(|check| check["check"] == name)
            .unwrap();
        assert_eq!(check["grade"], "ok", "{check}");
    }

    std::fs::write(etc.join("sorcery.conf"), "").unwrap();
    std::fs::write(etc.join("pjsip.conf"), "[one]\ntype=global\n[two]\ntype=global\n").unwrap();
    std::fs::set_permissions(node.data_dir(), std::fs::Permissions::from_mode(0o777)).unwrap();
    runtime.block_on(asterisk.stop());
    until("the bridge has noticed", || {
        let status = node.json(&["status"]);
        (status["asterisk"]["connected"] == false).then_some(())
    });
    let broken = examined(&node, 10);
    for (name, word) in [
        ("permissions of the data folder", "chmod go-rwx"),
        ("sorcery wiring", "sorcery.conf"),
        ("ARI", "[FED-0110]"),
        ("bridge", "not connected"),
    ] {
        assert_eq!(broken[name].0, "fail", "{name}: {broken:?}");
        assert!(broken[name].1.contains(word), "{name}: {broken:?}");
    }
    let refreshes = &broken["refresh wiring"];
    assert!(
        refreshes.0 == "warn" && refreshes.1.contains("[one], [two]"),
        "{refreshes:?}"
    );
    std::fs::set_permissions(node.data_dir(), std::fs::Permissions::from_mode(0o700)).unwrap();

    node.kill();
    let taken = TcpListener::bind(("127.0.0.1", node.agi)).unwrap();
    let down = examined(&node, 10);
    assert_eq!(down["fed-node"].0, "fail");
    assert!(
        down["FastAGI port"].0 == "fail" && down["FastAGI port"].1.contains("taken"),
        "{down:?}"
    );
    assert_eq!(down["peer port"].0, "ok", "{down:?}");
    assert_eq!(down["permissions of the data folder"].0, "ok");
    drop(taken);

    let people = node.setup(&["doctor"]);
    assert!(
        people.out.contains("FAIL  fed-node: ") && people.out.contains("mend: "),
        "{people:?}"
    );
    assert!(people.err.contains("[FED-0010]"), "{people:?}");
}

#[test]
fn a_member_that_is_gone_and_a_quorum_that_is_lost_are_named() {
    let mut federation = Federation::start(3);
    nothing_of_this_host_is_judged_for_another_node(&federation.nodes[0], &federation.nodes[1]);
    federation.nodes[2].kill();
    until("n3 is missed", || {
        let status = federation.nodes[0].json(&["status"]);
        let n3 = &status["members"].as_array()?[2];
        (n3["up"] == false).then_some(())
    });
    let one_less = examined(&federation.nodes[0], 10);
    assert!(
        one_less["members heard"].1.contains("no answer from n3"),
        "{one_less:?}"
    );
    assert_eq!(one_less["quorum"].0, "warn", "{one_less:?}");
    federation.nodes[1].kill();
    until("the quorum is lost", || {
        (federation.nodes[0].json(&["status"])["quorum"] == false).then_some(())
    });
    let alone = examined(&federation.nodes[0], 10);
    assert_eq!(alone["quorum"].0, "fail", "{alone:?}");
    assert!(alone["quorum"].1.contains("fed-node recover"), "{alone:?}");
}

fn nothing_of_this_host_is_judged_for_another_node(here: &Node, there: &Node) {
    let token = there.token("doctor", &["--role", "operator"]);
    let report = here
        .setup(&[
            "-o",
            "json",
            "doctor",
            &format!("--server=127.0.0.1:{}", there.client),
            &format!("--token-file={}", token.display()),
        ])
        .json();
    let check = |name: &str| {
        let mut checks = report["checks"].as_array().unwrap().iter();
        checks.find(|check| check["check"] == name).unwrap().clone()
    };
    assert_eq!(check("fed-node")["grade"], "ok", "{report}");
    for name in ["peer port", "data folder", "certificate", "redirect server"] {
        let check = check(name);
        assert_eq!(check["grade"], "skipped", "{check}");
        assert!(check["seen"].as_str().unwrap().contains("n2 at 127.0.0.1:"), "{check}");
    }
}

/// Every file of a bundle, by name.
fn unpacked(path: &std::path::Path) -> BTreeMap<String, String> {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(std::fs::File::open(path).unwrap()));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().display().to_string();
        let mut text = String::new();
        entry.read_to_string(&mut text).unwrap();
        (name, text)
    });
    entries.collect()
}

#[test]
fn a_bundle_has_what_helps_and_no_secret_or_digest() {
    let federation = Federation::start_with(2, |_, node| {
        node.flags.push("--log-level=info,fed_node=debug".to_owned());
        node.flags.push("--asterisk-password=canary-ari".to_owned());
    });
    let node = &federation.nodes[0];
    node.hears(
        &["user", "add", "alice", "--number", "1001", "--password-stdin"],
        "canary-sip\n",
    )
    .ok();
    let export = node.asks(&["user", "export"]).ok().out;
    let digests: Vec<&str> = export
        .split([',', '\n'])
        .filter(|cell| cell.len() == 32 && cell.bytes().all(|b| b.is_ascii_hexdigit()))
        .collect();
    assert!(!digests.is_empty(), "{export}");
    let file = node.dir.join("bundle.tar.gz");
    let path = file.display().to_string();
    let written = node
        .setup(&["-o", "json", "debug", "bundle", "--file", &path])
        .ok()
        .json();
    let metadata = std::fs::metadata(&file).unwrap();
    assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
    assert_eq!(
        (written["file"].as_str(), written["bytes"].as_u64()),
        (Some(path.as_str()), Some(metadata.len())),
        "{written}"
    );
    let parts = unpacked(&file);
    for (part, word) in [
        ("status.txt", "2 of 2 nodes up"),
        ("status.json", "\"users\": 1"),
        ("doctor.txt", "checks: "),
        ("config.txt", "node.name = \"n1\""),
        ("events-n1.txt", "started"),
        ("events-n2.txt", "started"),
        ("logs-n2.txt", "serving"),
        ("metrics.txt", "fed_raft_term"),
    ] {
        let text = &parts[&format!("fed-node-bundle/{part}")];
        assert!(text.contains(word), "{part}: {text}");
    }
    for (name, text) in &parts {
        assert!(!text.contains("canary"), "{name} holds a password");
        assert!(
            !digests.iter().any(|digest| text.contains(digest)),
            "{name} holds a digest"
        );
    }
    let again = node.setup(&["debug", "bundle", "--file", &path]);
    assert_eq!(again.code, 2, "nothing is written over: {again:?}");
}

#[test]
fn top_is_one_page_of_text_where_there_is_no_terminal() {
    let federation = Federation::start(2);
    let page = federation.nodes[0].asks(&["top"]).ok().out;
    assert!(page.starts_with("2 of 2 nodes up, leader n"), "{page}");
    assert!(
        page.contains("NODE") && page.contains("EVENTS") && page.contains("leads, term"),
        "{page}"
    );
    assert!(!page.contains('\u{1b}'), "no escape without a terminal: {page:?}");
    let json = federation.nodes[0].json(&["top"]);
    assert_eq!(json["nodes"].as_array().unwrap().len(), 2);
}

#[test]
fn a_phone_at_the_address_of_a_sip_peer_is_named() {
    let asterisks = Asterisks::start(&[SimVersion::V22]);
    let federation = asterisks.federation();
    let node = &federation.nodes[0];
    node.add_user("alice", "1001").ok();
    until("alice can register", || asterisks.all[0].object("endpoint", "alice"));
    asterisks.all[0].register("alice", "sip:alice@192.0.2.77:5060");
    until("alice is found", || {
        node.asks(&["where", "alice"]).out.contains("192.0.2.77").then_some(())
    });
    let judged = || {
        let report = node.setup(&["-o", "json", "doctor"]).json();
        let checks = report["checks"].as_array().unwrap().clone();
        let mut checks = checks.into_iter();
        checks.find(|check| check["check"] == "phones at trunks").unwrap()
    };
    assert_eq!(judged()["grade"], "ok");
    node.asks(&["setting", "set", "sip_peers", "192.0.2.0/24"]).ok();
    let found = judged();
    assert_eq!(found["grade"], "warn", "{found}");
    let seen = found["seen"].as_str().unwrap();
    assert!(
        seen.contains("device alice, registered at n1 from 192.0.2.77") && seen.contains("192.0.2.0/24 in sip_peers"),
        "{seen}"
    );
}
