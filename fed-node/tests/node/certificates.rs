//! What a certificate is good for, and what it is not: a stolen one, one of a removed node, one of an authority of one's own; and
//! what is served with it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::support::{Federation, Node, free_port, until};
use fed_node::security::SecurityFolder;
use fed_proto::peer::ReadIndexRequest;
use fed_proto::peer::peer_client::PeerClient;
use fed_raft::Identity;
use fed_raft::security::{
    Authority, Connector, Credentials, Door, Keyring, Limits, NodeName, Security, Signing, Trust, request_key,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;
use tonic::codegen::Service;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};

fn read(path: impl AsRef<Path>) -> String {
    std::fs::read_to_string(path).unwrap()
}

fn identity(node: &Node) -> Identity {
    fed_raft::inspect(&node.data_dir().join("cluster")).unwrap().unwrap()
}

/// What a thief of a node's folder can prove.
fn stolen(node: &Node) -> Keyring {
    let folder = SecurityFolder::of(&node.data_dir());
    let credentials = Credentials::from_pem(
        &read(folder.authority()),
        &read(folder.certificate()),
        &read(folder.key()),
    );
    Keyring::new(credentials.unwrap())
}

/// A connection to a node's side for peers.
async fn knock(node: &Node, trust: Trust) -> Result<Channel, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{}", node.peer_address())).unwrap();
    let connector = Connector::tls(trust).unwrap();
    endpoint
        .timeout(Duration::from_secs(5))
        .connect_with_connector(connector)
        .await
}

/// Asks that node, as `from`.
async fn ask(channel: &Channel, to: &Identity, from: &Identity) -> Result<(), Status> {
    let mut request = Request::new(ReadIndexRequest {});
    let badge = format!("1/{}/{}/{}/{}", from.cluster, from.node.0, from.incarnation, to.node.0);
    request.metadata_mut().insert("fed-peer", badge.parse().unwrap());
    PeerClient::new(channel.clone()).read_index(request).await.map(drop)
}

#[test]
fn a_certificate_speaks_for_its_node_and_for_no_other() {
    let federation = Federation::start(3);
    let [first, second, third] = &federation.nodes[..] else {
        panic!()
    };
    let (to, own, other) = (identity(first), identity(second), identity(third));
    let keyring = stolen(second);
    Runtime::new().unwrap().block_on(async {
        let channel = knock(first, Trust::cluster(&keyring)).await.unwrap();
        ask(&channel, &to, &own).await.unwrap();
        let forged = ask(&channel, &to, &other).await.unwrap_err();
        assert_eq!(forged.code(), Code::PermissionDenied, "{forged}");
        assert!(forged.message().contains("the certificate is that of"), "{forged}");
        // Nor does one without a certificate speak for anybody.
        let authority = read(first.authority());
        let nameless = knock(first, Trust::authorities(&authority).unwrap()).await.unwrap();
        let refused = ask(&nameless, &to, &own).await.unwrap_err();
        assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    });
}

#[test]
fn a_removed_node_is_cut_off_at_once_whatever_it_still_has() {
    let mut federation = Federation::start(3);
    let keyring = stolen(&federation.nodes[2]);
    let removed = identity(&federation.nodes[2]);
    let root = tempfile::tempdir().unwrap();
    let mut copy = Node::new(root.path(), "n3");
    copied(&federation.nodes[2].data_dir(), &copy.data_dir());
    let runtime = Runtime::new().unwrap();
    let to = identity(&federation.nodes[0]);
    let live = runtime.block_on(async {
        let channel = knock(&federation.nodes[0], Trust::cluster(&keyring)).await.unwrap();
        ask(&channel, &to, &removed).await.unwrap();
        channel
    });
    // A connection that asks nothing is ended too.
    let mut idle = runtime.block_on(async {
        let address = format!("http://{}", federation.nodes[0].peer_address());
        let mut connector = Connector::tls(Trust::cluster(&keyring)).unwrap();
        connector.call(address.parse().unwrap()).await.unwrap().into_inner()
    });

    federation.nodes[2].asks(&["leave", "--yes"]).ok();
    runtime.block_on(async {
        let ended = tokio::time::timeout(Duration::from_secs(5), async {
            let mut heard = Vec::new();
            let _ = idle.read_to_end(&mut heard).await;
        });
        ended.await.expect("it is ended within 5 s");
        let refused = ask(&live, &to, &removed).await.unwrap_err();
        assert!(
            refused.code() != Code::Ok && !refused.message().is_empty(),
            "the live connection: {refused:?}"
        );
        let again = knock(&federation.nodes[0], Trust::cluster(&keyring)).await.unwrap();
        let refused = ask(&again, &to, &removed).await.unwrap_err();
        assert!(
            refused.message().contains("was removed from the cluster"),
            "{refused:?}"
        );
    });
    assert_eq!(federation.nodes[2].ends(), 0, "{}", federation.nodes[2].log());

    // Its folder, taken away before, brings nobody back in.
    copy.peer = federation.nodes[2].peer;
    copy.spawn();
    let code = copy.ends();
    assert_ne!(code, 0);
    assert!(copy.log().contains("was removed from the cluster"), "{}", copy.log());
    federation.nodes[0].add_user("alice", "1001").ok();
}

