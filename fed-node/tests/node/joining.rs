//! How nodes come in: join tokens, certificates, and what is refused.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use crate::metrics::scrape;
use crate::support::{Federation, Node, fed_node, free_port, until};
use fed_node::security::{JoinToken, SecurityFolder};
use fed_raft::security::{Authority, Credentials, NodeName, Signing, request_key};

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn folder(node: &Node) -> SecurityFolder {
    SecurityFolder::of(&node.data_dir())
}

fn certificate(node: &Node) -> Credentials {
    let folder = folder(node);
    Credentials::from_pem(
        &read(folder.authority()),
        &read(folder.certificate()),
        &read(folder.key()),
    )
    .unwrap()
}

/// Signs as the built-in authority would, for so long.
fn certified(node: &Node, name: NodeName, public_key: &str, lifetime: Duration) -> String {
    let folder = folder(node);
    let authority = Authority::from_pem(name.cluster, &read(folder.authority()), &read(folder.authority_key()));
    let signing = Signing {
        name,
        hosts: &[],
        lifetime,
    };
    authority.unwrap().sign(public_key, &signing).unwrap()
}

#[test]
fn a_token_brings_one_node_in_and_no_other() {
    let federation = Federation::start(1);
    let first = &federation.nodes[0];
    let token = first.invitation();
    let root = tempfile::tempdir().unwrap();
    let second = Node::new(root.path(), "n2");
    second.setup(&["join", &token]).ok();
    for path in [folder(&second).key(), folder(&second).cluster_key()] {
        assert_eq!(std::fs::metadata(path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    assert_eq!(read(folder(&second).cluster_key()), read(folder(first).cluster_key()));
    assert!(!folder(&second).authority_key().exists(), "only voters have it");

    let third = Node::new(root.path(), "n3");
    let again = third.setup(&["join", &token]);
    assert_eq!(again.code, 5, "{again:?}");
    assert!(
        again.err.contains("used already") && again.err.contains("fed-node token join"),
        "{again:?}"
    );
    // A guess at the secret of a token that is there.
    let mut guess: JoinToken = first.invitation().parse().unwrap();
    let secret = guess.secret.reveal().to_owned();
    guess.secret = fed_node::config::Secret::new("0".repeat(64));
    let guessed = third.setup(&["join", &guess.reveal()]);
    assert_eq!(guessed.code, 5, "{guessed:?}");
    assert!(guessed.err.contains("not known here"), "{guessed:?}");
    assert!(
        !first.log().contains(&secret) && !guessed.err.contains(&secret),
        "nobody says the secret"
    );
    // Both are in the audit log and counted, with where they came from and nothing that a stranger wrote.
    for what in [
        "by way of 127.0.0.1 with a token that is not known here, or is used up".to_owned(),
        format!(
            "by way of 127.0.0.1 with token {} and a wrong secret, or too late",
            guess.id
        ),
    ] {
        until("the guess is in the audit log", || {
            first.asks(&["audit", "list"]).ok().out.contains(&what).then_some(())
        });
    }
    assert!(!first.asks(&["audit", "list"]).out.contains("n3"));
    assert!(scrape(first).contains("fed_node_join_guesses_total 2"));
    // What was refused left the folder free, and a token that was revoked lets nobody in.
    let revoked: JoinToken = first.invitation().parse().unwrap();
    first.asks(&["token", "revoke", revoked.id.as_str(), "--dry-run"]).ok();
    first.asks(&["token", "revoke", revoked.id.as_str()]).ok();
    assert_eq!(third.setup(&["join", &revoked.reveal()]).code, 5);
    // From stdin nobody else of the machine reads it.
    let token = first.invitation();
    assert!(
        third
            .setup_hearing(&["join", "-"], &token)
            .ok()
            .err
            .contains("this is node")
    );
}

#[test]
fn a_token_of_another_federation_is_recognised_before_anything_is_said() {
    let (ours, theirs) = (Federation::start(1), Federation::start(1));
    let mut token: JoinToken = ours.nodes[0].invitation().parse().unwrap();
    // As if somebody had put himself in between.
    token.address = theirs.nodes[0].peer_address().parse().unwrap();
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n2");
    let said = node.setup(&["join", &token.reveal()]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.err.contains("somebody in between"), "{said:?}");
    // It was not used up, nor seen by anybody.
    token.address = ours.nodes[0].peer_address().parse().unwrap();
    node.setup(&["join", &token.reveal()]).ok();
}

#[test]
fn the_command_line_talks_to_nobody_it_cannot_tell_from_a_stranger() {
    let (ours, theirs) = (Federation::start(1), Federation::start(1));
    let ask = |data_dir: &Path| {
        let server = format!("127.0.0.1:{}", ours.nodes[0].client);
        let asked = fed_node()
            .env("FED_DATA_DIR", data_dir)
            .args(["--server", &server, "status"])
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        (asked.status.code(), said)
    };
    let (code, said) = ask(&theirs.nodes[0].data_dir());
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("another authority"), "{said}");
    let (code, said) = ask(Path::new("/nonexistent"));
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("--ca"), "{said}");
    assert_eq!(ask(&ours.nodes[0].data_dir()).0, Some(0));
}

#[test]
fn keys_that_others_may_read_are_refused_with_the_remedy() {
    let root = tempfile::tempdir().unwrap();
    let node = Node::new(root.path(), "n1");
    node.setup(&["init"]).ok();
    for key in [
        folder(&node).key(),
        folder(&node).authority_key(),
        folder(&node).cluster_key(),
    ] {
        let mode = |mode| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
        mode(0o644);
        let said = node.setup(&["run"]);
        assert_eq!(said.code, 2, "{said:?}");
        assert!(said.err.contains(&format!("chmod 600 {}", key.display())), "{said:?}");
        mode(0o600);
    }
}

#[test]
fn a_data_folder_is_its_owners_alone() {
    let federation = Federation::start(1);
    let root = tempfile::tempdir().unwrap();
    let joined = Node::new(root.path(), "n2");
    joined.setup(&["join", &federation.nodes[0].invitation()]).ok();
    for node in [&federation.nodes[0], &joined] {
        for folder in [node.data_dir(), node.data_dir().join("security")] {
            let mode = std::fs::metadata(&folder).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o700, "{}", folder.display());
        }
    }
}

