//! The demo on simulated Asterisks, as somebody without root sees it.

use std::process::Command;

#[test]
fn without_root_the_demo_shows_each_step_with_its_time() {
    let output = Command::new(env!("CARGO_BIN_EXE_demo"))
        .arg("--simulated")
        .env("WAIT", "0")
        .output()
        .expect("the demo");
    let text = String::from_utf8_lossy(&output.stdout);
    let all = format!("{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{all}");
    let mut rest = text.as_ref();
    for step in [
        "ms  three nodes are one federation",
        "Phones register at different hosts",
        "ms  alice registered at n1; every node finds it there",
        "ms  bob registered at n2",
        "ms  carol registered at n3",
        "Calls between them",
        "ms  alice at n1 called 1003: answered at n3",
        "ms  carol at n3 called 1002: answered at n2",
        "ms  bob at n2 called 1001: answered at n1",
        "Alice moves from n1 to n3",
        "ms  alice registered at n3",
        "ms  bob at n2 called 1001: answered at n3",
        "The host n3 dies",
        "ms  n3 killed",
        "ms  the Asterisk of n3 is gone",
        "ms  alice registered at n2",
        "ms  bob at n2 called 1001: answered at n2",
        "until calls for carol (last seen there) are refused at once",
        "The host n3 comes back",
        "ms  n3 runs again",
        "ms  carol registered at n3 again",
        "ms  alice at n2 called 1003: answered at n3",
        "All of it took",
    ] {
        let at = rest
            .find(step)
            .unwrap_or_else(|| panic!("no {step:?} in its place:\n{all}"));
        rest = &rest[at + step.len()..];
    }
}
