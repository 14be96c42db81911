//! `doctor`: looks this host, its Asterisk, its fed-node and the federation over.
//!
//! [`probe`] gathers facts and judges nothing; each of the [`checks`] is a pure judgement over the facts: what was seen, why it
//! matters, the command that mends it. What could not be gathered is said as not checked, never taken for well.

mod checks;
mod facts;
mod probe;
mod report;

use std::path::Path;

pub use checks::CHECKS;
pub use facts::{AsteriskFacts, CertificateFacts, Facts, Folder, Host, NodeFacts, Port, Sip};
pub use report::{Report, Row};

use crate::cli::{Access, Outcome, Output, print};
use crate::config::ConfigFlags;

/// A judgement.
pub struct Check {
    /// What is looked at, as a noun.
    pub name: &'static str,
    /// Where it is looked at.
    pub on: Subject,
    /// Why it matters.
    pub why: &'static str,
    /// Judges.
    pub judge: fn(&Facts) -> Finding,
}

/// Where a check looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Subject {
    /// At this host, its files, ports and Asterisk.
    Host,
    /// At what the node asked says, of itself and of the federation.
    Federation,
}

/// How good or bad a finding is; the worst decides the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Grade {
    /// As it should be.
    Ok,
    /// It could not be looked at, or does not apply.
    Skipped,
    /// It works today and should be mended.
    Warn,
    /// It is broken.
    Fail,
}

/// What a check came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// How good or bad.
    pub grade: Grade,
    /// What was seen.
    pub seen: String,
    /// The command that mends it; empty where nothing is to be mended.
    pub mend: String,
}

fn ok(seen: impl Into<String>) -> Finding {
    finding(Grade::Ok, seen, "")
}

fn skipped(seen: impl Into<String>) -> Finding {
    finding(Grade::Skipped, seen, "")
}

fn warn(seen: impl Into<String>, mend: impl Into<String>) -> Finding {
    finding(Grade::Warn, seen, mend)
}

fn fail(seen: impl Into<String>, mend: impl Into<String>) -> Finding {
    finding(Grade::Fail, seen, mend)
}

fn finding(grade: Grade, seen: impl Into<String>, mend: impl Into<String>) -> Finding {
    Finding {
        grade,
        seen: seen.into(),
        mend: mend.into(),
    }
}

/// `doctor`
///
/// # Errors
/// When something should be mended (exit code 9) or is broken (10).
pub async fn command(config: Option<&Path>, flags: &ConfigFlags, access: &Access, output: Output) -> Outcome {
    let report = examine(config, flags, access).await;
    print(output, &report)?;
    report.outcome()
}

/// Gathers the facts and judges them.
pub async fn examine(config: Option<&Path>, flags: &ConfigFlags, access: &Access) -> Report {
    Report::of(&probe::gather(config, flags, access).await)
}
