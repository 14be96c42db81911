//! Moves on real Asterisks 22, 22 and 16: measured, and seen from a customer's own dialplan, a queue and other SIP software.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fed_tests::figures::Figures;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Asker, Following, Lab, Located, Version};
use fed_tests::phone::{Behaviour, Phone, Transport};
use fed_tests::{both_hear, eventually};

/// What is no promise of its own may take this long; other work may have the machine.
const SOON: Duration = Duration::from_secs(15);
/// How long a capability stays good; the redirect server's default.
const CAPABILITY: Duration = Duration::from_secs(30);
/// What Asterisk makes of Q.850 cause 21, "call rejected": the call came through, and its capability was found wanting.
const CALL_REJECTED: u16 = 403;

/// A target that was good when the first case ran, for the case that needs it expired: it has less to wait for then.
static OLD_TARGET: Mutex<Option<(String, SocketAddr, Instant)>> = Mutex::new(None);

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
                body: softswitch,
            },
            Case {
                name: "two_hundred_moves_are_routable_everywhere_and_measured",
                body: measured_moves,
            },
            Case {
                name: "two_hundred_moves_are_seen_by_whoever_watches_each_node",
                body: watched_moves,
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
                body: capabilities,
            },
            Case {
                name: "a_used_capability_is_refused_after_fed_node_was_killed_too",
                body: used_before_a_kill,
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

/// As [`alices`], four sockets for each host, for moves that follow each other within milliseconds: at a host that she left a moment ago
/// and whose contact is not deleted yet, a REGISTER with that very contact is a refresh, of which Asterisk tells nobody, and the deletion
/// that is on its way takes it along (fed-ari's DESIGN.md).
fn alices_of_many_sockets(lab: &Lab) -> Result<Vec<Phone>> {
    (0..4 * lab.hosts.len())
        .map(|_| lab.phone_of("alice", Transport::Udp))
        .collect()
}

/// As [`alices`], with TCP at the second host: she moves from UDP to TCP and back.
fn mixed_alices(lab: &Lab) -> Result<Vec<Phone>> {
    (0..lab.hosts.len())
        .map(|at| lab.phone_of("alice", if at == 1 { Transport::Tcp } else { Transport::Udp }))
        .collect()
}

fn measured_moves(lab: &mut Lab) -> Result<()> {
    const MOVES: usize = 200;
    let phones = alices_of_many_sockets(lab)?;
    lab.register(&phones[0], 0)?;
    let mut everywhere = Figures::default();
    let mut per_host: Vec<Figures> = lab.hosts.iter().map(|_| Figures::default()).collect();
    // One thread for each host asks its redirect server without a pause while a move is on.
    thread::scope(|scope| -> Result<()> {
        let (seen, results) = mpsc::channel();
        let mut watchers = Vec::new();
        for (number, host) in lab.hosts.iter().enumerate() {
            let (order, orders) = mpsc::channel::<SocketAddr>();
            let seen = seen.clone();
            let mut asker = Asker::open(&host.namespace)?;
            let own = host.sip();
            scope.spawn(move || {
                for wanted in orders {
                    let _ = seen.send((number, when_located(&mut asker, own, wanted)));
                }
            });
            watchers.push(order);
        }
        for turn in 1..=MOVES {
            let at = turn % lab.hosts.len();
            let moved = phones[turn % phones.len()]
                .register(lab.hosts[at].sip())
                .with_context(|| format!("move {turn}"))?;
            for watcher in &watchers {
                watcher.send(lab.hosts[at].sip())?;
            }
            let mut last = moved.ok;
            for _ in &watchers {
                let (number, when) = results.recv()?;
                let when = when.with_context(|| format!("move {turn} as {} sees it", lab.hosts[number].name))?;
                per_host[number].add(when.saturating_duration_since(moved.ok));
                last = last.max(when);
            }
            everywhere.add(last.saturating_duration_since(moved.ok));
        }
        Ok(())
    })?;
    for (host, figures) in lab.hosts.iter().zip(&mut per_host) {
        println!(
            "    200 OK -> routable at {} ({:?}): {}",
            host.name,
            host.asterisk.version(),
            figures.words()
        );
    }
    println!(
        "    200 OK -> routable at every node: {} (goal: p50 <= 3 ms, p99 <= 10 ms)",
        everywhere.words()
    );
    Ok(())
}

/// As [`measured_moves`], told by each node's own watch: nobody asks anything meanwhile, which on a small machine is half of what is
/// measured there. A change is shown to watchers when the node has applied it, and from then on it routes there.
fn watched_moves(lab: &mut Lab) -> Result<()> {
    const MOVES: usize = 200;
    let phones = alices_of_many_sockets(lab)?;
    lab.register(&phones[0], 0)?;
    let mut watches = Vec::new();
    for host in &lab.hosts {
        watches.push(host.node()?.follow(&["watch", "-o", "json"])?);
    }
    // A watch begins with what comes after it was let in: she moves on until all tell of it.
    let mut turn = 0;
    eventually(SOON, || {
        turn += 1;
        let at = turn % lab.hosts.len();
        let phone = &phones[turn % phones.len()];
        let since = Instant::now();
        lab.register(phone, at)?;
        let contact = phone.contact();
        for watch in &watches {
            when_told(watch, &contact, since, Duration::from_secs(1))?;
        }
        Ok(())
    })?;
    let first = turn + 1;
    let mut everywhere = Figures::default();
    for turn in first..first + MOVES {
        let at = turn % lab.hosts.len();
        let phone = &phones[turn % phones.len()];
        let since = Instant::now();
        let moved = phone.register(lab.hosts[at].sip())?;
        let contact = phone.contact();
        let mut last = moved.ok;
        for (watch, host) in watches.iter().zip(&lab.hosts) {
            let when = when_told(watch, &contact, since, SOON);
            last = last.max(when.with_context(|| format!("move {turn} as {} tells it", host.name))?);
        }
        everywhere.add(last.saturating_duration_since(moved.ok));
    }
    println!("    200 OK -> told by every node's watch: {}", everywhere.words());
    Ok(())
}

/// When a watch told, after `since`, that a device has this contact now.
fn when_told(watch: &Following, contact: &str, since: Instant, patience: Duration) -> Result<Instant> {
    let deadline = Instant::now() + patience;
    loop {
        let (at, line) = watch.next(deadline.saturating_duration_since(Instant::now()))?;
        let told: serde_json::Value = serde_json::from_str(&line).with_context(|| line.clone())?;
        let binding = &told["binding"];
        if told["event"] == "bound" && binding["contact"] == contact && at >= since {
            return Ok(at);
        }
    }
}

/// Asks until calls for alice go to `wanted`. `own` is the asker's own Asterisk, which is told "here".
fn when_located(asker: &mut Asker, own: SocketAddr, wanted: SocketAddr) -> Result<Instant> {
    let deadline = Instant::now() + SOON;
    loop {
        let (located, at) = asker.ask("alice")?;
        let there = match &located {
            Located::Here => own == wanted,
            Located::At { address, .. } => *address == wanted.to_string(),
            Located::Refused(_) => false,
        };
        if there {
            return Ok(at);
        }
        if at > deadline {
            bail!("still {located:?} after {SOON:?}");
        }
        thread::sleep(Duration::from_micros(200));
    }
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

/// A SIP program that is no Asterisk, at an address the federation was told of.
fn softswitch_phone(lab: &Lab, number: u8) -> Result<Phone> {
    let (namespace, ip) = lab.extra_place(&format!("switch{number}"), number)?;
    let node = lab.hosts[0].node()?;
    node.run(&["setting", "set", "sip_peers", &ip.to_string()])?;
    Phone::new(&namespace, ip, "softswitch", "", Transport::Udp)
}

fn softswitch(lab: &mut Lab) -> Result<()> {
    let switch = softswitch_phone(lab, 210)?;
    let phones = alices(lab)?;
    for (at, phone) in phones.iter().enumerate() {
        lab.register(phone, at)?;
        for asked in &lab.hosts {
            let what = || format!("asking {} for alice, who is at {}", asked.name, lab.hosts[at].name);
            let (user, server) = ask_redirect(&switch, asked.redirect()).with_context(what)?;
            ensure!(server == lab.hosts[at].sip(), "{}: sent to {server}", what());
            let mut call = eventually(SOON, || {
                let mut call = switch.call(server, &user)?;
                call.wait_answer(SOON)?;
                Ok(call)
            })
            .with_context(what)?;
            let incoming = phone.incoming(SOON).with_context(what)?;
            both_hear(&call, &switch, &incoming, phone).with_context(what)?;
            call.hang_up()?;
            incoming.wait_hang_up(SOON)?;
        }
    }
    let (user, server) = ask_redirect(&switch, lab.hosts[0].redirect())?;
    *OLD_TARGET.lock().expect("no case panics with it") = Some((user, server, Instant::now()));
    Ok(())
}

fn ask_redirect(switch: &Phone, server: SocketAddr) -> Result<(String, SocketAddr)> {
    let answer = switch.call(server, "alice")?.wait_refusal(SOON)?;
    ensure!(
        answer.status == 302,
        "the redirect server answered {}",
        answer.response.start
    );
    let uri = answer.response.uri_in("Contact").context("a 302 without a Contact")?;
    let (user, rest) = uri
        .trim_start_matches("sip:")
        .split_once('@')
        .context("a Contact without a user")?;
    Ok((user.to_owned(), rest.split(';').next().unwrap_or(rest).parse()?))
}

fn capabilities(lab: &mut Lab) -> Result<()> {
    let switch = softswitch_phone(lab, 211)?;
    let phones = alices(lab)?;
    let at = 2;
    lab.register(&phones[at], at)?;
    let kept = OLD_TARGET.lock().expect("no case panics with it").clone();
    let old = match kept {
        Some(old) => old,
        None => {
            let (user, server) = ask_redirect(&switch, lab.hosts[0].redirect())?;
            (user, server, Instant::now())
        }
    };
    let rang = |phones: &[Phone]| phones.iter().map(Phone::invites).sum::<u64>();
    // Why is what that host's fed-node logs, one line more for this call: another refusal must not pass for this one.
    let refused = |user: &str, at: usize, what: &str, why: &str| -> Result<()> {
        let node = lab.hosts[at].node()?;
        let logged = || -> Result<usize> { Ok(node.said()?.lines().filter(|line| line.contains(why)).count()) };
        let (before, noted) = (rang(&phones), logged()?);
        let ended = switch
            .call(lab.hosts[at].sip(), user)?
            .wait_refusal(SOON)
            .with_context(|| format!("a call with {what}"))?;
        ensure!(ended.status == CALL_REJECTED, "{what}: {}", ended.response.start);
        ensure!(rang(&phones) == before, "{what} rang a phone");
        eventually(SOON, || {
            ensure!(
                logged()? == noted + 1,
                "{what}: {} never said {why:?}",
                lab.hosts[at].name
            );
            Ok(())
        })?;
        println!("    {what}: {}, because {why:?}", ended.response.start);
        Ok(())
    };
    refused("alice", at, "no capability", "carries no capability")?;

    let (user, server) = ask_redirect(&switch, lab.hosts[0].redirect())?;
    ensure!(server == lab.hosts[at].sip(), "sent to {server}");
    let (device, token) = user.split_once('~').context("a target without a token")?;
    let (head, tail) = token.split_at(token.len() / 2);
    let other = if tail.starts_with('0') { '1' } else { '0' };
    let forged = format!("{device}~{head}{other}{}", &tail[1..]);
    refused(&forged, at, "a forged token", "not genuine for this node")?;
    refused(
        &format!("carol0~{token}"),
        at,
        "a token of another device",
        "not genuine for this node",
    )?;
    refused(&user, 1, "a token for another node", "not genuine for this node")?;

    let mut call = switch.call(server, &user)?;
    call.wait_answer(SOON).context("the genuine one")?;
    call.hang_up()?;
    refused(&user, at, "a replayed token", "was used before")?;

    let (user, server, minted) = old;
    while minted.elapsed() < CAPABILITY + Duration::from_secs(2) {
        thread::sleep(Duration::from_millis(200));
    }
    let owner = lab
        .hosts
        .iter()
        .position(|h| h.sip() == server)
        .context("an unknown server")?;
    lab.register(&phones[owner], owner)?;
    refused(&user, owner, "an expired token", "has expired")
}

fn used_before_a_kill(lab: &mut Lab) -> Result<()> {
    let switch = softswitch_phone(lab, 212)?;
    let phones = alices(lab)?;
    for at in [1, 2] {
        lab.register(&phones[at], at)?;
        let (used, server) = ask_redirect(&switch, lab.hosts[0].redirect())?;
        ensure!(server == lab.hosts[at].sip(), "sent to {server}");
        let mut call = switch.call(server, &used)?;
        call.wait_answer(SOON).context("the first time")?;
        call.hang_up()?;
        lab.hosts[at].node_mut()?.kill()?;
        lab.hosts[at].restart_node()?;
        let ended = switch
            .call(server, &used)?
            .wait_refusal(SOON)
            .context("the second time")?;
        ensure!(ended.status == CALL_REJECTED, "{}", ended.response.start);
        let node = lab.hosts[at].node()?;
        eventually(SOON, || {
            ensure!(
                node.said()?.contains("was used before"),
                "it was refused for something else"
            );
            Ok(())
        })?;
        println!("    {}: {}", lab.hosts[at].name, ended.response.start);
    }
    Ok(())
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
