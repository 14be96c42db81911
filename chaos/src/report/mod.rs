//! A run as one page: faults, operations, leaders and latency on one time line, the verdicts, and the first bad key. One HTML file
//! that needs nothing else.

mod page;
mod timeline;

use std::path::Path;

use crate::history::History;
use crate::linearizability::{self, Limits};
use crate::plan::Plan;
use crate::run::journal::{self, Entry};
use crate::run::{HISTORY, JOURNAL, Judgement, PLAN, VERDICT};

/// Makes the page of what was recorded in a folder, or of a history alone. What is not there is left out.
///
/// # Errors
/// In words, when the history cannot be read.
pub fn report(path: &Path) -> Result<String, String> {
    let (folder, history) = if path.is_dir() {
        (path, path.join(HISTORY))
    } else {
        (path.parent().unwrap_or(Path::new(".")), path.to_owned())
    };
    let history = History::read(&history).map_err(|error| error.to_string())?;
    let text = |name: &str| std::fs::read_to_string(folder.join(name)).ok();
    let plan = text(PLAN).and_then(|text| Plan::parse(&text).ok());
    let judgement: Option<Judgement> = text(VERDICT).and_then(|text| serde_json::from_str(&text).ok());
    let entries: Vec<Entry> = journal::read(&folder.join(JOURNAL)).unwrap_or_default();
    let checked = linearizability::check(&history.operations, &Limits::default());
    Ok(page::page(&page::Content {
        plan: plan.as_ref(),
        judgement: judgement.as_ref(),
        operations: &history.operations,
        entries: &entries,
        checked: &checked,
    }))
}