/// Somebody with a node's certificate and key who answers in another's place, and the words that are shown to him.
struct Impostor {
    port: u16,
    heard: std::sync::mpsc::Receiver<Vec<u8>>,
}

impl Impostor {
    fn with(keyring: &Keyring) -> Self {
        let security = Security::Tls(keyring.clone());
        let (send, heard) = std::sync::mpsc::channel();
        let (bound, port) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            Runtime::new().unwrap().block_on(async {
                let nobody_is_gone = std::sync::Arc::new(|_| false);
                let door = Door::open("127.0.0.1:0", &security, &[b"h2"], Limits::default(), nobody_is_gone);
                let mut door = door.await.unwrap();
                bound.send(door.local_addr().unwrap().port()).unwrap();
                loop {
                    let mut connection = door.accept().await;
                    let mut bytes = vec![0; 1024];
                    let read = connection.read(&mut bytes).await.unwrap_or(0);
                    bytes.truncate(read);
                    // The test may be over.
                    let _ = send.send(bytes);
                }
            });
        });
        let port = port.recv().unwrap();
        Self { port, heard }
    }
}

#[test]
fn the_certificate_of_a_removed_node_collects_no_tokens() {
    let mut federation = Federation::start(2);
    let keyring = stolen(&federation.nodes[1]);
    federation.nodes[1].asks(&["leave", "--yes"]).ok();
    federation.nodes[1].ends();
    let node = &federation.nodes[0];
    let token = node.token("admin", &["--role", "admin"]);
    let impostor = Impostor::with(&keyring);
    let ask = |args: &[&str]| {
        let server = format!("--server=127.0.0.1:{}", impostor.port);
        let asked = crate::support::fed_node()
            .env("FED_DATA_DIR", node.data_dir())
            .arg(server)
            .args(args)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&asked.stderr).into_owned();
        (asked.status.code(), said)
    };
    // On the node's machine the very node is expected, wherever it seems to be.
    let (code, said) = ask(&["status"]);
    assert!(
        code == Some(5) && said.contains("it is fed://") && said.contains("FED-0056"),
        "{code:?}: {said}"
    );
    // Elsewhere the host: his certificate is for his own.
    let token = format!("--token-file={}", token.display());
    let (code, said) = ask(&[&token, "--server-name", "pbx1.example.org", "status"]);
    assert!(
        code == Some(5) && said.contains("not for pbx1.example.org"),
        "{code:?}: {said}"
    );
    assert!(said.contains("--server-name") && said.contains("FED-0056"), "{said}");
    assert!(impostor.heard.try_recv().is_err(), "nothing was said to him");
    // The right name leads to the right node.
    node.asks(&[&token, "--server-name", "localhost", "status"]).ok();
}

fn copied(from: &Path, to: &Path) {
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    assert!(done.unwrap().success());
}

/// An authority that is nobody's but the administrator's.
struct Own {
    authority: Authority,
    folder: PathBuf,
}

impl Own {
    fn flags(&self, node: &str) -> Vec<String> {
        [
            ("ca", "ca.crt".to_owned()),
            ("cert", format!("{node}.crt")),
            ("key", format!("{node}.key")),
        ]
        .map(|(key, file)| format!("--tls-{key}={}", self.folder.join(file).display()))
        .into()
    }

    /// What an administrator does with a request: has it signed, and puts the answer where the configuration says.
    fn certify(&self, node: &str, name: NodeName, lifetime: Duration) {
        let made = request_key(None).unwrap();
        let signing = Signing {
            name,
            hosts: &["127.0.0.1".to_owned(), "localhost".to_owned()],
            lifetime,
        };
        let certificate = self.authority.sign(&made.public_key, &signing).unwrap();
        crate::support::write_private(&self.folder.join(format!("{node}.key")), &made.key);
        std::fs::write(self.folder.join(format!("{node}.crt")), certificate).unwrap();
    }
}

