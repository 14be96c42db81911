//! Moves on real Asterisks 22, 22 and 16: measured, and seen from a customer's own dialplan, a queue and other SIP software.

mod capabilities;
mod measured;

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fed_tests::figures::Figures;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Lab, Version};
use fed_tests::phone::{Behaviour, Phone, Transport};
use fed_tests::{both_hear, eventually};

/// What is no promise of its own may take this long; other work may have the machine.
const SOON: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    cases::main(
        || {
            let lab = Lab::start_asking(&[Version::V22, Version::V22, Version::V16], &[1])?;
            for (user, number) in [("alice", "1001"), ("carol", "1003")] {
                lab.add_user(0, user, &["--number", number])?;
            }
            Ok(lab)
        },
        &[
            Case {
                name: "other_sip_software_finds_her_by_the_redirect_server",
                body: capabilities::softswitch,
            },
            Case {
                name: "two_hundred_moves_are_routable_everywhere_and_measured",
                body: measured::asked,
            },
            Case {
                name: "two_hundred_moves_are_seen_by_whoever_watches_each_node",
                body: measured::watched,
            },
            Case {
                name: "who_comes_back_at_once_stays",
                body: measured::coming_back,
            },
            Case {
                name: "calls_placed_right_after_a_move_ring_only_the_new_phone",
                body: calls_after_moves,
            },
            Case {
                name: "the_stale_contact_is_gone_from_the_old_server_after_a_move",
                body: stale_contact,
            },
            Case {
                name: "unmodified_dialplan_and_queue_reach_her_before_and_after_a_move",
                body: unmodified,
            },
            Case {
                name: "forged_replayed_and_expired_capabilities_are_refused",
                body: capabilities::refused,
            },
            Case {
                name: "a_used_capability_is_refused_after_fed_node_was_killed_too",
                body: capabilities::used_before_a_kill,
            },
            Case {
                name: "a_number_taken_away_while_fed_node_was_down_is_taken_from_asterisk_too",
                body: number_taken_away,
            },
        ],
    )
}

/// The same device at a socket of its own for each host, as if she carried it from one building to the next.
fn alices(lab: &Lab) -> Result<Vec<Phone>> {
    lab.hosts
        .iter()
        .map(|_| lab.phone_of("alice", Transport::Udp))
        .collect()
}

/// As [`alices`], several in turn for each host: she comes back to none while its registration is still being deleted. The moment in which that happens to a REGISTER is
/// Asterisk's own: it answers 200 and drops what it has just written.
fn many_alices(lab: &Lab) -> Result<Vec<Phone>> {
    const TURNS: usize = 4;
    (0..TURNS * lab.hosts.len())
        .map(|_| lab.phone_of("alice", Transport::Udp))
        .collect()
}

/// As [`alices`], with TCP at the second host: she moves from UDP to TCP and back.
fn mixed_alices(lab: &Lab) -> Result<Vec<Phone>> {
    (0..lab.hosts.len())
        .map(|at| lab.phone_of("alice", if at == 1 { Transport::Tcp } else { Transport::Udp }))
        .collect()
}

/// Two kinds of turns. In one the call leaves the moment her 200 OK is there, before any node can have heard of it: the phone she
/// has left may ring for a moment, the new one must ring and be answered. In the other it leaves when every node has heard: only the new phone
/// may ring at all.
fn calls_after_moves(lab: &mut Lab) -> Result<()> {
    const MOVES: usize = 120;
    let phones = mixed_alices(lab)?;
    let callers = carols(lab)?;
    lab.register(&phones[0], 0)?;
    let mut set_up = Figures::default();
    let (mut taken_back, mut at_once) = (0, 0);
    for turn in 1..=MOVES {
        let at = turn % lab.hosts.len();
        // From each host in turn, the new place included.
        let from = (turn / lab.hosts.len()) % lab.hosts.len();
        let waits = turn > MOVES / 2;
        let before: Vec<u64> = phones.iter().map(Phone::invites).collect();
        phones[at].register(lab.hosts[at].sip())?;
        if waits {
            for host in &lab.hosts {
                eventually(SOON, || host.expect_located("alice", &lab.hosts[at]))?;
            }
        }
        let behaviour = if waits { Behaviour::Answer } else { Behaviour::Ring };
        phones.iter().for_each(|phone| phone.behave(behaviour));
        let mut call = callers[from].call(lab.hosts[from].sip(), "1001")?;
        let what = || {
            format!(
                "turn {turn}: {} calls alice, just moved to {}",
                lab.hosts[from].name, lab.hosts[at].name
            )
        };
        call.wait_ringing(SOON).with_context(what)?;
        if !waits {
            phones[at].incoming(SOON).with_context(what)?.answer()?;
        }
        call.wait_answer(SOON).with_context(what)?;
        set_up.add(call.ringing.unwrap_or(call.invited) - call.invited);
        call.hang_up().with_context(what)?;
        let rang: Vec<u64> = phones
            .iter()
            .zip(&before)
            .map(|(phone, before)| phone.invites() - before)
            .collect();
        if waits {
            let only_the_new = rang.iter().enumerate().all(|(n, rings)| *rings == u64::from(n == at));
            ensure!(
                only_the_new,
                "{}: her phones at the three hosts rang {rang:?} times",
                what()
            );
        } else {
            at_once += 1;
            taken_back += usize::from(rang.iter().sum::<u64>() > rang[at]);
        }
        phones.iter().for_each(Phone::forget_incoming);
    }
    println!("    {MOVES} calls, all answered, INVITE -> 180: {}", set_up.words());
    phones.iter().for_each(|phone| phone.behave(Behaviour::Answer));
    println!("    of {at_once} that left with her 200 OK, {taken_back} were taken back from the phone she had left");
    Ok(())
}

