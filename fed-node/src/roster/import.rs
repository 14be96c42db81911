//! `user import`: writes what differs from the map, users before devices, in batches of which several are under way.

use std::collections::HashSet;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use fed_proto::client as pb;
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pb::change::What;
use serde::Serialize;

use super::check::{LineError, Roster, check};
use super::plan::{Plan, Present};
use crate::cli::{
    ChangeView, Client, Exit, Failure, ImportArgs, Intent, Outcome, Show, all_devices, all_nodes, all_users,
    change_lines, print, realm, wait_for_asterisks,
};
use crate::explain::Code;
use crate::talk;

/// Changes in one call.
const BATCH: usize = 500;
/// Calls under way: while one is replicated, the next is read and checked.
const UNDER_WAY: usize = 4;
/// How long it waits, at the end, until the Asterisks have what was written.
const READY: Duration = Duration::from_secs(60);
/// Errors told in full; the rest are counted.
const MOST_ERRORS: usize = 50;

#[derive(Debug, Serialize)]
struct Imported {
    users: usize,
    devices: usize,
    added: usize,
    changed: usize,
    unchanged: usize,
    /// Lines left out because they were wrong.
    wrong: usize,
    dry_run: bool,
    seconds: f64,
    /// With a dry run: what would be made and changed.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    changes: Vec<ChangeView>,
}

impl Show for Imported {
    fn text(&self) -> String {
        let verb = if self.dry_run { "would be " } else { "" };
        let mut lines = change_lines(&self.changes);
        lines.push(format!(
            "{} users and {} devices: {} {verb}added, {} {verb}changed, {} as they were ({:.1} s)",
            self.users, self.devices, self.added, self.changed, self.unchanged, self.seconds
        ));
        lines.join("\n")
    }
}

/// Imports a file: checked whole before the first write; what is in the map already is not written again. With `--keep-going`, users
/// with a wrong line are left out and the others written.
///
/// # Errors
/// Every wrong line, before anything is written, or with `--keep-going` after the right ones were; or what was refused, with how
/// much had been written.
pub async fn import(client: &Client, args: &ImportArgs, intent: Intent) -> Outcome {
    let started = Instant::now();
    let file = args.file.display().to_string();
    let bytes = std::fs::read(&args.file).map_err(|error| Failure::usage(format!("{file}: {error}")))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
        Failure::usage(format!(
            "{file}:{line}: is not UTF-8 text; convert the file (for example with iconv); nothing was changed"
        ))
    })?;
    let (mut roster, mut errors) = check(&text, &realm(client).await?);
    errors.extend(unknown_nodes(client, &roster).await?);
    errors.sort_by_key(|error| error.line);
    let stops = |errors: &[LineError]| !errors.is_empty() && !args.keep_going;
    if stops(&errors) {
        keep_errors(args.errors.as_deref(), &errors)?;
        return Err(told(&file, &errors, Exit::Usage, "nothing was changed"));
    }
    roster.leave_out(&errors);
    let present = Present::new(all_users(client).await?, all_devices(client, "", true).await?);
    let plan = loop {
        match Plan::new(roster.clone(), &present) {
            Ok(plan) => break plan,
            Err(taken) => {
                let more: Vec<LineError> = taken.into_iter().map(|taken| taken.on_its_line(&roster)).collect();
                roster.leave_out(&more);
                errors.extend(more);
                errors.sort_by_key(|error| error.line);
            }
        }
        if stops(&errors) {
            keep_errors(args.errors.as_deref(), &errors)?;
            return Err(told(&file, &errors, Exit::Refused, "nothing was changed"));
        }
    };
    keep_errors(args.errors.as_deref(), &errors)?;
    let imported = |changes: Vec<ChangeView>, plan: &Plan, roster: &Roster| Imported {
        users: roster.users.len(),
        devices: roster.devices.len(),
        added: plan.added,
        changed: plan.changes.len() - plan.added,
        unchanged: roster.users.len() + roster.devices.len() - plan.changes.len(),
        wrong: wrong_lines(&errors),
        dry_run: intent.dry_run,
        seconds: 0.0,
        changes,
    };
    let changes = if intent.dry_run {
        plan.differences(&present)
    } else {
        Vec::new()
    };
    let mut done = imported(changes.into_iter().map(Into::into).collect(), &plan, &roster);
    let mut newest = None;
    if !intent.dry_run {
        newest = write_all(client, plan).await?;
    }
    done.seconds = started.elapsed().as_secs_f64();
    print(intent.output, &done)?;
    if let Some(revision) = newest {
        wait(client, revision).await;
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(told(&file, &errors, Exit::Failed, "their users were left out"))
    }
}

