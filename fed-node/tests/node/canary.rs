//! A canary in every way in: a password and its digest are found nowhere afterwards, in no file, no log and no answer.

use std::io::Read;
use std::path::{Path, PathBuf};

use crate::support::{Federation, Node, until, write_private};
use fed_node::cli::ha1;
use fed_node::config::Secret;

/// What must not be found, and what it is.
struct Canary {
    what: String,
    bytes: Vec<u8>,
}

/// A password and its digest, as text and as the bytes that the text stands for.
fn canaries(way: &str, device: &str) -> Vec<Canary> {
    let password = password(way);
    let digest = ha1(device, "federated", &Secret::new(password.as_str()));
    let raw = data_encoding::HEXLOWER.decode(digest.as_bytes()).unwrap();
    let canary = |what: &str, bytes: Vec<u8>| Canary {
        what: format!("{what} of {way}"),
        bytes,
    };
    vec![
        canary("password", password.into_bytes()),
        canary("digest", digest.into_bytes()),
        canary("raw digest", raw),
    ]
}

fn password(way: &str) -> String {
    format!("canary-{way}-Zq7!x")
}

/// Every file below a folder, but the folder of secrets, which holds them by design.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if path.file_name().is_some_and(|name| name != "security") {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found
}

/// Each byte as a character: what the library searches in is text.
fn text(bytes: &[u8]) -> String {
    bytes.iter().copied().map(char::from).collect()
}

/// Fails the test when a canary is in there, or something is not that shows that the search works.
fn absent(canaries: &[Canary], bytes: &[u8], place: &str, control: &str) {
    let held = text(bytes);
    assert!(held.contains(control), "the search works in {place}");
    for canary in canaries {
        let found = held.contains(&text(&canary.bytes));
        assert!(!found, "the {} is in {place}", canary.what);
    }
}

