//! The program, and what it says when it is run to its end.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// What one command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    pub(super) fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Fails the test unless the command did what it was asked.
    pub(crate) fn ok(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// A fed-node to run; by default the one built with these tests.
#[derive(Debug, Clone)]
pub(crate) struct Program(pub(crate) PathBuf);

impl Default for Program {
    fn default() -> Self {
        Self(env!("CARGO_BIN_EXE_fed-node").into())
    }
}

impl Program {
    /// Whether it is the one built with these tests.
    pub(super) fn is_own(&self) -> bool {
        self.0 == Self::default().0
    }

    /// With nothing of this process's environment that could be configuration.
    pub(crate) fn command(&self) -> Command {
        clean(Command::new(&self.0))
    }
}

/// The program with nothing of this process's environment that could be configuration.
pub(crate) fn fed_node() -> Command {
    Program::default().command()
}

fn clean(mut command: Command) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("FED_")) {
        command.env_remove(name);
    }
    command.env("FED_CONFIG", "/dev/null");
    command
}

/// Runs a command to its end, with something on stdin.
pub(super) fn heard(mut command: Command, stdin: &[u8]) -> Said {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that does not read its stdin may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin);
    Said::of(child.wait_with_output().unwrap())
}

/// Runs the program to its end.
pub(crate) fn says(args: &[&str]) -> Said {
    Said::of(fed_node().args(args).stdin(Stdio::null()).output().unwrap())
}

/// A program, and how it finds a node.
#[derive(Debug, Clone)]
pub(crate) struct Way {
    pub(super) program: Program,
    pub(super) server: String,
    pub(super) data_dir: PathBuf,
    pub(super) ca: Option<PathBuf>,
}

impl Way {
    /// A command to that node, its words still to be added.
    pub(crate) fn command(&self) -> Command {
        let mut command = self.program.command();
        command
            .env("FED_DATA_DIR", &self.data_dir)
            .arg(format!("--server={}", self.server));
        if let Some(ca) = &self.ca {
            command.arg("--ca").arg(ca);
        }
        command
    }

    pub(crate) fn asks(&self, args: &[&str]) -> Said {
        Said::of(self.command().args(args).stdin(Stdio::null()).output().unwrap())
    }

    /// The same with a terminal as stdin, stdout and stderr; what appears on it is the output.
    pub(crate) fn asks_on_a_terminal(&self, args: &[&str]) -> Said {
        let command = self.command();
        let words: Vec<String> = std::iter::once(command.get_program())
            .chain(command.get_args())
            .map(|word| word.to_str().unwrap())
            .chain(args.iter().copied())
            .map(|word| format!("'{word}'"))
            .collect();
        // Of util-linux: it has a shell run the words on a terminal of its own, and ends with their code.
        let mut script = Command::new("script");
        script.args(["--quiet", "--return", "--command", &words.join(" "), "/dev/null"]);
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => script.env(name, value),
                None => script.env_remove(name),
            };
        }
        script
            .env("SHELL", "/bin/sh")
            .env("TERM", "xterm")
            .env_remove("NO_COLOR")
            .stdin(Stdio::null());
        Said::of(script.output().unwrap())
    }
}
