//! What goes wrong on a first day, and what an attacker sends: each a clear error that names the object and the remedy, nothing lost,
//! nothing half-written. One host with a real Asterisk 16.

use std::io::{Read as _, Write as _};
use std::net::{TcpStream, UdpSocket};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use fed_tests::eventually;
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Asker, FedNode, Lab, Located, Version};
use fed_tests::phone::Transport;

/// A node notices and says what is wrong within this time.
const NOTICED: Duration = Duration::from_secs(15);

fn main() -> ExitCode {
    cases::main(
        || {
            let lab = Lab::start_federated(&[Version::V16])?;
            lab.add_user(0, "alice", &["--number", "1001"])?;
            Ok(lab)
        },
        &[
            Case {
                name: "malformed_ids_and_taken_numbers_are_refused_by_name",
                body: malformed,
            },
            Case {
                name: "a_wrong_sip_password_is_refused",
                body: wrong_password,
            },
            Case {
                name: "hostile_sip_does_not_stop_the_redirect_server",
                body: hostile,
            },
            Case {
                name: "a_port_in_use_is_named",
                body: port_in_use,
            },
            Case {
                name: "a_second_fed_node_on_the_same_asterisk_is_told_so",
                body: second_node,
            },
            Case {
                name: "a_wrong_ari_password_is_named_with_its_remedy",
                body: wrong_ari_password,
            },
            Case {
                name: "a_missing_sorcery_mapping_is_named_with_its_remedy",
                body: no_mapping,
            },
        ],
    )
}

fn malformed(lab: &mut Lab) -> Result<()> {
    let node = lab.hosts[0].node()?;
    let long = "x".repeat(300);
    let before = node.json(&["user", "list"])?;
    let bad = ["a&b", "a/b", "a;b", "a\nb", "a,b", "", "${EXTEN}", &long];
    let reserved = ["-a", "alice-fed", "fed-node-1"];
    for id in bad.iter().chain(&reserved) {
        let added = node.run_with_input(&["user", "add", "--password-stdin", "--", id], "secret");
        let why = format!("{:#}", added.err().with_context(|| format!("the id {id:?} was taken"))?);
        ensure!(why.len() < 1_000, "{why}");
        let device_only = id.ends_with("-fed") || id.starts_with("fed-");
        let rule = if device_only {
            "is no device id: use"
        } else {
            "is no user id: use"
        };
        ensure!(
            why.contains(rule),
            "refused for something else than its id {id:?}: {why}"
        );
    }
    // An empty text is how a number is taken away.
    for number in bad.iter().filter(|number| !number.is_empty()) {
        let added = node.run_with_input(
            &["user", "add", "fine", "--password-stdin", "--number", number],
            "secret",
        );
        let why = format!(
            "{:#}",
            added
                .err()
                .with_context(|| format!("the number {number:?} was taken"))?
        );
        ensure!(
            why.contains("is no number: use") && why.contains("fine"),
            "refused for something else than the number {number:?}: {why}"
        );
    }
    let why = node.run_with_input(
        &["user", "add", "second", "--password-stdin", "--number", "1001"],
        "secret",
    );
    let why = format!("{:#}", why.err().context("a number was given twice")?);
    ensure!(why.contains("1001") && why.contains("alice"), "{why}");
    println!("    {why}");
    ensure!(
        before == node.json(&["user", "list"])?,
        "a refused command changed the users"
    );
    Ok(())
}

fn wrong_password(lab: &mut Lab) -> Result<()> {
    let right = lab.phone_of("alice", Transport::Udp)?;
    eventually(NOTICED, || right.register(lab.hosts[0].sip()))?;
    let wrong = lab.phone("alice", "not-hers", Transport::Udp)?;
    let before = lab.hosts[0].asterisk.contacts()?;
    let refused = wrong.register(lab.hosts[0].sip()).err();
    let refused = refused.context("a wrong password was taken")?;
    ensure!(format!("{refused:#}").contains("401"), "no refusal: {refused:#}");
    ensure!(
        lab.hosts[0].asterisk.contacts()? == before,
        "the refused REGISTER changed the contacts"
    );
    right.unregister(lab.hosts[0].sip()).map(drop)
}

