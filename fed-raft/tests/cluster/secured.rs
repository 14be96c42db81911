//! Clusters whose members prove who they are, and whoever tries to be one of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fed_core::ids::NodeId;
use fed_proto::peer::peer_client::PeerClient;
use fed_raft::security::{
    Authority, Connector, Credentials, Keyring, NodeName, Security, Signing, Trust, fingerprint, request_key,
};
use fed_raft::{Application, Cluster, Config, Doorkeeper, Identity, OnFailure, Turned};
use futures::future::BoxFuture;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use crate::lab::until;
use crate::machine::{Command, Values};

/// What lets a node in.
pub const SECRET: &[u8] = b"open sesame";

pub struct Secured {
    pub authority: Arc<Authority>,
    pub nodes: Vec<Member>,
}

pub struct Member {
    pub cluster: Cluster<Values>,
    pub keyring: Keyring,
    _folder: TempDir,
}

/// Lets in whoever knows the word, and certifies the key that comes with it.
struct Porter {
    authority: Arc<Authority>,
    cluster: fed_raft::ClusterId,
}

fn split(application: &Bytes) -> Result<String, Turned> {
    let away = || Turned::Away("the word is wrong".to_owned());
    let key = application.strip_prefix(SECRET).ok_or_else(away)?;
    String::from_utf8(key.to_vec()).map_err(|_| away())
}

impl Doorkeeper for Porter {
    fn admit(&self, _: std::net::IpAddr, _: String, application: Bytes) -> BoxFuture<'_, Result<(), Turned>> {
        Box::pin(async move { split(&application).map(drop) })
    }

    fn equip(&self, node: NodeId, _: String, application: Bytes) -> BoxFuture<'_, Result<Bytes, Turned>> {
        Box::pin(async move {
            let name = NodeName {
                cluster: self.cluster,
                node,
            };
            Ok(certified(&self.authority, name, &split(&application)?).into())
        })
    }
}

/// A certificate for an hour.
pub fn certified(authority: &Authority, name: NodeName, public_key: &str) -> String {
    let signing = Signing {
        name,
        hosts: &["localhost".to_owned(), "127.0.0.1".to_owned()],
        lifetime: Duration::from_secs(3600),
    };
    authority.sign(public_key, &signing).expect("signed")
}

/// A keyring of that name, by that authority.
pub fn keyring(authority: &Authority, name: NodeName) -> Keyring {
    let made = request_key(None).expect("a key");
    let certificate = certified(authority, name, &made.public_key);
    Keyring::new(Credentials::from_pem(authority.certificate_pem(), &certificate, &made.key).expect("fits"))
}

fn config(folder: &TempDir, prepare: fn(&mut Config)) -> Config {
    let mut config = Config::new(folder.path().join("data"), "127.0.0.1:0");
    config.on_failure = OnFailure::StopNode;
    prepare(&mut config);
    config
}

/// Far from any election that a busy machine could bring about by itself.
fn calm(config: &mut Config) {
    config.election_min = Duration::from_secs(5);
    config.election_max = Duration::from_secs(10);
    config.session_ttl = Duration::from_secs(20);
}

impl Secured {
    /// For tests of who may what, in which no election is to come between.
    pub async fn of(size: usize) -> Self {
        Self::prepared(size, calm).await
    }

    /// With the timers that a node has unless told otherwise.
    pub async fn with_default_timers(size: usize) -> Self {
        Self::prepared(size, |_| {}).await
    }

    async fn prepared(size: usize, prepare: fn(&mut Config)) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut first = config(&folder, prepare);
        let identity = Cluster::<Values>::init(&first).expect("an empty folder");
        let authority = Arc::new(Authority::make(identity.cluster).expect("an authority"));
        let keyring = keyring(&authority, identity.name());
        first.security = Security::Tls(keyring.clone());
        let cluster = Cluster::start(first, Values::default()).await.expect("starts");
        cluster.admit_with(Arc::new(Porter {
            authority: authority.clone(),
            cluster: identity.cluster,
        }));
        until("the first node leads", async || cluster.status().leader.is_some()).await;
        let first = Member {
            cluster,
            keyring,
            _folder: folder,
        };
        let mut lab = Self {
            authority,
            nodes: vec![first],
        };
        while lab.nodes.len() < size {
            lab.add(prepare).await;
        }
        lab
    }

    async fn add(&mut self, prepare: fn(&mut Config)) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut config = config(&folder, prepare);
        let pin = fingerprint(self.authority.certificate_pem()).expect("an authority");
        let made = request_key(None).expect("a key");
        let mut given = Bytes::new();
        let application = self.application(pin, &[SECRET, made.public_key.as_bytes()].concat());
        let keep = |_: &Identity, equipment: Bytes| {
            given = equipment;
            Ok(())
        };
        let identity = Cluster::<Values>::apply(&config, application, keep).await;
        let identity = identity.expect("the word is right");
        let certificate = String::from_utf8(given.to_vec()).expect("a certificate");
        let credentials = Credentials::from_pem(self.authority.certificate_pem(), &certificate, &made.key);
        let keyring = Keyring::new(credentials.expect("fits"));
        assert_eq!(keyring.name(), identity.name());
        config.security = Security::Tls(keyring.clone());
        let cluster = Cluster::start(config, Values::default()).await.expect("starts");
        let id = cluster.id();
        until("the new node is let in", async || {
            cluster.members().iter().any(|m| m.id == id)
        })
        .await;
        self.nodes.push(Member {
            cluster,
            keyring,
            _folder: folder,
        });
    }

    /// How somebody asks the first node to be let in.
    pub fn application(&self, pin: [u8; 32], payload: &[u8]) -> Application {
        Application {
            seed: self.address(0),
            connector: Connector::tls(Trust::pinned(pin, self.name(0))).expect("TLS"),
            payload: Bytes::copy_from_slice(payload),
        }
    }

    pub fn address(&self, node: usize) -> String {
        self.nodes[node].cluster.address().to_string()
    }

    pub fn name(&self, node: usize) -> NodeName {
        self.nodes[node].cluster.identity().name()
    }

    /// A client of a node that shows the certificate in the keyring.
    pub fn client(&self, node: usize, keyring: &Keyring) -> PeerClient<Channel> {
        self.client_by(&self.address(node), node, keyring)
    }

    /// The same by way of another address.
    pub fn client_by(&self, address: &str, node: usize, keyring: &Keyring) -> PeerClient<Channel> {
        dial(
            address,
            Connector::tls(Trust::node(keyring, self.name(node))).expect("TLS"),
        )
    }

    /// A request of one node to another, or of one that says so.
    pub fn request<T>(&self, from: usize, to: usize, message: T) -> tonic::Request<T> {
        let (from, to) = (self.nodes[from].cluster.identity(), self.nodes[to].cluster.id());
        let badge = format!("1/{}/{}/{}/{to}", from.cluster, from.node, from.incarnation);
        let mut request = tonic::Request::new(message);
        request
            .metadata_mut()
            .insert("fed-peer", badge.parse().expect("digits"));
        request
    }

    pub async fn put(&self, node: usize, key: &str) {
        let command = Command::Put {
            key: key.to_owned(),
            value: "value".to_owned(),
        };
        self.nodes[node].cluster.propose(command).await.expect("acknowledged");
    }
}

pub fn dial(address: &str, connector: Connector) -> PeerClient<Channel> {
    PeerClient::new(channel(address, connector)).max_encoding_message_size(usize::MAX)
}

pub fn channel(address: &str, connector: Connector) -> Channel {
    let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
    endpoint.connect_with_connector_lazy(connector)
}
