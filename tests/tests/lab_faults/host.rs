//! A whole host killed: its plug, its fed-node, its Asterisk.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use fed_tests::eventually;
use fed_tests::lab::{Lab, Located};
use fed_tests::machine::Stolen;
use fed_tests::phone::{Phone, Transport};

use crate::talk::Talk;
use crate::{AT_ONCE, NOT_LOOKED_FOR, Neighbour, SOON, call, everyone, healed, how_long, in_time, others, refused};

/// What the host's fed-node is among the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    Leader,
    Follower,
}

pub(crate) fn killed(lab: &mut Lab, dead: usize, role: Role) -> Result<()> {
    let (first, second) = others(dead);
    lead(lab, if role == Role::Leader { dead } else { first })?;
    let phones = everyone(lab)?;
    let (homeless, port) = (&phones[dead], lab.hosts[dead].name.clone());
    let caller = lab.registered(&Neighbour::of(first).desk, Transport::Udp, first)?;
    let mut between = Talk::begin(lab, &phones[first], first, &phones[second])?;

    let stolen = Stolen::from_now();
    lab.network.plug(&port, false)?;
    lab.hosts[dead].node_mut()?.kill()?;
    lab.hosts[dead].asterisk.kill()?;
    // She turns to another server at once, long before the federation has given up on the dead one.
    let ok = homeless.register(lab.hosts[second].sip())?.ok;
    for asker in [first, second] {
        let at = lab.hosts[second].sip().to_string();
        let took = how_long(lab, asker, homeless.id(), ok, |l| {
            matches!(l, Located::Here) || matches!(l, Located::At { address, .. } if *address == at)
        })?;
        let what = format!(
            "{} reaches {} at {}",
            lab.hosts[asker].name,
            homeless.id(),
            lab.hosts[second].name
        );
        println!("    {what} {:.1} ms after her 200 OK", took.as_secs_f64() * 1e3);
        in_time(&what, took, NOT_LOOKED_FOR, &stolen)?;
    }
    call(lab, &caller, first, homeless).context("a call to the user of the dead host")?;
    between.goes_on("since another host died")?;
    between.end()?;
    println!(
        "    all of it {:.1} s after the host died",
        stolen.since().elapsed().as_secs_f64()
    );

    lab.network.plug(&port, true)?;
    lab.hosts[dead].restart_asterisk()?;
    lab.hosts[dead].restart_node()?;
    healed(lab)?;
    // The contact that her old server kept through its restart does not take her away from the new one.
    for host in &lab.hosts {
        host.expect_located(homeless.id(), &lab.hosts[second])?;
    }
    Ok(())
}

/// Its user stays where she is, without a server: callers hear so quickly, whether they call before anybody has noticed or after; and she
/// is reachable at once where she registers later.
pub(crate) fn stays_dead(lab: &mut Lab, dead: usize) -> Result<()> {
    let phones = everyone(lab)?;
    let (first, second) = others(dead);
    let (homeless, port) = (&phones[dead], lab.hosts[dead].name.clone());
    let number = format!("100{dead}");

    let stolen = Stolen::from_now();
    lab.network.plug(&port, false)?;
    lab.hosts[dead].node_mut()?.kill()?;
    lab.hosts[dead].asterisk.kill()?;
    thread::scope(|scope| -> Result<()> {
        let lab = &*lab;
        let early: Vec<_> = [first, second]
            .map(|from| {
                let (caller, number) = (&phones[from], &number);
                scope.spawn(move || nobody_there(lab, caller, from, number))
            })
            .into_iter()
            .collect();
        for call in early {
            let took = call.join().map_err(|_| anyhow!("a call panicked"))?? - stolen.since();
            in_time(
                "a call to a host that has just died",
                took,
                NOT_LOOKED_FOR + AT_ONCE,
                &stolen,
            )?;
        }
        Ok(())
    })?;
    for from in [first, second] {
        let took = how_long(lab, from, homeless.id(), stolen.since(), |l| {
            matches!(l, Located::Refused(480))
        })?;
        println!(
            "    {} no longer looks for {}, seen {:.0} ms after her host died",
            lab.hosts[from].name,
            homeless.id(),
            took.as_secs_f64() * 1e3
        );
        for dialled in [&number, homeless.id(), &format!("7{}", homeless.id())] {
            refused(lab, &phones[from], from, dialled, 480)?;
        }
    }

    let ok = homeless.register(lab.hosts[second].sip())?.ok;
    let there = lab.hosts[second].sip().to_string();
    let took = how_long(
        lab,
        first,
        homeless.id(),
        ok,
        |l| matches!(l, Located::At { address, .. } if *address == there),
    )?;
    println!(
        "    reachable {:.1} ms after she registered elsewhere",
        took.as_secs_f64() * 1e3
    );
    in_time("reaching her elsewhere", took, AT_ONCE, &Stolen::from_now())?;
    call(lab, &phones[first], first, homeless).context("a call to where she registered later")?;

    lab.network.plug(&port, true)?;
    lab.hosts[dead].restart_asterisk()?;
    lab.hosts[dead].restart_node()?;
    healed(lab)
}

/// Calls somebody whose server has just died; says when the refusal came.
fn nobody_there(lab: &Lab, caller: &Phone, from: usize, dialled: &str) -> Result<Instant> {
    let mut call = caller.call(lab.hosts[from].sip(), dialled)?;
    let ended = call.wait_refusal(Duration::from_secs(40))?;
    println!(
        "    {} at {} calls {dialled}, whose host has just died: {} after {:.0} ms",
        caller.id(),
        lab.hosts[from].name,
        ended.response.start,
        (ended.at - call.invited).as_secs_f64() * 1e3
    );
    ensure!(ended.status == 480, "{}", ended.response.start);
    Ok(ended.at)
}

/// Has that host's fed-node lead.
fn lead(lab: &Lab, wanted: usize) -> Result<()> {
    let host = &lab.hosts[wanted];
    eventually(SOON, || {
        if host.node()?.json(&["status"])?["role"] != "leader" {
            host.node()?.run(&["node", "lead", &host.name])?;
        }
        ensure!(
            host.node()?.json(&["status"])?["role"] == "leader",
            "{} does not lead",
            host.name
        );
        Ok(())
    })
}