#[test]
fn a_certificate_that_lacks_a_host_of_its_node_is_replaced() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let before = certificate(node);
    let made = request_key(None).unwrap();
    let without = certified(
        node,
        before.name(),
        &made.public_key,
        Duration::from_secs(7 * 24 * 3600),
    );
    let keys = format!("{}{}", made.key, read(folder(node).key()));
    std::fs::write(folder(node).key(), keys).unwrap();
    std::fs::write(folder(node).certificate(), without).unwrap();
    until("its certificate holds where it is", || {
        let folder = folder(node);
        let (authority, certificate, key) = (folder.authority(), folder.certificate(), folder.key());
        let current = Credentials::from_pem(&read(authority), &read(certificate), &read(key)).ok()?;
        (current.holds("127.0.0.1") && current.holds("localhost")).then_some(())
    });
    node.add_user("alice", "1001").ok();
}

#[test]
fn a_certificate_is_renewed_by_itself_and_nobody_loses_the_leader() {
    let federation = Federation::start(3);
    for node in &federation.nodes {
        until("a voter has the authority's key", || {
            folder(node).authority_key().exists().then_some(())
        });
    }
    let node = &federation.nodes[2];
    // It has to ask the others.
    let before = certificate(node);
    let made = request_key(None).unwrap();
    let short = certified(node, before.name(), &made.public_key, Duration::from_secs(3600));
    let term = node.json(&["status"])["term"].clone();
    let keys = format!("{}{}", made.key, read(folder(node).key()));
    std::fs::write(folder(node).key(), keys).unwrap();
    std::fs::write(folder(node).certificate(), short).unwrap();
    until("it is renewed", || {
        let folder = folder(node);
        let current = Credentials::from_pem(
            &read(folder.authority()),
            &read(folder.certificate()),
            &read(folder.key()),
        );
        let current = current.ok()?;
        (current.expires() >= before.expires() && node.log().contains("a new certificate is in use")).then_some(())
    });
    assert_eq!(certificate(node).name(), before.name());
    node.add_user("alice", "1001").ok();
    assert_eq!(node.json(&["status"])["term"], term);
}