#[test]
fn an_authority_of_ones_own_signs_for_a_whole_federation_and_new_certificates_are_taken_up() {
    let root = tempfile::tempdir().unwrap();
    let anywhere: NodeName = format!("fed://{}/node/1", "a".repeat(32)).parse().unwrap();
    let own = Own {
        authority: Authority::make(anywhere.cluster).unwrap(),
        folder: root.path().to_owned(),
    };
    std::fs::write(root.path().join("ca.crt"), own.authority.certificate_pem()).unwrap();
    let day = Duration::from_secs(24 * 3600);
    let mut nodes: Vec<Node> = Vec::new();
    for name in ["n1", "n2"] {
        let mut node = Node::new(root.path(), name);
        node.flags.extend(own.flags(name));
        let said = match nodes.first() {
            None => node.setup(&["init"]).ok(),
            Some(first) => node.setup(&["join", &first.invitation()]).ok(),
        };
        let identity = identity(&node).name();
        assert!(
            said.err.contains(&identity.to_string()) && said.err.contains("node.csr"),
            "{said:?}"
        );
        let folder = SecurityFolder::of(&node.data_dir());
        assert!(folder.request().exists() && !folder.authority_key().exists() && !folder.certificate().exists());
        let early = node.setup(&["run"]);
        assert!(early.code == 2 && early.err.contains("node.csr"), "{early:?}");
        own.certify(name, identity, 30 * day);
        node.ca = Some(root.path().join("ca.crt"));
        node.run();
        nodes.push(node);
    }
    until("both are up", || {
        let status = nodes[1].json(&["status"]);
        let up = status["members"].as_array()?.iter().filter(|m| m["up"] == true).count();
        (up == 2).then_some(())
    });
    nodes[1].add_user("alice", "1001").ok();
    assert_eq!(
        read(SecurityFolder::of(&nodes[0].data_dir()).cluster_key()),
        read(SecurityFolder::of(&nodes[1].data_dir()).cluster_key())
    );
    // Another one in its place is taken up without a restart.
    own.certify("n2", identity(&nodes[1]).name(), 60 * day);
    until("it is taken up", || {
        nodes[1].log().contains("a new certificate is in use").then_some(())
    });
    nodes[1].add_user("bob", "1002").ok();
    // One of another node is not.
    own.certify("n2", identity(&nodes[0]).name(), 60 * day);
    until("it is refused", || {
        nodes[1]
            .log()
            .contains("the new certificate is of another node")
            .then_some(())
    });
    nodes[1].add_user("carol", "1003").ok();
}

#[test]
fn metrics_that_others_can_reach_are_served_over_tls() {
    // An address of this machine that is written so that it could be another's.
    let port = free_port();
    let federation = Federation::start_with(1, |_, node| {
        node.flags.push(format!("--metrics-listen=127.1:{port}"));
    });
    let authority = read(federation.nodes[0].authority());
    let ask = b"GET /metrics HTTP/1.0\r\nHost: localhost\r\n\r\n";
    Runtime::new().unwrap().block_on(async {
        let mut plain = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        plain.write_all(ask).await.unwrap();
        let mut heard = Vec::new();
        let _ = plain.read_to_end(&mut heard).await;
        assert!(!String::from_utf8_lossy(&heard).contains("fed_"), "in clear text");
        let trust = Trust::authorities(&authority).unwrap().over(b"http/1.1");
        let mut connector = Connector::tls(trust).unwrap();
        let address = format!("http://127.0.0.1:{port}").parse().unwrap();
        let mut stream = connector.call(address).await.unwrap().into_inner();
        stream.write_all(ask).await.unwrap();
        let mut heard = Vec::new();
        let _ = stream.read_to_end(&mut heard).await;
        assert!(String::from_utf8_lossy(&heard).contains("fed_raft_term"));
    });
}

#[test]
fn a_node_that_somebody_else_controls_is_cut_off_while_it_runs() {
    let mut federation = Federation::start(3);
    let refused = federation.nodes[0].asks(&["leave", "n3", "--yes"]);
    assert!(
        refused.code != 0 && refused.err.contains("--cut-off"),
        "{}",
        refused.err
    );
    federation.nodes[0].asks(&["leave", "n3", "--yes", "--cut-off"]).ok();
    assert_ne!(federation.nodes[2].ends(), 0, "it is told and ends");
    federation.nodes[1].add_user("alice", "1001").ok();
    let audit = federation.nodes[0].asks(&["audit", "list"]).ok();
    assert!(audit.out.contains("node_deleted"), "{}", audit.out);
    let list = federation.nodes[0].asks(&["node", "list"]).ok();
    assert!(list.out.contains("n2") && !list.out.contains("n3"), "{}", list.out);
}
