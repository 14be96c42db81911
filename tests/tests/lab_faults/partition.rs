//! The network cut in two, and healed.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fed_tests::eventually;
use fed_tests::lab::{Lab, Located};
use fed_tests::phone::{Phone, Transport};

use crate::fed_node::registrations;
use crate::talk::Talk;
use crate::{SOON, call, everyone, healed, how_long};

pub(crate) fn partition(lab: &mut Lab) -> Result<()> {
    let phones = everyone(lab)?;
    let ann2 = lab.registered("ann2-desk", Transport::Udp, 0)?;
    let ben2 = lab.registered("ben2-desk", Transport::Udp, 1)?;
    lab.network.cut("h1", "h2")?;
    lab.network.cut("h1", "h3")?;

    call(lab, &phones[0], 0, &ann2).context("a local call in the minority")?;
    call(lab, &phones[1], 1, &ben2).context("a local call in the majority")?;
    call(lab, &phones[1], 1, &phones[2]).context("a call across the majority")?;
    call(lab, &phones[2], 2, &phones[1]).context("a call across the majority")?;
    eventually(Duration::from_secs(10), || lab.add_user(1, "newcomer", &[])).context("a change in the majority")?;
    let newcomer = lab.phone_of("newcomer", Transport::Udp)?;
    eventually(SOON, || newcomer.register(lab.hosts[2].sip()))?;
    eventually(SOON, || lab.hosts[1].expect_located("newcomer", &lab.hosts[2]))?;
    let refusal = lab
        .add_user(0, "refused", &[])
        .expect_err("a change in the minority must be refused");
    println!("    the minority refuses a change: {refusal:#}");
    ensure!(
        format!("{refusal:#}").contains("no quorum"),
        "refused for another reason: {refusal:#}"
    );

    // A phone of the majority turns up at the cut-off host: it registers, and rings there.
    ben2.register(lab.hosts[0].sip())
        .context("a registration in the minority")?;
    call(lab, &phones[0], 0, &ben2).context("a call to a phone that registered in the minority")?;

    lab.network.heal()?;
    healed(lab)?;
    for host in &lab.hosts {
        eventually(SOON, || host.expect_located("ben2-desk", &lab.hosts[0]))?;
    }
    call(lab, &phones[2], 2, &ben2).context("a call to her new place after healing")?;
    ensure!(
        lab.hosts[0].node()?.run(&["user", "show", "refused"]).is_err(),
        "the refused change came through after all"
    );
    eventually(SOON, || newcomer.register(lab.hosts[0].sip()))
        .context("what the majority changed works at the healed node")?;
    Ok(())
}

/// From where to where the calls go that are up when the first host is cut off: within it, between the others, and across the cut.
const UP: [(usize, usize); 6] = [(0, 0), (1, 2), (2, 1), (0, 2), (2, 0), (1, 0)];
/// The first of them with the cut between its hosts.
const ACROSS: usize = 3;

