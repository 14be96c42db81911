//! One node on loopback.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::program::heard;
use super::{Program, Said, Signal, Way, free_port, signal, until, write_private};

/// A node: its folder, its ports, and its process while it runs.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) dir: PathBuf,
    pub(crate) peer: u16,
    pub(crate) client: u16,
    pub(crate) redirect: u16,
    pub(crate) agi: u16,
    pub(crate) metrics: u16,
    /// Without certificates and roles, as all of its federation then.
    pub(crate) plaintext: bool,
    /// The certificate that its command line believes it by, when that is not in its data folder.
    pub(crate) ca: Option<PathBuf>,
    /// Further flags of `run`.
    pub(crate) flags: Vec<String>,
    /// Further variables of its environment while it serves.
    pub(crate) environment: Vec<(String, String)>,
    /// What it runs, and is asked with.
    pub(crate) program: Program,
    child: Option<Child>,
    starts: u32,
}

impl Node {
    /// A node without an Asterisk; nothing runs yet.
    pub(crate) fn new(root: &Path, name: &str) -> Self {
        let dir = root.join(name);
        std::fs::create_dir_all(&dir).unwrap();
        let flags = vec!["--asterisk-enabled=false".to_owned()];
        let [peer, client, redirect, agi, metrics] = [(); 5].map(|()| free_port());
        Self {
            name: name.to_owned(),
            dir,
            peer,
            client,
            redirect,
            agi,
            metrics,
            plaintext: false,
            ca: None,
            flags,
            environment: Vec::new(),
            program: Program::default(),
            child: None,
            starts: 0,
        }
    }

    pub(crate) fn data_dir(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What lets one further node join over this one, which runs.
    pub(crate) fn invitation(&self) -> String {
        if self.plaintext {
            return self.peer_address();
        }
        // Without a leader there is none.
        until(&format!("{} gives out a join token", self.name), || {
            let said = self.asks(&["token", "join"]);
            (said.code == 0).then(|| said.out.trim().to_owned())
        })
    }

    pub(crate) fn peer_address(&self) -> String {
        format!("127.0.0.1:{}", self.peer)
    }

    /// The configuration of this node, as flags.
    pub(crate) fn config(&self) -> Vec<String> {
        let mut flags = vec![
            format!("--data-dir={}", self.data_dir().display()),
            format!("--node-name={}", self.name),
            format!("--peer-listen=127.0.0.1:{}", self.peer),
            format!("--client-listen=127.0.0.1:{}", self.client),
            format!("--redirect-listen=127.0.0.1:{}", self.redirect),
            format!("--agi-listen=127.0.0.1:{}", self.agi),
            format!("--metrics-listen=127.0.0.1:{}", self.metrics),
        ];
        if self.plaintext && self.program.is_own() {
            flags.push("--security-plaintext=true".to_owned());
        }
        let key = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
        flags.retain(|flag| !self.flags.iter().any(|own| key(own) == key(flag)));
        flags.extend(self.flags.iter().cloned());
        flags
    }

    /// `fed-node COMMAND` with this node's configuration, to its end.
    pub(crate) fn setup(&self, command: &[&str]) -> Said {
        Said::of(
            self.program
                .command()
                .args(command)
                .args(self.config())
                .stdin(Stdio::null())
                .output()
                .unwrap(),
        )
    }

    /// The same with something on stdin.
    pub(crate) fn setup_hearing(&self, command: &[&str], stdin: &str) -> Said {
        let mut setup = self.program.command();
        setup.args(command).args(self.config());
        heard(setup, stdin.as_bytes())
    }

    /// `fed-node run` in the background; returns once the client API answers.
    pub(crate) fn run(&mut self) {
        self.spawn();
        until(&format!("{} answers", self.name), || {
            if let Some(status) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
                panic!("{} ended with {status}: {}", self.name, self.log());
            }
            (self.asks(&["status"]).code == 0).then_some(())
        });
    }

