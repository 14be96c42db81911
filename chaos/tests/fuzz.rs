//! Histories and plans come from files that were cut off, edited and copied: they are refused with their line, never a panic.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "../../tests/fuzz/mod.rs"]
mod fuzzing;

use std::path::{Path, PathBuf};

use fed_chaos::History;
use fed_chaos::plan::Plan;
use fuzzing::fuzz;

fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let entries = std::fs::read_dir(folder).unwrap().flatten().map(|entry| entry.path());
    let mut files: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|there| there == extension))
        .collect();
    files.sort();
    files
}

#[test]
fn damaged_histories_are_refused_with_their_line() {
    let corpus: Vec<Vec<u8>> = files("tests/histories", "jsonl")
        .into_iter()
        .filter(|path| !path.file_name().unwrap().to_string_lossy().starts_with("failure_"))
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let words = [
        "{",
        "}",
        "\n",
        "#",
        "null",
        "\"",
        "-1",
        "1e99",
        "18446744073709551616",
        "\"key\":",
        "\\ud800",
    ];
    fuzz("history", &corpus, &words, |bytes| History::parse(bytes).is_ok());
}

#[test]
fn damaged_plans_are_refused() {
    let corpus: Vec<Vec<u8>> = files("plans", "toml")
        .into_iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect();
    let words = [
        "[",
        "]",
        "=",
        "\"",
        "\n",
        "-1",
        "99999999999999999999",
        "nan",
        "n0",
        "n9",
    ];
    fuzz("plan", &corpus, &words, |bytes| {
        Plan::parse(&String::from_utf8_lossy(bytes)).is_ok()
    });
}
