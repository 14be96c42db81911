//! The one way in which commands change the map: made, or with `--dry-run` only told.

use std::io::{BufRead, IsTerminal};
use std::time::Duration;

use fed_proto::client as pb;
use pb::change::What;
use serde::Serialize;

use super::args::Output;
use super::client::Client;
use super::exit::{Failure, Outcome};
use super::output::{Show, print};
use super::ready::{reaches_asterisk, wait_for_asterisks};
use super::views::Done;
use crate::explain::Code;
use crate::talk;

/// How a command that changes something goes about it.
#[derive(Debug, Clone, Copy)]
pub struct Intent {
    /// How its data is printed.
    pub output: Output,
    /// Only tell what would change.
    pub dry_run: bool,
    /// Do not ask.
    pub yes: bool,
}

impl Intent {
    /// Asks, at a terminal, before something that cannot be undone.
    ///
    /// # Errors
    /// When the answer is no, or nobody can be asked and `--yes` was not given. Nothing was changed then.
    pub fn confirm(self, question: &str) -> Outcome {
        if self.yes || self.dry_run {
            return Ok(());
        }
        if !std::io::stdin().is_terminal() {
            let text = "this cannot be undone: repeat the command with --yes to do it without being asked, or with --dry-run to see what it would do";
            return Err(Failure::usage(text).coded(Code::ConfirmationMissing));
        }
        talk::ask(format_args!("{question} [y/N] "));
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if matches!(answer.trim(), "y" | "Y" | "yes") {
            Ok(())
        } else {
            Err(Failure::usage("nothing was changed").coded(Code::ConfirmationMissing))
        }
    }
}

/// How long a command waits until the Asterisks have what it changed.
const READY: Duration = Duration::from_secs(2);

/// Makes the changes, all or none, waits until the Asterisks have them, and prints `done`; or prints what they would do.
///
/// # Errors
/// What was refused: with `--dry-run`, what would be.
pub(crate) async fn change(client: &Client, intent: Intent, changes: Vec<What>, done: String) -> Outcome {
    let reaches_asterisk = changes.iter().any(reaches_asterisk);
    let changes = changes.into_iter().map(|what| pb::Change { what: Some(what) });
    let request = pb::WriteManyRequest {
        changes: changes.collect(),
        all_or_nothing: true,
        dry_run: intent.dry_run,
    };
    let reply = client.api.clone().write(request).await?.into_inner();
    if intent.dry_run {
        return tell(intent.output, reply.would.unwrap_or_default().changes);
    }
    let revision = reply.results.last().map_or(0, |result| result.revision);
    if reaches_asterisk {
        wait_for_asterisks(client, revision, READY).await;
    }
    print(intent.output, &Done { text: done, revision })
}

/// Prints that an object would be made, with its fields.
///
/// # Errors
/// When it cannot be printed.
pub(crate) fn tell_made(output: Output, object: String, fields: Vec<(&str, String)>) -> Outcome {
    let fields = fields.into_iter().filter(|(_, value)| !value.is_empty());
    let fields = fields.map(|(field, value)| pb::FieldChange {
        field: field.to_owned(),
        before: String::new(),
        after: value,
    });
    let change = pb::WouldChange {
        object,
        kind: "made".to_owned(),
        fields: fields.collect(),
    };
    tell(output, vec![change])
}

/// Prints what would change.
///
/// # Errors
/// When it cannot be printed.
pub(crate) fn tell(output: Output, changes: Vec<pb::WouldChange>) -> Outcome {
    print(output, &Would::from(changes))?;
    talk!("nothing was changed (--dry-run)");
    Ok(())
}

#[derive(Debug, Serialize)]
struct Would {
    dry_run: bool,
    changes: Vec<ChangeView>,
}

/// A change as it is shown.
#[derive(Debug, Serialize)]
pub(crate) struct ChangeView {
    object: String,
    change: String,
    fields: Vec<FieldView>,
}

#[derive(Debug, Serialize)]
struct FieldView {
    field: String,
    before: String,
    after: String,
}

impl From<Vec<pb::WouldChange>> for Would {
    fn from(changes: Vec<pb::WouldChange>) -> Self {
        Self {
            dry_run: true,
            changes: changes.into_iter().map(Into::into).collect(),
        }
    }
}

impl From<pb::WouldChange> for ChangeView {
    fn from(change: pb::WouldChange) -> Self {
        let field = |field: pb::FieldChange| FieldView {
            field: field.field,
            before: field.before,
            after: field.after,
        };
        Self {
            object: change.object,
            change: change.kind,
            fields: change.fields.into_iter().map(field).collect(),
        }
    }
}

/// Changes as lines for people.
pub(crate) fn change_lines(changes: &[ChangeView]) -> Vec<String> {
    let mut lines = Vec::new();
    for change in changes {
        lines.push(format!("{} would be {}", change.object, change.change));
        for field in &change.fields {
            lines.push(match (field.before.as_str(), field.after.as_str()) {
                ("", after) => format!("  {}: {after}", field.field),
                (before, "") => format!("  {}: {before} -> (none)", field.field),
                (before, after) => format!("  {}: {before} -> {after}", field.field),
            });
        }
    }
    lines
}

impl Show for Would {
    fn text(&self) -> String {
        if self.changes.is_empty() {
            return "nothing would change".to_owned();
        }
        change_lines(&self.changes).join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_change_is_told_field_by_field() {
        let field = |field: &str, before: &str, after: &str| pb::FieldChange {
            field: field.to_owned(),
            before: before.to_owned(),
            after: after.to_owned(),
        };
        let change = pb::WouldChange {
            object: "user alice".to_owned(),
            kind: "changed".to_owned(),
            fields: vec![
                field("numbers", "1001", "1002"),
                field("mailbox", "", "1@x"),
                field("name", "Alice", ""),
            ],
        };
        assert_eq!(
            Would::from(vec![change]).text(),
            "user alice would be changed\n  numbers: 1001 -> 1002\n  mailbox: 1@x\n  name: Alice -> (none)"
        );
        assert_eq!(Would::from(Vec::new()).text(), "nothing would change");
    }
}
