//! fed-node killed beside its Asterisk.

use anyhow::{Context, Result, ensure};
use fed_tests::lab::{Host, Lab};
use fed_tests::phone::{Behaviour, Phone, Transport};
use fed_tests::{both_hear, eventually};

use crate::talk::Talk;
use crate::{AGREED, Neighbour, SOON, USERS, call, everyone, healed, others, refused};

pub(crate) fn killed(lab: &mut Lab, at: usize) -> Result<()> {
    let phones = everyone(lab)?;
    let neighbour = Neighbour::of(at);
    let desk = lab.registered(&neighbour.desk, Transport::Udp, at)?;
    let mobile = lab.registered(&neighbour.mobile, Transport::Tcp, at)?;
    let (first, second) = others(at);
    let mut out = Talk::begin(lab, &phones[at], at, &phones[second]).context("a call from there")?;
    let mut into = Talk::begin(lab, &phones[first], first, &mobile).context("a call to there over TCP")?;

    let registered = registrations(lab)?;
    lab.hosts[at].node_mut()?.kill()?;
    out.goes_on("since fed-node died")?;
    into.goes_on("since fed-node died")?;
    calls_alone(lab, at, &phones[at], &desk, &mobile)?;
    // The customer's own dialplan asks a redirect server that is not there: refused at once, not waited for.
    refused(lab, &phones[at], at, &format!("7{}", USERS[second]), 503)?;

    lab.hosts[at].restart_node()?;
    out.goes_on("since fed-node came back")?;
    into.goes_on("since fed-node came back")?;
    out.end()?;
    into.end()?;
    // What was registered before is found again from every node.
    for device in [phones[at].id(), desk.id(), mobile.id()] {
        for asker in 0..lab.hosts.len() {
            eventually(SOON, || lab.hosts[asker].expect_located(device, &lab.hosts[at]))?;
        }
    }
    let still = registrations(lab)?;
    ensure!(
        still == registered,
        "somebody registered again or was forgotten: before {registered:#?}, after {still:#?}"
    );
    for callee in [&phones[at], &mobile] {
        call(lab, &phones[second], second, callee).context("a call to where fed-node came back")?;
    }
    healed(lab)
}

/// Fed-node is dead while one phone comes to its server and another leaves it: both are found where they went, and neither registers again.
pub(crate) fn moved_meanwhile(lab: &mut Lab, at: usize) -> Result<()> {
    let phones = everyone(lab)?;
    let (first, second) = others(at);
    let (comes, leaves) = (&phones[second], &phones[at]);
    agreed(lab, at)?;
    lab.hosts[at].node_mut()?.kill()?;
    comes.register(lab.hosts[at].sip())?;
    lab.register(leaves, first)?;
    // The map cannot know yet where she went.
    lab.hosts[second].expect_located(comes.id(), &lab.hosts[second])?;

    lab.hosts[at].restart_node()?;
    for asker in 0..lab.hosts.len() {
        eventually(SOON, || lab.hosts[asker].expect_located(comes.id(), &lab.hosts[at]))
            .with_context(|| format!("{} came to {} without fed-node", comes.id(), lab.hosts[at].name))?;
        eventually(SOON, || lab.hosts[asker].expect_located(leaves.id(), &lab.hosts[first]))
            .with_context(|| format!("{} left {} without fed-node", leaves.id(), lab.hosts[at].name))?;
    }
    let alone = |device: &str, host: usize| -> Result<()> {
        for other in &lab.hosts {
            let has = other.asterisk.contacts()?.iter().any(|(aor, _)| aor == device);
            ensure!(
                has == (other.name == lab.hosts[host].name),
                "{} at {}: {has}",
                device,
                other.name
            );
        }
        Ok(())
    };
    eventually(SOON, || alone(comes.id(), at))?;
    eventually(SOON, || alone(leaves.id(), first))?;
    call(lab, &phones[first], first, comes).context("a call to where she came")?;
    call(lab, comes, at, leaves).context("a call to where he went")?;
    healed(lab)
}

