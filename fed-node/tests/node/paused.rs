//! A leader that is paused: when it wakes up, others may have gone on without it. And what hears nothing from a node any more.

use std::io::{Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::support::{Federation, Node, Signal, signal, until};
use serde_json::Value;

/// A linearizable read under way at a node, whatever that does.
fn asking(node: &Node) -> Child {
    node.way(&node.program)
        .command()
        .args(["-o", "json", "user", "show", "alice"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

#[test]
fn a_leader_that_was_paused_never_answers_a_linearizable_read_from_the_past() {
    let federation = Federation::start(3);
    federation.nodes[0].add_user("alice", "1001").ok();
    for round in 0..3 {
        let name = format!("Alice {round}");
        let leader = until("a leader", || {
            federation
                .nodes
                .iter()
                .position(|node| node.json(&["status"])["role"] == "leader")
        });
        let paused = &federation.nodes[leader];
        let other = &federation.nodes[(leader + 1) % 3];
        signal(paused.pid(), Signal::STOP);
        until("the others go on", || {
            (other.asks(&["user", "set", "alice", "--name", &name]).code == 0).then_some(())
        });
        // Asked after the change was acknowledged, of a leader that does not know of it, nor that it leads no longer.
        let reads: Vec<Child> = (0..8).map(|_| asking(paused)).collect();
        signal(paused.pid(), Signal::CONT);
        for read in reads.into_iter().chain((0..8).map(|_| asking(paused))) {
            let said = read.wait_with_output().unwrap();
            let (out, err) = (
                String::from_utf8_lossy(&said.stdout),
                String::from_utf8_lossy(&said.stderr),
            );
            // Without an answer in time the command line asks again locally, and says so.
            if !said.status.success() || err.contains("stale") {
                continue;
            }
            let user: Value = serde_json::from_str(&out).unwrap();
            let read = user["name"].as_str();
            assert_eq!(read, Some(name.as_str()), "read from the past: {out} {err}");
        }
        federation.hashes_agree();
    }
}

/// What a process says, as it comes.
fn heard(mut from: impl Read + Send + 'static) -> Arc<Mutex<String>> {
    let text = Arc::new(Mutex::new(String::new()));
    let told = text.clone();
    std::thread::spawn(move || {
        let mut bytes = [0; 4096];
        while let Ok(count @ 1..) = from.read(&mut bytes) {
            told.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..count]));
        }
    });
    text
}

fn says(text: &Arc<Mutex<String>>, words: &str) -> Option<()> {
    text.lock().unwrap().contains(words).then_some(())
}

/// Longest wait for a silence to be noticed: twenty seconds, and what a busy machine adds.
const NOTICED_WITHIN: Duration = Duration::from_secs(90);

#[test]
fn whoever_follows_a_node_that_falls_silent_is_told() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let follow = |args: &[&str]| {
        let mut command = node.way(&node.program).command();
        command.args(args).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut followers = [&["events", "--follow"][..], &["logs", "--follow"], &["watch"]].map(|args| {
        let mut child = follow(args);
        let said = [heard(child.stdout.take().unwrap()), heard(child.stderr.take().unwrap())];
        (args, child, said)
    });
    for (args, _, said) in &followers {
        until(&format!("{args:?} is under way"), || {
            said.iter().any(|said| !said.lock().unwrap().is_empty()).then_some(())
        });
    }
    signal(node.pid(), Signal::STOP);
    let deadline = Instant::now() + NOTICED_WITHIN;
    for (args, child, [_, err]) in &mut followers {
        let ended = loop {
            if let Some(status) = child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                child.kill().unwrap();
                panic!("{args:?} waits for ever");
            }
            std::thread::sleep(Duration::from_millis(100));
        };
        assert_eq!(ended.code(), Some(5), "{args:?}: nothing was to be changed");
        until("it is said why", || says(err, "the connection broke"));
    }
    signal(node.pid(), Signal::CONT);
}

#[test]
fn top_says_that_nobody_answers_and_can_be_ended_meanwhile() {
    let federation = Federation::start(1);
    let node = &federation.nodes[0];
    let command = node.way(&node.program).command();
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line: Vec<String> = words.map(|word| word.to_string_lossy().into_owned()).collect();
    let mut script = Command::new("script");
    script.args(["-qec", &format!("{} top --every 1", line.join(" ")), "/dev/null"]);
    script.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    script.env("TERM", "xterm");
    script.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut top = script.spawn().unwrap();
    let page = heard(top.stdout.take().unwrap());
    until("there is a page", || says(&page, "1 of 1 nodes up"));
    signal(node.pid(), Signal::STOP);
    until("it is said that nobody answers", || says(&page, "no answer from"));
    top.stdin.as_mut().unwrap().write_all(b"q").unwrap();
    until("it ends", || top.try_wait().unwrap());
    signal(node.pid(), Signal::CONT);
}
