//! One process in the background, with a log file for what it says.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use super::{ProcessError, at};

/// How much of a log an error carries.
const TAIL: usize = 2_000;

/// What a process has used up.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory in RAM now, in bytes.
    pub resident: u64,
    /// Of that, memory that is the process's own: files of the page cache that it has mapped are not counted.
    pub anonymous: u64,
    /// Processor time since its start, user and system.
    pub cpu: Duration,
}

/// A program with its arguments; at most one process of it runs at a time. Dropping it kills that process.
#[derive(Debug)]
pub struct Program {
    name: String,
    /// The program first; what goes before it (`ip netns exec NAME`) is put in front.
    words: Vec<OsString>,
    environment: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
    starts: u32,
}

impl Program {
    /// A program that is not running yet. What it says, on stdout and stderr, is appended to `log`.
    pub fn new(name: impl Into<String>, program: impl Into<OsString>, log: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            words: vec![program.into()],
            environment: Vec::new(),
            log: log.into(),
            child: None,
            starts: 0,
        }
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.words.push(argument.into());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args<T: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.words.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// A variable of its environment. Those of this process that begin with `FED_` are not passed on.
    #[must_use]
    pub fn env(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Words put before the program, which must end by becoming it (`ip netns exec NAME`), so that the process id is the
    /// program's.
    #[must_use]
    pub fn through<T: Into<OsString>>(mut self, prefix: impl IntoIterator<Item = T>) -> Self {
        self.words.splice(0..0, prefix.into_iter().map(Into::into));
        self
    }

    /// What it is called in errors.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often it was started.
    #[must_use]
    pub fn starts(&self) -> u32 {
        self.starts
    }

    /// Starts it.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn start(&mut self) -> Result<(), ProcessError> {
        if self.child.is_some() {
            return Err(ProcessError::Running(self.name.clone()));
        }
        let log = fs::OpenOptions::new().create(true).append(true).open(&self.log);
        let log = log.map_err(|e| at(&self.log, e))?;
        let same = log.try_clone().map_err(|e| at(&self.log, e))?;
        let mut command = self.command();
        command.stdin(Stdio::null()).stdout(same).stderr(log);
        let child = command.spawn().map_err(|source| self.not_started(source))?;
        self.child = Some(child);
        self.starts += 1;
        Ok(())
    }

    /// Runs it to its end, and gives what it wrote to stdout.
    ///
    /// # Errors
    /// When it cannot be started or fails; the error holds what it said.
    pub fn finish(&self) -> Result<String, ProcessError> {
        let mut command = self.command();
        let output: Output = command.stdin(Stdio::null()).output().map_err(|e| self.not_started(e))?;
        if !output.status.success() {
            return Err(ProcessError::Ended {
                what: self.name.clone(),
                status: output.status.to_string(),
                said: String::from_utf8_lossy(&output.stderr).trim().to_owned(),
            });
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The process id while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Whether it was started and not ended here.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// Fails when the process has ended by itself.
    ///
    /// # Errors
    /// [`ProcessError::Ended`] with the end of its log; [`ProcessError::NotRunning`] when it was not started.
    pub fn check(&mut self) -> Result<(), ProcessError> {
        let name = self.name.clone();
        let child = self.child.as_mut().ok_or(ProcessError::NotRunning(name))?;
        match child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => {
                self.child = None;
                Err(ProcessError::Ended {
                    what: self.name.clone(),
                    status: status.to_string(),
                    said: self.log_tail(),
                })
            }
            Err(source) => Err(self.signal_failed(source)),
        }
    }

    /// Sends SIGKILL and waits for the end. Nothing happens when it does not run.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            // It may have ended by itself; either way it is gone and reaped afterwards.
            let _ = child.kill();
            let _ = child.wait();
        }
    }

    /// Sends SIGTERM and waits for the end; the exit code, `None` when a signal ended it.
    ///
    /// # Errors
    /// [`ProcessError::Late`] when it still runs after `within`: it is then killed.
    pub fn terminate(&mut self, within: Duration) -> Result<Option<i32>, ProcessError> {
        self.signal(Signal::TERM)?;
        let deadline = Instant::now() + within;
        while let Some(child) = self.child.as_mut() {
            if let Ok(Some(status)) = child.try_wait() {
                self.child = None;
                return Ok(status.code());
            }
            if Instant::now() > deadline {
                self.kill();
                let what = format!("{} ends after SIGTERM", self.name);
                return Err(ProcessError::Late { what, within });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Err(ProcessError::NotRunning(self.name.clone()))
    }

    /// Stops it with SIGSTOP: it does nothing and answers nothing, and its connections stay open.
    ///
    /// # Errors
    /// When it does not run.
    pub fn pause(&self) -> Result<(), ProcessError> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn resume(&self) -> Result<(), ProcessError> {
        self.signal(Signal::CONT)
    }

    /// What it uses now.
    ///
    /// # Errors
    /// When it does not run.
    pub fn usage(&self) -> Result<Usage, ProcessError> {
        let pid = self.pid().ok_or_else(|| ProcessError::NotRunning(self.name.clone()))?;
        let read = |file: &str| {
            let path = PathBuf::from(format!("/proc/{pid}/{file}"));
            fs::read_to_string(&path).map_err(|e| at(&path, e))
        };
        let status = read("status")?;
        let kilobytes = |field: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            let number = line.and_then(|rest| rest.trim_start_matches(':').split_whitespace().next());
            number.and_then(|text| text.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        let ticks = cpu_ticks(&read("stat")?);
        Ok(Usage {
            resident: kilobytes("VmRSS"),
            anonymous: kilobytes("RssAnon"),
            cpu: Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1)),
        })
    }

    /// The end of what it said.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = fs::read(&self.log).unwrap_or_default();
        let from = text.len().saturating_sub(TAIL);
        String::from_utf8_lossy(&text[from..]).trim().to_owned()
    }

    /// Where it says things.
    #[must_use]
    pub fn log(&self) -> &Path {
        &self.log
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.words[0]);
        command.args(&self.words[1..]);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FED_") {
                command.env_remove(name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    fn signal(&self, signal: Signal) -> Result<(), ProcessError> {
        let pid = self.pid().and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
        let pid = pid.ok_or_else(|| ProcessError::NotRunning(self.name.clone()))?;
        kill_process(pid, signal).map_err(|error| self.signal_failed(error.into()))
    }

    fn not_started(&self, source: std::io::Error) -> ProcessError {
        let program = self.words[0].to_string_lossy().into_owned();
        ProcessError::Start { program, source }
    }

    fn signal_failed(&self, source: std::io::Error) -> ProcessError {
        let what = self.name.clone();
        ProcessError::Signal { what, source }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.kill();
    }
}

/// User and system time in `/proc/PID/stat`: fields 14 and 15, after the name in brackets, which may hold blanks.
fn cpu_ticks(stat: &str) -> u64 {
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    ticks(11) + ticks(12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_found_behind_a_name_with_blanks() {
        let stat = "12 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 40 2 0 0 20 0 1 0";
        assert_eq!(cpu_ticks(stat), 42);
    }
}
