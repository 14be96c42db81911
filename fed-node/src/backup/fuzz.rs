//! Backups that are damaged behind their seal, as one who has the key could make them: refused, never a panic.

use super::archive::{Packer, Unpacker};
use super::file::{CLUSTER_KEY, HEAD, read_head};
use super::head::{FORMAT, Head};
use crate::fuzzing::fuzz;

fn packed() -> Vec<u8> {
    let head = Head {
        format: FORMAT,
        program: "0.1.0".to_owned(),
        made_at: "2026-01-01T00:00:00Z".to_owned(),
        federation: "a".repeat(32),
        node: 1,
        node_name: "pbx1".to_owned(),
        revision: 42,
        state_hash: "0".repeat(32),
        complete: true,
        users: 10_000,
        devices: 10_000,
        settings: 3,
        bindings: 7,
        nodes: 3,
        bytes: 3,
        cluster_key: true,
    };
    let head = serde_json::to_vec(&head).unwrap();
    let mut packer = Packer::new(Vec::new());
    packer.add(HEAD, head.len() as u64, &head[..]).unwrap();
    packer.add(CLUSTER_KEY, 32, &[7; 32][..]).unwrap();
    packer.add("000001.sst", 3, &b"abc"[..]).unwrap();
    packer.finish().unwrap()
}

/// Reads the head and what comes after, as a restore does; files are named in it by which nothing outside its folder could be meant.
fn is_read(bytes: &[u8]) -> bool {
    let mut contents = Unpacker::new(bytes);
    let Ok(head) = read_head(&mut contents) else {
        return false;
    };
    assert!(!head.summary().is_empty());
    loop {
        match contents.next_file() {
            Ok(Some((name, _))) => {
                assert!(!name.starts_with('.') && !name.contains(['/', '\\', '\0']), "{name}");
                let mut content = Vec::new();
                if contents.content(&mut content).is_err() {
                    return false;
                }
                assert!(content.len() <= bytes.len());
            }
            Ok(None) => return contents.ends().is_ok(),
            Err(_) => return false,
        }
    }
}

#[test]
fn heads_and_archives_that_are_damaged_are_refused() {
    let words = [
        "../",
        ".",
        "/",
        "\0",
        "\"",
        "{",
        "}",
        "\"format\":",
        "1e999",
        "-1",
        HEAD,
    ];
    fuzz("backup", &[packed()], &words, is_read);
}
