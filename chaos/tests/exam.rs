//! What is done with a seed that fails, on a bug that was planted for it. Only in the build of the exam (`make exam`).
#![cfg(feature = "planted-bugs")]

use std::process::{Command, Output};

/// Found by one of the first seeds, and soon.
const BUG: &str = "no-dedup";

/// Short runs: a test of what is done with seeds, not of the product.
fn chaos(arguments: &[&str]) -> Output {
    let short = if arguments.contains(&"--seconds") {
        &[][..]
    } else {
        &["--seconds", "6"]
    };
    let chaos = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(arguments)
        .args(short)
        .output();
    chaos.expect("the command runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("the command writes text")
}

/// The seed that shows the bug, as the table says it.
fn seed() -> String {
    let exam = chaos(&["exam", "--bug", BUG]);
    let table = text(&exam.stdout);
    assert_eq!(exam.status.code(), Some(0), "{table}");
    let row = table
        .lines()
        .find(|line| line.starts_with(BUG))
        .expect("a row of the bug");
    row.split_whitespace().nth(2).expect("a seed").to_owned()
}

#[test]
fn a_seed_that_failed_fails_again_when_it_is_replayed_and_tells_its_course() {
    let seed = seed();
    let healthy = chaos(&["replay", &seed]);
    assert!(
        text(&healthy.stdout).contains("\"violations\":[]"),
        "{}",
        text(&healthy.stdout)
    );
    let replay = chaos(&["replay", &seed, "--bug", BUG]);
    assert_eq!(replay.status.code(), Some(1), "{}", text(&replay.stdout));
    assert!(text(&replay.stdout).contains("\"verdict\":\"false\""));
    let course = text(&replay.stderr);
    assert!(course.contains("fault 0 ") && course.contains("node 1"), "{course}");
}

#[test]
fn a_minimized_seed_still_fails_with_the_command_that_it_prints_and_fewer_faults() {
    let seed = seed();
    let minimized = chaos(&["minimize", &seed, "--bug", BUG]);
    let said = text(&minimized.stdout);
    assert_eq!(minimized.status.code(), Some(1), "{said}");
    let kept = said.lines().filter(|line| line.starts_with("  fault ")).count();
    let replay = said.lines().last().expect("a command").strip_prefix("chaos ");
    let words: Vec<&str> = replay.expect("a command").split_whitespace().collect();
    let again = chaos(&words);
    assert_eq!(again.status.code(), Some(1), "{said}");
    let all = chaos(&["replay", &seed, "--bug", BUG]);
    let faults = |output: &Output| {
        text(&output.stderr)
            .lines()
            .filter(|line| line.contains(" fault "))
            .count()
    };
    assert_eq!(faults(&again), kept, "{said}");
    assert!(kept < faults(&all) || faults(&all) <= 1, "{said}");
}

#[test]
fn a_seed_that_passes_has_nothing_to_shorten() {
    let minimized = chaos(&["minimize", "1"]);
    assert_eq!(minimized.status.code(), Some(0), "{}", text(&minimized.stdout));
    assert!(text(&minimized.stdout).contains("nothing to shorten"));
}

#[test]
fn the_exam_asks_for_every_planted_bug() {
    let unknown = chaos(&["exam", "--bug", "none"]);
    let said = text(&unknown.stderr);
    assert_eq!(unknown.status.code(), Some(3));
    let names = said.trim_end().split("there are ").nth(1).expect("their names");
    let asked: Vec<&str> = names.split(", ").collect();
    let planted: Vec<&str> = fed_raft::planted::BUGS.iter().map(|(name, _)| *name).collect();
    assert_eq!(asked, planted);
}
