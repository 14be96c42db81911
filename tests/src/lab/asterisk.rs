//! One real Asterisk: its configuration as a customer would have it, its folders, its process.
//!
//! Every instance runs from a shared root folder in a mount namespace of its own, where `/etc/asterisk`, `/var/lib/asterisk` and the
//! other places it writes to are its own folders: inside it looks like a server installed from Debian's package, and nothing is
//! ever written into the shared one.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::command;
use super::customer;
use super::daemon::Daemon;
use super::http;
use super::namespace::Namespace;
use super::roots::Version;

/// Folders of one instance, under its host's folder.
#[derive(Debug)]
pub struct Asterisk {
    version: Version,
    root: PathBuf,
    home: PathBuf,
    log: PathBuf,
    namespace: Namespace,
    name: String,
    process: Option<Daemon>,
}

/// Where an instance is and what it should know of its neighbours.
pub(super) struct Place<'a> {
    pub(super) name: &'a str,
    pub(super) number: u8,
    pub(super) hosts: u8,
    pub(super) namespace: &'a Namespace,
    pub(super) ip: IpAddr,
    pub(super) folder: &'a Path,
    /// Whether it has phones and trunks of the customer's own.
    pub(super) own_phones: bool,
}

impl Asterisk {
    /// Lays out the folders and a customer's configuration; starts nothing.
    pub(super) fn prepare(version: Version, place: &Place<'_>) -> Result<Self> {
        let root = version.root()?;
        let home = place.folder.join("asterisk");
        for folder in ["lib", "spool", "run", "log"] {
            fs::create_dir_all(home.join(folder))?;
        }
        // The package's own configuration first: what stands in it on a real server stands in it here.
        command::run(
            "cp",
            &["-a", &path(&root.join("etc/asterisk")), &path(&home.join("etc"))],
        )?;
        command::run(
            "cp",
            &[
                "-a",
                &format!("{}/.", path(&root.join("var/lib/asterisk"))),
                &path(&home.join("lib")),
            ],
        )?;
        customer::write(&home.join("etc"), place)?;
        // Without an address of its own name Asterisk asks the DNS for it with every SDP it writes.
        let names: String = (1..=place.hosts)
            .map(|number| format!("10.77.0.{} {}\n", 10 + number, customer::host_name(number)))
            .collect();
        fs::write(
            home.join("hosts"),
            format!(
                "127.0.0.1 localhost\n::1 localhost\n{} {}\n{names}",
                place.ip, place.name
            ),
        )?;
        Ok(Self {
            version,
            root,
            home,
            log: place.folder.join("asterisk.log"),
            namespace: place.namespace.clone(),
            name: place.name.to_owned(),
            process: None,
        })
    }