    pub(crate) fn spawn(&mut self) {
        assert!(self.child.is_none());
        self.starts += 1;
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.dir.join("log"))
            .unwrap();
        let mut command = self.program.command();
        command
            .arg("run")
            .args(self.config())
            .envs(self.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log);
        self.child = Some(command.spawn().unwrap());
    }

    /// What the node wrote to stderr.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("log")).unwrap_or_default()
    }

    /// How a program finds this node.
    pub(crate) fn way(&self, program: &Program) -> Way {
        // Older ones ask in clear text without being told to.
        let scheme = if self.plaintext && program.is_own() {
            "http://"
        } else {
            ""
        };
        Way {
            program: program.clone(),
            server: format!("{scheme}127.0.0.1:{}", self.client),
            data_dir: self.data_dir(),
            ca: self.ca.clone(),
        }
    }

    /// The certificate of its authority.
    pub(crate) fn authority(&self) -> PathBuf {
        self.data_dir().join("security/ca.crt")
    }

    /// Asks this node by the command line.
    pub(crate) fn asks(&self, args: &[&str]) -> Said {
        self.hears(args, "")
    }

    /// The same with something on stdin.
    pub(crate) fn hears(&self, args: &[&str], stdin: impl AsRef<[u8]>) -> Said {
        let mut command = self.way(&self.program).command();
        command.args(args);
        heard(command, stdin.as_ref())
    }

    /// Asks this node with the token in a file instead of its own.
    pub(crate) fn asks_as(&self, token: &Path, args: &[&str]) -> Said {
        let file = format!("--token-file={}", token.display());
        self.asks(&[&[file.as_str()], args].concat())
    }

    /// The same, and says something to it.
    pub(crate) fn hears_as(&self, token: &Path, args: &[&str], stdin: impl AsRef<[u8]>) -> Said {
        let file = format!("--token-file={}", token.display());
        self.hears(&[&[file.as_str()], args].concat(), stdin)
    }

    /// The node's own token.
    pub(crate) fn local_token(&self) -> String {
        let file = self.data_dir().join("security/local-token");
        std::fs::read_to_string(file).unwrap().trim().to_owned()
    }

    /// A new token with these further arguments, in a file that only its owner may read.
    pub(crate) fn token(&self, name: &str, args: &[&str]) -> PathBuf {
        let said = self.asks(&[&["token", "create", "--name", name], args].concat()).ok();
        let file = self.dir.join(format!("token-{name}"));
        write_private(&file, &said.out);
        file
    }

    /// The same as JSON.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        self.asks(&[&["-o", "json"], args].concat()).ok().json()
    }

    /// The same, when the command did what it was asked.
    pub(crate) fn json_if_ok(&self, args: &[&str]) -> Option<Value> {
        let said = self.asks(&[&["-o", "json"], args].concat());
        (said.code == 0).then(|| said.json())
    }

    /// The same of a command that ends with this exit code.
    pub(crate) fn json_with_code(&self, args: &[&str], code: i32) -> Value {
        let said = self.asks(&[&["-o", "json"], args].concat());
        assert_eq!(said.code, code, "{said:?}");
        said.json()
    }

    pub(crate) fn add_user(&self, id: &str, number: &str) -> Said {
        self.hears(
            &["user", "add", id, "--number", number, "--password-stdin"],
            format!("secret-of-{id}\n"),
        )
    }

    /// Whether its process was started, and not ended by the test.
    pub(crate) fn serves(&self) -> bool {
        self.child.is_some()
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Sends SIGKILL and waits for the end.
    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            child.wait().unwrap();
        }
    }

    /// Sends SIGTERM; how long the end took, and the exit code.
    pub(crate) fn terminate(&mut self) -> (Duration, i32) {
        let child = self.child.take().unwrap();
        let started = Instant::now();
        signal(child.id(), Signal::TERM);
        let output = child.wait_with_output().unwrap();
        (started.elapsed(), output.status.code().unwrap_or(-1))
    }

    /// Waits for the process to end by itself.
    pub(crate) fn ends(&mut self) -> i32 {
        let mut child = self.child.take().unwrap();
        until(&format!("{} ends", self.name), || child.try_wait().unwrap())
            .code()
            .unwrap_or(-1)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("---- log of {} ----\n{}", self.name, self.log());
        }
    }
}
