//! `user import`: writes what differs from the map, users before devices, in batches.

use std::time::Instant;

use fed_proto::client as pb;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pb::change::What;
use serde::Serialize;

use super::check::{LineError, check};
use super::plan::{Plan, Present};
use crate::cli::{Client, Exit, Failure, ImportArgs, Outcome, Output, Show, all_devices, all_users, print, realm};
use crate::explain::Code;

/// Changes in one call.
const BATCH: usize = 500;
/// Errors told in full; the rest are counted.
const MOST_ERRORS: usize = 50;

#[derive(Debug, Serialize)]
struct Imported {
    users: usize,
    devices: usize,
    added: usize,
    changed: usize,
    unchanged: usize,
    dry_run: bool,
    seconds: f64,
}

impl Show for Imported {
    fn text(&self) -> String {
        let verb = if self.dry_run { "would be " } else { "" };
        format!(
            "{} users and {} devices: {} {verb}added, {} {verb}changed, {} as they were ({:.1} s)",
            self.users, self.devices, self.added, self.changed, self.unchanged, self.seconds
        )
    }
}

/// Imports a file: checked whole before the first write; what is in the map already is not written again.
///
/// # Errors
/// Every wrong line, before anything is written; or what was refused, with how much had been written.
pub async fn import(client: &Client, args: &ImportArgs, output: Output) -> Outcome {
    let started = Instant::now();
    let text = std::fs::read_to_string(&args.file)
        .map_err(|error| Failure::usage(format!("{}: {error}", args.file.display())))?;
    let roster =
        check(&text, &realm(client).await?).map_err(|errors| told(&args.file.display().to_string(), &errors))?;
    let (users, devices) = (roster.users.len(), roster.devices.len());
    let present = Present::new(all_users(client).await?, all_devices(client, "", true).await?);
    let plan = Plan::new(roster, &present).map_err(|taken| refused(&args.file.display().to_string(), &taken))?;
    let (added, changed) = (plan.added, plan.changes.len() - plan.added);
    let unchanged = users + devices - plan.changes.len();
    if !args.dry_run {
        write_all(client, plan).await?;
    }
    let seconds = started.elapsed().as_secs_f64();
    print(
        output,
        &Imported {
            users,
            devices,
            added,
            changed,
            unchanged,
            dry_run: args.dry_run,
            seconds,
        },
    )
}

fn told(file: &str, errors: &[LineError]) -> Failure {
    let mut lines: Vec<String> = errors
        .iter()
        .take(MOST_ERRORS)
        .map(|error| format!("{file}:{}: {}", error.line, error.why))
        .collect();
    if errors.len() > MOST_ERRORS {
        lines.push(format!("and {} more", errors.len() - MOST_ERRORS));
    }
    let verb = if errors.len() == 1 { "line is" } else { "lines are" };
    lines.push(format!("{} {verb} wrong; nothing was changed", errors.len()));
    Failure::usage(lines.join("\n")).coded(Code::ImportStopped)
}

/// What the map would refuse.
fn refused(file: &str, taken: &[String]) -> Failure {
    let mut lines: Vec<String> = taken
        .iter()
        .take(MOST_ERRORS)
        .map(|why| format!("{file}: {why}"))
        .collect();
    if taken.len() > MOST_ERRORS {
        lines.push(format!("and {} more", taken.len() - MOST_ERRORS));
    }
    lines.push("nothing was changed".to_owned());
    Failure::new(Exit::Refused, lines.join("\n")).coded(Code::ImportStopped)
}

/// Takes away the numbers that change places, then writes what the file says.
async fn write_all(client: &Client, mut plan: Plan) -> Outcome {
    let ids: Vec<String> = plan
        .releases
        .iter()
        .map(|put| put.user.as_ref().map(|user| user.id.clone()).unwrap_or_default())
        .collect();
    let releases: Vec<pb::Change> = std::mem::take(&mut plan.releases)
        .into_iter()
        .map(|put| pb::Change {
            what: Some(What::PutUser(put)),
        })
        .collect();
    let revisions = write(client, releases).await?;
    plan.released(&ids.into_iter().zip(revisions).collect());
    write(client, plan.changes).await.map(drop)
}

/// Writes in batches; the revision of each change.
async fn write(client: &Client, changes: Vec<pb::Change>) -> Outcome<Vec<u64>> {
    let bar = progress(changes.len());
    let mut written = Vec::with_capacity(changes.len());
    let mut refusals = Vec::new();
    for batch in changes.chunks(BATCH) {
        let request = pb::WriteManyRequest {
            changes: batch.to_vec(),
            all_or_nothing: false,
        };
        let reply = client.api.clone().write(request).await.map_err(|status| {
            let failure = Failure::from(status);
            let text = format!(
                "{}; {} changes had been written: run the import again to write the rest",
                failure.message,
                written.len()
            );
            Failure::new(failure.exit, text).coded(failure.code)
        })?;
        for result in reply.into_inner().results {
            if result.refusal.is_empty() {
                written.push(result.revision);
            } else {
                refusals.push(result.refusal);
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    if refusals.is_empty() {
        return Ok(written);
    }
    let count = refusals.len();
    refusals.truncate(MOST_ERRORS);
    let text = format!(
        "{}\n{count} changes were refused, {} were written: the map was changed meanwhile; run the import again",
        refusals.join("\n"),
        written.len()
    );
    Err(Failure::new(Exit::Refused, text).coded(Code::ImportStopped))
}

/// Shown on a terminal only.
fn progress(length: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} written, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