    /// Starts it; [`Asterisk::wait_ready`] waits until it works.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&mut self) -> Result<()> {
        if self.is_running() {
            bail!("the Asterisk of {} runs already", self.name);
        }
        let (root, home) = (path(&self.root), path(&self.home));
        let script = format!(
            "set -e\n\
             echo {name} >/proc/sys/kernel/hostname\n\
             mount --bind {home}/hosts {root}/etc/hosts\n\
             mount --bind {home}/etc {root}/etc/asterisk\n\
             mount --bind {home}/lib {root}/var/lib/asterisk\n\
             mount --bind {home}/spool {root}/var/spool/asterisk\n\
             mount --bind {home}/log {root}/var/log/asterisk\n\
             mount -t tmpfs tmpfs {root}/run\n\
             mkdir -p {root}/run/asterisk\n\
             mount --bind {home}/run {root}/run/asterisk\n\
             mount -t proc proc {root}/proc\n\
             mount --rbind /dev {root}/dev\n\
             exec chroot {root} /usr/sbin/asterisk -f -n -C /etc/asterisk/asterisk.conf\n",
            name = self.name
        );
        let mut command = self.namespace.command("unshare");
        command.args([
            "--mount",
            "--uts",
            "--propagation",
            "private",
            "--",
            "sh",
            "-c",
            &script,
        ]);
        self.process = Some(Daemon::start(
            &format!("the Asterisk of {}", self.name),
            &mut command,
            &self.log,
        )?);
        Ok(())
    }

    /// Waits until it has booted.
    ///
    /// # Errors
    /// When it ends or is not ready in time; the text holds the end of its log.
    pub fn wait_ready(&mut self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            self.process.as_mut().context("it was not started")?.check()?;
            if self
                .cli("core waitfullybooted")
                .is_ok_and(|text| text.contains("fully booted"))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!(
                    "the Asterisk of {} was not ready within {patience:?}; its log is {}",
                    self.name,
                    self.log.display()
                );
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a command of Asterisk's console.
    ///
    /// # Errors
    /// When Asterisk does not run or does not answer.
    pub fn cli(&self, line: &str) -> Result<String> {
        let process = self
            .process
            .as_ref()
            .with_context(|| format!("the Asterisk of {} does not run", self.name))?;
        command::finish(
            Command::new("nsenter")
                .args([
                    &format!("--target={}", process.pid()),
                    "--mount",
                    "--net",
                    "--",
                    "chroot",
                ])
                .arg(&self.root)
                .args(["/usr/sbin/asterisk", "-rx", line]),
        )
    }

    /// How a person opens its console.
    ///
    /// # Errors
    /// When it does not run.
    pub fn shell(&self) -> Result<String> {
        let pid = self.process.as_ref().context("it does not run")?.pid();
        Ok(format!(
            "nsenter -t {pid} -m -n -- chroot {} asterisk -r",
            self.root.display()
        ))
    }

    /// GET of an ARI path (`/ari/..` without the `/ari`): status and body.
    ///
    /// # Errors
    /// When the HTTP server does not answer.
    pub fn ari(&self, method: &str, path: &str) -> Result<(u16, String)> {
        let (user, password) = self.ari_credentials()?;
        http::request(
            &self.namespace,
            8088,
            method,
            &format!("/ari{path}"),
            Some((&user, &password)),
        )
    }

    /// The contacts registered here, as `device contact-uri`, from the registrar's own table.
    ///
    /// # Errors
    /// When the console does not answer.
    pub fn contacts(&self) -> Result<Vec<(String, String)>> {
        // Lines like `  Contact:  alice/sip:alice@10.77.0.50:4001;x-ast-orig..  <hash> NonQual  nan`.
        let text = self.cli("database show registrar")?;
        Ok(text.lines().filter_map(registered).collect())
    }

    /// The process, while it runs.
    ///
    /// # Errors
    /// When it does not.
    pub fn process(&mut self) -> Result<&mut Daemon> {
        self.process.as_mut().context("it does not run")
    }

    /// `kill -9`.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        self.process
            .take()
            .with_context(|| format!("the Asterisk of {} does not run", self.name))?
            .kill()
    }

    /// Whether its process is there.
    pub fn is_running(&mut self) -> bool {
        self.process.as_mut().is_some_and(|p| p.check().is_ok())
    }

    /// How many lines of its own log have these words.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn log_lines(&self, words: &str) -> Result<usize> {
        let file = self.home.join("log/messages");
        let log = fs::read(&file).with_context(|| file.display().to_string())?;
        let log = String::from_utf8_lossy(&log);
        Ok(log.lines().filter(|line| line.contains(words)).count())
    }

    /// Its version.
    pub fn version(&self) -> Version {
        self.version
    }

    /// Its `/etc/asterisk`.
    pub fn etc(&self) -> PathBuf {
        self.home.join("etc")
    }

    /// User and password of the ARI user that `asterisk-config` installed, read from `ari.conf` as Asterisk reads it.
    ///
    /// # Errors
    /// When there is none.
    pub fn ari_credentials(&self) -> Result<(String, String)> {
        let mut section = String::new();
        for file in files_in(&self.etc(), "ari") {
            for line in fs::read_to_string(file)?.lines().map(str::trim) {
                if let Some(name) = line.strip_prefix('[') {
                    section = name.split(']').next().unwrap_or_default().to_owned();
                } else if let Some((key, value)) = line.split_once('=')
                    && key.trim() == "password"
                    && section != "general"
                {
                    return Ok((section, value.trim().trim_start_matches('>').trim().to_owned()));
                }
            }
        }
        bail!("no ARI user in {}", self.etc().display())
    }
}

/// Files of Asterisk's configuration whose name begins with that word.
fn files_in(folder: &Path, word: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Vec::new();
    };
    entries
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.is_file() && p.file_name().is_some_and(|n| n.to_string_lossy().contains(word)))
        .collect()
}

/// `/registrar/contact/alice;@<hash> : {"uri":"sip:alice@..",...}` as device and contact.
fn registered(line: &str) -> Option<(String, String)> {
    let (key, value) = line.split_once(':')?;
    let device = key.trim().strip_prefix("/registrar/contact/")?.split(";@").next()?;
    let row: serde_json::Value = serde_json::from_str(value.trim()).ok()?;
    Some((device.to_owned(), row.get("uri")?.as_str()?.to_owned()))
}

fn path(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
