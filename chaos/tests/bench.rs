//! `chaos bench` leaves no server behind, however it is ended. `fed-node` lies beside `chaos`: `cargo build --workspace --bins` puts it there.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Kills what was started, whatever becomes of the test.
struct Started(Child);

impl Drop for Started {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// State and parent of a process, while there is one.
fn stat(pid: u32) -> Option<(String, u32)> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut rest = stat.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.to_owned(), rest.next()?.parse().ok()?))
}

fn children(parent: u32) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| stat(*pid).is_some_and(|(_, of)| of == parent))
        .collect()
}

fn name(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default()
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A benchmark that goes on for long, with its folder in `place`, and its servers.
fn running(place: &Path) -> (Started, Vec<u32>) {
    let bench = Command::new(env!("CARGO_BIN_EXE_chaos"))
        .args(["bench", "--etcd", "none", "--rows", "writes", "--seconds", "600"])
        .arg("--dir")
        .arg(place)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn();
    let bench = Started(bench.unwrap());
    let servers = until("two servers run", || {
        let servers: Vec<u32> = children(bench.0.id())
            .into_iter()
            .filter(|pid| name(*pid).starts_with("fed-node"))
            .collect();
        (servers.len() >= 2).then_some(servers)
    });
    (bench, servers)
}

fn signal(bench: &Started, how: Signal) {
    let pid = Pid::from_raw(i32::try_from(bench.0.id()).unwrap()).unwrap();
    kill_process(pid, how).unwrap();
}

#[test]
fn a_benchmark_that_is_told_to_end_takes_its_servers_with_it() {
    for how in [Signal::TERM, Signal::INT, Signal::HUP] {
        let place = tempfile::tempdir().unwrap();
        let (mut bench, servers) = running(place.path());
        signal(&bench, how);
        let ended = until("it ends", || bench.0.try_wait().unwrap());
        assert_eq!(ended.code(), Some(3), "{how:?}");
        for server in servers {
            assert_eq!(stat(server), None, "{how:?}: a server lives on");
        }
        let left = std::fs::read_dir(place.path()).unwrap().count();
        assert_eq!(left, 0, "{how:?}: its folder is left");
    }
}

#[test]
fn a_benchmark_that_is_killed_takes_its_servers_with_it() {
    let place = tempfile::tempdir().unwrap();
    let (mut bench, servers) = running(place.path());
    signal(&bench, Signal::KILL);
    until("it ends", || bench.0.try_wait().unwrap());
    for server in servers {
        // Whoever inherited it may not have asked how it ended.
        let gone = || stat(server).is_none_or(|(state, _)| state == "Z").then_some(());
        until("its servers end", gone);
    }
}
