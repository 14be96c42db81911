//! `user import`: writes what differs from the map, users before devices, in batches.

use std::collections::HashMap;
use std::time::Instant;

use fed_proto::client as pb;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use pb::change::What;
use serde::Serialize;

use super::check::{LineError, Roster, check};
use crate::cli::{Client, Exit, Failure, ImportArgs, Outcome, Output, Show, all_devices, all_users, print, realm};

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
    let plan = Plan::against(client, roster).await?;
    let (added, changed) = (plan.added, plan.changes.len() - plan.added);
    let unchanged = users + devices - plan.changes.len();
    if !args.dry_run {
        write(client, plan.changes).await?;
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
    lines.push(format!("{} lines are wrong; nothing was changed", errors.len()));
    Failure::usage(lines.join("\n"))
}

/// What must be written.
struct Plan {
    /// Users first: a device needs its user.
    changes: Vec<pb::Change>,
    added: usize,
}

impl Plan {
    async fn against(client: &Client, roster: Roster) -> Outcome<Self> {
        let users: HashMap<String, pb::UserRecord> = all_users(client)
            .await?
            .into_iter()
            .filter_map(|r| Some((r.user.as_ref()?.id.clone(), r)))
            .collect();
        let devices: HashMap<String, pb::DeviceRecord> = all_devices(client, "", true)
            .await?
            .into_iter()
            .filter_map(|r| Some((r.device.as_ref()?.id.clone(), r)))
            .collect();
        let mut plan = Self {
            changes: Vec::new(),
            added: 0,
        };
        for user in roster.users {
            let there = users.get(&user.id);
            if there.and_then(|record| record.user.as_ref()) != Some(&user) {
                let expect = plan.expect(there.and_then(|record| record.stamp));
                plan.push(What::PutUser(pb::PutUserRequest {
                    user: Some(user),
                    expect,
                }));
            }
        }
        for device in roster.devices {
            let there = devices.get(&device.id);
            if there.and_then(|record| record.device.as_ref()) != Some(&device) {
                let expect = plan.expect(there.and_then(|record| record.stamp));
                plan.push(What::PutDevice(pb::PutDeviceRequest {
                    device: Some(device),
                    expect,
                }));
            }
        }
        Ok(plan)
    }

    /// Somebody else's change since the map was read is not overwritten.
    fn expect(&mut self, there: Option<pb::Stamp>) -> Option<pb::Expect> {
        let what = match there {
            Some(stamp) => pb::expect::What::Revision(stamp.modified),
            None => {
                self.added += 1;
                pb::expect::What::Absent(true)
            }
        };
        Some(pb::Expect { what: Some(what) })
    }

    fn push(&mut self, what: What) {
        self.changes.push(pb::Change { what: Some(what) });
    }
}

async fn write(client: &Client, changes: Vec<pb::Change>) -> Outcome {
    let bar = progress(changes.len());
    let mut written = 0;
    let mut refusals = Vec::new();
    for batch in changes.chunks(BATCH) {
        let request = pb::WriteManyRequest {
            changes: batch.to_vec(),
            all_or_nothing: false,
        };
        let reply = client.api.clone().write(request).await.map_err(|status| {
            let failure = Failure::from(status);
            let text = format!(
                "{}; {written} changes had been written: run the import again to write the rest",
                failure.message
            );
            Failure::new(failure.exit, text)
        })?;
        for result in reply.into_inner().results {
            if result.refusal.is_empty() {
                written += 1;
            } else {
                refusals.push(result.refusal);
            }
        }
        bar.inc(batch.len() as u64);
    }
    bar.finish_and_clear();
    if refusals.is_empty() {
        return Ok(());
    }
    let count = refusals.len();
    refusals.truncate(MOST_ERRORS);
    let text = format!(
        "{}\n{count} changes were refused, {written} were written",
        refusals.join("\n")
    );
    Err(Failure::new(Exit::Refused, text))
}

/// Shown on a terminal only.
fn progress(length: usize) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(Some(length as u64), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("{bar:40} {pos}/{len} written, {per_sec}, {eta} left") {
        bar.set_style(style);
    }
    bar
}
