//! `chaos run` and `chaos lab` on real fed-nodes joined by TCP proxies, which need no root: what they answer, and their exit codes.
//! `fed-node` lies beside `chaos`: `cargo build --workspace --bins` puts it there, and so does `make test`.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// One node that nothing is done to for three seconds.
const CALM: &str = "name = 'calm'\nseed = 1\nnodes = 1\nseconds = 3\nbackend = 'proxy'\n";

/// Three of them, the leader cut off for a while.
const CUT: &str = "name = 'cut'\nseed = 1\nnodes = 3\nseconds = 9\nbackend = 'proxy'\n\
                   [bars]\noperations = 50\ncover = ['leader-in-minority']\n\
                   [[step]]\nat = 2\ndo = 'split'\nshape = 'leader-alone'\n[[step]]\nat = 6\ndo = 'heal'\n";

/// A place of its own for everything that a command leaves.
struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn chaos(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_chaos"));
        command
            .args(arguments)
            .env("TMPDIR", self.path())
            .current_dir(self.path());
        command
    }

    fn done(&self, arguments: &[&str]) -> Output {
        self.chaos(arguments).output().unwrap()
    }

    /// Runs a plan; its exit code and what it said.
    fn run(&self, plan: &str, more: &[&str]) -> (Option<i32>, String) {
        std::fs::write(self.path().join("plan.toml"), plan).unwrap();
        let output = self.done(&[&["run", "plan.toml", "--out", "out"], more].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }
}

#[test]
fn a_run_passes_and_its_page_shows_everything_on_one_time_line() {
    let place = Place::new();
    let (code, said) = place.run(CUT, &[]);
    assert_eq!(code, Some(0), "{said}");
    assert!(
        said.contains("true     linearizable:") && said.contains("split n"),
        "{said}"
    );
    let report = place.done(&["report", "out/cut-1", "--html", "page.html"]);
    assert_eq!(report.status.code(), Some(0));
    let page = std::fs::read_to_string(place.path().join("page.html")).unwrap();
    for part in [
        "<span class=\"true\">true</span>",
        "coverage",
        ">n3</text>",
        "#1a4f8b",
        " ops</text>",
        " ms</text>",
        "every wire is whole",
        "None: every key",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn a_bar_that_is_missed_is_a_violation_and_what_was_not_covered_is_unknown() {
    let place = Place::new();
    let (code, said) = place.run(&format!("{CALM}[bars]\nmemory_mib = 1\n"), &[]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("false    at most 1 MiB of memory"), "{said}");
    let (code, said) = place.run(&format!("{CALM}[bars]\noperations = 1000000\n"), &[]);
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("unknown  linearizable"), "{said}");
}

#[test]
fn what_cannot_be_run_is_a_failure_of_the_harness() {
    let place = Place::new();
    assert_eq!(place.done(&["run", "nothing.toml"]).status.code(), Some(3));
    let no_disks = format!("{CALM}[[step]]\nat = 1\ndo = 'power-cut'\nwho = 'all'\n");
    for (plan, fed_node, words) in [
        ("name = 'x'", "/bin/false", "plan.toml"),
        (CALM, "/nowhere/fed-node", "/nowhere/fed-node does not exist"),
        (CALM, "/bin/false", "the harness failed"),
        (no_disks.as_str(), "/bin/false", "disks = true"),
    ] {
        let (code, said) = place.run(plan, &["--fed-node", fed_node]);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(words), "{words}: {said}");
    }
    assert_eq!(place.done(&["report", "nothing"]).status.code(), Some(3));
}

/// A lab that is ended, whatever becomes of the test.
struct Lab<'a> {
    place: &'a Place,
    up: Child,
}
/// The `fed-node run` that this process has started.
fn nodes_of(parent: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = all.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let mut words = words.split(|byte| *byte == 0);
        rest.split_whitespace().nth(1) == Some(parent.to_string().as_str())
            && words.next().is_some_and(|program| program.ends_with(b"/fed-node"))
            && words.next() == Some(b"run")
    })
    .collect()
}

/// Whether a process still does something: one that has ended has no words.
fn lives(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty())
}

