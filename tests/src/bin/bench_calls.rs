//! `make bench-calls`: what a call and a REGISTER cost through the federation against plain Asterisk, in the same run.
//!
//! Calls: INVITE to 180 at the caller's phone, static `Dial` over a trunk, the asking route and `Dial(PJSIP/callee)` by redirect, in
//! turns, so that whatever else the machine does falls on all three alike. REGISTERs: the same Asterisk with its fed-node running
//! and killed, in turns, and the processor time that each took. `CALLS=50` and `SECONDS=2` shorten it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use fed_tests::figures::Figures;
use fed_tests::lab::{Lab, Version, available, password_of};
use fed_tests::load::{Kind, Rate, registers};
use fed_tests::machine::processor_time;
use fed_tests::phone::{Behaviour, Phone, Transport};

const SOON: Duration = Duration::from_secs(5);
const DEVICES: usize = 200;
const WORKERS: usize = 8;
const ROUNDS: usize = 6;
/// How long nodes are looked at: who only lives takes less than a fifth of it, all three together.
const QUIET: Duration = Duration::from_millis(500);

fn main() -> Result<()> {
    available().context("the comparison needs real Asterisks")?;
    let calls = number("CALLS", 200);
    let seconds = number("SECONDS", 5) as u64;
    let mut lab = Lab::start_federated(&[Version::V22, Version::V22, Version::V16])?;
    let outcome = compare_calls(&lab, calls).and_then(|()| compare_registers(&mut lab, Duration::from_secs(seconds)));
    if outcome.is_err() {
        lab.keep_logs();
    }
    outcome
}

fn compare_calls(lab: &Lab, calls: usize) -> Result<()> {
    println!("call set-up, INVITE to 180 at the caller, {calls} calls each in turns (ms)\n");
    println!(
        "{:<10} {:<26} {:>8} {:>8} {:>10}",
        "servers", "way", "p50", "p99", "p50 more"
    );
    for (from, to) in [(0, 1), (0, 2), (2, 0)] {
        let caller = phone(lab, &format!("caller{from}{to}"), from)?;
        let callee = phone(lab, &format!("callee{from}{to}"), to)?;
        callee.behave(Behaviour::Ring);
        let ways = [
            ("static Dial", format!("8{}{}", to + 1, callee.id())),
            ("federation, asked", callee.id().to_owned()),
            ("federation, by redirect", format!("7{}", callee.id())),
        ];
        let mut figures = [Figures::default(), Figures::default(), Figures::default()];
        for turn in 0..=calls {
            for ((_, dialled), figures) in ways.iter().zip(&mut figures) {
                let mut call = caller.call(lab.hosts[from].sip(), dialled)?;
                let rang = call
                    .wait_ringing(SOON)
                    .with_context(|| format!("dialling {dialled} at {}", lab.hosts[from].name))?;
                let incoming = callee.incoming(SOON)?;
                call.cancel()?;
                incoming.wait_cancel(SOON)?;
                // The first round warms up.
                if turn > 0 {
                    figures.add(rang - call.invited);
                }
            }
        }
        let servers = format!(
            "{} -> {}",
            lab.hosts[from].asterisk.version().number(),
            lab.hosts[to].asterisk.version().number()
        );
        let baseline = figures[0].percentile(0.5);
        for ((way, _), figures) in ways.iter().zip(&mut figures) {
            let (p50, p99) = (figures.percentile(0.5), figures.percentile(0.99));
            println!(
                "{servers:<10} {way:<26} {p50:>8.2} {p99:>8.2} {:>+10.2}",
                p50 - baseline
            );
        }
    }
    println!("\ngoal: at most +5 ms at the median\n");
    Ok(())
}

