//! The federation's map of users without any Asterisk: `cargo run -p fed-raft --example user_location`.
//!
//! Two chat servers, each with a node of the cluster inside, share where their users are. [`ChatServer`] is the whole
//! integration: it binds a user who connects, follows the watch to disconnect one who moved, and asks the map where a
//! message goes. A SIP proxy, a WebRTC gateway or a game lobby would do the same three things.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fed_core::command::{Command, Expect, Reply};
use fed_core::event::{Change, UnboundWhy};
use fed_core::ids::{ContactUri, DeviceId, SessionId, UserId};
use fed_core::map::{FederationMap, MapView};
use fed_core::records::{Device, DigestCredentials, Node, NodeState, User};
use fed_core::route::{Located, locate};
use fed_raft::{Cluster, Config, Consistency, KeepAliveError, WatchItem};
use tokio::sync::Mutex;

const SOON: Duration = Duration::from_secs(20);

/// A server that users connect to.
struct ChatServer {
    cluster: Cluster<FederationMap>,
    session: SessionId,
    /// Who is connected here.
    connected: Arc<Mutex<BTreeSet<DeviceId>>>,
}

impl ChatServer {
    /// Makes this server known, opens its session, and follows the map.
    async fn start(cluster: Cluster<FederationMap>, name: &str) -> Result<Self> {
        let record = Node {
            id: cluster.id(),
            name: name.to_owned(),
            peer_address: cluster.address().to_string(),
            client_address: "127.0.0.1:1".to_owned(),
            sip_address: format!("{name}.example:5060"),
            asterisk_version: None,
            capabilities: Vec::new(),
            state: NodeState::Up,
            weight: 100,
            zone: None,
        };
        done(
            &cluster,
            Command::PutNode {
                node: record,
                expect: Expect::Any,
            },
        )
        .await?;
        let opened = cluster.propose(Command::OpenSession { node: cluster.id() }).await?;
        let Reply::SessionOpened { session } = opened.reply else {
            bail!("no session: {:?}", opened.reply);
        };
        tokio::spawn(keep_alive(cluster.clone(), session));
        let connected = Arc::new(Mutex::new(BTreeSet::new()));
        tokio::spawn(drop_who_moved(cluster.clone(), connected.clone()));
        Ok(Self {
            cluster,
            session,
            connected,
        })
    }

    /// A user connects here; whoever is connected elsewhere under the name is disconnected there.
    async fn connect(&self, user: &str) -> Result<()> {
        let device = DeviceId::new(user)?;
        let bind = Command::Bind {
            device: device.clone(),
            contact: ContactUri::new(format!("sip:{user}@{}", self.cluster.address()))?,
            node: self.cluster.id(),
            session: self.session,
            basis: Some(self.cluster.local().revision()),
            user_agent: Some("chat".to_owned()),
            path: None,
        };
        self.connected.lock().await.insert(device);
        match self.cluster.propose(bind).await?.reply {
            Reply::Bound { .. } => Ok(()),
            other => bail!("{user} is not bound: {other:?}"),
        }
    }

    /// Where a message to the user goes, as everything acknowledged so far says.
    async fn find(&self, user: &str) -> Result<Located> {
        let snapshot = self.cluster.read(Consistency::Linearizable, SOON).await?;
        Ok(locate(
            &MapView::new(&snapshot),
            self.cluster.id(),
            &DeviceId::new(user)?,
        )?)
    }
}

/// A server that no longer does this counts as dead: its users are found nowhere until they connect elsewhere.
async fn keep_alive(cluster: Cluster<FederationMap>, session: SessionId) {
    loop {
        let pause = match cluster.keep_alive(session).await {
            Ok(ttl) => ttl / 3,
            Err(KeepAliveError::NoLeader(_)) => Duration::from_millis(50),
            Err(_) => return,
        };
        tokio::time::sleep(pause).await;
    }
}

async fn drop_who_moved(cluster: Cluster<FederationMap>, connected: Arc<Mutex<BTreeSet<DeviceId>>>) {
    let mut watch = cluster.watch(cluster.local().revision());
    while let Some(item) = watch.next().await {
        let WatchItem::Events { events, .. } = item else {
            continue;
        };
        for event in events {
            if let Change::Unbound {
                binding,
                why: UnboundWhy::Superseded,
            } = event
                && binding.node == cluster.id()
            {
                connected.lock().await.remove(&binding.device);
                println!("{}: {} moved away", cluster.id(), binding.device);
            }
        }
    }
}

async fn done(cluster: &Cluster<FederationMap>, command: Command) -> Result<()> {
    match cluster.propose(command).await?.reply {
        Reply::Done { .. } | Reply::Batch(_) => Ok(()),
        other => bail!("{other:?}"),
    }
}

/// A user who may connect under that name.
async fn provision(cluster: &Cluster<FederationMap>, name: &str) -> Result<()> {
    let user = User::new(UserId::new(name)?);
    // The integration checks who somebody is; the map keeps what SIP would need for it.
    let credentials = DigestCredentials {
        realm: "chat".to_owned(),
        md5_ha1: "0123456789abcdef0123456789abcdef".to_owned(),
    };
    let device = Device::new(DeviceId::new(name)?, user.id.clone(), credentials);
    let both = vec![
        Command::PutUser {
            user,
            expect: Expect::Absent,
        },
        Command::PutDevice {
            device,
            expect: Expect::Absent,
        },
    ];
    done(cluster, Command::Batch(both)).await
}

async fn until(what: &str, mut condition: impl AsyncFnMut() -> Result<bool>) -> Result<()> {
    let looking = async {
        while !condition().await? {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        Ok(())
    };
    tokio::time::timeout(SOON, looking).await.context(what.to_owned())?
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = |name: &str| {
        let mut config = Config::new(folder.path().join(name), "127.0.0.1:0");
        // Two servers: with one voter, either may be stopped while the other's data stays its own.
        config.target_voters = 1;
        config
    };
    Cluster::<FederationMap>::init(&config("paris"))?;
    let paris = Cluster::start(config("paris"), FederationMap).await?;
    Cluster::<FederationMap>::join(&config("oslo"), &paris.address().to_string()).await?;
    let oslo = Cluster::start(config("oslo"), FederationMap).await?;
    let (paris, oslo) = (
        ChatServer::start(paris, "paris").await?,
        ChatServer::start(oslo, "oslo").await?,
    );

    provision(&paris.cluster, "alice").await?;
    ensure!(paris.find("alice").await? == Located::Offline);
    ensure!(paris.find("mallory").await? == Located::Unknown);

    paris.connect("alice").await?;
    ensure!(paris.find("alice").await? == Located::Here);
    let at_paris = Located::There {
        node: paris.cluster.id(),
        sip_address: "paris.example:5060".to_owned(),
    };
    ensure!(oslo.find("alice").await? == at_paris);
    println!("alice is at paris, and found there from oslo");

    oslo.connect("alice").await?;
    ensure!(oslo.find("alice").await? == Located::Here);
    until("paris disconnects her", async || {
        Ok(paris.connected.lock().await.is_empty())
    })
    .await?;
    println!("alice is at oslo");

    // Oslo dies without a word: nobody keeps its session alive.
    oslo.cluster.shutdown().await;
    until("her old place no longer counts", async || {
        Ok(paris.find("alice").await? == Located::Offline)
    })
    .await?;
    println!("oslo is dead: alice is nowhere");
    paris.connect("alice").await?;
    ensure!(paris.find("alice").await? == Located::Here);
    println!("alice is back at paris");
    paris.cluster.shutdown().await;
    Ok(())
}
