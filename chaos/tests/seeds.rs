//! The commands that run seeds: their exit codes. What a seed comes to is played by a script in the place of `chaos-sim`, so that every
//! outcome is at hand in every build.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Output};

/// Seed 1 passes, seed 2 breaks a promise for as long as it has its fault 0, seed 3 sees too little, seed 4 dies.
const SEEDS: &str = r#"#!/bin/sh
seed= skip=
while [ $# -gt 0 ]; do
  case $1 in
    --seed) seed=$2; shift ;;
    --skip) skip=$2; shift ;;
  esac
  shift
done
violations='[]' too_little=null code=0
case $seed in
  2) case ,$skip, in *,0,*) ;; *) violations='["linearizable: no"]' code=1 ;; esac ;;
  3) too_little='"nobody asked"' code=2 ;;
  4) echo 'dead' >&2; exit 101 ;;
esac
echo "{\"seed\":$seed,\"verdict\":\"\",\"violations\":$violations,\"too_little\":$too_little,\"at_ms\":1500,\"operations\":9,\"known\":8,\
\"leader_changes\":1,\"terms_led\":2,\"committed\":7,\"installed\":0,\"watched\":3,\"faults\":[[\"partition\",2]],\"trace\":\"00\"}"
exit $code
"#;

struct Seeds(tempfile::TempDir);

impl Seeds {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("seeds");
        std::fs::write(&script, SEEDS).unwrap();
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self(folder)
    }

    fn chaos(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
        command.args(arguments).arg("--runner").arg(self.0.path().join("seeds"));
        command.output().unwrap()
    }

    fn code(&self, arguments: &[&str]) -> Option<i32> {
        self.chaos(arguments).status.code()
    }
}

fn said(output: &Output) -> &str {
    std::str::from_utf8(&output.stdout).unwrap()
}

#[test]
fn one_violation_outweighs_everything_and_unknown_is_no_pass() {
    let seeds = Seeds::new();
    for (range, code) in [
        ("1..2", 0),
        ("1..3", 1),
        ("3..4", 2),
        ("4..5", 3),
        ("2..5", 1),
        ("3..5", 3),
    ] {
        assert_eq!(seeds.code(&["sim", "--seeds", range]), Some(code), "{range}");
    }
}

#[test]
fn all_seeds_are_summed_up_and_those_that_did_not_pass_are_named() {
    let all = Seeds::new().chaos(&["sim", "--seeds", "1..5", "--jobs", "1"]);
    let said = said(&all);
    for words in [
        "seed 2: violated at 1.500 s: linearizable: no",
        "seed 3: unknown: nobody asked",
        "seed 4: the harness failed: seed 4 ended with exit status: 101 and no report",
        "1 passed, 1 violated, 1 unknown, 1 did not run",
        "operations 27 (outcome known of 24)",
        "faults: partition 6",
        "chaos replay 2",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
}

#[test]
fn a_seed_that_is_replayed_has_the_exit_code_of_its_verdict() {
    let seeds = Seeds::new();
    for (seed, code) in [("1", 0), ("2", 1), ("3", 2), ("4", 3)] {
        assert_eq!(seeds.code(&["replay", seed]), Some(code), "{seed}");
    }
    assert_eq!(seeds.code(&["replay", "2", "--skip", "0"]), Some(0));
}

#[test]
fn minimizing_ends_with_what_the_seed_comes_to() {
    let seeds = Seeds::new();
    for (seed, code) in [("1", 0), ("2", 1), ("3", 2), ("4", 3)] {
        assert_eq!(seeds.code(&["minimize", seed]), Some(code), "{seed}");
    }
    let minimized = seeds.chaos(&["minimize", "2"]);
    let faults: Vec<_> = said(&minimized)
        .lines()
        .filter(|line| line.starts_with("  fault "))
        .collect();
    assert!(faults.len() == 1 && faults[0].starts_with("  fault 0 "), "{faults:?}");
}

#[test]
fn a_missing_program_and_wrong_seeds_are_failures_of_the_harness() {
    for arguments in [
        &["sim", "--seeds", "1..2"][..],
        &["replay", "1"],
        &["minimize", "1"],
        &["exam"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
        let output = command
            .args(arguments)
            .args(["--runner", "/nowhere/chaos-sim"])
            .output()
            .unwrap();
        let talk = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{arguments:?}");
        assert!(talk.contains("/nowhere/chaos-sim is not there"), "{talk}");
    }
    for seeds in ["5..5", "9..1", "seven", "1-5"] {
        assert_eq!(Seeds::new().code(&["sim", "--seeds", seeds]), Some(3), "{seeds}");
    }
}
