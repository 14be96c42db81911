//! Backups by themselves: the leader makes them, the other nodes do not.
//!
//! When one is due is read off the names of those in the folder, so that a restart does not make one early. A new leader whose
//! folder lacks them makes one at once: let the nodes share the folder, or take the few more. A name from the future was given while a
//! clock was wrong: such a backup puts none off, and is the first to go.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use fed_core::map::FederationMap;
use fed_raft::Cluster;
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use super::file::Writing;
use super::head::Head;
use super::source::Source;
use crate::cli::clock::unix_now;
use crate::config::{BackupConfig, Secret};

const PREFIX: &str = "federation-";
const SUFFIX: &str = ".fedbackup";
/// Between two looks whether one is due, and after a failure.
const LOOK: Duration = Duration::from_secs(1);
const AFTER_FAILURE: Duration = Duration::from_secs(60);

/// What became of them, for metrics.
#[derive(Debug, Clone, Default)]
pub struct Scheduled(Arc<Mutex<Record>>);

#[derive(Debug, Clone, Copy, Default)]
struct Record {
    made: u64,
    failed: u64,
    last_made_at: u64,
    last_revision: u64,
    every: Duration,
}

impl Scheduled {
    /// Begins with the newest backup that is in the folder, so that a restart forgets none.
    #[must_use]
    pub fn of(config: &BackupConfig) -> Self {
        let mut record = Record {
            every: config.every,
            ..Record::default()
        };
        if !config.every.is_zero()
            && let Some(newest) = newest(&config.dir, unix_now())
        {
            (record.last_made_at, record.last_revision) = (newest.made_at, newest.revision);
        }
        Self(Arc::new(Mutex::new(record)))
    }

    /// In the text format that Prometheus reads.
    #[must_use]
    pub fn metrics(&self) -> String {
        let record = *self.0.lock();
        let mut text = String::new();
        let mut one = |kind: &str, name: &str, help: &str, samples: &[(&str, u64)]| {
            let _ = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
            for (suffix, value) in samples {
                let _ = writeln!(text, "{name}{suffix} {value}");
            }
        };
        one(
            "counter",
            "fed_node_backups",
            "Scheduled backups that this node made, by result.",
            &[
                ("_total{result=\"made\"}", record.made),
                ("_total{result=\"failed\"}", record.failed),
            ],
        );
        one(
            "gauge",
            "fed_node_backup_last_timestamp_seconds",
            "When the newest scheduled backup that this node made, or found in its folder when it started, was made; 0: there is none.",
            &[("", record.last_made_at)],
        );
        one(
            "gauge",
            "fed_node_backup_last_revision",
            "The revision in it.",
            &[("", record.last_revision)],
        );
        one(
            "gauge",
            "fed_node_backup_interval_seconds",
            "Time between two scheduled backups (backup.every); 0: none are made.",
            &[("", record.every.as_secs())],
        );
        text
    }
}

/// Everything the schedule needs.
pub struct Schedule {
    /// Whose leader makes them.
    pub cluster: Cluster<FederationMap>,
    /// What they are made of.
    pub source: Source,
    /// When, how many, and where.
    pub config: BackupConfig,
    /// What they are encrypted with.
    pub key: Secret,
    /// What became of them.
    pub scheduled: Scheduled,
}

impl Schedule {
    /// Makes them until `stop`.
    pub async fn run(self, stop: CancellationToken) {
        loop {
            let pause = if self.leads() && self.is_due() {
                self.make_one().await
            } else {
                LOOK
            };
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }

    fn leads(&self) -> bool {
        let status = self.cluster.status();
        status.quorum && status.leader == Some(status.node)
    }

    fn is_due(&self) -> bool {
        is_due(&self.config.dir, self.config.every, unix_now())
    }

    async fn make_one(&self) -> Duration {
        match self.make().await {
            Ok((path, head)) => {
                tracing::info!(file = %path.display(), "backup saved and verified to {}", head.summary());
                let mut record = self.scheduled.0.lock();
                record.made += 1;
                (record.last_made_at, record.last_revision) = (unix_now(), head.revision);
                LOOK
            }
            Err(why) => {
                self.scheduled.0.lock().failed += 1;
                tracing::error!(folder = %self.config.dir.display(), %why, "the scheduled backup failed; it is tried again in a minute");
                AFTER_FAILURE
            }
        }
    }

    async fn make(&self) -> Result<(PathBuf, Head), String> {
        let made = self.source.make().await?;
        let (dir, keep, key) = (self.config.dir.clone(), self.config.keep, self.key.clone());
        let kept = tokio::task::spawn_blocking(move || {
            std::fs::create_dir_all(&dir).map_err(|error| error.to_string())?;
            let path = dir.join(format!("{PREFIX}{}-r{}{SUFFIX}", unix_now(), made.head().revision));
            let mut writing = Writing::begin(&path, &key).map_err(|failure| failure.message)?;
            if let Err(error) = made.pack(&mut writing) {
                writing.discard();
                return Err(error.to_string());
            }
            let head = writing.keep(&path, &key).map_err(|failure| failure.message)?;
            drop_old(&dir, keep, unix_now());
            Ok((path, head))
        });
        kept.await.map_err(|error| error.to_string())?
    }
}

/// A backup that a schedule made, by its name.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kept {
    /// Seconds since 1970.
    made_at: u64,
    revision: u64,
    path: PathBuf,
}

