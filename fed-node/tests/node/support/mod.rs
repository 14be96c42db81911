//! Federations of real `fed-node` processes on loopback, and the command line to drive them.

use std::io::Write;
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use fed_proto::client::federation_client::FederationClient;
use serde_json::Value;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint};

/// Longest wait for anything to become true.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until `probe` gives something.
pub(crate) fn until<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = probe() {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time: {what}");
        std::thread::sleep(Duration::from_millis(30));
    }
}

/// A port that was free for TCP and UDP a moment ago.
///
/// Each is given away once, and none is of those that the kernel gives to outgoing connections (32768 and up, where nobody changed
/// it): one of them could have it before the node that it is for.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    const FIRST: u32 = 11_000;
    const COUNT: u32 = 20_000;
    // Another run of the tests, at the same time, begins elsewhere.
    let begin = std::process::id().wrapping_mul(7_919);
    loop {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(number < COUNT, "there is no free port");
        let port = u16::try_from(FIRST + begin.wrapping_add(number) % COUNT).unwrap();
        let address = (Ipv4Addr::LOCALHOST, port);
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return port;
        }
    }
}

/// Writes a file that only its owner may read.
pub(crate) fn write_private(file: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(file, text).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

/// What one command said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(output: Output) -> Self {
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
    fn is_own(&self) -> bool {
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
fn heard(mut command: Command, stdin: &[u8]) -> Said {
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
    program: Program,
    server: String,
    data_dir: PathBuf,
    ca: Option<PathBuf>,
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
}

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
        Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status()
            .unwrap();
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

/// Several nodes of one federation.
pub(crate) struct Federation {
    pub(crate) nodes: Vec<Node>,
    _root: tempfile::TempDir,
}

impl Federation {
    /// The same without certificates and roles.
    pub(crate) fn start_plain(count: usize) -> Self {
        Self::start_with(count, |_, node| node.plaintext = true)
    }

    /// A running federation of `count` nodes without Asterisks.
    pub(crate) fn start(count: usize) -> Self {
        Self::start_with(count, |_, _| {})
    }

    /// The same, each node prepared before its first start.
    pub(crate) fn start_with(count: usize, mut prepare: impl FnMut(usize, &mut Node)) -> Self {
        let root = tempfile::tempdir().unwrap();
        let mut nodes: Vec<Node> = Vec::new();
        for index in 0..count {
            let mut node = Node::new(root.path(), &format!("n{}", index + 1));
            prepare(index, &mut node);
            match nodes.first() {
                None => node.setup(&["init"]).ok(),
                Some(first) => node.setup(&["join", &first.invitation()]).ok(),
            };
            node.run();
            nodes.push(node);
        }
        let federation = Self { nodes, _root: root };
        federation.settle(count);
        federation
    }

    /// Waits until every running node sees `count` members, a quorum and the founding settings.
    pub(crate) fn settle(&self, count: usize) {
        for node in self.nodes.iter().filter(|node| node.child.is_some()) {
            until(&format!("{} sees {count} nodes up", node.name), || {
                let said = node.asks(&["-o", "json", "status"]);
                let status = (said.code == 0).then(|| said.json())?;
                let up = status["members"]
                    .as_array()?
                    .iter()
                    .filter(|m| m["up"] == true && m["role"] != "learner")
                    .count();
                (status["quorum"] == true && up == count.min(3)).then_some(())
            });
        }
        until("the federation is founded", || {
            let key = self
                .nodes
                .iter()
                .find(|node| node.child.is_some())?
                .json(&["setting", "list"]);
            let founded = key
                .as_array()?
                .iter()
                .any(|s| s["key"] == "capability_key" && s["set"] == true);
            founded.then_some(())
        });
    }

    /// The state's hash at every running node, once all are at the same revision.
    pub(crate) fn hashes_agree(&self) {
        until("equal hashes", || {
            let mut states = self.nodes.iter().filter(|node| node.child.is_some()).map(|node| {
                let status = node.json(&["status"]);
                (status["revision"].clone(), status["state_hash"].clone())
            });
            let first = states.next()?;
            states.all(|state| state == first).then_some(())
        });
    }
}

/// The calls of a node, made with a token.
pub(crate) type Client = FederationClient<InterceptedService<Channel, Show>>;

/// Shows a token with every call.
#[derive(Clone)]
pub(crate) struct Show(MetadataValue<Ascii>);

impl Interceptor for Show {
    fn call(&mut self, mut request: tonic::Request<()>) -> Result<tonic::Request<()>, tonic::Status> {
        request.metadata_mut().insert("authorization", self.0.clone());
        Ok(request)
    }
}

/// A connection to the node's client API, with its certificate looked at.
pub(crate) async fn channel(node: &Node) -> Channel {
    let address = format!("127.0.0.1:{}", node.client);
    let endpoint = if node.plaintext {
        Endpoint::from_shared(format!("http://{address}")).unwrap()
    } else {
        let authority = Certificate::from_pem(std::fs::read(node.authority()).unwrap());
        let tls = ClientTlsConfig::new().ca_certificate(authority);
        Endpoint::from_shared(format!("https://{address}"))
            .unwrap()
            .tls_config(tls)
            .unwrap()
    };
    endpoint.connect().await.unwrap()
}

/// A client of the node, with a token.
pub(crate) async fn client(node: &Node, token: &str) -> Client {
    let show = Show(format!("Bearer {token}").parse().unwrap());
    FederationClient::with_interceptor(channel(node).await, show)
}