#[test]
fn a_name_that_another_node_has_is_refused_and_the_token_stays_good() {
    let federation = Federation::start(1);
    let first = &federation.nodes[0];
    let token = first.invitation();
    let root = tempfile::tempdir().unwrap();
    until("its name is in the map", || {
        first.asks(&["node", "list"]).out.contains("n1").then_some(())
    });
    let refused = Node::new(root.path(), "n1").setup(&["join", &token]);
    assert!(refused.code != 0 && refused.err.contains("--node-name"), "{refused:?}");
    let said = Node::new(root.path(), "n2").setup(&["-o", "json", "join", &token]).ok();
    assert!(said.json()["node"].as_u64().unwrap() > 1, "{said:?}");
}

#[test]
fn an_address_that_another_node_has_is_refused_with_its_name_and_the_token_stays_good() {
    let federation = Federation::start(1);
    let first = &federation.nodes[0];
    let root = tempfile::tempdir().unwrap();
    let mut second = Node::new(root.path(), "n2");
    second.flags.push(format!("--peer-advertise={}", first.peer_address()));
    let token = first.invitation();
    until("its name is in the map", || {
        first.asks(&["node", "list"]).out.contains("n1").then_some(())
    });
    let said = second.setup(&["join", &token]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(
        said.err
            .contains(&format!("find node n1 (id 1) at {}", first.peer_address()))
            && said.err.contains("--peer-advertise"),
        "{said:?}"
    );
    // The same place, written in another way.
    second.flags.pop();
    let name = format!("localhost:{}", first.peer);
    second.flags.push(format!("--peer-advertise={name}"));
    let said = second.setup(&["join", &token]);
    let words = format!(
        "find node n1 (id 1) at {} already, where {name} leads too",
        first.peer_address()
    );
    assert!(said.code == 5 && said.err.contains(&words), "{said:?}");
    second.flags.pop();
    second.setup(&["join", &token]).ok();

    // So it is without certificates.
    let plain = Federation::start_plain(1);
    let mut third = Node::new(root.path(), "n3");
    third.plaintext = true;
    third
        .flags
        .push(format!("--peer-advertise={}", plain.nodes[0].peer_address()));
    let said = third.setup(&["join", &plain.nodes[0].peer_address()]);
    assert!(
        said.code == 5 && said.err.contains("node 1 of this cluster is at"),
        "{said:?}"
    );
}

#[test]
fn a_node_that_is_given_another_address_is_told_to_start_again_and_then_found_there() {
    // The founder, which was let in by nobody, and one that joined.
    for moved in [0, 1] {
        let mut federation = Federation::start(3);
        let old = federation.nodes[moved].peer_address();
        federation.nodes[moved].peer = free_port();
        let new = federation.nodes[moved].peer_address();
        let advertised = |node: &Node| {
            let report = node.setup(&["-o", "json", "doctor"]).json();
            let mut checks = report["checks"].as_array().unwrap().iter();
            let found = checks.find(|check| check["check"] == "advertised address").unwrap();
            (
                found["seen"].as_str().unwrap().to_owned(),
                found["mend"].as_str().unwrap_or_default().to_owned(),
            )
        };
        let (seen, mend) = advertised(&federation.nodes[moved]);
        assert!(
            seen.contains(&new) && seen.contains(&old) && mend.contains("restart fed-node"),
            "{seen}; {mend}"
        );
        // What it says that mends it does.
        let id = federation.nodes[moved].json(&["status"])["node"].clone();
        federation.nodes[moved].kill();
        // Nobody looks for it when it comes back.
        until("another leads", || {
            let status = federation.nodes[2].json_if_ok(&["status"])?;
            (!status["leader"].is_null() && status["leader"] != id).then_some(())
        });
        federation.nodes[moved].run();
        for node in &federation.nodes {
            until(&format!("{} finds it at {new}", node.name), || {
                let status = node.json_if_ok(&["status"])?;
                let members = status["members"].as_array()?;
                members
                    .iter()
                    .any(|m| m["address"] == new.as_str() && m["state"] == "up")
                    .then_some(())
            });
        }
        let log = federation.nodes[moved].log();
        assert!(log.contains("know this one at another address"), "{log}");
        let (seen, _) = advertised(&federation.nodes[moved]);
        assert!(!seen.contains(&old), "{seen}");
    }
}
