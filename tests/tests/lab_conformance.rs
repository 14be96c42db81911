//! What fed-ari's tests say of the simulated Asterisk is true of the real ones, or the simulation has drifted from the truth.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{ErrorKind, Write as _};
use std::os::unix::net::UnixListener;
use std::process::ExitCode;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Host, Lab, Version, capture, checkout};

/// The contexts that the statements about calls are made with.
const DIALPLAN: &str = "fed-ari/tests/asterisk/conformance/dialplan.conf";

fn main() -> ExitCode {
    cases::main(
        || Lab::start_bare(&[Version::V22, Version::V16]),
        &[Case {
            name: "every_statement_about_the_simulated_asterisk_holds_for_22_and_16",
            body: statements,
        }],
    )
}

/// The statements are a test binary of fed-ari, run inside each host while its fed-node, which would delete what it does not know, is dead.
fn statements(lab: &mut Lab) -> Result<()> {
    let mut broken = Vec::new();
    for host in &mut lab.hosts {
        host.node_mut()?.kill()?;
        extend_dialplan(host)?;
        let (user, password) = host.asterisk.ari_credentials()?;
        let socket = host.folder.join("restart.socket");
        let real = format!(
            "http://127.0.0.1:8088,{},{user},{password},{}",
            host.sip(),
            socket.display()
        );
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = host.namespace.command(&cargo.to_string_lossy());
        command
            .args(["test", "--workspace", "--locked", "--offline", "--test", "asterisk"])
            .args(["--", "conformance::", "--test-threads=1"])
            .env("FED_REAL_ASTERISKS", real);
        // What cargo told this test of its own package would have build scripts run again, and half of the dependencies built anew.
        for (name, _) in std::env::vars_os() {
            if ["CARGO_PKG_", "CARGO_MANIFEST_"]
                .iter()
                .any(|prefix| name.to_string_lossy().starts_with(prefix))
            {
                command.env_remove(name);
            }
        }
        let listener = UnixListener::bind(&socket).with_context(|| socket.display().to_string())?;
        listener.set_nonblocking(true)?;
        let output = thread::scope(|scope| {
            let running = scope.spawn(|| capture(&mut command));
            while !running.is_finished() {
                restart_when_asked(&listener, host)?;
            }
            running.join().map_err(|_| anyhow!("the tests could not be run"))?
        })?;
        let said = String::from_utf8_lossy(&output.stdout);
        let summary = said
            .lines()
            .find(|line| line.starts_with("test result:"))
            .unwrap_or_default();
        println!("    {} ({:?}): {summary}", host.name, host.asterisk.version());
        if !output.status.success() || summary.contains("ok. 0 passed") {
            broken.push(format!("{said}\n{}", String::from_utf8_lossy(&output.stderr)));
        }
    }
    ensure!(broken.is_empty(), "{}", broken.join("\n"));
    Ok(())
}

fn extend_dialplan(host: &Host) -> Result<()> {
    let contexts = std::fs::read(checkout().join(DIALPLAN)).context(DIALPLAN)?;
    let file = host.asterisk.etc().join("extensions.conf");
    OpenOptions::new().append(true).open(file)?.write_all(&contexts)?;
    host.asterisk.cli("dialplan reload").map(drop)
}

/// Kills this Asterisk and starts it again for whoever has connected; without anybody it is only a pause.
fn restart_when_asked(listener: &UnixListener, host: &mut Host) -> Result<()> {
    match listener.accept() {
        Ok((mut stream, _)) => {
            host.asterisk.kill()?;
            host.restart_asterisk()?;
            Ok(stream.write_all(b"restarted")?)
        }
        Err(e) if e.kind() == ErrorKind::WouldBlock => {
            // Its caller looks again until the statements have ended.
            thread::sleep(Duration::from_millis(20));
            Ok(())
        }
        Err(e) => Err(e.into()),
    }
}
