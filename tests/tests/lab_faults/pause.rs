//! fed-node stopped, not dead: its ports take connections, and nobody answers.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use fed_tests::eventually;
use fed_tests::lab::{Host, Lab, Located};
use fed_tests::machine::Stolen;
use fed_tests::phone::{Phone, Transport};

use crate::fed_node::registrations;
use crate::talk::Talk;
use crate::{AT_ONCE, Neighbour, SOON, USERS, call, everyone, healed, how_long, in_time, others, refused};

/// How long the dialplan waits for an answer of fed-node.
const HELD: Duration = Duration::from_secs(3);

pub(crate) fn paused(lab: &mut Lab, at: usize) -> Result<()> {
    let phones = everyone(lab)?;
    let neighbour = Neighbour::of(at);
    let desk = lab.registered(&neighbour.desk, Transport::Udp, at)?;
    let mobile = lab.registered(&neighbour.mobile, Transport::Tcp, at)?;
    let (first, second) = others(at);
    let (here, number) = (&phones[at], format!("100{at}"));
    let mut out = Talk::begin(lab, &mobile, at, &phones[second]).context("a call from there over TCP")?;
    let mut into = Talk::begin(lab, &phones[first], first, here).context("a call to there")?;
    let registered = registrations(lab)?;

    let stolen = Stolen::from_now();
    lab.hosts[at].node_mut()?.process()?.pause()?;
    // All at once, before anybody has noticed: a call within the host, one that is given up, one from elsewhere.
    thread::scope(|scope| -> Result<()> {
        let lab = &*lab;
        let within = scope.spawn(|| held(lab, &desk, at, &number, here, &stolen));
        let given_up = scope.spawn(|| given_up(lab, &mobile, at, &number));
        let elsewhere = phones[second].call(lab.hosts[second].sip(), &number);
        let ended = elsewhere.and_then(|mut call| call.wait_refusal(SOON))?;
        let took = ended.at - stolen.since();
        println!(
            "    a call from elsewhere: {} after {:.0} ms",
            ended.response.start,
            took.as_secs_f64() * 1e3
        );
        in_time("a call from elsewhere", took, HELD + AT_ONCE, &stolen)?;
        for call in [within, given_up] {
            call.join().map_err(|_| anyhow!("a call panicked"))??;
        }
        Ok(())
    })?;
    // It is known now that nobody answers.
    answered_at_once(lab, &desk, at, &number, here)?;
    refused(lab, &desk, at, USERS[second], 480)?;
    for asker in [first, second] {
        let what = format!("{} looking for {}", lab.hosts[asker].name, here.id());
        let took = how_long(lab, asker, here.id(), stolen.since(), |l| {
            matches!(l, Located::Refused(_))
        })?;
        println!(
            "    {what}: no longer, seen {:.0} ms after the pause",
            took.as_secs_f64() * 1e3
        );
    }
    refused(lab, &phones[second], second, &number, 480)?;
    out.goes_on("while fed-node was stopped")?;
    into.goes_on("while fed-node was stopped")?;
    nobody_asks(&lab.hosts[at])?;

    lab.hosts[at].node_mut()?.process()?.resume()?;
    for device in [here.id(), desk.id(), mobile.id()] {
        for asker in 0..lab.hosts.len() {
            eventually(SOON, || lab.hosts[asker].expect_located(device, &lab.hosts[at]))?;
        }
    }
    out.goes_on("since fed-node goes on")?;
    into.goes_on("since fed-node goes on")?;
    out.end()?;
    into.end()?;
    let still = registrations(lab)?;
    ensure!(
        still == registered,
        "somebody registered again or was forgotten: before {registered:#?}, after {still:#?}"
    );
    call(lab, &phones[second], second, here).context("a call to where fed-node goes on")?;
    call(lab, here, at, &phones[second]).context("a call from where fed-node goes on")?;
    healed(lab)
}

/// A call that asks fed-node is held up for its limit and then connects within the host.
fn held(lab: &Lab, caller: &Phone, at: usize, dialled: &str, callee: &Phone, stolen: &Stolen) -> Result<()> {
    let mut call = caller.call(lab.hosts[at].sip(), dialled)?;
    let took = call.wait_answer(SOON).context("a call within the host")? - stolen.since();
    println!(
        "    a call within the host: answered after {:.0} ms",
        took.as_secs_f64() * 1e3
    );
    ensure!(took > HELD / 2, "it was not asked for: answered after {took:?}");
    in_time("a call within the host", took, HELD + AT_ONCE, stolen)?;
    let incoming = callee.incoming(SOON)?;
    call.hang_up()?;
    incoming.wait_hang_up(SOON).map(drop)
}

/// A caller who gives up meanwhile is let go.
fn given_up(lab: &Lab, caller: &Phone, at: usize, dialled: &str) -> Result<()> {
    let mut call = caller.call(lab.hosts[at].sip(), dialled)?;
    // Long enough for the question to be asked.
    thread::sleep(HELD / 6);
    let ended = call.cancel().context("a call that is given up")?;
    ensure!(ended.status == 487, "a call that is given up: {}", ended.response.start);
    Ok(())
}

/// A call that does not ask any more.
fn answered_at_once(lab: &Lab, caller: &Phone, at: usize, dialled: &str, callee: &Phone) -> Result<()> {
    let what = "the next call within the host";
    let stolen = Stolen::from_now();
    let mut call = caller.call(lab.hosts[at].sip(), dialled)?;
    let took = call.wait_answer(SOON).context(what)? - stolen.since();
    println!("    {what}: answered after {:.0} ms", took.as_secs_f64() * 1e3);
    in_time(what, took, AT_ONCE, &stolen)?;
    let incoming = callee.incoming(SOON)?;
    call.hang_up()?;
    incoming.wait_hang_up(SOON).map(drop)
}

/// Fails while a channel still waits for an answer.
fn nobody_asks(host: &Host) -> Result<()> {
    eventually(SOON, || {
        let channels = host.asterisk.cli("core show channels concise")?;
        let asking = channels.lines().find(|l| l.contains("!AGI!") || l.contains("!Stasis!"));
        ensure!(asking.is_none(), "a channel still waits for fed-node: {asking:?}");
        Ok(())
    })
}
