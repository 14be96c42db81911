//! The simulation of one seed is the same every time. Only in the build of the simulation (`make sim`).
#![cfg(feature = "simulation")]

use std::process::Command;

fn report(arguments: &[&str]) -> String {
    let run = Command::new(env!("CARGO_BIN_EXE_chaos-sim"))
        .args(arguments)
        .output()
        .expect("the program is built with this test");
    String::from_utf8(run.stdout).expect("JSON is text")
}

#[test]
fn the_same_seed_gives_the_same_trace() {
    for seed in ["3", "4"] {
        let run = || report(&["--seed", seed, "--seconds", "6"]);
        let (first, second) = (run(), run());
        assert!(first.contains("\"trace\":\""), "{first}");
        assert_eq!(first, second);
    }
}

#[test]
fn another_seed_gives_another_trace() {
    let trace = |seed| {
        let report = report(&["--seed", seed, "--seconds", "3"]);
        report.split("\"trace\":").nth(1).map(str::to_owned)
    };
    assert_ne!(trace("5"), trace("6"));
}

#[test]
fn a_fault_can_be_left_out() {
    let plan = |skip: &[&str]| report(&[&["--seed", "5", "--plan"], skip].concat());
    let (whole, shorter) = (plan(&[]), plan(&["--skip", "1"]));
    let kept: Vec<&str> = whole.lines().filter(|line| !line.starts_with("fault 1 ")).collect();
    assert_eq!(shorter.lines().collect::<Vec<_>>(), kept);
    assert_eq!(kept.len() + 1, whole.lines().count());
}
