//! `make bench-calls`: what a call and a REGISTER cost through the federation against plain Asterisk, in the same run.
//!
//! Calls: INVITE to 180 at the caller's phone, static `Dial` over a trunk, the asking route and `Dial(PJSIP/callee)` by redirect, in
//! turns, so that whatever else the machine does falls on all three alike. REGISTERs: the same Asterisk with its fed-node running
//! and killed, in turns. `CALLS=50` and `SECONDS=2` shorten it.

use std::time::Duration;

use anyhow::{Context, Result};
use fed_tests::figures::Figures;
use fed_tests::lab::{Lab, Version, available, password_of};
use fed_tests::load::{Kind, registers};
use fed_tests::phone::{Behaviour, Phone, Transport};

const SOON: Duration = Duration::from_secs(5);
const DEVICES: usize = 200;
const WORKERS: usize = 8;
const ROUNDS: usize = 6;

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
        "REGISTERs a second, {WORKERS} at a time, {ROUNDS} rounds of {} s in turns, median\n",
        time.as_secs()
    );
    println!(
        "{:<10} {:<22} {:>10} {:>14} {:>8} {:>8}",
        "server", "phones", "alone", "with fed-node", "ratio", "failed"
    );
    for at in [0, 2] {
        for (kind, words) in [(Kind::Refresh, "refreshing"), (Kind::Change, "changing their place")] {
            let (mut by_itself, mut beside, mut failed) = (Vec::new(), Vec::new(), 0);
            let server = lab.hosts[at].sip();
            registers(lab, server, &devices, WORKERS, kind, Duration::from_secs(1))?;
            for round in 0..ROUNDS {
                // Each goes first in every second round: the machine may become slower or quicker meanwhile.
                for first in [true, false] {
                    if first == (round % 2 == 0) {
                        let with = registers(lab, server, &devices, WORKERS, kind, time)?;
                        beside.push(with.per_second);
                        failed += with.failed;
                    } else {
                        let without = alone(lab, at, |lab| registers(lab, server, &devices, WORKERS, kind, time))?;
                        lab.wait_healthy(Duration::from_secs(30))?;
                        by_itself.push(without.per_second);
                    }
                }
            }
            let (by_itself, beside) = (median(by_itself), median(beside));
            let version = lab.hosts[at].asterisk.version().number();
            println!(
                "{version:<10} {words:<22} {by_itself:>10.0} {beside:>14.0} {:>8.2} {failed:>8}",
                beside / by_itself
            );
        }
    }
    println!("\ngoal: at least 0.95 (refreshing)");
    Ok(())
}

/// Measures with no fed-node at work on this machine: the one beside the Asterisk killed, the others paused.
fn alone<T>(lab: &mut Lab, at: usize, measure: impl FnOnce(&Lab) -> Result<T>) -> Result<T> {
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
