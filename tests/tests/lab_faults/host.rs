//! A whole host killed: its plug, its fed-node, its Asterisk.

use anyhow::{Context, Result, ensure};
use fed_tests::lab::{Lab, Located};
use fed_tests::machine::Stolen;
use fed_tests::phone::Transport;
use fed_tests::{both_hear, eventually};

use crate::{NOT_LOOKED_FOR, Neighbour, SOON, call, everyone, healed, how_long, in_time, others};

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
    let mut between = phones[first].call(lab.hosts[first].sip(), phones[second].id())?;
    between.wait_answer(SOON)?;
    let answered = phones[second].incoming(SOON)?;

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
    both_hear(&between, &phones[first], &answered, &phones[second]).context("a call between living hosts")?;
    ensure!(between.is_up(), "a call between living hosts ended");
    between.hang_up()?;
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
