//! Processes under test do what they are told and leave nothing behind.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should fail")]

use std::fs;
use std::time::{Duration, Instant};

use fed_chaos::process::Program;

fn sleeper(folder: &tempfile::TempDir) -> Program {
    Program::new("sleeper", "sleep", folder.path().join("log")).arg("600")
}

fn state(pid: u32) -> String {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().unwrap_or("gone").to_owned()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_paused_process_stands_still_until_it_is_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = sleeper(&folder);
    program.start().unwrap();
    let pid = program.pid().unwrap();
    program.pause().unwrap();
    until("it is stopped", || state(pid) == "T");
    program.resume().unwrap();
    until("it goes on", || state(pid) == "S");
    program.check().unwrap();
}

#[test]
fn a_killed_process_can_be_started_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = sleeper(&folder);
    program.start().unwrap();
    let first = program.pid().unwrap();
    program.kill();
    assert!(!program.is_running());
    assert_eq!(state(first), "gone");
    program.start().unwrap();
    assert_eq!(program.starts(), 2);
    assert_ne!(program.pid().unwrap(), first);
}

#[test]
fn a_dropped_process_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = sleeper(&folder);
    program.start().unwrap();
    let pid = program.pid().unwrap();
    drop(program);
    assert_eq!(state(pid), "gone");
}

#[test]
fn one_that_ends_by_itself_is_told_with_what_it_said() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo here is why; exit 3";
    let mut program = Program::new("talker", "sh", folder.path().join("log")).args(["-c", script]);
    program.start().unwrap();
    until("it has ended", || state(program.pid().unwrap()) == "Z");
    let error = program.check().unwrap_err().to_string();
    assert!(error.contains("here is why") && error.contains('3'), "{error}");
    assert!(!program.is_running());
}
