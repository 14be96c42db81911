//! What fed-ari's tests say of the simulated Asterisk is true of the real ones, or the simulation has drifted from the truth.

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use fed_tests::lab::cases::{self, Case};
use fed_tests::lab::{Lab, Version, capture};

fn main() -> ExitCode {
    cases::main(
        || Lab::start_federated(&[Version::V22, Version::V16]),
        &[Case {
            name: "every_statement_about_the_simulated_asterisk_holds_for_22_and_16",
            body: statements,
        }],
    )
}

/// The statements are a test binary of fed-ari, run inside each host while its fed-node, which would delete what it does not know, is dead.
fn statements(lab: &mut Lab) -> Result<()> {
    for host in &mut lab.hosts {
        host.node_mut()?.kill()?;
        let (user, password) = host.asterisk.ari_credentials()?;
        let real = format!("http://127.0.0.1:8088,{},{user},{password}", host.sip());
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
        let mut command = host.namespace.command(&cargo.to_string_lossy());
        command
            .args(["test", "--workspace", "--locked", "--offline", "--test", "asterisk"])
            .args(["--", "conformance::"])
            .env("FED_REAL_ASTERISKS", real);
        let output = capture(&mut command)?;
        let said = String::from_utf8_lossy(&output.stdout);
        let summary = said
            .lines()
            .find(|line| line.starts_with("test result:"))
            .unwrap_or_default();
        println!("    {} ({:?}): {summary}", host.name, host.asterisk.version());
        ensure!(
            output.status.success() && !summary.contains("ok. 0 passed"),
            "{said}\n{}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}