#[test]
fn a_password_and_its_digest_are_found_nowhere() {
    let mut federation = Federation::start_with(3, |_, node| {
        node.flags.push("--log-level=debug".to_owned());
        node.flags.push("--raft-snapshot-entries=10".to_owned());
    });
    let (first, second) = (&federation.nodes[0], &federation.nodes[1]);
    let mut all = Vec::new();
    let mut said = String::new();

    // Every way in.
    let add = [
        "user",
        "add",
        "alice",
        "--name",
        "seen-in-the-files",
        "--password-stdin",
    ];
    said += &first.hears(&add, password("add")).ok().out;
    all.extend(canaries("add", "alice"));
    let more = ["device", "add", "alice-2", "--user", "alice", "--password-stdin"];
    said += &second.hears(&more, password("device")).ok().out;
    all.extend(canaries("device", "alice-2"));
    let set = ["device", "set", "alice", "--password-stdin"];
    said += &second.hears(&set, password("set")).ok().out;
    all.extend(canaries("set", "alice"));
    let digest = ha1("carol", "federated", &Secret::new(password("digest").as_str()));
    let roster = first.dir.join("roster.csv");
    let csv = format!(
        "user,device,password,md5_ha1\nbob,bob,{},\ncarol,carol,,{digest}\n",
        password("import")
    );
    write_private(&roster, &csv);
    let import = ["user", "import", roster.to_str().unwrap()];
    said += &first.asks(&import).ok().out;
    all.extend(canaries("import", "bob"));
    all.extend(canaries("digest", "carol"));
    std::fs::remove_file(&roster).unwrap();
    // Refused on their way: an id that cannot be, and a user that is there.
    let bad = first.hears(&["user", "add", "da;ve", "--password-stdin"], password("refused"));
    let twice = first.hears(&["user", "add", "alice", "--password-stdin"], password("twice"));
    assert!(bad.code != 0 && twice.code != 0);
    said += &format!("{bad:?}{twice:?}");
    all.extend(canaries("refused", "da;ve"));
    all.extend(canaries("twice", "alice"));
    let token = first.asks(&["token", "create", "--role", "reader"]).ok().out;
    let secret = token.trim().rsplit('.').next().unwrap().to_owned();
    let raw = data_encoding::BASE64URL_NOPAD.decode(secret.as_bytes()).unwrap();
    all.push(Canary {
        what: "secret of a token".to_owned(),
        bytes: secret.into_bytes(),
    });
    all.push(Canary {
        what: "raw secret of a token".to_owned(),
        bytes: raw,
    });

    // Every way out but the one that asks for digests.
    for args in [
        &["device", "list"][..],
        &["device", "show", "alice"],
        &["user", "list"],
        &["where", "alice"],
        &["setting", "list"],
        &["token", "list"],
        &["audit", "list"],
        &["status"],
        &["watch", "--after", "1", "--count", "5"],
        &["route", "alice", "--explain"],
    ] {
        said += &second.asks(&[&["-o", "json"], args].concat()).ok().out;
    }
    said += &metrics(first.metrics);
    for canary in &all {
        assert!(!said.contains(&text(&canary.bytes)), "the {} was said", canary.what);
    }
    // The administrator's export has them: they were kept, and they open.
    let export = first.asks(&["user", "export"]).ok().out;
    assert!(export.contains(&digest) && export.contains("alice-2"), "{export}");

    // What leaves the node: a support bundle, and a backup, opened as a restore opens it.
    let bundle = first.dir.join("bundle.tar.gz");
    first
        .setup(&["debug", "bundle", "--file", bundle.to_str().unwrap()])
        .ok();
    let packed = std::fs::read(&bundle).unwrap();
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&packed[..])
        .read_to_end(&mut unpacked)
        .unwrap();
    absent(&all, &unpacked, "the bundle", "fed-node-bundle/status.json");
    let (key, backup) = (first.dir.join("key"), first.dir.join("map.fedbackup"));
    write_private(&key, "the key of the backup\n");
    let (key, backup_path) = (key.to_str().unwrap(), backup.to_str().unwrap());
    first.asks(&["backup", "create", backup_path, "--key-file", key]).ok();
    let told = first
        .asks(&["-o", "json", "backup", "inspect", backup_path, "--key-file", key])
        .ok();
    absent(&all, told.out.as_bytes(), "what a backup says of itself", "cluster_key");
    let mut restored = Node::new(&first.dir, "restored");
    restored
        .setup(&["backup", "restore", backup_path, "--key-file", key, "--yes"])
        .ok();
    let held: Vec<u8> = files(&restored.data_dir())
        .into_iter()
        .flat_map(|file| std::fs::read(file).unwrap())
        .collect();
    absent(&all, &held, "a restored folder", "alice-2");
    // They are in it all the same: sealed, and open with the key that the backup brings.
    restored.run();
    assert!(restored.asks(&["user", "export"]).ok().out.contains(&digest));
    restored.terminate();

    // Snapshots at every node, then everything on the disks.
    for n in 0..30 {
        first.asks(&["user", "set", "bob", "--name", &format!("Bob {n}")]).ok();
    }
    federation.hashes_agree();
    for node in &federation.nodes {
        let folder = node.data_dir();
        until("a snapshot", || {
            let snapshots = files(&folder).into_iter();
            snapshots
                .map(|file| file.display().to_string())
                .find(|file| file.contains("snapshot"))
        });
    }
    for node in &mut federation.nodes {
        node.terminate();
    }
    for node in &federation.nodes {
        let mut control = false;
        for file in files(&node.dir) {
            if file
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("token-"))
            {
                continue;
            }
            let held = text(&std::fs::read(&file).unwrap());
            control |= held.contains("seen-in-the-files");
            for canary in &all {
                assert!(
                    !held.contains(&text(&canary.bytes)),
                    "the {} is in {}",
                    canary.what,
                    file.display()
                );
            }
        }
        assert!(control, "what is no secret is found at {}: the search works", node.name);
    }
}

/// The metrics page.
pub(crate) fn metrics(port: u16) -> String {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    assert!(page.contains("fed_client_refused_total"), "{page}");
    page
}
