//! Floods of REGISTERs and INVITEs through real Asterisks 22 and 16, and of anything at the redirect servers, all at the same time:
//! they cost nobody the leader, a registration or a call, and nothing of them stays.

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fed_tests::eventually;
use fed_tests::flood::{Flood, Flooded, Kind};
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Lab, Version};
use fed_tests::machine::memory_kib;
use fed_tests::phone::{Phone, Transport};
use serde_json::Value;

/// No promise of the product: how long a busy machine may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long it floods.
const FLOOD: Duration = Duration::from_secs(5);
/// What a fed-node may take more of memory, in KiB.
const GROWTH_KIB: u64 = 64 * 1024;
/// Names and numbers that the attacker knows.
const NAMES: &[&str] = &["ann", "bob", "1001", "1002", "carl"];

fn main() -> ExitCode {
    cases::main(
        || {
            let lab = Lab::start_federated(&[Version::V22, Version::V16])?;
            for (user, number) in [("ann", "1001"), ("bob", "1002"), ("carl", "1003")] {
                lab.add_user(0, user, &["--number", number])?;
            }
            Ok(lab)
        },
        &[Case {
            name: "floods_cost_nobody_the_leader_a_registration_or_a_call_and_leave_nothing_behind",
            body: floods,
        }],
    )
}

/// All that a flood could leave behind or take away.
#[derive(Debug, PartialEq)]
struct State {
    /// Term, leader and counts, as each node says.
    status: Vec<[Value; 5]>,
    audit: Value,
    contacts: Vec<BTreeSet<(String, String)>>,
}

fn state(lab: &Lab) -> Result<State> {
    let mut status = Vec::new();
    let mut contacts = Vec::new();
    for host in &lab.hosts {
        let all = host.node()?.json(&["status"])?;
        status.push(["term", "leader", "users", "devices", "bindings"].map(|field| all[field].clone()));
        contacts.push(host.asterisk.contacts()?.into_iter().collect());
    }
    Ok(State {
        status,
        audit: lab.hosts[0].node()?.json(&["audit", "list"])?,
        contacts,
    })
}

/// Memory in use of each fed-node, in KiB.
fn memory(lab: &mut Lab) -> Result<Vec<u64>> {
    lab.hosts
        .iter_mut()
        .map(|host| memory_kib(host.node_mut()?.process()?.pid()))
        .collect()
}

fn floods(lab: &mut Lab) -> Result<()> {
    let ann = lab.registered("ann", Transport::Udp, 0)?;
    let bob = lab.registered("bob", Transport::Udp, 1)?;
    calls(lab, &ann, 0, "1002", &bob)?;
    let before = state(lab)?;
    ensure!(
        before.status.iter().all(|node| node[4] == 2),
        "two are registered: {before:?}"
    );
    let memory_before = memory(lab)?;

    let under_way = start(lab)?;
    let end = Instant::now() + FLOOD;
    let mut connected = 0;
    // A call may be lost among so many datagrams; it is tried again, and the floods go on until one is through.
    while Instant::now() < end || connected == 0 {
        ensure!(
            Instant::now() < end + PATIENCE,
            "no call was connected during the floods"
        );
        match calls(lab, &ann, 0, "1002", &bob) {
            Ok(()) => connected += 1,
            Err(why) => println!("    a call during the floods: {why:#}"),
        }
        bob.forget_incoming();
    }
    for (what, flood) in under_way {
        let flooded = flood.stop()?;
        println!("    {what}: {} sent, answered {:?}", flooded.sent, flooded.answers);
        bounded(&what, &flooded)?;
    }
    println!("    {connected} calls connected meanwhile");

    eventually(PATIENCE, || calls(lab, &ann, 0, "1002", &bob)).context("right after")?;
    eventually(PATIENCE, || calls(lab, &bob, 1, "1001", &ann)).context("right after")?;
    let after = state(lab)?;
    ensure!(after == before, "before {before:?}\nafter {after:?}");
    for (phone, at) in [(&ann, 0), (&bob, 1)] {
        for asker in &lab.hosts {
            eventually(PATIENCE, || asker.expect_located(phone.id(), &lab.hosts[at]))?;
        }
    }
    let memory_after = memory(lab)?;
    println!("    memory of the fed-nodes: {memory_before:?} KiB before, {memory_after:?} KiB after");
    for (before, after) in memory_before.iter().zip(&memory_after) {
        ensure!(*after < before + GROWTH_KIB, "{before} KiB became {after} KiB");
    }
    lab.expect_no_drift(2)
}

/// All floods at every host: by strangers, and at its trunk by one who speaks from the other node's address.
fn start(lab: &Lab) -> Result<Vec<(String, Flood)>> {
    let mut under_way = Vec::new();
    for (at, host) in lab.hosts.iter().enumerate() {
        let strangers = (lab.phones(), lab.phones_ip());
        let peer = &lab.hosts[1 - at];
        let floods = [
            ("REGISTERs", strangers, host.sip(), Kind::Registers, (64, 400)),
            ("INVITEs", strangers, host.sip(), Kind::Invites, (64, 200)),
            (
                "calls of a node",
                (&peer.namespace, peer.ip),
                host.sip(),
                Kind::Invites,
                (8, 40),
            ),
            ("redirect", strangers, host.redirect(), Kind::Anything, (64, 4_000)),
        ];
        for (what, (namespace, ip), to, kind, rate) in floods {
            let flood = Flood::start(namespace, ip, to, kind, rate, NAMES)?;
            under_way.push((format!("{what} at {}", host.name), flood));
        }
    }
    Ok(under_way)
}

/// Nobody of them was let in, and they were heard at all.
fn bounded(what: &str, flooded: &Flooded) -> Result<()> {
    ensure!(!flooded.answers.is_empty(), "{what}: no answer at all");
    let let_in = |status: &u16| (180..300).contains(status) && !what.starts_with("redirect");
    let found = flooded.answers.keys().find(|status| let_in(status));
    ensure!(found.is_none(), "{what} were let in: {:?}", flooded.answers);
    Ok(())
}

/// A call that is answered.
fn calls(lab: &Lab, caller: &Phone, from: usize, dialled: &str, callee: &Phone) -> Result<()> {
    let mut call = caller.call(lab.hosts[from].sip(), dialled)?;
    call.wait_answer(PATIENCE)?;
    let incoming = callee.incoming(PATIENCE)?;
    call.hang_up()?;
    incoming.wait_hang_up(PATIENCE).map(drop)
}
