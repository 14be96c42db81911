//! Bugs for the exam of the fault tests: each must be found. One is chosen when the program runs, by [`plant`] or by
//! the environment variable `FED_PLANTED_BUG`; none by default.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

#[cfg(not(debug_assertions))]
compile_error!("planted bugs are for the exam of the fault tests and never in a release");

/// All of them: the name, and what is wrong with it.
pub const BUGS: &[(&str, &str)] = &[
    (
        "local-read",
        "a linearizable read is answered from the local state, without a read index",
    ),
    ("ack-before-fsync", "an append is acknowledged before it is synced"),
    ("vote-not-persisted", "a vote is given and not written down"),
    (
        "cas-outside-apply",
        "a compare-and-set is compared before it is ordered",
    ),
    ("no-dedup", "a request that is sent again is applied again"),
    (
        "snapshot-in-place",
        "a snapshot is written under its final name, and not synced",
    ),
    (
        "install-keeps-deleted",
        "a snapshot that is installed leaves the keys that it does not have",
    ),
    ("watch-one-too-far", "a watch that resumes leaves out the next revision"),
    (
        "stale-cache",
        "a node that led lately answers linearizable reads from its own state",
    ),
    ("id-reused", "a node that joins gets the id of a removed one"),
    (
        "apply-by-hash-order",
        "applying a command depends on the order of a hash map",
    ),
    ("purge-too-early", "the log is purged before the snapshot is durable"),
];

static PLANTED: OnceLock<Option<String>> = OnceLock::new();

/// Plants a bug in this process.
///
/// # Errors
/// When there is no bug of this name, or another one is planted already.
pub fn plant(name: &str) -> Result<(), String> {
    if !BUGS.iter().any(|(known, _)| *known == name) {
        let known: Vec<&str> = BUGS.iter().map(|(known, _)| *known).collect();
        return Err(format!("there is no bug {name}; there are {}", known.join(", ")));
    }
    let planted = PLANTED.get_or_init(|| Some(name.to_owned()));
    match planted.as_deref() == Some(name) {
        true => Ok(()),
        false => Err(format!("{planted:?} is planted already")),
    }
}

/// Whether this bug is planted.
#[must_use]
pub fn is(name: &str) -> bool {
    let planted = PLANTED.get_or_init(|| std::env::var("FED_PLANTED_BUG").ok());
    planted.as_deref() == Some(name)
}

/// For the stale cache: whether the node leads, or did a moment ago.
pub(crate) fn led_lately(node: u64, leads: bool) -> bool {
    const LATELY: Duration = Duration::from_secs(2);
    static LED: Mutex<BTreeMap<u64, Instant>> = Mutex::new(BTreeMap::new());
    let mut led = LED.lock();
    if leads {
        led.insert(node, Instant::now());
    }
    led.get(&node).is_some_and(|at| at.elapsed() < LATELY)
}