fn hostile(lab: &mut Lab) -> Result<()> {
    let host = &lab.hosts[0];
    let address = host.redirect();
    let invite = format!(
        "INVITE sip:alice@{address} SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:9;branch=z9hG4bKx\r\nFrom: <sip:x@x>;tag=1\r\n\
         To: <sip:alice@x>\r\nCall-ID: x\r\nCSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
    );
    let mut messages: Vec<Vec<u8>> = (0..invite.len())
        .step_by(7)
        .map(|n| invite.as_bytes()[..n].to_vec())
        .collect();
    // A fixed sequence of noise: the same in every run.
    let mut seed = 0x2545_f491_u32;
    for length in (1..2_000).step_by(37) {
        let noise = (0..length).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed.to_be_bytes()[0]
        });
        messages.push(noise.collect());
    }
    messages.push(invite.replace("alice", &"a".repeat(5_000)).into_bytes());
    messages.push(invite.replace("alice", "../../etc/passwd%00&/;").into_bytes());
    messages.push(
        invite
            .replace("Content-Length: 0", "Content-Length: 99999999999999999999")
            .into_bytes(),
    );
    messages.push(invite.replace("Content-Length: 0", "Content-Length: -1").into_bytes());
    messages.push(invite.replace("CSeq: 1", "CSeq: 4294967296").into_bytes());
    messages.push(format!("{}\r\n\r\n", "Via: x\r\n".repeat(2_000)).into_bytes());

    let socket = lab.phones().enter(|| UdpSocket::bind("0.0.0.0:0"))??;
    for message in &messages {
        // A datagram too big to be sent is not the server's affair.
        let _ = socket.send_to(message, address);
    }
    for message in &messages {
        let stream = lab
            .phones()
            .enter(move || TcpStream::connect_timeout(&address, Duration::from_secs(2)))?;
        let mut stream = stream.context("the redirect server takes no connection any more")?;
        let _ = stream.write_all(message);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(5)));
        let _ = stream.read(&mut [0u8; 1_024]);
    }
    let mut asker = Asker::open(&host.namespace)?;
    let located = eventually(Duration::from_secs(5), || Ok(asker.ask("alice")?.0))?;
    ensure!(
        located == Located::Refused(480),
        "{located:?} for alice, who is registered nowhere"
    );
    ensure!(
        asker.ask("nobody")?.0 == Located::Refused(404),
        "an unknown name is not 404"
    );
    ensure!(lab.hosts[0].node_mut()?.is_running(), "fed-node ended");
    Ok(())
}

fn port_in_use(lab: &mut Lab) -> Result<()> {
    let other = lab.hosts[0].prepare_node("late", 100)?;
    other.run(&["init"])?;
    let refused = other.try_run(&["run", "--peer-listen", "0.0.0.0:7401", "--asterisk-enabled", "false"])?;
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success(), "two nodes listen on one port");
    ensure!(text.contains("7401"), "{text}");
    println!("    {}", text.trim());
    Ok(())
}

fn second_node(lab: &mut Lab) -> Result<()> {
    let mut other = lab.hosts[0].prepare_node("second", 200)?;
    other.run(&["join", &lab.hosts[0].node()?.invitation()?])?;
    let (_, password) = lab.hosts[0].asterisk.ari_credentials()?;
    other.start_with(&["--asterisk-password", &password])?;
    other.wait_ready(NOTICED)?;
    says(&other, "another fed-node")?;
    // The first one goes on as if nothing had been.
    let phone = lab.phone_of("alice", Transport::Udp)?;
    phone.register(lab.hosts[0].sip())?;
    eventually(Duration::from_secs(2), || {
        lab.hosts[0].expect_located("alice", &lab.hosts[0])
    })?;
    eventually(NOTICED, || other.run(&["leave", "--yes"])).context("leaving")?;
    phone.unregister(lab.hosts[0].sip()).map(drop)
}

fn wrong_ari_password(lab: &mut Lab) -> Result<()> {
    let node = lab.hosts[0].node_mut()?;
    node.kill()?;
    node.start_with(&["--asterisk-password", "not-it"])?;
    node.wait_ready(NOTICED)?;
    says(node, "check this user, its password and read_only=no in ari.conf")?;
    node.kill()?;
    lab.hosts[0].restart_node()?;
    lab.wait_healthy(NOTICED)
}

fn no_mapping(lab: &mut Lab) -> Result<()> {
    let host = &mut lab.hosts[0];
    let (sorcery, modules) = (
        host.asterisk.etc().join("sorcery.conf"),
        host.asterisk.etc().join("modules.conf"),
    );
    let (installed, loaded) = (std::fs::read_to_string(&sorcery)?, std::fs::read_to_string(&modules)?);
    let without: String = installed
        .lines()
        .filter(|l| !l.contains("=memory"))
        .map(|l| format!("{l}\n"))
        .collect();
    ensure!(without != installed, "asterisk-config wrote no mapping");
    host.asterisk.kill()?;
    std::fs::write(&sorcery, without)?;
    // This module maps everything to memory by itself, where it is loaded.
    std::fs::write(&modules, format!("{loaded}noload => res_pjsip_config_wizard.so\n"))?;
    host.restart_asterisk()?;
    says(host.node()?, "sorcery.conf")?;
    // The remedy it names: the command again, and a restart.
    host.node()?.run(&["asterisk-config", "--write"])?;
    host.asterisk.kill()?;
    host.restart_asterisk()?;
    lab.wait_healthy(NOTICED)?;
    let phone = lab.phone_of("alice", Transport::Udp)?;
    eventually(NOTICED, || phone.register(lab.hosts[0].sip())).map(drop)
}

/// Waits until `status` or the log of a node says these words, and prints the line.
fn says(node: &FedNode, words: &str) -> Result<()> {
    eventually(NOTICED, || {
        let status = node.try_run(&["status"])?;
        let text = String::from_utf8_lossy(&status.stdout).into_owned() + &node.said()?;
        let line = text
            .lines()
            .find(|l| l.contains(words))
            .with_context(|| format!("nothing says {words:?}:\n{text}"))?;
        println!("    {}", line.trim());
        Ok(())
    })
}