fn compare_registers(lab: &mut Lab, time: Duration) -> Result<()> {
    let devices: Vec<String> = (0..DEVICES).map(|n| format!("load{n}")).collect();
    let file = lab.folder().join("load.csv");
    let rows: String = devices
        .iter()
        .map(|d| format!("{d},{d},{}\n", password_of(d)))
        .collect();
    std::fs::write(&file, format!("user,device,password\n{rows}"))?;
    lab.hosts[0].node()?.run(&["user", "import", &file.to_string_lossy()])?;
    for device in &devices {
        lab.registered(device, Transport::Udp, 0)?;
    }
    println!(
        "REGISTERs a second, {WORKERS} at a time, {ROUNDS} rounds of {} s in turns, and processor time for each, medians\n",
        time.as_secs()
    );
    println!(
        "{:<8} {:<20} {:>7} {:>14} {:>6} {:>7} {:>18} {:>15} {:>13}",
        "server",
        "phones",
        "alone",
        "with fed-node",
        "ratio",
        "failed",
        "Asterisk alone, us",
        "with fed-node",
        "fed-node, us"
    );
    for at in [0, 2] {
        for (kind, words) in [(Kind::Refresh, "refreshing"), (Kind::Change, "changing place")] {
            let (mut by_itself, mut beside) = (Rounds::default(), Rounds::default());
            let measure = |lab: &mut Lab| one_round(lab, at, &devices, kind, time);
            measure(lab)?;
            for round in 0..ROUNDS {
                // Each goes first in every second round: the machine may become slower or quicker meanwhile.
                for first in [true, false] {
                    if first == (round % 2 == 0) {
                        beside.add(measure(lab)?);
                    } else {
                        by_itself.add(alone(lab, at, measure)?);
                        settled(lab)?;
                    }
                }
            }
            let version = lab.hosts[at].asterisk.version().number();
            let (without, with) = (median(by_itself.rate), median(beside.rate));
            println!(
                "{version:<8} {words:<20} {without:>7.0} {with:>14.0} {:>6.2} {:>7} {:>18.0} {:>15.0} {:>13.0}",
                with / without,
                by_itself.failed + beside.failed,
                median(by_itself.asterisk),
                median(beside.asterisk),
                median(beside.node),
            );
        }
    }
    println!("\ngoal: a ratio of at least 0.95 (refreshing)");
    Ok(())
}

/// What the rounds of one kind gave.
#[derive(Default)]
struct Rounds {
    rate: Vec<f64>,
    failed: u64,
    /// Processor time for each accepted REGISTER, in microseconds.
    asterisk: Vec<f64>,
    node: Vec<f64>,
}

impl Rounds {
    fn add(&mut self, round: Round) {
        let each = |time: Duration| time.as_secs_f64() * 1e6 / round.rate.accepted as f64;
        self.rate.push(round.rate.per_second);
        self.failed += round.rate.failed;
        self.asterisk.push(each(round.asterisk));
        self.node.push(each(round.node));
    }
}

struct Round {
    rate: Rate,
    asterisk: Duration,
    node: Duration,
}

fn one_round(lab: &mut Lab, at: usize, devices: &[String], kind: Kind, time: Duration) -> Result<Round> {
    let host = &mut lab.hosts[at];
    let server = host.sip();
    let asterisk = host.asterisk.process()?.pid();
    // A fed-node that was killed has no process.
    let node = host.node_mut()?.process().map(|process| process.pid()).ok();
    let used = || (processor_time(asterisk), node.map(processor_time).unwrap_or_default());
    let before = used();
    let rate = registers(lab, server, devices, WORKERS, kind, time)?;
    let after = used();
    Ok(Round {
        rate,
        asterisk: after.0.saturating_sub(before.0),
        node: after.1.saturating_sub(before.1),
    })
}

/// Measures with no fed-node at work on this machine: the one beside the Asterisk killed, the others paused.
fn alone<T>(lab: &mut Lab, at: usize, measure: impl FnOnce(&mut Lab) -> Result<T>) -> Result<T> {
    let others: Vec<usize> = (0..lab.hosts.len()).filter(|n| *n != at).collect();
    for other in &others {
        lab.hosts[*other].node_mut()?.process()?.pause()?;
    }
    lab.hosts[at].node_mut()?.kill()?;
    let measured = measure(lab);
    for other in &others {
        lab.hosts[*other].node_mut()?.process()?.resume()?;
    }
    lab.hosts[at].restart_node()?;
    measured
}

/// Waits until all nodes are up and none works off what a start brings: the comparison with its Asterisk, the reading of its whole state.
fn settled(lab: &mut Lab) -> Result<()> {
    lab.wait_healthy(Duration::from_secs(30))?;
    let mut busy = true;
    for _ in 0..60 {
        let before = time_of_nodes(lab)?;
        std::thread::sleep(QUIET);
        let was_busy = std::mem::replace(&mut busy, time_of_nodes(lab)? - before > QUIET / 5);
        if !busy && !was_busy {
            return Ok(());
        }
    }
    bail!("the nodes are still busy with their start after {:?}", QUIET * 60)
}

fn time_of_nodes(lab: &mut Lab) -> Result<Duration> {
    lab.hosts
        .iter_mut()
        .map(|host| Ok(processor_time(host.node_mut()?.process()?.pid())))
        .sum()
}

fn phone(lab: &Lab, id: &str, at: usize) -> Result<Phone> {
    lab.add_user(0, id, &[])?;
    lab.registered(id, Transport::Udp, at)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or_default()
}

fn number(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|v| v.parse().ok()).unwrap_or(default)
}
