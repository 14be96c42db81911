//! A node inside this process: what a program that embeds the cluster library does. It fills the map with registrations, as the bridge of
//! a node does, and reads the map without leaving the process.

use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use fed_core::audit::{Actor, Origin};
use fed_core::command::{Command, Expect, Reply};
use fed_core::ids::{ContactUri, DeviceId, Revision, SessionId, UserId};
use fed_core::map::{FederationMap, MapView};
use fed_core::records::{Device, DigestCredentials, Node, NodeState, User};
use fed_raft::{Cluster, Config, Proposed};

use super::{fed, value};
use crate::seeded::Seeded;

/// Commands proposed together.
const TOGETHER: u64 = 256;
const PATIENCE: Duration = Duration::from_secs(30);

type Failed = Box<dyn std::error::Error + Send + Sync>;

/// A member of a federation that runs in this process.
#[derive(Debug, Clone)]
pub struct Embedded {
    cluster: Cluster<FederationMap>,
    session: SessionId,
}

impl Embedded {
    /// Joins the federation of the node whose peers' address this is, with a folder of its own, and opens a session.
    ///
    /// # Errors
    /// When the federation does not take it in.
    pub async fn join(folder: &Path, seed: SocketAddr) -> Result<Self, Failed> {
        let config = Config::new(folder, "127.0.0.1:0");
        Cluster::<FederationMap>::join(&config, &seed.to_string()).await?;
        let cluster = Cluster::start(config, FederationMap).await?;
        let id = cluster.id();
        let node = Node {
            id,
            name: format!("embedded-{}", id.0),
            peer_address: cluster.address().to_string(),
            client_address: "127.0.0.1:1".to_owned(),
            sip_address: "127.0.0.1:1".to_owned(),
            asterisk_version: None,
            capabilities: Vec::new(),
            state: NodeState::Up,
            weight: 1,
            zone: None,
        };
        let expect = Expect::Any;
        accepted(&[cluster.propose(Command::PutNode { node, expect }).await?])?;
        let opened = cluster.propose(Command::OpenSession { node: id }).await?;
        let Reply::SessionOpened { session } = opened.reply else {
            return Err(format!("no session: {:?}", opened.reply).into());
        };
        let alive = cluster.clone();
        tokio::spawn(async move {
            loop {
                // A session that ends is seen by the next binding.
                let _ = alive.keep_alive(session).await;
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_millis(300)) => {}
                    _ = alive.stopped() => return,
                }
            }
        });
        Ok(Self { cluster, session })
    }

    /// Makes `count` users, each with a device and its binding.
    ///
    /// # Errors
    /// When one of them is refused.
    pub async fn fill(&self, count: u64, told: impl Fn(u64)) -> Result<(), Failed> {
        const WRITERS: u64 = 4;
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..WRITERS {
            let this = self.clone();
            writers.spawn(async move {
                for first in (writer * TOGETHER..count).step_by((WRITERS * TOGETHER) as usize) {
                    let keys = first..(first + TOGETHER).min(count);
                    let commands = keys.map(|key| this.registration(key)).collect::<Result<_, _>>()?;
                    accepted(&this.cluster.propose_many(commands).await?)?;
                }
                Ok::<(), Failed>(())
            });
        }
        let mut finished = 0;
        while let Some(written) = writers.join_next().await {
            written??;
            finished += 1;
            told(count * finished / WRITERS);
        }
        Ok(())
    }

    fn registration(&self, key: u64) -> Result<Command, Failed> {
        let id = fed::id(key);
        let (user, device) = (UserId::new(id.as_str())?, DeviceId::new(format!("d{key:07}"))?);
        let digest = format!("{:032x}", u128::from(key));
        let credentials = DigestCredentials {
            realm: "asterisk".to_owned(),
            md5_ha1: digest,
        };
        let mut record = User::new(user.clone());
        record.display_name = value(key, 80);
        let bind = Command::Bind {
            device: device.clone(),
            contact: ContactUri::new(format!("sip:{id}@192.0.2.7:{}", 10_000 + key % 50_000))?,
            node: self.cluster.id(),
            session: self.session,
            basis: Some(self.cluster.local().revision()),
            user_agent: Some("a telephone".to_owned()),
            path: None,
        };
        let expect = Expect::Any;
        let command = Command::Batch(vec![
            Command::PutUser { user: record, expect },
            Command::PutDevice {
                device: Device::new(device, user, credentials),
                expect,
            },
            bind,
        ]);
        // A member makes users in somebody's name only.
        let origin = Origin {
            who: Actor::Local,
            via: self.cluster.id(),
            at_unix: 0,
        };
        Ok(Command::By {
            origin,
            command: Box::new(command),
        })
    }

    /// Waits until this node has applied what another one has.
    ///
    /// # Errors
    /// When it is not there in time.
    pub async fn reaches(&self, revision: u64) -> Result<(), Failed> {
        let at_least = fed_raft::Consistency::AtLeast(Revision(revision));
        self.cluster.read(at_least, PATIENCE).await?;
        Ok(())
    }

    /// Reads users in this process, on `threads` threads, for as long as `measured`: reads a second, all threads together.
    ///
    /// # Errors
    /// When a user of the first `keys` is not there.
    pub fn reads(&self, threads: usize, measured: Duration, keys: u64) -> Result<f64, Failed> {
        let readers = (0..threads as u64).map(|seed| {
            let cluster = self.cluster.clone();
            std::thread::spawn(move || read_users(&cluster, seed, measured, keys))
        });
        let readers: Vec<_> = readers.collect();
        let mut all = 0;
        for reader in readers {
            all += reader.join().map_err(|_| "a reader panicked")??;
        }
        Ok(all as f64 / measured.as_secs_f64())
    }

    /// Stops the node.
    pub async fn stop(self) {
        self.cluster.shutdown().await;
    }
}

/// Each read is one of its own: the newest state, one user, decoded.
fn read_users(cluster: &Cluster<FederationMap>, seed: u64, measured: Duration, keys: u64) -> Result<u64, Failed> {
    let mut random = Seeded::new(seed);
    let ids = (0..4096).map(|_| UserId::new(fed::id(random.below(keys))));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    let end = Instant::now() + measured;
    let mut count = 0;
    while Instant::now() < end {
        for id in &ids {
            let snapshot = cluster.local();
            let user = MapView::new(&snapshot).user(id)?;
            count += u64::from(user.is_some());
        }
    }
    if count % ids.len() as u64 == 0 {
        Ok(count)
    } else {
        Err("a user is not there".into())
    }
}

fn accepted(answers: &[Proposed<Reply>]) -> Result<(), Failed> {
    let refused = answers
        .iter()
        .find(|answer| matches!(answer.reply, Reply::Refused(_) | Reply::BindingRefused { .. }));
    match refused {
        Some(refused) => Err(format!("{:?}", refused.reply).into()),
        None => Ok(()),
    }
}
