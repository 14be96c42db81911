//! The command `chaos`: its exit codes and what it prints.

use std::path::Path;
use std::process::{Command, Output};

fn chaos(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(arguments)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories"))
        .output()
        .expect("the command runs")
}

fn code(arguments: &[&str]) -> Option<i32> {
    chaos(arguments).status.code()
}

#[test]
fn each_kind_of_history_has_its_exit_code() {
    assert_eq!(code(&["check", "true_everything.jsonl"]), Some(0));
    assert_eq!(code(&["check", "false_stale_read.jsonl"]), Some(1));
    for unknown in ["unknown_empty.jsonl", "unknown_vacuous.jsonl"] {
        assert_eq!(code(&["check", unknown]), Some(2), "{unknown}");
    }
    for failure in [
        "failure_no_such_operation.jsonl",
        "failure_torn.jsonl",
        "no such file",
        ".",
    ] {
        assert_eq!(code(&["check", failure]), Some(3), "{failure}");
    }
}

#[test]
fn too_little_coverage_and_too_little_work_are_no_pass() {
    assert_eq!(
        code(&["check", "true_everything.jsonl", "--min-operations", "1000"]),
        Some(2)
    );
    assert_eq!(code(&["check", "true_everything.jsonl", "--max-steps", "1"]), Some(2));
}

#[test]
fn wrong_arguments_are_a_failure_of_the_harness_and_help_is_none() {
    assert_eq!(code(&[]), Some(3));
    assert_eq!(code(&["chekc"]), Some(3));
    assert_eq!(code(&["check"]), Some(3));
    assert_eq!(code(&["--help"]), Some(0));
}

#[test]
fn a_failure_of_the_harness_names_file_and_line_on_stderr_alone() {
    let output = chaos(&["check", "failure_not_json.jsonl"]);
    let talk = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        talk.starts_with("chaos: failure_not_json.jsonl: line 2: not an operation:"),
        "{talk}"
    );
    assert!(output.stdout.is_empty());
}

#[test]
fn a_violation_is_told_to_people_as_text() {
    let output = chaos(&["check", "false_stale_read.jsonl"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "linearizable: false\n\
         operations 5, clients 3, keys 2 (put to the test: 2), acknowledged writes 3, observations 2, unknown outcomes 0\n\
         \n\
         key \"alice\": at 12.4 s node 1 answered 'old' to a read that began 310 ms after 'new' was acknowledged\n  \
         the fewest operations that show it:\n    \
         at 0 ns client 0 at node 1: put 'old': acknowledged after 10 ms\n    \
         at 12.07 s client 0 at node 2: put 'new': acknowledged after 10 ms\n    \
         at 12.39 s client 1 at node 1: get: answered 'old' after 2 ms\n"
    );
}

#[test]
fn a_violation_is_told_to_scripts_as_json() {
    let output = chaos(&["check", "false_stale_read.jsonl", "-o", "json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(report["verdict"], "false");
    assert_eq!(report["violations"][0]["key"], "alice");
    assert_eq!(report["violations"][0]["at_ns"], 12_402_000_000_u64);
    assert_eq!(report["violations"][0]["lines"].as_array().map(Vec::len), Some(3));
}

#[test]
fn a_page_of_a_history_marks_the_first_bad_key_on_its_time_line() {
    let bad = chaos(&["report", "false_stale_read.jsonl"]);
    assert_eq!(bad.status.code(), Some(0));
    let page = String::from_utf8(bad.stdout).expect("text");
    for part in [
        "Verdict: <span class=\"false\">false</span>",
        "<title>12.4 s: the first bad key</title>",
        "<b>alice</b>: at 12.4 s node 1 answered 'old'",
    ] {
        assert!(page.contains(part), "{part}: {page}");
    }
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "one file is the whole page"
    );
    let not_json = chaos(&["report", "failure_not_json.jsonl"]);
    let talk = String::from_utf8_lossy(&not_json.stderr).into_owned();
    assert_eq!(not_json.status.code(), Some(3));
    assert!(talk.contains("failure_not_json.jsonl: line 2"), "{talk}");
}

/// A page without the faults of a run, because its journal is damaged, would look like that of a run without faults.
#[test]
fn a_page_leaves_out_what_is_not_there_and_not_what_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let run = folder.path().to_str().expect("a name");
    std::fs::copy(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/histories/true_everything.jsonl"),
        folder.path().join("history.jsonl"),
    )
    .expect("copied");
    assert_eq!(code(&["report", run]), Some(0));
    for name in ["journal.jsonl", "plan.toml", "verdict.json"] {
        let file = folder.path().join(name);
        std::fs::write(&file, "{bad").expect("written");
        let output = chaos(&["report", run]);
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{name}");
        assert!(talk.contains(file.to_str().expect("a name")), "{talk}");
        std::fs::remove_file(&file).expect("removed");
    }
}
