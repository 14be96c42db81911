//! Whole-system tests: the lab of real Asterisks, the phones in it, and what demo, tests and benches share.

pub mod figures;
pub mod flood;
pub mod lab;
pub mod load;
pub mod machine;
pub mod phone;
pub mod sampler;
pub mod sipp;
pub mod storm;
pub mod traffic;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use phone::{Call, Incoming, Phone};

/// Waits until both sides of a call have heard 20 packets (0.4 s of speech) of the *other's* voice.
///
/// # Errors
/// When one of them hears nothing within five seconds; the text holds the counts.
pub fn both_hear(call: &Call, caller: &Phone, incoming: &Incoming, callee: &Phone) -> Result<()> {
    eventually(Duration::from_secs(5), || {
        let heard = (
            call.rtp().heard_from(callee.voice()),
            incoming.rtp().heard_from(caller.voice()),
        );
        if heard.0 >= 20 && heard.1 >= 20 {
            return Ok(());
        }
        bail!(
            "{} heard {} packets of {}, who heard {}",
            caller.id(),
            heard.0,
            callee.id(),
            heard.1
        )
    })
}

/// Tries until it succeeds or the patience ends; then the last failure is the answer.
///
/// # Errors
/// The last failure.
pub fn eventually<T>(patience: Duration, mut attempt: impl FnMut() -> Result<T>) -> Result<T> {
    let deadline = Instant::now() + patience;
    loop {
        match attempt() {
            Ok(value) => return Ok(value),
            Err(why) if Instant::now() >= deadline => return Err(why.context(format!("still so after {patience:?}"))),
            Err(_) => std::thread::sleep(Duration::from_millis(5)),
        }
    }
}