/// Users who prefer a node that does not exist.
async fn unknown_nodes(client: &Client, roster: &Roster) -> Outcome<Vec<LineError>> {
    if roster.users.iter().all(|user| user.preferred_nodes.is_empty()) {
        return Ok(Vec::new());
    }
    let records = all_nodes(client).await?;
    let there: HashSet<u64> = records
        .iter()
        .flat_map(|record| &record.node)
        .map(|node| node.id)
        .collect();
    Ok(roster.without_nodes(&there))
}

/// How many lines they are about: one line may be wrong in several ways.
fn wrong_lines(errors: &[LineError]) -> usize {
    errors.iter().map(|error| error.line).collect::<HashSet<_>>().len()
}

fn told(file: &str, errors: &[LineError], exit: Exit, outcome: &str) -> Failure {
    let mut lines: Vec<String> = errors
        .iter()
        .take(MOST_ERRORS)
        .map(|error| format!("{file}:{}: {}", error.line, error.why))
        .collect();
    if errors.len() > MOST_ERRORS {
        lines.push(format!("and {} more", errors.len() - MOST_ERRORS));
    }
    let wrong = wrong_lines(errors);
    let verb = if wrong == 1 { "line is" } else { "lines are" };
    lines.push(format!("{wrong} {verb} wrong; {outcome}"));
    Failure::new(exit, lines.join("\n")).coded(Code::ImportStopped)
}

/// All errors as a CSV file; only its head when there are none, so that an older file is not taken for this one's.
fn keep_errors(file: Option<&Path>, errors: &[LineError]) -> Outcome {
    let Some(file) = file else { return Ok(()) };
    let mut writer = csv::Writer::from_writer(Vec::new());
    let written = writer.write_record(["line", "user", "error"]).and_then(|()| {
        errors
            .iter()
            .try_for_each(|error| writer.write_record([&error.line.to_string(), &error.user, &error.why]))
    });
    written.map_err(Failure::failed)?;
    let bytes = writer.into_inner().map_err(|error| Failure::failed(error.error()))?;
    let kept = std::fs::File::create(file).and_then(|mut out| out.write_all(&bytes));
    kept.map_err(|error| Failure::usage(format!("{}: {error}; nothing was changed", file.display())))
}

/// Takes away the numbers that change places, then writes what the file says.
async fn write_all(client: &Client, mut plan: Plan) -> Outcome<Option<u64>> {
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
    let bar = progress(releases.len() + plan.changes.len());
    let revisions = write(client, releases, &bar).await?;
    let mut newest = revisions.iter().copied().max();
    plan.released(&ids.into_iter().zip(revisions).collect());
    let is_device = |change: &pb::Change| matches!(change.what, Some(What::PutDevice(_)));
    let first_device = plan.changes.iter().position(is_device).unwrap_or(plan.changes.len());
    let devices = plan.changes.split_off(first_device);
    // A device needs its user: no batch of devices is under way before the last one of users is done.
    for changes in [plan.changes, devices] {
        newest = newest.max(write(client, changes, &bar).await?.into_iter().max());
    }
    bar.finish_and_clear();
    Ok(newest)
}

/// Waits until the Asterisks have what was written, and says how long that took.
async fn wait(client: &Client, revision: u64) {
    let acknowledged = Instant::now();
    let turning = ProgressBar::new_spinner().with_message("waiting until every Asterisk has them");
    turning.enable_steady_tick(Duration::from_millis(100));
    let ready = wait_for_asterisks(client, revision, READY).await;
    turning.finish_and_clear();
    if ready {
        talk!(
            "every Asterisk has them, {:.1} s after the last was acknowledged",
            acknowledged.elapsed().as_secs_f64()
        );
    }
}

/// Writes in batches; the revision of each change.
async fn write(client: &Client, changes: Vec<pb::Change>, bar: &ProgressBar) -> Outcome<Vec<u64>> {
    let mut written = Vec::with_capacity(changes.len());
    let mut refusals = Vec::new();
    let batches: Vec<Vec<pb::Change>> = changes.chunks(BATCH).map(<[pb::Change]>::to_vec).collect();
    let mut replies = stream::iter(batches)
        .map(|changes| {
            let request = pb::WriteManyRequest {
                changes,
                all_or_nothing: false,
                dry_run: false,
            };
            let mut api = client.api.clone();
            async move { api.write(request).await }
        })
        .buffered(UNDER_WAY);
    while let Some(reply) = replies
        .try_next()
        .await
        .map_err(|status| broke_off(status, written.len()))?
    {
        let results = reply.into_inner().results;
        bar.inc(results.len() as u64);
        for result in results {
            if result.refusal.is_empty() {
                written.push(result.revision);
            } else {
                refusals.push(result.refusal);
            }
        }
    }
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

fn broke_off(status: tonic::Status, written: usize) -> Failure {
    let failure = Failure::from(status);
    let text = format!(
        "{}; at least {written} changes had been written: run the import again to write the rest",
        failure.message
    );
    Failure::new(failure.exit, text).coded(failure.code)
}

/// Shown on a terminal only.
fn progress(length: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} written, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