impl Lab<'_> {
    fn ask(&self, words: &[&str]) -> (Option<i32>, String) {
        let output = self.place.done(&[&["lab"], words].concat());
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8_lossy(&said).into_owned())
    }

    /// Waits until the status says what is hoped for.
    fn until(&mut self, what: &str, holds: impl Fn(&[&str]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(90);
        loop {
            let (_, said) = self.ask(&["status"]);
            let nodes: Vec<&str> = said.lines().filter(|line| line.starts_with('n')).collect();
            if holds(&nodes) {
                return;
            }
            assert!(self.up.try_wait().unwrap().is_none(), "the lab has ended");
            assert!(Instant::now() < deadline, "not in time: {what}: {said}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Lab<'_> {
    fn drop(&mut self) {
        let _ = self.ask(&["down"]);
        let deadline = Instant::now() + Duration::from_secs(20);
        while matches!(self.up.try_wait(), Ok(None)) {
            if Instant::now() > deadline {
                let _ = self.up.kill();
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

#[test]
fn a_lab_and_a_run_that_are_killed_take_their_nodes_with_them() {
    let place = Place::new();
    std::fs::write(
        place.path().join("plan.toml"),
        CALM.replace("seconds = 3", "seconds = 600"),
    )
    .unwrap();
    for words in [
        &["lab", "up", "--nodes", "1", "--backend", "proxy"][..],
        &["run", "plan.toml", "--out", "out"],
    ] {
        let mut harness = place.chaos(words).stdout(Stdio::null()).spawn().unwrap();
        let deadline = Instant::now() + Duration::from_secs(90);
        let waited = |what: &str, harness: &mut Child, holds: &dyn Fn(&mut Child) -> bool| {
            while !holds(harness) {
                if Instant::now() > deadline {
                    let _ = harness.kill();
                    panic!("{words:?}: not in time: {what}");
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        waited("a node runs", &mut harness, &|harness| {
            !nodes_of(harness.id()).is_empty()
        });
        let nodes = nodes_of(harness.id());
        // SIGKILL: nothing of it can clean up.
        harness.kill().unwrap();
        harness.wait().unwrap();
        waited("its nodes end", &mut harness, &|_| {
            nodes.iter().all(|node| !lives(*node))
        });
    }
}

#[test]
fn a_lab_is_brought_up_cut_healed_and_taken_down_by_hand() {
    let place = Place::new();
    let nobody = place.done(&["lab", "status"]);
    assert_eq!(nobody.status.code(), Some(3));
    let mut up = place.chaos(&["lab", "up", "--nodes", "3", "--backend", "proxy"]);
    let up = up.stdout(Stdio::null()).spawn().unwrap();
    let mut lab = Lab { place: &place, up };
    let whole = |nodes: &[&str]| {
        let with = |ending: &str| nodes.iter().filter(|node| node.ends_with(ending)).count();
        (with("  leads"), with("  follows")) == (1, 2)
    };
    lab.until("three nodes, one leads", whole);
    assert_eq!(
        place.done(&["lab", "up"]).status.code(),
        Some(3),
        "there is one already"
    );

    assert_eq!(lab.ask(&["partition", "leader-alone"]).0, Some(0));
    let apart = |nodes: &[&str]| {
        let cut = nodes
            .iter()
            .filter(|node| node.ends_with("no quorum") || node.ends_with("without a quorum"));
        nodes.len() == 3 && cut.count() == 1 && nodes.iter().any(|node| node.ends_with("  leads"))
    };
    lab.until("one has no quorum, another one leads", apart);
    assert_eq!(lab.ask(&["heal"]), (Some(0), "done\n".to_owned()));
    lab.until("one leads and all follow", whole);

    assert_eq!(lab.ask(&["do", "do = 'kill', who = 'follower'"]).0, Some(0));
    lab.until("two nodes", |nodes| nodes.len() == 2);
    assert_eq!(lab.ask(&["do", "do = 'start', who = 'all'"]).0, Some(0));
    lab.until("all are back", whole);

    let (code, said) = lab.ask(&["partition", "sideways"]);
    assert!(code == Some(3) && said.contains("sideways"), "{said}");
    assert_eq!(lab.ask(&["down"]).0, Some(0));
    assert_eq!(lab.up.wait().unwrap().code(), Some(0));
    assert_eq!(lab.ask(&["heal"]).0, Some(3), "it is gone");
}
