//! One `fed-node` process without an Asterisk: its folder, its addresses, its client API.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fed_proto::client as pb;
use fed_proto::client::federation_client::FederationClient;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint, Error};

use super::{Access, Bearer, ProcessError, Program, Usage, at, free_ports};

/// Where a node listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// For the other nodes.
    pub peer: SocketAddr,
    /// For clients.
    pub client: SocketAddr,
    /// The SIP redirect server.
    pub redirect: SocketAddr,
    /// The FastAGI server.
    pub agi: SocketAddr,
}

impl Addresses {
    /// Free ports of this host's loopback.
    ///
    /// # Errors
    /// When there are none.
    pub fn loopback() -> std::io::Result<Self> {
        let ports = free_ports::<4>()?;
        let [peer, client, redirect, agi] = ports.map(|port| SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
        Ok(Self {
            peer,
            client,
            redirect,
            agi,
        })
    }
}

/// A node of a federation under test. Dropping it kills its process; its folder stays.
#[derive(Debug)]
pub struct FedNode {
    name: String,
    binary: PathBuf,
    folder: PathBuf,
    addresses: Addresses,
    prefix: Vec<String>,
    flags: Vec<String>,
    plaintext: bool,
    run: Program,
}

impl FedNode {
    /// A node called `name` in a folder of that name under `root`; neither founded nor joined, not running. `binary` is the
    /// `fed-node` to use.
    ///
    /// # Errors
    /// When the folder cannot be made.
    pub fn new(binary: &Path, root: &Path, name: &str, addresses: Addresses) -> Result<Self, ProcessError> {
        let folder = root.join(name);
        std::fs::create_dir_all(&folder).map_err(|e| at(&folder, e))?;
        let mut node = Self {
            name: name.to_owned(),
            binary: binary.to_owned(),
            run: Program::new(name, binary, folder.join("log")),
            folder,
            addresses,
            prefix: Vec::new(),
            flags: Vec::new(),
            plaintext: false,
        };
        node.run = node.program("run", &[]);
        Bearer::remember(addresses.client, &node.data_dir());
        Ok(node)
    }

    /// Without certificates and roles, as all of its federation then; on loopback only. Takes effect at the next start.
    #[must_use]
    pub fn plaintext(mut self) -> Self {
        self.plaintext = true;
        self.run = self.program("run", &[]);
        self
    }

    /// A further flag of every command of this node (`--raft-heartbeat-ms=50`). Takes effect at the next start.
    #[must_use]
    pub fn flag(mut self, flag: impl Into<String>) -> Self {
        self.flags.push(flag.into());
        self.run = self.program("run", &[]);
        self
    }

    /// Words put before every command of this node, as [`Program::through`] says.
    #[must_use]
    pub fn through<T: Into<String>>(mut self, prefix: impl IntoIterator<Item = T>) -> Self {
        self.prefix = prefix.into_iter().map(Into::into).collect();
        self.run = self.program("run", &[]);
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    #[must_use]
    pub fn addresses(&self) -> Addresses {
        self.addresses
    }

    /// Its data folder.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.folder.join("data")
    }

    /// Founds a federation with this node.
    ///
    /// # Errors
    /// What the command said.
    pub fn init(&self) -> Result<(), ProcessError> {
        self.program("init", &[]).finish().map(drop)
    }

