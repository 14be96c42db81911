//! How soon a move is known, and what comes of one who comes back while her old contact is being deleted.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fed_tests::eventually;
use fed_tests::figures::Figures;
use fed_tests::lab::{Asker, Following, Lab, Located};

use crate::{SOON, alices, many_alices};

pub(super) fn asked(lab: &mut Lab) -> Result<()> {
    const MOVES: usize = 200;
    let phones = many_alices(lab)?;
    lab.register(&phones[0], 0)?;
    let mut everywhere = Figures::default();
    let mut per_host: Vec<Figures> = lab.hosts.iter().map(|_| Figures::default()).collect();
    // One thread for each host asks its redirect server without a pause while a move is on.
    thread::scope(|scope| -> Result<()> {
        let (seen, results) = mpsc::channel();
        let mut watchers = Vec::new();
        for (number, host) in lab.hosts.iter().enumerate() {
            let (order, orders) = mpsc::channel::<SocketAddr>();
            let seen = seen.clone();
            let mut asker = Asker::open(&host.namespace)?;
            let own = host.sip();
            scope.spawn(move || {
                for wanted in orders {
                    let _ = seen.send((number, when_located(&mut asker, own, wanted)));
                }
            });
            watchers.push(order);
        }
        for turn in 1..=MOVES {
            let at = turn % lab.hosts.len();
            let moved = phones[turn % phones.len()]
                .register(lab.hosts[at].sip())
                .with_context(|| format!("move {turn}"))?;
            for watcher in &watchers {
                watcher.send(lab.hosts[at].sip())?;
            }
            let mut last = moved.ok;
            for _ in &watchers {
                let (number, when) = results.recv()?;
                let when = when.with_context(|| format!("move {turn} as {} sees it", lab.hosts[number].name))?;
                per_host[number].add(when.saturating_duration_since(moved.ok));
                last = last.max(when);
            }
            everywhere.add(last.saturating_duration_since(moved.ok));
        }
        Ok(())
    })?;
    for (host, figures) in lab.hosts.iter().zip(&mut per_host) {
        println!(
            "    200 OK -> routable at {} ({:?}): {}",
            host.name,
            host.asterisk.version(),
            figures.words()
        );
    }
    println!(
        "    200 OK -> routable at every node: {} (goal: p50 <= 3 ms, p99 <= 10 ms)",
        everywhere.words()
    );
    Ok(())
}

/// As [`asked`], told by each node's own watch: nobody asks anything meanwhile, which on a small machine is half of what is
/// measured there. A change is shown to watchers when the node has applied it, and from then on it routes there.
pub(super) fn watched(lab: &mut Lab) -> Result<()> {
    const MOVES: usize = 200;
    let phones = many_alices(lab)?;
    lab.register(&phones[0], 0)?;
    let mut watches = Vec::new();
    for host in &lab.hosts {
        watches.push(host.node()?.follow(&["watch", "-o", "json"])?);
    }
    // A watch begins with what comes after it was let in: she moves on until all tell of it.
    let mut turn = 0;
    eventually(SOON, || {
        turn += 1;
        let at = turn % lab.hosts.len();
        let phone = &phones[turn % phones.len()];
        let since = Instant::now();
        lab.register(phone, at)?;
        let contact = phone.contact();
        for watch in &watches {
            when_told(watch, &contact, since, Duration::from_secs(1))?;
        }
        Ok(())
    })?;
    let first = turn + 1;
    let mut everywhere = Figures::default();
    for turn in first..first + MOVES {
        let at = turn % lab.hosts.len();
        let phone = &phones[turn % phones.len()];
        let since = Instant::now();
        let moved = phone.register(lab.hosts[at].sip())?;
        let contact = phone.contact();
        let mut last = moved.ok;
        for (watch, host) in watches.iter().zip(&lab.hosts) {
            let when = when_told(watch, &contact, since, SOON);
            last = last.max(when.with_context(|| format!("move {turn} as {} tells it", host.name))?);
        }
        everywhere.add(last.saturating_duration_since(moved.ok));
    }
    println!("    200 OK -> told by every node's watch: {}", everywhere.words());
    Ok(())
}

/// When a watch told, after `since`, that a device has this contact now.
fn when_told(watch: &Following, contact: &str, since: Instant, patience: Duration) -> Result<Instant> {
    let deadline = Instant::now() + patience;
    loop {
        let (at, line) = watch.next(deadline.saturating_duration_since(Instant::now()))?;
        let told: serde_json::Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let binding = &told["binding"];
        if told["event"] == "bound" && binding["contact"] == contact && at >= since {
            return Ok(at);
        }
    }
}

/// Asks until calls for alice go to `wanted`. `own` is the asker's own Asterisk, which is told "here".
fn when_located(asker: &mut Asker, own: SocketAddr, wanted: SocketAddr) -> Result<Instant> {
    let deadline = Instant::now() + SOON;
    loop {
        let (located, at) = asker.ask("alice")?;
        let there = match &located {
            Located::Here => own == wanted,
            Located::At { address, .. } => *address == wanted.to_string(),
            Located::Refused(_) => false,
        };
        if there {
            return Ok(at);
        }
        if at > deadline {
            bail!("still {located:?} after {SOON:?}");
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// What Asterisk says, in its own log only, of a registration that it drops after it has answered 200: the contact was taken away while it wrote it anew.
const DROPPED: &str = "Failed to update contact";

/// Back and forth between a 22 and a 16, with one contact at each: every time she is back as soon as both know that she had gone, which is before her old
/// contact is ended, or while it is. Asterisk takes that for a refresh, and the end must not take her along.
pub(super) fn coming_back(lab: &mut Lab) -> Result<()> {
    const TIMES: usize = 200;
    let phones = alices(lab)?;
    let places = [0, 2];
    let mut askers = places
        .iter()
        .map(|place| Asker::open(&lab.hosts[*place].namespace))
        .collect::<Result<Vec<_>>>()?;
    for turn in 0..TIMES {
        let at = places[turn % 2];
        phones[at].register(lab.hosts[at].sip())?;
        for (asker, place) in askers.iter_mut().zip(places) {
            when_located(asker, lab.hosts[place].sip(), lab.hosts[at].sip())
                .with_context(|| format!("time {turn}, at {}", lab.hosts[at].name))?;
        }
        if turn % 5 == 4 {
            // Whatever was going to be ended has ended by then; on a slower machine this looks too early, and sees less.
            thread::sleep(Duration::from_millis(300));
            let contacts = lab.hosts[at].asterisk.contacts()?;
            ensure!(
                contacts.iter().any(|(device, _)| device == "alice"),
                "time {turn}, at {}: her registration is gone",
                lab.hosts[at].name
            );
            eventually(SOON, || lab.hosts[1].expect_located("alice", &lab.hosts[at]))?;
        }
    }
    for place in places {
        let dropped = lab.hosts[place].asterisk.log_lines(DROPPED)?;
        ensure!(
            dropped == 0,
            "{} dropped {dropped} registrations",
            lab.hosts[place].name
        );
    }
    lab.expect_no_drift(lab.hosts.len())
}
