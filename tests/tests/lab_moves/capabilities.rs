//! Other SIP software, and the capabilities that it is given: found, dialled, and refused where they are forged, replayed or expired.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fed_tests::lab::Lab;
use fed_tests::phone::{Phone, Transport};
use fed_tests::{both_hear, eventually};

use crate::{SOON, alices};

/// How long a capability stays good; the redirect server's default.
const CAPABILITY: Duration = Duration::from_secs(30);
/// What Asterisk makes of Q.850 cause 21, "call rejected": the call came through, and its capability was found wanting.
const CALL_REJECTED: u16 = 403;

/// A target that was good when the first case ran, for the case that needs it expired: it has less to wait for then.
static OLD_TARGET: Mutex<Option<(String, SocketAddr, Instant)>> = Mutex::new(None);

/// A SIP program that is no Asterisk, at an address the federation was told of.
fn softswitch_phone(lab: &Lab, number: u8) -> Result<Phone> {
    let (namespace, ip) = lab.extra_place(&format!("switch{number}"), number)?;
    let node = lab.hosts[0].node()?;
    node.run(&["setting", "set", "sip_peers", &ip.to_string()])?;
    Phone::new(&namespace, ip, "softswitch", "", Transport::Udp)
}

pub(super) fn softswitch(lab: &mut Lab) -> Result<()> {
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

pub(super) fn refused(lab: &mut Lab) -> Result<()> {
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

pub(super) fn used_before_a_kill(lab: &mut Lab) -> Result<()> {
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
