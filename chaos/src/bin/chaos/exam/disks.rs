//! Level D: a real fed-node with the bug, on RocksDB and a disk that forgets. The same plan must break nothing without
//! the bug, or it would prove nothing.

use std::error::Error;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use fed_chaos::Verdict;
use fed_chaos::plan::Plan;
use fed_chaos::run::{self, Judgement};

use super::Found;

/// The first seed with which the plan shows the bug.
pub(super) fn find(fed_node: &Path, bug: &str, plan: &str, seeds: u64) -> Result<Option<Found>, Box<dyn Error>> {
    let mut plan = Plan::parse(plan)?;
    let folder = tempfile::Builder::new().prefix("chaos-exam-").tempdir()?;
    healthy(&plan, fed_node, folder.path(), "healthy")?;
    let planted = with_bug(fed_node, bug, folder.path())?;
    let began = Instant::now();
    for tried in 1..=seeds {
        plan.seed = tried;
        let judgement = judge(&plan, &planted, folder.path(), &format!("{bug}-{tried}"))?;
        if let Some(by) = broken(&judgement) {
            let after = began.elapsed();
            // What the same faults break without the bug is no proof of it.
            healthy(&plan, fed_node, folder.path(), &format!("healthy-{tried}"))?;
            return Ok(Some(Found {
                seed: tried,
                tried,
                after,
                simulated: None,
                by,
            }));
        }
    }
    Ok(None)
}

/// The plan breaks nothing without a bug.
fn healthy(plan: &Plan, fed_node: &Path, folder: &Path, name: &str) -> Result<(), Box<dyn Error>> {
    match broken(&judge(plan, fed_node, folder, name)?) {
        None => Ok(()),
        Some(broken) => Err(format!(
            "level D: the plan {} with seed {} breaks a promise without a bug: {broken}",
            plan.name, plan.seed
        )
        .into()),
    }
}

fn judge(plan: &Plan, binary: &Path, folder: &Path, name: &str) -> Result<Judgement, Box<dyn Error>> {
    let folder = folder.join(name);
    std::fs::create_dir(&folder)?;
    Ok(run::run(plan, binary, &folder, |_| {})?)
}

/// The first promise that was broken.
fn broken(judgement: &Judgement) -> Option<String> {
    let broken = judgement
        .findings
        .iter()
        .find(|finding| finding.verdict == Verdict::False);
    broken.map(|finding| finding.what.clone())
}

/// A program that is the fed-node with the bug. A script, because processes under test do not inherit `FED_` variables.
fn with_bug(fed_node: &Path, bug: &str, folder: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let script = folder.join(format!("fed-node-{bug}"));
    let fed_node = std::fs::canonicalize(fed_node)?;
    let fed_node = fed_node.to_str().ok_or("the path of the fed-node is no text")?;
    let quoted = fed_node.replace('\'', "'\\''");
    std::fs::write(
        &script,
        format!("#!/bin/sh\nFED_PLANTED_BUG={bug} exec '{quoted}' \"$@\"\n"),
    )?;
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
    Ok(script)
}
