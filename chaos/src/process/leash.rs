//! Processes that do not outlive whoever started them, however that ends.

use std::process::{Command, Stdio};
use std::sync::OnceLock;

const WORDS: [&str; 4] = ["setpriv", "--pdeathsig", "KILL", "--"];

/// Words put before a program, as [`Program::through`](super::Program::through) says, with which the kernel kills it when the *thread*
/// that started it ends, be it by SIGKILL of its process. None where util-linux's `setpriv` is missing: it is then killed only when
/// its value is dropped. Not for programs that are started on threads which end sooner, such as a runtime's for blocking work.
#[must_use]
pub fn leash() -> &'static [&'static str] {
    static WORKS: OnceLock<bool> = OnceLock::new();
    let works = WORKS.get_or_init(|| {
        let mut trial = Command::new(WORDS[0]);
        trial.args(&WORDS[1..]).arg("true");
        trial.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        trial.status().is_ok_and(|status| status.success())
    });
    if *works { &WORDS } else { &[] }
}
