//! Phones played by SIPp: SIP written by somebody else, so that our own phone's habits do not hide anything.
//!
//! The scenarios are templates; words in `@..@` are filled in for each run.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::eventually;
use crate::lab::{Daemon, Lab, capture, password_of};
use crate::phone::Transport;

const LISTENS_WITHIN: Duration = Duration::from_secs(10);

/// A device played by SIPp on a port of its own. It answers calls and sends back whatever it hears.
#[derive(Debug)]
pub struct SippPhone {
    process: Daemon,
}

impl SippPhone {
    /// Registers the device at a server, then answers one call with an echo.
    ///
    /// # Errors
    /// When SIPp fails to register; the text holds the end of what it said.
    pub fn answering(lab: &Lab, device: &str, server: SocketAddr, port: u16, transport: Transport) -> Result<Self> {
        let register = scenario(lab, &format!("{device}-register"), include_str!("register.xml"), &[])?;
        run(sipp(lab, &register, device, server, port, transport).args(["-s", device]))?;
        let answer = scenario(lab, &format!("{device}-answer"), include_str!("answer.xml"), &[])?;
        let mut command = sipp(lab, &answer, device, server, port, transport);
        let media = (port + 1_000).to_string();
        command.args(["-rtp_echo", "-mp", &media]);
        let mut process = Daemon::start("sipp", &mut command, &lab.folder().join(format!("{device}-sipp.log")))?;
        // A call that comes before SIPp listens ends with 503.
        eventually(LISTENS_WITHIN, || {
            process.check()?;
            ensure!(is_open(lab, port, transport)?, "SIPp does not listen on port {port}");
            Ok(())
        })?;
        Ok(Self { process })
    }

    /// Fails when SIPp has ended.
    ///
    /// # Errors
    /// When it has; its log says why.
    pub fn check(&mut self) -> Result<()> {
        self.process.check()
    }
}

/// Places one call as that device, of one second, and fails unless every step of it went as SIPp's scenario says.
///
/// # Errors
/// With the end of what SIPp said.
pub fn place_call(
    lab: &Lab,
    device: &str,
    server: SocketAddr,
    dialled: &str,
    port: u16,
    transport: Transport,
) -> Result<()> {
    let call = scenario(
        lab,
        &format!("{device}-call"),
        include_str!("call.xml"),
        &[("@CALLED@", dialled), ("@CALLER@", device)],
    )?;
    run(&mut sipp(lab, &call, device, server, port, transport))
}

/// Whether somebody among the phones has the port open (Linux: proc(5), `/proc/net/udp` and `/proc/net/tcp`).
fn is_open(lab: &Lab, port: u16, transport: Transport) -> Result<bool> {
    let table = if transport == Transport::Tcp { "tcp" } else { "udp" };
    let sockets = lab
        .phones()
        .enter(move || fs::read_to_string(format!("/proc/thread-self/net/{table}")))??;
    let local = format!(":{port:04X}");
    Ok(sockets.lines().any(|line| {
        line.split_ascii_whitespace()
            .nth(1)
            .is_some_and(|address| address.ends_with(&local))
    }))
}

fn scenario(lab: &Lab, name: &str, template: &str, words: &[(&str, &str)]) -> Result<PathBuf> {
    let text = words
        .iter()
        .fold(template.to_owned(), |text, (word, value)| text.replace(word, value));
    let path = lab.folder().join(format!("{name}.xml"));
    fs::write(&path, text)?;
    Ok(path)
}

fn sipp(
    lab: &Lab,
    scenario: &std::path::Path,
    device: &str,
    server: SocketAddr,
    port: u16,
    transport: Transport,
) -> Command {
    let mut command = lab.phones().command("sipp");
    command.current_dir(lab.folder());
    command.arg(server.to_string()).arg("-sf").arg(scenario);
    command.args([
        "-nostdin",
        "-m",
        "1",
        "-timeout",
        "20",
        "-timeout_error",
        "-i",
        &lab.phones_ip().to_string(),
    ]);
    command.args(["-p", &port.to_string(), "-au", device, "-ap", &password_of(device)]);
    command.args(["-t", if transport == Transport::Tcp { "t1" } else { "u1" }]);
    command
}

fn run(command: &mut Command) -> Result<()> {
    let output = capture(command).context("sipp")?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    let last: Vec<_> = said.lines().rev().take(12).collect();
    bail!(
        "sipp failed ({}): {}",
        output.status,
        last.into_iter().rev().collect::<Vec<_>>().join("\n")
    )
}