/// Calls that are up when the network falls apart: those of one side are heard all the while, those across the cut are silent and go on
/// when it heals. Nobody is rung, registered or hung up by the cut or by the healing.
pub(crate) fn calls_in_progress(lab: &mut Lab) -> Result<()> {
    let phones = talkers(lab)?;
    let mut talks = Vec::new();
    for ((from, to), pair) in UP.into_iter().zip(&phones) {
        let talk = Talk::begin(lab, &pair[0], from, &pair[1]);
        talks.push(talk.with_context(|| format!("a call from host {from} to host {to}"))?);
    }
    // A call of an earlier case may still be going.
    let up = eventually(SOON, || channels(lab))?;
    let before = (up, contacts(lab, &talks)?, rung(&talks));

    let cut = Instant::now();
    lab.network.cut("h1", "h2")?;
    lab.network.cut("h1", "h3")?;
    let (whole, across) = talks.split_at_mut(ACROSS);
    for talk in &mut *across {
        talk.is_silent("across the cut")?;
    }
    Talk::all_go_on(whole, "on one side of the cut")?;
    // The others have given the first host up: the healing has something to put right.
    let lost = how_long(lab, 1, phones[0][0].id(), cut, |l| matches!(l, Located::Refused(480)))?;
    println!(
        "    the users of the first host were no longer looked for {:.1} s after the cut",
        lost.as_secs_f64()
    );
    Talk::all_go_on(whole, "since one side has given the other up")?;
    for talk in &mut *across {
        talk.is_silent("since one side has given the other up")?;
    }

    lab.network.heal()?;
    healed(lab)?;
    Talk::all_go_on(&mut talks, "since the network is whole again")?;
    for (at, ((from, to), pair)) in UP.into_iter().zip(&phones).enumerate() {
        for asker in &lab.hosts {
            for (phone, host) in pair.iter().zip([from, to]) {
                eventually(SOON, || asker.expect_located(phone.id(), &lab.hosts[host]))
                    .with_context(|| format!("a phone of call {at}"))?;
            }
        }
    }
    let after = (channels(lab)?, contacts(lab, &talks)?, rung(&talks));
    ensure!(
        before == after,
        "calls, registrations or the phones' own count of calls changed: before {before:#?}, after {after:#?}"
    );
    for (number, talk) in talks.into_iter().enumerate() {
        let ended = if number % 2 == 0 {
            talk.end()
        } else {
            talk.end_by_called()
        };
        ended.with_context(|| format!("the end of call {number} after the healing"))?;
    }
    Ok(())
}

/// Two users for each of the calls; every second call is between phones over TCP.
fn talkers(lab: &Lab) -> Result<Vec<[Phone; 2]>> {
    let mut phones = Vec::new();
    for (number, (from, to)) in UP.into_iter().enumerate() {
        let transport = if number % 2 == 0 {
            Transport::Udp
        } else {
            Transport::Tcp
        };
        let made = |name: &str, host: usize| {
            let user = format!("{name}{number}");
            lab.add_user(1, &user, &[])?;
            lab.registered(&user, transport, host)
        };
        phones.push([made("talks", from)?, made("listens", to)?]);
    }
    Ok(phones)
}

/// What each Asterisk calls the channels that are up, none of which is given twice.
fn channels(lab: &Lab) -> Result<Vec<Vec<String>>> {
    let of = |said: String| {
        let ids = said
            .lines()
            .filter_map(|line| line.rsplit_once('!'))
            .map(|(_, id)| id.to_owned());
        let mut ids: Vec<_> = ids.collect();
        ids.sort();
        ids
    };
    let all = lab
        .hosts
        .iter()
        .map(|host| host.asterisk.cli("core show channels concise").map(of))
        .collect::<Result<Vec<_>>>()?;
    // A call has two channels at each host that it passes.
    let expected: usize = UP.iter().map(|(from, to)| if from == to { 2 } else { 4 }).sum();
    let there: usize = all.iter().map(Vec::len).sum();
    ensure!(there == expected, "{there} channels instead of {expected}: {all:#?}");
    Ok(all)
}

/// The registrations of the phones that talk, as each Asterisk keeps them.
fn contacts(lab: &Lab, talks: &[Talk<'_>]) -> Result<Vec<String>> {
    let ids: Vec<String> = talks
        .iter()
        .flat_map(Talk::phones)
        .map(|phone| format!("/{};@", phone.id()))
        .collect();
    let of_talkers = |line: &String| ids.iter().any(|id| line.contains(id));
    let kept: Vec<String> = registrations(lab)?.into_iter().flatten().filter(of_talkers).collect();
    ensure!(
        kept.len() == ids.len(),
        "{} of {} phones are registered",
        kept.len(),
        ids.len()
    );
    Ok(kept)
}

/// How often each phone has been called, ever.
fn rung(talks: &[Talk<'_>]) -> Vec<u64> {
    talks.iter().flat_map(Talk::phones).map(Phone::invites).collect()
}
