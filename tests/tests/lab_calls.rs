//! One federation of real Asterisks 22, 22 and 16: provision once, register anywhere, call anyone.

use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Lab, Version};
use fed_tests::phone::{Behaviour, Phone, Transport};
use fed_tests::sipp::{SippPhone, place_call};
use fed_tests::{both_hear, eventually};

const SOON: Duration = Duration::from_secs(5);
/// A refusal that needs nobody's finger is quick.
const AT_ONCE: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    cases::main(
        || Lab::start_asking(&[Version::V22, Version::V22, Version::V16], &[1]),
        &[
            Case {
                name: "a_user_added_at_any_node_registers_at_each_node_at_once",
                body: add_anywhere,
            },
            Case {
                name: "calls_connect_between_all_pairs_of_nodes_over_udp",
                body: |lab| all_pairs(lab, Transport::Udp),
            },
            Case {
                name: "calls_connect_between_all_pairs_of_nodes_over_tcp",
                body: |lab| all_pairs(lab, Transport::Tcp),
            },
            Case {
                name: "a_busy_phone_is_busy_from_every_node_over_udp",
                body: |lab| busy(lab, Transport::Udp),
            },
            Case {
                name: "a_busy_phone_is_busy_from_every_node_over_tcp",
                body: |lab| busy(lab, Transport::Tcp),
            },
            Case {
                name: "an_unanswered_call_ends_after_the_users_own_time_over_udp",
                body: |lab| no_answer(lab, Transport::Udp),
            },
            Case {
                name: "an_unanswered_call_ends_after_the_users_own_time_over_tcp",
                body: |lab| no_answer(lab, Transport::Tcp),
            },
            Case {
                name: "a_cancelled_call_stops_ringing_at_every_node_over_udp",
                body: |lab| cancel(lab, Transport::Udp),
            },
            Case {
                name: "a_cancelled_call_stops_ringing_at_every_node_over_tcp",
                body: |lab| cancel(lab, Transport::Tcp),
            },
            Case {
                name: "unknown_and_offline_are_refused_quickly_with_their_own_causes",
                body: unknown_and_offline,
            },
            Case {
                name: "two_devices_at_two_nodes_both_ring_and_the_first_to_answer_wins",
                body: two_devices,
            },
            Case {
                name: "phones_of_another_make_register_and_talk",
                body: sipp_phones,
            },
        ],
    )
}

/// Every ordered pair of different hosts, and each host with itself.
fn pairs(lab: &Lab) -> impl Iterator<Item = (usize, usize)> + use<> {
    let count = lab.hosts.len();
    (0..count).flat_map(move |from| (0..count).map(move |to| (from, to)))
}

fn add_anywhere(lab: &mut Lab) -> Result<()> {
    let (mut added, mut registered) = (Duration::ZERO, Duration::ZERO);
    for at in 0..lab.hosts.len() {
        let user = format!("anna{at}");
        let begun = Instant::now();
        lab.add_user(at, &user, &["--number", &format!("20{at}")])?;
        added = added.max(begun.elapsed());
        let done = Instant::now();
        // Phones that are switched on at this very moment: none is refused, not even once.
        let phone = lab.phone_of(&user, Transport::Udp)?;
        for host in &lab.hosts {
            phone
                .register(host.sip())
                .with_context(|| format!("{user} at {} after {} ms", host.name, done.elapsed().as_millis()))?;
        }
        registered = registered.max(done.elapsed());
    }
    println!(
        "    slowest: {} ms for the command, {} ms more to be registered at all three",
        added.as_millis(),
        registered.as_millis()
    );
    Ok(())
}

/// Who ends a call.
#[derive(Debug, Clone, Copy)]
enum EndedBy {
    Caller,
    Called,
}

/// From every host to every host, ended by the caller and by the called phone; the calls of a round, one from each host, are up together.
fn all_pairs(lab: &mut Lab, transport: Transport) -> Result<()> {
    let digit = if transport == Transport::Udp { 3 } else { 4 };
    let mut phones = Vec::new();
    for (side, name) in [(1, "caller"), (2, "callee")] {
        for at in 0..lab.hosts.len() {
            let user = format!("{name}-{}{at}", word(transport));
            lab.add_user(at, &user, &["--number", &format!("{digit}{side}{at}")])?;
            phones.push(lab.registered(&user, transport, at)?);
        }
    }
    let hosts = lab.hosts.len();
    let (callers, callees) = phones.split_at(hosts);
    let lab = &*lab;
    for further in 0..hosts {
        for ended_by in [EndedBy::Caller, EndedBy::Called] {
            side_by_side((0..hosts).map(|from| {
                let to = (from + further) % hosts;
                move || {
                    let (caller, callee) = (&callers[from], &callees[to]);
                    talk(lab, caller, from, &format!("{digit}2{to}"), callee, ended_by).with_context(|| {
                        format!(
                            "{} at {} calls {} at {}, ended by {ended_by:?}",
                            caller.id(),
                            lab.hosts[from].name,
                            callee.id(),
                            lab.hosts[to].name
                        )
                    })
                }
            }))?;
        }
    }
    Ok(())
}

