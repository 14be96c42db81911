//! What the documents point at exists.

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Every Markdown file of the repository's own folders.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    for folder in [
        "", "docs", "fed-core", "fed-raft", "fed-ari", "fed-node", "proto", "tests", "chaos",
    ] {
        for entry in std::fs::read_dir(root().join(folder)).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == "md") {
                found.push(entry.path());
            }
        }
    }
    found
}

/// The targets of `[text](target)`, without those elsewhere on the network and without code.
fn links(text: &str) -> Vec<String> {
    let prose: String = text.split('`').step_by(2).collect();
    let targets = prose.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

/// Code spans that are paths into a crate's source, up to the first wildcard.
fn sources(text: &str) -> Vec<&str> {
    let spans = text.split('`').skip(1).step_by(2);
    let paths = spans.filter(|span| span.contains("/src/") && !span.contains(char::is_whitespace));
    paths.map(|span| span.split('*').next().unwrap_or_default()).collect()
}

#[test]
fn every_link_of_every_document_leads_somewhere() {
    let documents = documents();
    for must in ["README.md", "ARCHITECTURE.md", "fed-node/DESIGN.md"] {
        assert!(documents.contains(&root().join(must)), "{must} is looked at");
    }
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in links(&text) {
            let file = link.split('#').next().unwrap_or_default();
            let target = document.parent().unwrap().join(file);
            assert!(target.exists(), "{}: {link} leads nowhere", document.display());
        }
    }
}

#[test]
fn the_sources_that_the_architecture_names_are_there() {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let named = sources(&text);
    assert!(named.len() >= 4, "{named:?}");
    for path in named {
        let path = root().join(path);
        let (folder, begin) = (
            path.parent().unwrap(),
            path.file_name().unwrap().to_string_lossy().into_owned(),
        );
        let mut there = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .flatten();
        assert!(
            there.any(|entry| entry.file_name().to_string_lossy().starts_with(&begin)),
            "{} is not there",
            path.display()
        );
    }
}

#[test]
fn links_and_sources_are_found_in_a_text() {
    let text = "See [a](b.md#c), not `x](+)`, [x](https://example.org) and `fed-raft/src/session*`, `fed_core::route`.";
    assert_eq!(links(text), ["b.md#c"]);
    assert_eq!(sources(text), ["fed-raft/src/session"]);
}