    /// What lets one further node join over this one, which must run: a join token, or, without certificates, an address.
    ///
    /// # Errors
    /// What the command said last, when it gave out none within 20 s, in which the federation may be without a leader.
    pub fn invitation(&self) -> Result<String, ProcessError> {
        if self.plaintext {
            return Ok(self.addresses.peer.to_string());
        }
        let what = format!("fed-node token join of {}", self.name);
        let asking = Program::new(what, &self.binary, self.folder.join("log"))
            .args(["--server", &self.addresses.client.to_string(), "--token-file"])
            .arg(Bearer::file(&self.data_dir()).display().to_string())
            .args(["token", "join"])
            .env("FED_CONFIG", "/dev/null")
            .env("FED_DATA_DIR", self.data_dir().display().to_string())
            .through(&self.prefix);
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            match asking.finish() {
                Ok(token) => return Ok(token.trim().to_owned()),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(100)),
            }
        }
    }

    /// Joins the federation of the node that gave out the invitation.
    ///
    /// # Errors
    /// What the command said.
    pub fn join(&self, invitation: &str) -> Result<(), ProcessError> {
        self.program("join", &[invitation.to_owned()]).finish().map(drop)
    }

    /// Starts it; [`FedNode::ready`] waits until it answers.
    ///
    /// # Errors
    /// When it runs already, or cannot be started.
    pub fn start(&mut self) -> Result<(), ProcessError> {
        self.run.start()
    }

    /// Waits until its client API answers; how it then is.
    ///
    /// # Errors
    /// When the process ends, or does not answer within the time.
    pub async fn ready(&mut self, within: Duration) -> Result<pb::StatusReply, ProcessError> {
        self.reaches("its client API answers", within, |_| true).await
    }

    /// Waits until its status fulfils the condition.
    ///
    /// # Errors
    /// When the process ends, or the condition is not met within the time.
    pub async fn reaches(
        &mut self,
        what: &str,
        within: Duration,
        condition: impl Fn(&pb::StatusReply) -> bool,
    ) -> Result<pb::StatusReply, ProcessError> {
        let deadline = Instant::now() + within;
        let mut seen = "no answer".to_owned();
        loop {
            self.run.check()?;
            match self.status().await {
                Ok(status) if condition(&status) => return Ok(status),
                Ok(status) => seen = format!("{status:?}"),
                Err(error) => seen = if seen == "no answer" { error.to_string() } else { seen },
            }
            if Instant::now() > deadline {
                let what = format!("{}: {what}; seen was {seen}; log: {}", self.name, self.run.log_tail());
                return Err(ProcessError::Late { what, within });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// How it says it is, asked over a new connection. It may take a second when the process is paused.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn status(&self) -> Result<pb::StatusReply, tonic::Status> {
        let unreachable = |error: tonic::transport::Error| tonic::Status::unavailable(error.to_string());
        let endpoint = self.endpoint().map_err(unreachable)?.timeout(Duration::from_secs(1));
        let channel = endpoint.connect().await.map_err(unreachable)?;
        let mut client = FederationClient::with_interceptor(channel, Bearer::of(self.addresses.client));
        client
            .status(pb::StatusRequest {})
            .await
            .map(tonic::Response::into_inner)
    }

    /// A client of it, which connects when it is used and again when the connection was lost.
    ///
    /// # Errors
    /// As [`Access::endpoint`].
    pub fn client(&self) -> Result<FederationClient<InterceptedService<Channel, Bearer>>, Error> {
        let channel = self.endpoint()?.connect_lazy();
        Ok(FederationClient::with_interceptor(
            channel,
            Bearer::of(self.addresses.client),
        ))
    }

    /// How its clients reach it.
    #[must_use]
    pub fn access(&self) -> Access {
        let authority = self.data_dir().join("security").join("ca.crt");
        Access {
            address: self.addresses.client,
            authority: (!self.plaintext).then_some(authority),
        }
    }

    /// How to connect to its client API.
    ///
    /// # Errors
    /// As [`Access::endpoint`].
    pub fn endpoint(&self) -> Result<Endpoint, Error> {
        let endpoint = self.access().endpoint()?;
        Ok(endpoint.connect_timeout(Duration::from_secs(1)).tcp_nodelay(true))
    }

    /// Sends SIGKILL and waits for the end.
    pub fn kill(&mut self) {
        self.run.kill();
    }

    /// As [`Program::terminate`].
    ///
    /// # Errors
    /// As [`Program::terminate`].
    pub fn terminate(&mut self, within: Duration) -> Result<Option<i32>, ProcessError> {
        self.run.terminate(within)
    }

    /// As [`Program::pause`].
    ///
    /// # Errors
    /// As [`Program::pause`].
    pub fn pause(&self) -> Result<(), ProcessError> {
        self.run.pause()
    }

    /// As [`Program::resume`].
    ///
    /// # Errors
    /// As [`Program::resume`].
    pub fn resume(&self) -> Result<(), ProcessError> {
        self.run.resume()
    }

    /// Whether it was started and not ended here.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.run.is_running()
    }

    /// What its process uses.
    ///
    /// # Errors
    /// When it does not run.
    pub fn usage(&self) -> Result<Usage, ProcessError> {
        self.run.usage()
    }

    /// The process that `fed-node run` is.
    pub fn process(&mut self) -> &mut Program {
        &mut self.run
    }

    fn program(&self, command: &str, arguments: &[String]) -> Program {
        let at = &self.addresses;
        let log = self.folder.join("log");
        let what = format!("fed-node {command} of {}", self.name);
        Program::new(what, &self.binary, log)
            .arg(command)
            .args(arguments)
            .arg(format!("--data-dir={}", self.data_dir().display()))
            .arg(format!("--node-name={}", self.name))
            .arg(format!("--security-plaintext={}", self.plaintext))
            .arg(format!("--peer-listen={}", at.peer))
            .arg(format!("--client-listen={}", at.client))
            .arg(format!("--redirect-listen={}", at.redirect))
            .arg(format!("--agi-listen={}", at.agi))
            .arg("--asterisk-enabled=false")
            .args(&self.flags)
            .env("FED_CONFIG", "/dev/null")
            .through(&self.prefix)
    }
}
