//! One node of a `dev` federation: a simulated Asterisk here, and a `fed-node` process.

use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use fed_ari::sim::{SimAsterisk, SimConfig, SimVersion};
use fed_ari::stanzas::{Asking, ConfigFile, StanzaOptions, stanzas};
use fed_proto::client as pb;
use fed_raft::security::Connector;
use tokio::process::{Child, Command};
use tokio::time::Instant;

use crate::address::Address;
use crate::cli::{Bearer, Client, Failure, Outcome};

/// Longest wait for a process to answer.
const START_WITHIN: Duration = Duration::from_secs(60);
/// The simulated Asterisks' ARI password.
const PASSWORD: &str = "dev";

/// A node.
pub(super) struct DevNode {
    pub(super) name: String,
    pub(super) asterisk: SimAsterisk,
    pub(super) version: SimVersion,
    dir: PathBuf,
    peer: u16,
    client: u16,
    redirect: u16,
    agi: u16,
    metrics: u16,
    child: Option<Child>,
}

impl DevNode {
    pub(super) async fn new(root: &Path, name: String, version: SimVersion) -> Outcome<Self> {
        let dir = root.join(&name);
        std::fs::create_dir_all(&dir)?;
        let (peer, client, redirect, agi) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let metrics = free_port()?;
        let config = SimConfig {
            password: PASSWORD.to_owned(),
            dialplan: dialplan(agi)?,
            ..SimConfig::new(version)
        };
        let asterisk = SimAsterisk::start(config).await?;
        Ok(Self {
            name,
            asterisk,
            version,
            dir,
            peer,
            client,
            redirect,
            agi,
            metrics,
            child: None,
        })
    }

    pub(super) fn peer_address(&self) -> String {
        format!("127.0.0.1:{}", self.peer)
    }

    pub(super) fn client_address(&self) -> Address {
        Address::from(std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, self.client)))
    }

    fn command(&self, words: &[&str]) -> Outcome<Command> {
        let mut command = Command::new(std::env::current_exe()?);
        command
            .args(words)
            .arg(format!("--data-dir={}", self.dir.join("data").display()))
            .arg(format!("--node-name={}", self.name))
            .arg(format!("--peer-listen=127.0.0.1:{}", self.peer))
            .arg(format!("--client-listen=127.0.0.1:{}", self.client))
            .arg(format!("--redirect-listen=127.0.0.1:{}", self.redirect))
            .arg("--redirect-transport=udp")
            .arg(format!("--agi-listen=127.0.0.1:{}", self.agi))
            .arg(format!("--metrics-listen=127.0.0.1:{}", self.metrics))
            .arg(format!("--sip-advertise={}", self.asterisk.sip_address()))
            .arg(format!("--asterisk-url={}", self.asterisk.url()))
            .arg("--security-plaintext=true")
            .env("FED_ASTERISK_PASSWORD", PASSWORD)
            .env("FED_CONFIG", "/dev/null")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true);
        Ok(command)
    }

    /// `init` or `join`.
    pub(super) async fn setup(&self, words: &[&str]) -> Outcome {
        let said = self.command(words)?.stderr(Stdio::piped()).output().await?;
        if said.status.success() {
            return Ok(());
        }
        Err(Failure::failed(format!(
            "{}: {}",
            self.name,
            String::from_utf8_lossy(&said.stderr)
        )))
    }

    /// Starts the process and waits until it answers.
    pub(super) async fn start(&mut self) -> Outcome {
        if self.child.is_some() {
            return Err(Failure::usage(format!("{} is running", self.name)));
        }
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.log())?;
        self.child = Some(self.command(&["run"])?.stderr(log).spawn()?);
        self.ready(|_| true).await
    }

    /// Waits until the node answers and its status is as wanted.
    pub(super) async fn ready(&mut self, wanted: impl Fn(&pb::StatusReply) -> bool) -> Outcome {
        let deadline = Instant::now() + START_WITHIN;
        loop {
            if let Ok(client) = Client::connect(&self.client_address(), Connector::plain(), Bearer::default()).await
                && let Ok(status) = client.api.clone().status(pb::StatusRequest {}).await
                && wanted(status.get_ref())
            {
                return Ok(());
            }
            let ended = self.child.as_mut().and_then(|child| child.try_wait().ok().flatten());
            if ended.is_some() || Instant::now() > deadline {
                return Err(Failure::failed(format!(
                    "{} did not come up; its log is {}",
                    self.name,
                    self.log().display()
                )));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Where the phones of this node say they are.
    pub(super) fn contact(&self, device: &str) -> String {
        // Nothing listens there: simulated phones answer inside the simulated Asterisk.
        format!("sip:{device}@127.0.0.1:{}", self.client)
    }

    fn log(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// `kill -9`
    pub(super) async fn kill(&mut self) -> Outcome {
        match self.child.take() {
            Some(mut child) => Ok(child.kill().await?),
            None => Err(Failure::usage(format!("{} is not running", self.name))),
        }
    }
}

/// What `asterisk-config` would install into the `extensions.conf` of such an Asterisk.
fn dialplan(agi: u16) -> Outcome<String> {
    let options = StanzaOptions {
        ari_user: "fed".to_owned(),
        ari_password: PASSWORD.to_owned(),
        http: std::net::SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        http_prefix: String::new(),
        app: "fed".to_owned(),
        agi: format!("127.0.0.1:{agi}"),
        asking: Asking::default(),
        refresh_events: true,
    };
    let all = stanzas(&options, |_| ConfigFile::default()).map_err(Failure::failed)?;
    Ok(all
        .into_iter()
        .find(|stanza| stanza.file == "extensions.conf")
        .map_or_else(String::new, |stanza| stanza.text))
}

/// A port that was free for TCP and UDP a moment ago. None of those that the kernel gives to outgoing connections (32768 and up, where
/// nobody changed it): one of them could have it while the node that it is for is down.
fn free_port() -> Outcome<u16> {
    const FIRST: u32 = 11_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Another federation on this machine begins elsewhere.
    let begin = std::process::id().wrapping_mul(7_919);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        if number >= COUNT {
            return Err(Failure::failed("no port is free on loopback"));
        }
        let port = (FIRST + begin.wrapping_add(number) % COUNT) as u16;
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(port);
        }
    }
}
