//! `dev`: a whole federation from one command, played from stdin as its help says.

use std::io::{BufRead, BufReader, Write};
use std::process::Stdio;

use crate::support::{Signal, fed_node, signal};

#[test]
fn a_whole_federation_is_played_from_a_script() {
    let mut child = fed_node()
        .arg("dev")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = "register alice n1\nregister bob n3\ncall bob 1001\ncall alice 1002\ncall alice 1003\ncall alice 9999\n\
                  register alice n2\ncall bob 1001\nkill n1\nregister alice n3\nstart n1\nquit\n";
    child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let (out, err) = (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
    );
    assert!(output.status.success(), "{out}\n{err}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 11, "{out}\n{err}");
    assert!(lines[2].contains("bob at n3 called 1001: answered by"), "{out}");
    assert!(lines[3].contains("alice at n1 called 1002: answered by"), "{out}");
    assert!(
        lines[4].contains("failed with SIP 480"),
        "carol is registered nowhere: {out}"
    );
    assert!(lines[5].contains("failed with SIP 404"), "{out}");
    assert!(lines[7].contains("bob at n3 called 1001: answered by"), "{out}");
    assert!(err.contains("fed-node status") && err.contains("Asterisk 16"), "{err}");
    let folder = err.split("logs in ").nth(1).unwrap().lines().next().unwrap();
    assert!(!std::path::Path::new(folder).exists(), "nothing is left behind");
}

#[test]
fn a_line_that_fails_and_the_end_of_stdin_do_not_end_it_but_a_signal_does() {
    let mut child = fed_node()
        .args(["dev", "--nodes", "1"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin
        .write_all(b"nonsense\nregister alice n9\nregister alice n1\n")
        .unwrap();
    drop(stdin);
    let mut said = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut said)
        .unwrap();
    assert!(
        said.contains("alice") && said.contains("n1"),
        "the line after those that failed: {said}"
    );
    assert!(child.try_wait().unwrap().is_none(), "it goes on without a stdin");
    signal(child.id(), Signal::TERM);
    let ended = child.wait().unwrap();
    assert_eq!(ended.code(), Some(1), "two lines failed");
}