/// The backups in the folder that a schedule made, by when.
fn kept(dir: &Path) -> Vec<Kept> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut found: Vec<_> = entries
        .filter_map(|entry| {
            let (made_at, revision) = named(entry.file_name().to_str()?)?;
            let path = entry.path();
            Some(Kept {
                made_at,
                revision,
                path,
            })
        })
        .collect();
    found.sort();
    found
}

/// When a backup of this name was made, and of which revision.
fn named(name: &str) -> Option<(u64, u64)> {
    let (made_at, revision) = name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?.split_once("-r")?;
    Some((made_at.parse().ok()?, revision.parse().ok()?))
}

/// How far the clocks of the nodes that lead in turn may lie apart, in seconds: a name so much ahead is not yet one from the future.
const CLOCKS_APART: u64 = 300;

/// Whether a backup is due at this time, in seconds since 1970.
fn is_due(dir: &Path, every: Duration, now: u64) -> bool {
    newest(dir, now).is_none_or(|newest| now >= newest.made_at.saturating_add(every.as_secs()))
}

/// The newest one that counts.
fn newest(dir: &Path, now: u64) -> Option<Kept> {
    kept(dir).into_iter().rfind(|kept| !is_of_the_future(kept.made_at, now))
}

fn is_of_the_future(made_at: u64, now: u64) -> bool {
    made_at > now.saturating_add(CLOCKS_APART)
}

/// Removes all but `keep`, first those from the future, then the oldest.
fn drop_old(dir: &Path, keep: usize, now: u64) {
    let mut found = kept(dir);
    found.sort_by_key(|kept| (!is_of_the_future(kept.made_at, now), kept.made_at));
    for Kept { path, .. } in &found[..found.len().saturating_sub(keep)] {
        if let Err(error) = std::fs::remove_file(path) {
            tracing::warn!(file = %path.display(), %error, "an old backup cannot be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_schedules_own_files_count_and_the_oldest_go() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "federation-100-r7.fedbackup",
            "federation-300-r9.fedbackup",
            "federation-200-r8.fedbackup",
            "federation-400-r9.fedbackup.part",
            "mine.fedbackup",
            "federation-1-rx.fedbackup",
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let times = |folder: &Path| kept(folder).into_iter().map(|kept| kept.made_at).collect::<Vec<_>>();
        assert_eq!(times(folder.path()), [100, 200, 300]);
        drop_old(folder.path(), 2, 300);
        assert_eq!(times(folder.path()), [200, 300]);
        assert!(folder.path().join("mine.fedbackup").exists());
    }

    #[test]
    fn a_backup_that_a_wrong_clock_dated_in_the_future_puts_none_off_and_is_the_first_to_go() {
        let folder = tempfile::tempdir().unwrap();
        let make = |at: u64| std::fs::write(folder.path().join(format!("{PREFIX}{at}-r7{SUFFIX}")), "").unwrap();
        let hour = Duration::from_secs(3_600);
        let now = 1_000_000;
        make(now - 7_200);
        make(now + 10 * 365 * 86_400);
        assert!(
            is_due(folder.path(), hour, now),
            "the last one that counts is two hours old"
        );
        make(now);
        assert!(!is_due(folder.path(), hour, now));
        drop_old(folder.path(), 2, now);
        let times: Vec<u64> = kept(folder.path()).into_iter().map(|kept| kept.made_at).collect();
        assert_eq!(times, [now - 7_200, now]);
        // Another node's clock, a little ahead.
        make(now + 60);
        assert!(!is_due(folder.path(), hour, now + 3_600), "made 59 minutes ago");
        assert!(is_due(folder.path(), hour, now + 3_660));
    }

    #[test]
    fn a_node_that_starts_again_knows_the_newest_backup_of_its_folder() {
        let folder = tempfile::tempdir().unwrap();
        let now = unix_now();
        for name in [
            format!("{PREFIX}{}-r7{SUFFIX}", now - 7_200),
            format!("{PREFIX}{}-r9{SUFFIX}", now - 3_600),
            format!("{PREFIX}{}-r8{SUFFIX}", now + 86_400),
        ] {
            std::fs::write(folder.path().join(name), "").unwrap();
        }
        let mut config = BackupConfig {
            every: Duration::from_secs(3_600),
            keep: 3,
            dir: folder.path().to_owned(),
            key_file: None,
            key: None,
        };
        let text = Scheduled::of(&config).metrics();
        for line in [
            format!("fed_node_backup_last_timestamp_seconds {}\n", now - 3_600),
            "fed_node_backup_last_revision 9\n".to_owned(),
            "fed_node_backup_interval_seconds 3600\n".to_owned(),
        ] {
            assert!(text.contains(&line), "{line}: {text}");
        }
        config.every = Duration::ZERO;
        let none = Scheduled::of(&config).metrics();
        assert!(
            none.contains("fed_node_backup_interval_seconds 0\n") && none.contains("last_timestamp_seconds 0\n"),
            "{none}"
        );
    }

    #[test]
    fn results_are_metrics() {
        let scheduled = Scheduled::default();
        scheduled.0.lock().failed = 2;
        let text = scheduled.metrics();
        assert!(text.contains("fed_node_backups_total{result=\"failed\"} 2\n"), "{text}");
        assert!(text.contains("fed_node_backup_last_timestamp_seconds 0\n"), "{text}");
    }
}