/// One call that rings, is answered, heard on both sides, and ended.
fn talk(lab: &Lab, caller: &Phone, from: usize, dialled: &str, callee: &Phone, ended_by: EndedBy) -> Result<()> {
    let mut call = caller.call(lab.hosts[from].sip(), dialled)?;
    call.wait_ringing(SOON)?;
    call.wait_answer(SOON)?;
    let incoming = callee.incoming(SOON)?;
    both_hear(&call, caller, &incoming, callee)?;
    match ended_by {
        EndedBy::Caller => {
            call.hang_up()?;
            incoming.wait_hang_up(SOON).map(drop)
        }
        EndedBy::Called => {
            incoming.hang_up()?;
            call.wait_hang_up(SOON).map(drop)
        }
    }
}

fn busy(lab: &mut Lab, transport: Transport) -> Result<()> {
    for (from, to) in pairs(lab) {
        let (caller, callee) = couple(lab, "busy", transport, from, to)?;
        callee.behave(Behaviour::Refuse(486));
        let what = || between(lab, from, to);
        let mut call = caller.call(lab.hosts[from].sip(), callee.id()).with_context(what)?;
        let ended = call.wait_refusal(SOON).with_context(what)?;
        ensure!(ended.status == 486, "{}: {}", what(), ended.response.start);
    }
    Ok(())
}

/// All of them ring at once: each takes its two seconds.
fn no_answer(lab: &mut Lab, transport: Transport) -> Result<()> {
    let mut couples = Vec::new();
    for (from, to) in pairs(lab).filter(|(from, to)| from != to) {
        let (caller, callee) = couple(lab, "idle", transport, from, to)?;
        lab.hosts[0]
            .node()?
            .run(&["user", "set", callee.id(), "--ring-timeout", "2"])?;
        callee.behave(Behaviour::Ring);
        couples.push((caller, callee, from, to));
    }
    let lab = &*lab;
    side_by_side(couples.iter().map(|(caller, callee, from, to)| {
        move || {
            let what = || between(lab, *from, *to);
            let mut call = caller.call(lab.hosts[*from].sip(), callee.id()).with_context(what)?;
            let rang = call.wait_ringing(SOON).with_context(what)?;
            let ended = call.wait_refusal(SOON).with_context(what)?;
            let waited = ended.at - rang;
            ensure!(ended.status == 480, "{}: {}", what(), ended.response.start);
            ensure!(
                (Duration::from_millis(1_500)..Duration::from_secs(4)).contains(&waited),
                "{} rang for {waited:?}",
                what()
            );
            let incoming = callee.incoming(SOON).with_context(what)?;
            incoming.wait_cancel(SOON).with_context(what).map(drop)
        }
    }))
}

fn cancel(lab: &mut Lab, transport: Transport) -> Result<()> {
    for (from, to) in pairs(lab) {
        let (caller, callee) = couple(lab, "gone", transport, from, to)?;
        callee.behave(Behaviour::Ring);
        let what = || between(lab, from, to);
        let mut call = caller.call(lab.hosts[from].sip(), callee.id()).with_context(what)?;
        call.wait_ringing(SOON).with_context(what)?;
        let incoming = callee.incoming(SOON).with_context(what)?;
        let ended = call.cancel().with_context(what)?;
        ensure!(ended.status == 487, "{}: {}", what(), ended.response.start);
        incoming.wait_cancel(SOON).with_context(what)?;
    }
    Ok(())
}

fn unknown_and_offline(lab: &mut Lab) -> Result<()> {
    lab.add_user(0, "absent", &["--number", "5550"])?;
    for at in 0..lab.hosts.len() {
        let (caller, _) = couple(lab, "asks", Transport::Udp, at, at)?;
        for (dialled, status) in [("5999", 404), ("nobody", 404), ("5550", 480), ("absent", 480)] {
            let began = Instant::now();
            let ended = caller.call(lab.hosts[at].sip(), dialled)?.wait_refusal(AT_ONCE)?;
            ensure!(
                ended.status == status,
                "{dialled} at {}: {} instead of {status}",
                lab.hosts[at].name,
                ended.response.start
            );
            ensure!(
                began.elapsed() < AT_ONCE,
                "{dialled} at {}: refused after {:?}",
                lab.hosts[at].name,
                began.elapsed()
            );
        }
    }
    Ok(())
}

