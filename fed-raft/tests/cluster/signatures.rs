//! No type of openraft, RocksDB or tonic is in a public signature: an embedder sees none of them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

fn files(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("the sources are here") {
        let path = entry.expect("readable").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("readable");
            found.push((path.display().to_string(), text));
        }
    }
}

/// Words beginning with a letter.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| word.starts_with(char::is_alphabetic))
}

/// Names that the file takes from the crates that must not show, or from the module that ties them in.
fn foreign(text: &str) -> BTreeSet<&str> {
    let mut names: BTreeSet<&str> = ["openraft", "rocksdb", "tonic"].into();
    for statement in text.split(';').map(str::trim) {
        let from = ["use openraft", "use rocksdb", "use tonic", "use crate::raft"];
        if let Some(at) = from.iter().find_map(|from| statement.find(from)) {
            names.extend(words(&statement[at..]).filter(|word| word.starts_with(char::is_uppercase)));
        }
    }
    names
}

/// Everything declared `pub`, up to its body.
fn signatures(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("pub ") {
        let line = text[..at].rfind('\n').map_or(0, |n| n + 1);
        if text[line..at].trim().is_empty() {
            let rest = &text[at..];
            let end = rest.find(['{', ';']).unwrap_or(rest.len());
            found.push(rest[..end].split("\n    ///").next().unwrap_or(rest));
        }
    }
    found
}

#[test]
fn no_type_of_the_engine_is_in_a_public_signature() {
    let mut sources = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let mut public = 0;
    for (path, text) in &sources {
        let foreign = foreign(text);
        for signature in signatures(text).into_iter().filter(|s| !s.starts_with("pub use")) {
            public += 1;
            let shown = words(signature).find(|word| foreign.contains(word));
            assert_eq!(shown, None, "{path}: {signature}");
        }
    }
    assert!(public > 50, "the test found only {public} public items");
}
