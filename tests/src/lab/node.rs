//! One fed-node process, driven as an administrator would: a TOML file, `init` or `join`, `asterisk-config --write`, `run`, and
//! the command line.

use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::command::{Following, capture, finish};
use super::daemon::Daemon;
use super::namespace::Namespace;

const PEER_PORT: u16 = 7401;
const CLIENT_PORT: u16 = 7400;
const AGI_PORT: u16 = 4573;
/// The redirect server's port.
pub(super) const REDIRECT_PORT: u16 = 5070;

/// A fed-node beside the Asterisk of its host.
#[derive(Debug)]
pub struct FedNode {
    name: String,
    binary: PathBuf,
    config: PathBuf,
    data: PathBuf,
    log: PathBuf,
    namespace: Namespace,
    client: u16,
    process: Option<Daemon>,
}

impl FedNode {
    /// Writes its configuration; starts nothing. `sip` is where other nodes call its Asterisk. `shift` is added to every port it listens on: one host may have a second one.
    pub(super) fn prepare(
        name: &str,
        ip: IpAddr,
        sip: &str,
        namespace: &Namespace,
        folder: &Path,
        asterisk_etc: &Path,
        shift: u16,
    ) -> Result<Self> {
        let home = folder.join(if shift == 0 {
            "fed-node".to_owned()
        } else {
            format!("fed-node-{name}")
        });
        fs::create_dir_all(&home)?;
        let config = home.join("fed-node.toml");
        let [peer, client, redirect, agi] = [PEER_PORT, CLIENT_PORT, REDIRECT_PORT, AGI_PORT].map(|port| port + shift);
        let data = home.join("data");
        let level = std::env::var("FED_LAB_LOG").unwrap_or_else(|_| "info".to_owned());
        // Everybody in the lab may ask where somebody is, also those who flood the server with it.
        fs::write(
            &config,
            format!(
                "data_dir = {data:?}\n\n[node]\nname = \"{name}\"\n\n\
                 [peer]\nlisten = \"0.0.0.0:{peer}\"\nadvertise = \"{ip}:{peer}\"\n\n\
                 [client]\nlisten = \"0.0.0.0:{client}\"\nadvertise = \"{ip}:{client}\"\n\n\
                 [sip]\nadvertise = \"{sip}\"\n\n\
                 [redirect]\nlisten = \"0.0.0.0:{redirect}\"\nallow = \"0.0.0.0/0,::/0\"\n\n\
                 [agi]\nlisten = \"127.0.0.1:{agi}\"\n\n\
                 [asterisk]\nconfig_dir = {asterisk_etc:?}\n\n\
                 [log]\nlevel = {level:?}\n"
            ),
        )?;
        Ok(Self {
            name: name.to_owned(),
            binary: binary()?,
            config,
            data,
            log: home.with_extension("log"),
            namespace: namespace.clone(),
            client,
            process: None,
        })
    }

    /// Its data folder.
    pub fn data_dir(&self) -> &Path {
        &self.data
    }

    /// Starts `fed-node run`; [`FedNode::wait_ready`] waits until it answers.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.is_running() {
            bail!("the fed-node of {} runs already", self.name);
        }
        self.start_with(&[])
    }

    /// Waits until `fed-node status` answers.
    ///
    /// # Errors
    /// When the process ends or does not answer in time.
    pub fn wait_ready(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            self.process.as_mut().context("it was not started")?.check()?;
            match self.run(&["status"]) {
                Ok(_) => return Ok(()),
                Err(why) if Instant::now() > deadline => {
                    return Err(why.context(format!(
                        "the fed-node of {} was not ready within {patience:?}",
                        self.name
                    )));
                }
                Err(_) => thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    /// Runs one command of the command line against this node and gives what it printed.
    ///
    /// # Errors
    /// When the command fails; the text holds what it said.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        finish(&mut self.command(args))
    }

    /// What lets one further node in, over this one: a join token.
    ///
    /// # Errors
    /// When it gives out none.
    pub fn invitation(&self) -> Result<String> {
        Ok(self.run(&["token", "join"])?.trim().to_owned())
    }

    /// As [`FedNode::run`], with the command's own exit code and texts, whatever they are.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn try_run(&self, args: &[&str]) -> Result<Output> {
        capture(&mut self.command(args))
    }

    /// As [`FedNode::run`], with `-o json`.
    ///
    /// # Errors
    /// When the command fails or prints no JSON.
    pub fn json(&self, args: &[&str]) -> Result<serde_json::Value> {
        let mut all = args.to_vec();
        all.extend(["-o", "json"]);
        let text = self.run(&all)?;
        serde_json::from_str(&text).with_context(|| format!("{args:?} printed no JSON: {text}"))
    }

    /// As [`FedNode::run`], with a line on its standard input: a password.
    ///
    /// # Errors
    /// When the command fails; the text holds what it said.
    pub fn run_with_input(&self, args: &[&str], input: &str) -> Result<String> {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("fed-node")?;
        child
            .stdin
            .take()
            .context("no standard input")?
            .write_all(input.as_bytes())?;
        let output = child.wait_with_output()?;
        if !output.status.success() {
            bail!("fed-node {args:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// The process, while it runs.
    ///
    /// # Errors
    /// When it does not.
    pub fn process(&mut self) -> Result<&mut Daemon> {
        self.process
            .as_mut()
            .with_context(|| format!("the fed-node of {} does not run", self.name))
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .with_context(|| format!("the fed-node of {} does not run", self.name))?
            .kill()
    }

    /// Whether its process is there.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|p| p.check().is_ok())
    }

    /// Starts it with more flags, `--asterisk-password` say.
    ///
    /// # Errors
    /// As [`FedNode::start`].
    pub fn start_with(&mut self, flags: &[&str]) -> Result<()> {
        let mut command = self.command(&["run"]);
        command.args(flags);
        self.process = Some(Daemon::start(
            &format!("the fed-node of {}", self.name),
            &mut command,
            &self.log,
        )?);
        Ok(())
    }

    /// What it has said so far, since its first start.
    ///
    /// # Errors
    /// When its log cannot be read.
    pub fn said(&self) -> Result<String> {
        Ok(String::from_utf8_lossy(&fs::read(&self.log)?).into_owned())
    }

    /// Whether it was started and not killed since.
    pub fn was_started(&self) -> bool {
        self.process.is_some()
    }

    /// The lines of a command that goes on, such as `watch -o json`, each with the moment at which it was there.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn follow(&self, args: &[&str]) -> Result<Following> {
        Following::start(&mut self.command(args))
    }

    /// How a person runs a command against this node, for a terminal on this machine.
    pub fn shell(&self) -> String {
        format!(
            "ip netns exec {} {} --config {}",
            self.namespace.name(),
            self.binary.display(),
            self.config.display()
        )
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.namespace.command(&self.binary.to_string_lossy());
        command.arg("--config").arg(&self.config);
        if !matches!(args.first(), Some(&"run" | &"init" | &"join" | &"asterisk-config")) {
            command.args(["--server", &format!("127.0.0.1:{}", self.client)]);
        }
        command.args(args);
        command
    }
}

/// The fed-node built beside this program, or the one `FED_NODE_BINARY` names.
///
/// # Errors
/// When neither exists.
pub fn binary() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("FED_NODE_BINARY") {
        return Ok(path.into());
    }
    let me = std::env::current_exe()?;
    me.ancestors()
        .skip(1)
        .take(2)
        .map(|folder| folder.join("fed-node"))
        .find(|path| path.is_file())
        .with_context(|| format!("no fed-node beside {}: cargo build -p fed-node", me.display()))
}
