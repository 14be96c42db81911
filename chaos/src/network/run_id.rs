//! Which run a namespace or folder belongs to, and the removal of what dead runs left behind.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use rustix::process::{Pid, Signal, kill_process};

use super::NetworkError;
use super::command::run;

const PREFIX: &str = "fedchaos-";

/// One run: the process that made it, when that process started (so that a reused process id is no mistake), and a number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunId(String);

impl RunId {
    /// The id of this process's next run.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn new() -> Result<Self, NetworkError> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let pid = std::process::id();
        let started = started(pid)
            .ok_or_else(|| NetworkError::io("the start time of this process", std::io::ErrorKind::NotFound))?;
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        Ok(RunId(format!("{PREFIX}{pid}.{started}.{number}")))
    }

    /// The name of a thing of this run.
    pub fn name(&self, part: &str) -> String {
        format!("{}-{part}", self.0)
    }

    /// The folder of this run.
    pub fn folder(&self) -> PathBuf {
        std::env::temp_dir().join(&self.0)
    }
}

/// Removes the namespaces, with the processes in them, of runs whose own process is gone. Their folders stay: they tell why.
///
/// # Errors
/// When `ip` cannot be run.
pub fn sweep() -> Result<(), NetworkError> {
    for line in run("ip", &["netns", "list"])?.lines() {
        let name = line.split_whitespace().next().unwrap_or_default();
        if !name.starts_with(PREFIX) || owner_lives(name) {
            continue;
        }
        let inside = run("ip", &["netns", "pids", name]).unwrap_or_default();
        for pid in inside
            .lines()
            .filter_map(|line| Pid::from_raw(line.trim().parse().ok()?))
        {
            // Gone already is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
        let _ = run("ip", &["netns", "del", name]);
    }
    Ok(())
}

/// Whether the process that a name speaks of still runs.
fn owner_lives(name: &str) -> bool {
    let mut parts = name.trim_start_matches(PREFIX).split(['.', '-']);
    let (Some(pid), Some(time)) = (parts.next().and_then(|pid| pid.parse().ok()), parts.next()) else {
        return true;
    };
    started(pid).is_some_and(|now| now == time)
}

/// When a process started, in clock ticks since boot (field 22 of its stat file).
fn started(pid: u32) -> Option<String> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_alive_while_its_process_is_and_a_reused_process_id_does_not_count() {
        let run = RunId::new().expect("an id");
        assert!(owner_lives(&run.name("n1")));
        let other_start = format!("{PREFIX}{}.1.0-n1", std::process::id());
        assert!(!owner_lives(&other_start));
        assert!(
            owner_lives("fedchaos-of-something-else"),
            "what cannot be read is not removed"
        );
    }
}