fn two_devices(lab: &mut Lab) -> Result<()> {
    lab.hosts[0]
        .node()?
        .run(&["user", "add", "dora", "--number", "2700", "--no-device"])?;
    lab.add_device(0, "dora-desk", "dora")?;
    lab.add_device(1, "dora-mobile", "dora")?;
    let desk = lab.registered("dora-desk", Transport::Udp, 0)?;
    let mobile = lab.registered("dora-mobile", Transport::Tcp, 2)?;
    for (at, first) in [(1, &desk), (1, &mobile), (0, &mobile), (2, &desk)] {
        let (caller, _) = couple(lab, "forks", Transport::Udp, at, at)?;
        for phone in [&desk, &mobile] {
            phone.behave(Behaviour::Ring);
            phone.forget_incoming();
        }
        let second = if first.id() == desk.id() { &mobile } else { &desk };
        let mut call = caller.call(lab.hosts[at].sip(), "2700")?;
        let (winner, loser) = (first.incoming(SOON)?, second.incoming(SOON)?);
        winner.answer()?;
        call.wait_answer(SOON)?;
        let cancelled = loser.wait_cancel(SOON)?;
        let reason = cancelled.header("Reason").unwrap_or_default();
        ensure!(
            reason.contains("cause=200") || reason.contains("cause=26"),
            "the other phone was told {reason:?}, not that it was answered elsewhere"
        );
        both_hear(&call, &caller, &winner, first)?;
        call.hang_up()?;
        winner.wait_hang_up(SOON)?;
    }
    Ok(())
}

/// SIPp answers over UDP only: a registration over TCP ends with its connection, and one run of SIPp plays one scenario.
fn sipp_phones(lab: &mut Lab) -> Result<()> {
    let (caller, callee) = couple(lab, "sipp", Transport::Udp, 0, 1)?;
    for id in ["sipp-own", "sipp-other"] {
        lab.add_user(0, id, &[])?;
    }
    let at = lab.hosts[2].sip();
    // It answers and echoes: the caller hears its own voice.
    let mut echo = eventually(Duration::from_secs(2), || {
        SippPhone::answering(lab, "sipp-other", at, 6000, Transport::Udp)
    })?;
    for host in &lab.hosts {
        eventually(SOON, || host.expect_located("sipp-other", &lab.hosts[2]))?;
    }
    echo.check()?;
    let mut call = caller.call(lab.hosts[0].sip(), "sipp-other")?;
    call.wait_answer(SOON)?;
    eventually(SOON, || {
        let heard = call.rtp().heard_from(caller.voice());
        ensure!(heard >= 20, "only {heard} packets came back from the echo");
        Ok(())
    })?;
    call.hang_up()?;
    // It calls: our phone answers, and the scenario ends well or SIPp says where it did not.
    for (port, transport) in [(6010, Transport::Udp), (6020, Transport::Tcp)] {
        eventually(Duration::from_secs(2), || {
            place_call(lab, "sipp-own", at, callee.id(), port, transport)
        })?;
        callee.incoming(SOON)?;
    }
    Ok(())
}

/// A caller registered at one host and a callee at another, made on first use.
fn couple(lab: &Lab, name: &str, transport: Transport, from: usize, to: usize) -> Result<(Phone, Phone)> {
    let name = format!("{name}-{}", word(transport));
    let ids = [format!("{name}-from{from}{to}"), format!("{name}-to{from}{to}")];
    for id in &ids {
        // Added by an earlier turn of the same case: then it is there already.
        let known = lab.hosts[0].node()?.run(&["user", "show", id]).is_ok();
        if !known {
            lab.add_user(0, id, &[])?;
        }
    }
    Ok((
        lab.registered(&ids[0], transport, from)?,
        lab.registered(&ids[1], transport, to)?,
    ))
}

/// Whose call it is, for a failure.
fn between(lab: &Lab, from: usize, to: usize) -> String {
    format!("a call from {} to {}", lab.hosts[from].name, lab.hosts[to].name)
}

/// A transport in the name of a user.
fn word(transport: Transport) -> &'static str {
    match transport {
        Transport::Udp => "udp",
        Transport::Tcp => "tcp",
    }
}

/// Does all of these at the same time.
fn side_by_side<J>(jobs: impl Iterator<Item = J>) -> Result<()>
where
    J: FnOnce() -> Result<()> + Send,
{
    thread::scope(|scope| {
        let running: Vec<_> = jobs.map(|job| scope.spawn(job)).collect();
        running
            .into_iter()
            .try_for_each(|job| job.join().map_err(|_| anyhow!("a call panicked"))?)
    })
}
