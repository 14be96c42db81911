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
/// In words, with the file, when the history or what is beside it cannot be read.
pub fn report(path: &Path) -> Result<String, String> {
    let (folder, history) = if path.is_dir() {
        (path, path.join(HISTORY))
    } else {
        (path.parent().unwrap_or(Path::new(".")), path.to_owned())
    };
    let history = History::read(&history).map_err(|error| error.to_string())?;
    let beside = |name: &str| Some(folder.join(name)).filter(|file| file.exists());
    let plan = beside(PLAN)
        .map(|file| Plan::read(&file).map_err(|error| error.to_string()))
        .transpose()?;
    let judgement = beside(VERDICT).map(|file| read_judgement(&file)).transpose()?;
    let entries: Vec<Entry> = beside(JOURNAL)
        .map(|file| journal::read(&file))
        .transpose()?
        .unwrap_or_default();
    let checked = linearizability::check(&history.operations, &Limits::default());
    Ok(page::page(&page::Content {
        plan: plan.as_ref(),
        judgement: judgement.as_ref(),
        operations: &history.operations,
        entries: &entries,
        checked: &checked,
    }))
}

fn read_judgement(file: &Path) -> Result<Judgement, String> {
    let of_file = |why: String| format!("{}: {why}", file.display());
    let text = std::fs::read_to_string(file).map_err(|error| of_file(error.to_string()))?;
    serde_json::from_str(&text).map_err(|error| of_file(format!("not a verdict of this program: {error}")))
}
