//! `make demo`: three real hosts, phones that register, call and move, a host that dies, each step with its time.
//!
//! Afterwards the federation stays up and the commands to try are printed; `WAIT=0` ends it instead. Without root or Debian, or with
//! `--simulated`, the same is shown on simulated Asterisks.

mod simulated;

use std::io::BufRead as _;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fed_tests::lab::{Lab, Version, available, password_of};
use fed_tests::phone::{Phone, Transport};
use fed_tests::{both_hear, eventually};

const SOON: Duration = Duration::from_secs(5);

fn main() -> Result<()> {
    let wait = std::env::var("WAIT").map_or(true, |v| v != "0");
    if std::env::args().any(|word| word == "--simulated") {
        return simulated::show(wait);
    }
    if let Err(why) = available() {
        println!("No real Asterisks here: {why:#}\nThe same on simulated Asterisks:\n");
        return simulated::show(wait);
    }
    let clock = Instant::now();
    println!("Starting three hosts: h1 and h2 with Asterisk 22, h3 with Asterisk 16, a fed-node beside each ...");
    let mut lab = Lab::start_federated(&[Version::V22, Version::V22, Version::V16])?;
    done(clock, "three Asterisks and three fed-nodes are one federation");
    if let Err(why) = show(&mut lab) {
        lab.keep_logs();
        return Err(why);
    }
    println!("\nAll of it took {:.1} s.", clock.elapsed().as_secs_f64());
    if wait {
        stay(&lab)?;
    }
    Ok(())
}

fn show(lab: &mut Lab) -> Result<()> {
    println!("\nUsers, added at different nodes");
    for (at, (user, number)) in [("alice", "1001"), ("bob", "1002"), ("carol", "1003")]
        .into_iter()
        .enumerate()
    {
        let clock = Instant::now();
        lab.add_user(at, user, &["--number", number])?;
        done(
            clock,
            &format!(
                "fed-node user add {user} --number {number}   (at {})",
                lab.hosts[at].name
            ),
        );
    }

    println!("\nPhones register at different hosts");
    let alice = lab.phone_of("alice", Transport::Udp)?;
    let bob = lab.phone_of("bob", Transport::Tcp)?;
    let carol = lab.phone_of("carol", Transport::Udp)?;
    for (phone, at, how) in [(&alice, 0, "UDP"), (&bob, 1, "TCP"), (&carol, 2, "UDP")] {
        let clock = Instant::now();
        lab.register(phone, at)?;
        let version = lab.hosts[at].asterisk.version().number();
        done(
            clock,
            &format!(
                "{} over {how} at {} (Asterisk {version}), known at every node",
                phone.id(),
                lab.hosts[at].name
            ),
        );
    }

    println!("\nCalls, with real RTP both ways");
    call(lab, &alice, 0, "1003", &carol)?;
    call(lab, &carol, 2, "1002", &bob)?;
    call(lab, &bob, 1, "1001", &alice)?;

    println!("\nAlice moves from h1 to h3");
    let elsewhere = lab.phone_of("alice", Transport::Udp)?;
    let moved = elsewhere.register(lab.hosts[2].sip())?;
    for host in &lab.hosts {
        eventually(SOON, || host.expect_located("alice", &lab.hosts[2]))?;
    }
    done(
        moved.ok,
        "from her 200 OK at h3 until all three nodes send her calls there",
    );
    call(lab, &bob, 1, "1001", &elsewhere)?;
    ensure!(alice.invites() == 1, "her old phone rang");

    println!("\nThe host h3 dies (kill -9 of everything, cable pulled)");
    let died = Instant::now();
    lab.network.plug("h3", false)?;
    lab.hosts[2].node_mut()?.kill()?;
    lab.hosts[2].asterisk.kill()?;
    let again = elsewhere.register(lab.hosts[1].sip())?;
    for host in &lab.hosts[..2] {
        eventually(SOON, || host.expect_located("alice", &lab.hosts[1]))?;
    }
    done(again.ok, "alice registered at h2, reachable from the living nodes");
    call(lab, &bob, 1, "1001", &elsewhere)?;
    eventually(SOON, || {
        let located = lab.hosts[0].locate("carol")?;
        ensure!(matches!(located, fed_tests::lab::Located::Refused(480)), "{located:?}");
        Ok(())
    })?;
    done(
        died,
        "from the death of h3 until calls for carol (last seen there) are refused at once",
    );

    println!("\nThe host h3 comes back");
    let clock = Instant::now();
    lab.network.plug("h3", true)?;
    lab.hosts[2].restart_asterisk()?;
    lab.hosts[2].restart_node()?;
    lab.wait_healthy(Duration::from_secs(20))?;
    eventually(Duration::from_secs(20), || lab.expect_no_drift(3))?;
    done(
        clock,
        "Asterisk and fed-node started, map and Asterisks agree (fed-node drift)",
    );
    carol.register(lab.hosts[2].sip())?;
    eventually(SOON, || lab.hosts[0].expect_located("carol", &lab.hosts[2]))?;
    call(lab, &elsewhere, 1, "1003", &carol)
}

fn call(lab: &Lab, caller: &Phone, from: usize, dialled: &str, callee: &Phone) -> Result<()> {
    let host = &lab.hosts[from].name;
    let mut call = caller.call(lab.hosts[from].sip(), dialled)?;
    let rang = call
        .wait_ringing(SOON)
        .with_context(|| format!("{} at {host} dials {dialled}", caller.id()))?;
    call.wait_answer(SOON)?;
    let incoming = callee.incoming(SOON)?;
    both_hear(&call, caller, &incoming, callee)?;
    let (here, there) = (
        call.rtp().heard_from(callee.voice()),
        incoming.rtp().heard_from(caller.voice()),
    );
    println!(
        "  {:>9.1} ms  {} at {host} dials {dialled}: {} rings (INVITE to 180), answers; RTP heard {here} and {there} packets",
        (rang - call.invited).as_secs_f64() * 1e3,
        caller.id(),
        callee.id()
    );
    call.hang_up()?;
    incoming.wait_hang_up(SOON).map(drop)
}

fn done(since: Instant, what: &str) {
    println!("  {:>9.1} ms  {what}", since.elapsed().as_secs_f64() * 1e3);
}

fn stay(lab: &Lab) -> Result<()> {
    let shell = lab.hosts[0].node()?.shell();
    println!("\nThe federation is up. Try, in another terminal (fed-node of h1):\n\n  FED='{shell}'");
    for command in [
        "status",
        "user list",
        "where alice",
        "route 1001 --explain",
        "drift",
        "watch",
    ] {
        println!("  $FED {command}");
    }
    println!(
        "\nYour own SIP program can register as alice, password {:?}, at:",
        password_of("alice")
    );
    for host in &lab.hosts {
        println!(
            "  {}   (Asterisk {}, its console: {})",
            host.sip(),
            host.asterisk.version().number(),
            host.asterisk.shell()?
        );
    }
    println!(
        "from the network of phones: ip netns exec {} PROGRAM\nLogs: {}",
        lab.phones().name(),
        lab.folder().display()
    );
    println!("\nPress Enter (or Ctrl-C) to end it.");
    let mut line = String::new();
    if std::io::stdin().lock().read_line(&mut line)? == 0 {
        // No terminal to read from: stay until a signal comes.
        loop {
            std::thread::park();
        }
    }
    Ok(())
}
