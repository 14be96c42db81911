//! Each example runs by itself to its end.

use std::path::PathBuf;
use std::process::Command;

/// Where cargo puts the examples of this build: beside the folder of this test.
fn example(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test is a file");
    let build = test.parent().and_then(|deps| deps.parent()).expect("a build folder");
    build.join("examples").join(name)
}

fn runs(name: &str) -> String {
    let path = example(name);
    let said = Command::new(&path).output();
    let said = said.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let (out, err) = (
        String::from_utf8_lossy(&said.stdout),
        String::from_utf8_lossy(&said.stderr),
    );
    assert!(said.status.success(), "{name}: {}\n{out}\n{err}", said.status);
    out.into_owned()
}

#[test]
fn the_counter_counts() {
    assert!(runs("counter").contains("without node 1: 16"));
}

#[test]
fn the_lock_service_fences_off_an_old_token() {
    let out = runs("lock_service");
    assert!(
        out.contains("refused: [\"from the first\", \"from the second\"]"),
        "{out}"
    );
}

#[test]
fn users_are_located_without_an_asterisk() {
    let out = runs("user_location");
    assert!(
        out.contains("alice moved away") && out.contains("back at paris"),
        "{out}"
    );
}
