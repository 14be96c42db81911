//! What dies and what goes on: fed-node, Asterisk and whole hosts killed, the network cut, a thousand users at once. Real Asterisks
//! 22, 22 and 16; each case leaves the federation healed.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Asker, Host, Lab, Located, Version};
use fed_tests::phone::{Phone, Transport};
use fed_tests::{both_hear, eventually};

const SOON: Duration = Duration::from_secs(5);
/// A dead node is not routed to after this time.
const NOT_LOOKED_FOR: Duration = Duration::from_secs(3);
/// How long a healed federation may take to agree with all its Asterisks.
const AGREED: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    cases::main(
        || {
            let lab = Lab::start_federated(&[Version::V22, Version::V22, Version::V16])?;
            for (at, user) in ["ann", "ben", "cleo"].into_iter().enumerate() {
                lab.add_user(at, user, &["--number", &format!("100{at}")])?;
                lab.add_user(at, &format!("{user}2"), &[])?;
            }
            Ok(lab)
        },
        &[
            Case {
                name: "calls_and_registrations_survive_kill_9_of_fed_node",
                body: fed_node_killed,
            },
            Case {
                name: "users_of_a_killed_asterisk_are_not_looked_for_and_come_back",
                body: asterisk_killed,
            },
            Case {
                name: "users_of_a_killed_host_register_elsewhere_and_are_reachable_at_once",
                body: follower_host_killed,
            },
            Case {
                name: "users_of_a_killed_host_are_reachable_elsewhere_when_it_was_the_leader",
                body: leader_host_killed,
            },
            Case {
                name: "a_partition_leaves_local_calls_and_the_majority_working_and_heals",
                body: partition,
            },
            Case {
                name: "a_thousand_users_are_imported_and_ready_at_every_asterisk",
                body: import,
            },
        ],
    )
}

/// Ann at h1, Ben at h2, Cleo at h3.
fn everyone(lab: &Lab) -> Result<Vec<Phone>> {
    ["ann", "ben", "cleo"]
        .into_iter()
        .enumerate()
        .map(|(at, user)| lab.registered(user, Transport::Udp, at))
        .collect()
}

/// One call that is answered, heard and ended.
fn call(lab: &Lab, caller: &Phone, from: usize, callee: &Phone) -> Result<()> {
    let what = || format!("{} at {} calls {}", caller.id(), lab.hosts[from].name, callee.id());
    let mut call = caller.call(lab.hosts[from].sip(), callee.id()).with_context(what)?;
    call.wait_answer(SOON).with_context(what)?;
    let incoming = callee.incoming(SOON).with_context(what)?;
    both_hear(&call, caller, &incoming, callee).with_context(what)?;
    call.hang_up().with_context(what)?;
    incoming.wait_hang_up(SOON).with_context(what).map(drop)
}