/// Waits until that node knows, also after a kill, that its Asterisk and the map agree about all that there is now.
fn agreed(lab: &Lab, at: usize) -> Result<()> {
    let node = lab.hosts[at].node()?;
    let now = node.json(&["status"])?["revision"].as_u64().context("no revision")?;
    let file = node.data_dir().join("settled");
    eventually(AGREED, || {
        let text = std::fs::read_to_string(&file).with_context(|| file.display().to_string())?;
        let noted: u64 = text.lines().last().context("it is empty")?.parse()?;
        ensure!(noted >= now, "they agree up to revision {noted}, not yet up to {now}");
        Ok(())
    })
}

/// Without fed-node a user of this server is reached by number, by user id and by device id, from a phone over UDP and from one over TCP;
/// everybody else is refused at once.
fn calls_alone(lab: &Lab, at: usize, caller: &Phone, desk: &Phone, mobile: &Phone) -> Result<()> {
    let neighbour = Neighbour::of(at);
    for (dialled, winner, loser) in [(&neighbour.number, desk, mobile), (&neighbour.user, mobile, desk)] {
        rings_both(lab, caller, at, dialled, winner, loser)
            .with_context(|| format!("{dialled} of a user with two phones here, without fed-node"))?;
    }
    for device in [desk, mobile] {
        call(lab, caller, at, device).context("a local call by device id without fed-node")?;
    }
    let number = format!("100{at}");
    let mut from_tcp = mobile.call(lab.hosts[at].sip(), &number)?;
    from_tcp
        .wait_answer(SOON)
        .with_context(|| format!("{number} called over TCP without fed-node"))?;
    let incoming = caller.incoming(SOON)?;
    both_hear(&from_tcp, mobile, &incoming, caller)?;
    from_tcp.hang_up()?;
    incoming.wait_hang_up(SOON)?;

    let (elsewhere, _) = others(at);
    for nobody in [
        format!("100{elsewhere}"),
        USERS[elsewhere].to_owned(),
        "5999".to_owned(),
    ] {
        refused(lab, caller, at, &nobody, 480).context("somebody who is not here, without fed-node")?;
    }
    Ok(())
}

/// A call that rings both phones of a user until one of them answers.
fn rings_both(lab: &Lab, caller: &Phone, at: usize, dialled: &str, winner: &Phone, loser: &Phone) -> Result<()> {
    for phone in [winner, loser] {
        phone.behave(Behaviour::Ring);
        phone.forget_incoming();
    }
    let mut call = caller.call(lab.hosts[at].sip(), dialled)?;
    let (answering, losing) = (winner.incoming(SOON)?, loser.incoming(SOON)?);
    answering.answer()?;
    call.wait_answer(SOON)?;
    losing.wait_cancel(SOON)?;
    both_hear(&call, caller, &answering, winner)?;
    call.hang_up()?;
    answering.wait_hang_up(SOON)?;
    for phone in [winner, loser] {
        phone.behave(Behaviour::Answer);
    }
    Ok(())
}

/// What each Asterisk's own database says of its registrations, with their ends and Call-IDs: a REGISTER changes it.
pub(crate) fn registrations(lab: &Lab) -> Result<Vec<Vec<String>>> {
    let of = |host: &Host| -> Result<Vec<String>> {
        let said = host.asterisk.cli("database show registrar")?;
        let mut contacts: Vec<_> = said
            .lines()
            .filter(|l| l.contains("call_id"))
            .map(str::to_owned)
            .collect();
        contacts.sort();
        Ok(contacts)
    };
    let all = lab.hosts.iter().map(of).collect::<Result<Vec<_>>>()?;
    ensure!(
        all.iter().all(|contacts| !contacts.is_empty()),
        "a host without a registration: {all:#?}"
    );
    Ok(all)
}