fn stale_contact(lab: &mut Lab) -> Result<()> {
    let phones = mixed_alices(lab)?;
    for at in [0, 2, 1, 0] {
        lab.register(&phones[at], at)?;
        let began = Instant::now();
        one_contact(lab, at)?;
        println!(
            "    moved to {}: one contact in all, seen {} ms after",
            lab.hosts[at].name,
            began.elapsed().as_millis()
        );
    }
    // At the same server, from UDP to TCP and back: another contact, and the first one is gone.
    let caller = carols(lab)?.swap_remove(2);
    let tcp = lab.phone_of("alice", Transport::Tcp)?;
    for (phone, left) in [(&tcp, &phones[0]), (&phones[0], &tcp)] {
        phone.register(lab.hosts[0].sip())?;
        one_contact(lab, 0)?;
        let before = left.invites();
        let mut call = caller.call(lab.hosts[2].sip(), "1001")?;
        call.wait_answer(SOON)?;
        let incoming = phone.incoming(SOON)?;
        both_hear(&call, &caller, &incoming, phone)?;
        call.hang_up()?;
        incoming.wait_hang_up(SOON)?;
        ensure!(left.invites() == before, "the transport that she has left rang");
    }
    lab.expect_no_drift(lab.hosts.len())
}

/// Waits until alice has one contact, at this host, and none elsewhere.
fn one_contact(lab: &Lab, at: usize) -> Result<()> {
    for (number, host) in lab.hosts.iter().enumerate() {
        eventually(SOON, || {
            let contacts = host.asterisk.contacts()?;
            let here = contacts.iter().filter(|(device, _)| device == "alice").count();
            ensure!(
                here == usize::from(number == at),
                "{} has {here} contacts of alice, who is at {}",
                host.name,
                lab.hosts[at].name
            );
            Ok(())
        })?;
    }
    Ok(())
}

fn unmodified(lab: &mut Lab) -> Result<()> {
    let phones = mixed_alices(lab)?;
    let callers = carols(lab)?;
    for at in [0, 1, 2] {
        lab.register(&phones[at], at)?;
        for (from, caller) in callers.iter().enumerate() {
            // 7alice is `Dial(PJSIP/alice)`, 600 a queue with `member => PJSIP/alice`: both in the customer's own context.
            for dialled in ["7alice", "600"] {
                let what = || format!("{dialled} at {}, alice at {}", lab.hosts[from].name, lab.hosts[at].name);
                let mut call = caller.call(lab.hosts[from].sip(), dialled).with_context(what)?;
                let incoming = phones[at].incoming(SOON).with_context(what)?;
                call.wait_answer(SOON).with_context(what)?;
                both_hear(&call, caller, &incoming, &phones[at]).with_context(what)?;
                call.hang_up().with_context(what)?;
                incoming.wait_hang_up(SOON).with_context(what)?;
            }
        }
    }
    Ok(())
}

/// Carol's phone at each host, one device each, all allowed to call.
fn carols(lab: &Lab) -> Result<Vec<Phone>> {
    let mut phones = Vec::new();
    for at in 0..lab.hosts.len() {
        let user = format!("carol{at}");
        if lab.hosts[0].node()?.run(&["user", "show", &user]).is_err() {
            lab.add_user(0, &user, &[])?;
        }
        phones.push(lab.registered(&user, Transport::Udp, at)?);
    }
    Ok(phones)
}

fn number_taken_away(lab: &mut Lab) -> Result<()> {
    const NUMBER: &str = "1987";
    let at = 2;
    lab.hosts[0]
        .node()?
        .run(&["user", "set", "alice", "--number", NUMBER])?;
    let there = |lab: &Lab| -> Result<bool> {
        let globals = lab.hosts[at].asterisk.cli("dialplan show globals")?;
        let name = format!("FED_DEVICES_{NUMBER}=");
        Ok(globals
            .lines()
            .any(|line| line.trim().strip_prefix(&name).is_some_and(|value| !value.is_empty())))
    };
    eventually(SOON, || {
        ensure!(there(lab)?, "the number is not known in Asterisk");
        Ok(())
    })?;
    lab.hosts[at].node_mut()?.kill()?;
    lab.hosts[0].node()?.run(&["user", "set", "alice", "--number", ""])?;
    ensure!(there(lab)?, "nobody could have taken it away");
    lab.hosts[at].restart_node()?;
    eventually(SOON, || {
        ensure!(!there(lab)?, "the number still rings her without fed-node");
        Ok(())
    })?;
    lab.hosts[0]
        .node()?
        .run(&["user", "set", "alice", "--number", "1001"])?;
    Ok(())
}
