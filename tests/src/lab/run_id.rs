//! Which run a namespace or folder belongs to, and the removal of what dead runs left behind.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal, kill_process};

use super::command::run;

const PREFIX: &str = "fedlab-";

/// Identifies one run of a lab: the process that made it and when that process started, so that a reused process id is no mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RunId {
    text: String,
}

impl RunId {
    /// The id of this process's lab number `n`.
    pub(super) fn new(n: u32) -> Result<Self> {
        let pid = std::process::id();
        let started = started(pid).context("this process has no start time")?;
        Ok(Self {
            text: format!("{PREFIX}{pid}.{started}.{n}"),
        })
    }

    /// The name of a thing of this run.
    pub(super) fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.text)
    }

    /// The folder of this run.
    pub(super) fn folder(&self) -> PathBuf {
        std::env::temp_dir().join(&self.text)
    }
}

/// Removes namespaces, their processes and their folders, of runs whose process is gone. Kept logs of failed runs stay.
pub(super) fn sweep() -> Result<()> {
    remove_where(|name| name.starts_with(PREFIX) && !owner_lives(name))
}

/// Removes everything of this run when the process is told to end before it is done (Ctrl-C, SIGTERM).
pub(super) fn remove_on_signal(run: &RunId) {
    let prefix = run.name("");
    let folder = run.text.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let (Ok(mut interrupt), Ok(mut terminate)) =
                (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
            else {
                return;
            };
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        let _ = remove_where(|name| name.starts_with(&prefix) || name == folder);
        std::process::exit(130);
    });
}

fn remove_where(ours: impl Fn(&str) -> bool) -> Result<()> {
    for line in run("ip", &["netns", "list"])?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if !ours(name) {
            continue;
        }
        for pid in run("ip", &["netns", "pids", name])
            .unwrap_or_default()
            .lines()
            .filter_map(|p| p.trim().parse().ok())
        {
            if let Some(pid) = Pid::from_raw(pid) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        let _ = run("ip", &["netns", "del", name]);
    }
    for entry in fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if ours(&name) && !entry.path().join(super::KEPT).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

/// Whether the process that a name speaks of still runs.
fn owner_lives(name: &str) -> bool {
    let mut parts = name.trim_start_matches(PREFIX).split(['.', '-']);
    let (Some(pid), Some(time)) = (parts.next().and_then(|p| p.parse().ok()), parts.next()) else {
        return true;
    };
    started(pid).is_some_and(|now| now == time)
}

/// When a process started, in clock ticks since boot (field 22 of its stat file).
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}
