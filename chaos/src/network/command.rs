//! Running the small system commands (ip, nft) that make up a network.

use std::io::Write;
use std::process::{Command, Stdio};

use super::NetworkError;

/// Runs a command to its end and gives what it printed.
pub(super) fn run(program: &str, args: &[&str]) -> Result<String, NetworkError> {
    finish(Command::new(program).args(args), "")
}

/// As [`run`], for a prepared command, which reads `input`.
pub(super) fn finish(command: &mut Command, input: &str) -> Result<String, NetworkError> {
    let words: Vec<_> = std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy().into_owned())
        .collect();
    let failed = |why: String| NetworkError::Command {
        command: words.join(" "),
        why,
    };
    let piped = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = piped.spawn().map_err(|error| failed(error.to_string()))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that does not read to the end says why itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    if output.status.success() {
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    } else {
        let said = [output.stderr, output.stdout].concat();
        Err(failed(format!(
            "{}: {}",
            output.status,
            String::from_utf8_lossy(&said).trim()
        )))
    }
}