/// How long after `since` that host begins to answer as wanted.
fn how_long(
    lab: &Lab,
    asker: usize,
    device: &str,
    since: Instant,
    wanted: impl Fn(&Located) -> bool,
) -> Result<Duration> {
    let mut socket = Asker::open(&lab.hosts[asker].namespace)?;
    loop {
        let (located, at) = socket.ask(device)?;
        if wanted(&located) {
            return Ok(at.saturating_duration_since(since));
        }
        if at > since + Duration::from_secs(20) {
            bail!("{} still answers {located:?} for {device}", lab.hosts[asker].name);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn healed(lab: &mut Lab) -> Result<()> {
    lab.wait_healthy(AGREED)?;
    let began = Instant::now();
    let nodes = lab.hosts.len();
    eventually(AGREED, || lab.expect_no_drift(nodes))?;
    println!(
        "    {nodes} nodes compared, no drift after {:.1} s",
        began.elapsed().as_secs_f64()
    );
    Ok(())
}

fn fed_node_killed(lab: &mut Lab) -> Result<()> {
    let phones = everyone(lab)?;
    let local = lab.registered("ann2", Transport::Udp, 0)?;
    let mut call_across = phones[0].call(lab.hosts[0].sip(), "cleo")?;
    call_across.wait_answer(SOON)?;
    let answered = phones[2].incoming(SOON)?;
    both_hear(&call_across, &phones[0], &answered, &phones[2])?;

    let registered = registrations(lab)?;
    lab.hosts[0].node_mut()?.kill()?;
    let heard = call_across.rtp().heard_from(phones[2].voice());
    eventually(SOON, || {
        let now = call_across.rtp().heard_from(phones[2].voice());
        ensure!(now > heard + 50, "only {} packets since fed-node died", now - heard);
        Ok(())
    })?;
    ensure!(call_across.is_up(), "the call in progress ended with fed-node");
    call(lab, &phones[0], 0, &local).context("a local call without fed-node")?;
    // The customer's own dialplan asks a redirect server that is not there: refused at once, not waited for.
    let began = Instant::now();
    let ended = phones[0].call(lab.hosts[0].sip(), "7cleo")?.wait_refusal(SOON)?;
    let took = began.elapsed();
    println!(
        "    an unmodified Dial of cleo, registered elsewhere, without fed-node: {} after {:.0} ms",
        ended.status,
        took.as_secs_f64() * 1e3
    );
    ensure!(
        took < Duration::from_secs(2),
        "an unmodified Dial waited {took:?} for a dead fed-node"
    );

    lab.hosts[0].restart_node()?;
    ensure!(
        call_across.is_up(),
        "the call in progress ended when fed-node came back"
    );
    call_across.hang_up()?;
    answered.wait_hang_up(SOON)?;
    // What was registered before is found again from every node.
    for asker in 0..lab.hosts.len() {
        eventually(SOON, || lab.hosts[asker].expect_located("ann", &lab.hosts[0]))?;
    }
    let still = registrations(lab)?;
    ensure!(
        still == registered,
        "somebody registered again or was forgotten: before {registered:#?}, after {still:#?}"
    );
    call(lab, &phones[2], 2, &phones[0]).context("a call to where fed-node came back")?;
    healed(lab)
}

/// What each Asterisk's own database says of its registrations, with their ends and Call-IDs: a REGISTER changes it.
fn registrations(lab: &Lab) -> Result<Vec<Vec<String>>> {
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

fn asterisk_killed(lab: &mut Lab) -> Result<()> {
    let phones = everyone(lab)?;
    let killed = Instant::now();
    lab.hosts[2].asterisk.kill()?;
    for asker in [0, 1] {
        let took = how_long(lab, asker, "cleo", killed, |l| matches!(l, Located::Refused(_)))?;
        println!(
            "    {} stopped looking for cleo {:.0} ms after kill -9 of her Asterisk",
            lab.hosts[asker].name,
            took.as_secs_f64() * 1e3
        );
        ensure!(
            took <= NOT_LOOKED_FOR,
            "{} looked for cleo for {took:?}",
            lab.hosts[asker].name
        );
    }
    let began = Instant::now();
    let ended = phones[0].call(lab.hosts[0].sip(), "cleo")?.wait_refusal(SOON)?;
    ensure!(
        ended.status == 480 && began.elapsed() < Duration::from_secs(1),
        "{} after {:?}",
        ended.response.start,
        began.elapsed()
    );
    call(lab, &phones[0], 0, &phones[1]).context("a call between the others")?;

    lab.hosts[2].restart_asterisk()?;
    let back = Instant::now();
    eventually(AGREED, || phones[2].register(lab.hosts[2].sip()))?;
    println!(
        "    the objects were back {:.1} s after its Asterisk had booted",
        back.elapsed().as_secs_f64()
    );
    eventually(SOON, || lab.hosts[0].expect_located("cleo", &lab.hosts[2]))?;
    call(lab, &phones[0], 0, &phones[2]).context("a call to the restarted Asterisk")?;
    healed(lab)
}

fn leader_host_killed(lab: &mut Lab) -> Result<()> {
    let leader = leader(lab)?;
    host_killed(lab, leader)
}

fn follower_host_killed(lab: &mut Lab) -> Result<()> {
    let leader = leader(lab)?;
    host_killed(lab, (leader + 1) % lab.hosts.len())
}

/// Which host's fed-node leads.
fn leader(lab: &Lab) -> Result<usize> {
    let status = lab.hosts[0].node()?.json(&["status"])?;
    let id = status["leader"].as_u64().context("no leader")?;
    let members = status["members"].as_array().context("no members")?;
    let name = members
        .iter()
        .find(|m| m["id"].as_u64() == Some(id))
        .context("the leader is no member")?["name"]
        .clone();
    lab.hosts
        .iter()
        .position(|host| name == host.name.as_str())
        .with_context(|| format!("no host is called {name}"))
}

fn host_killed(lab: &mut Lab, dead: usize) -> Result<()> {
    let phones = everyone(lab)?;
    let (first, second) = ((dead + 1) % 3, (dead + 2) % 3);
    let (homeless, port) = (&phones[dead], lab.hosts[dead].name.clone());
    let mut others = phones[first].call(lab.hosts[first].sip(), phones[second].id())?;
    others.wait_answer(SOON)?;
    let answered = phones[second].incoming(SOON)?;

    let killed = Instant::now();
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
        println!(
            "    {} reaches {} at {} {:.1} ms after her 200 OK",
            lab.hosts[asker].name,
            homeless.id(),
            lab.hosts[second].name,
            took.as_secs_f64() * 1e3
        );
        ensure!(took <= NOT_LOOKED_FOR, "{took:?}");
    }
    let caller = lab.registered(&format!("{}2", phones[first].id()), Transport::Udp, first)?;
    call(lab, &caller, first, homeless).context("a call to the user of the dead host")?;
    both_hear(&others, &phones[first], &answered, &phones[second]).context("a call between living hosts")?;
    ensure!(others.is_up(), "a call between living hosts ended");
    others.hang_up()?;
    println!(
        "    all of it {:.1} s after the host died",
        killed.elapsed().as_secs_f64()
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

fn partition(lab: &mut Lab) -> Result<()> {
    let phones = everyone(lab)?;
    let ann2 = lab.registered("ann2", Transport::Udp, 0)?;
    let ben2 = lab.registered("ben2", Transport::Udp, 1)?;
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
        eventually(SOON, || host.expect_located("ben2", &lab.hosts[0]))?;
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

fn import(lab: &mut Lab) -> Result<()> {
    const USERS: usize = 1_000;
    let file = lab.folder().join("users.csv");
    std::fs::write(&file, users_csv(USERS))?;
    let path = file.to_string_lossy().into_owned();
    let began = Instant::now();
    lab.hosts[1].node()?.run(&["user", "import", &path])?;
    let acknowledged = Instant::now();
    println!(
        "    {USERS} users acknowledged in {:.2} s",
        (acknowledged - began).as_secs_f64()
    );
    for host in &lab.hosts {
        eventually(Duration::from_secs(15).saturating_sub(acknowledged.elapsed()), || {
            let (status, body) = host.asterisk.ari("GET", "/endpoints/PJSIP")?;
            ensure!(status == 200, "ARI answered {status}");
            let list: Vec<serde_json::Value> = serde_json::from_str(&body)?;
            let there = list
                .iter()
                .filter(|e| e["resource"].as_str().is_some_and(|r| r.starts_with("import")))
                .count();
            ensure!(there == USERS, "{} has {there} of {USERS} endpoints", host.name);
            Ok(())
        })?;
        println!(
            "    all endpoints at {} {:.1} s after the acknowledgement",
            host.name,
            acknowledged.elapsed().as_secs_f64()
        );
    }
    for (at, id) in [(0, "import0"), (1, "import500"), (2, "import999")] {
        let phone = lab.phone_of(id, Transport::Udp)?;
        phone
            .register(lab.hosts[at].sip())
            .with_context(|| format!("{id} at {}", lab.hosts[at].name))?;
    }
    let revision = |lab: &Lab| -> Result<serde_json::Value> { lab.hosts[1].node()?.json(&["user", "show", "import7"]) };
    let before = revision(lab)?;
    lab.hosts[1]
        .node()?
        .run(&["user", "import", &path])
        .context("the same file again")?;
    ensure!(before == revision(lab)?, "importing the same file again changed a user");

    let broken = lab.folder().join("broken.csv");
    std::fs::write(&broken, users_csv(3).replacen("import1,", "new&1,", 1))?;
    let refused = lab.hosts[1]
        .node()?
        .try_run(&["user", "import", &broken.to_string_lossy()])?;
    ensure!(!refused.status.success(), "a file with a bad id was taken");
    println!("    a bad file: {}", String::from_utf8_lossy(&refused.stderr).trim());
    Ok(())
}

fn users_csv(count: usize) -> String {
    let mut text = String::from("user,name,numbers,device,password\n");
    for n in 0..count {
        text.push_str(&format!(
            "import{n},Import {n},7{n:04},import{n},{}\n",
            fed_tests::lab::password_of(&format!("import{n}"))
        ));
    }
    text
}
