//! A rolling upgrade from an older program: three nodes of it are replaced one by one under writes, and clients see nothing but time-outs.
//!
//! Needs the older program: `make upgrade-test OLD=path/to/older/fed-node`.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::support::{Federation, Node, Program, Way, until};

/// What one client did: its user's display name as last acknowledged, and those whose outcome it does not know.
#[derive(Debug, Default)]
struct Written {
    acknowledged: Option<u64>,
    unknown_since: Vec<u64>,
    count: u64,
}

/// Exit codes that are no failure of the product while nodes restart: 5 (nobody there, nothing changed) and 6 (outcome unknown).
const UNAVAILABLE: i32 = 5;
const UNKNOWN: i32 = 6;

/// Sets a user's display name to growing numbers, at each node in turn, until told to stop.
fn write(user: &str, clients: &[Way], stop: &AtomicBool, progress: &AtomicU64) -> (Written, BTreeMap<i32, String>) {
    let (mut written, mut failures) = (Written::default(), BTreeMap::new());
    for number in 1.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let client = &clients[number as usize % clients.len()];
        let said = client.asks(&["user", "set", user, "--name", &number.to_string()]);
        match said.code {
            0 => {
                written.acknowledged = Some(number);
                written.unknown_since.clear();
                written.count += 1;
                progress.fetch_add(1, Ordering::Relaxed);
            }
            UNAVAILABLE => {}
            UNKNOWN => written.unknown_since.push(number),
            other => drop(failures.insert(other, said.err)),
        }
    }
    (written, failures)
}

fn upgraded(old: PathBuf) {
    let old = Program(old);
    // One that had no certificates yet speaks to others in clear text alone.
    let help = old.command().args(["token", "join", "--help"]).output().unwrap();
    let plaintext = !help.status.success();
    let mut federation = Federation::start_with(3, |_, node| {
        node.program = old.clone();
        node.plaintext = plaintext;
    });
    for user in ["alice", "bob"] {
        federation.nodes[0]
            .add_user(user, if user == "alice" { "1001" } else { "1002" })
            .ok();
    }
    // Old clients against new nodes and new clients against old ones.
    let clients: Vec<Way> = federation
        .nodes
        .iter()
        .flat_map(|node| [node.way(&old), node.way(&Program::default())])
        .collect();
    let (stop, progress) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let writers: Vec<_> = ["alice", "bob"]
        .map(|user| {
            let (clients, stop, progress, outcomes) =
                (clients.clone(), stop.clone(), progress.clone(), outcomes.clone());
            thread::spawn(move || {
                let outcome = write(user, &clients, &stop, &progress);
                outcomes.lock().unwrap().push((user, outcome));
            })
        })
        .into_iter()
        .collect();
    let more_writes = |what: &str| {
        let before = progress.load(Ordering::Relaxed);
        until(what, || (progress.load(Ordering::Relaxed) >= before + 5).then_some(()));
    };
    more_writes("writes go on before the upgrade");
    for index in 0..federation.nodes.len() {
        let node: &mut Node = &mut federation.nodes[index];
        let (took, code) = node.terminate();
        assert_eq!(code, 0, "{}: {}", node.name, node.log());
        assert!(took.as_secs() < 10, "{} took {took:?} to stop", node.name);
        node.program = Program::default();
        node.run();
        settled(&federation.nodes);
        more_writes("writes go on after a node's upgrade");
    }
    stop.store(true, Ordering::Relaxed);
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    for (user, (written, failures)) in outcomes.lock().unwrap().iter() {
        assert!(failures.is_empty(), "{user}: more than time-outs: {failures:?}");
        let (last, count) = (written.acknowledged.unwrap(), written.count);
        eprintln!(
            "{user}: {count} acknowledged, the last {last}, {} unknown after it",
            written.unknown_since.len()
        );
        for node in &federation.nodes {
            until(&format!("{} has {user} as acknowledged", node.name), || {
                let shown = node.json(&["user", "show", user]);
                let name: u64 = shown["user"]["name"]
                    .as_str()
                    .or(shown["name"].as_str())?
                    .parse()
                    .ok()?;
                (name == last || written.unknown_since.contains(&name)).then_some(())
            });
        }
    }
    federation.hashes_agree();
}

/// All three vote, are up, and have caught up: only then may the next one be taken down.
fn settled(nodes: &[Node]) {
    for node in nodes {
        until(&format!("{} sees three voters up", node.name), || {
            let said = node.asks(&["-o", "json", "status"]);
            let status = (said.code == 0).then(|| said.json())?;
            let up = |member: &&serde_json::Value| member["up"] == true && member["role"] != "learner";
            (status["quorum"] == true && status["members"].as_array()?.iter().filter(up).count() == 3).then_some(())
        });
    }
}

#[test]
#[ignore = "needs an older fed-node: make upgrade-test OLD=path"]
fn nodes_are_upgraded_one_by_one_under_writes_with_nothing_but_time_outs() {
    let old = std::env::var_os("FED_OLD_BINARY").expect("FED_OLD_BINARY names the older program");
    upgraded(PathBuf::from(old));
}
