//! Getting into a cluster: an id from the leader, a folder with it, and later, when the node runs, the door.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use fed_core::ids::NodeId;
use fed_core::machine::Machine;
use fed_proto::peer as proto;
use tonic::{Code, Request, Status};

use crate::config::Config;
use crate::doorkeeper::Turned;
use crate::error::StartError;
use crate::identity::{self, ClusterId, Identity};
use crate::node::Node;
use crate::platform::chance;
use crate::security::{Connector, Security};
use crate::status::Member;
use crate::transport::{Badge, Lane, PROTOCOL, dial};
use crate::{log, state};

const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(100);

/// Makes the folder of the first node of a new cluster.
pub(crate) fn found(config: &Config) -> Result<Identity, StartError> {
    config.check()?;
    let identity = Identity {
        cluster: ClusterId(chance::draw_u128() | 1),
        // The first leader's blank entry has index 1: no later node gets this id.
        node: NodeId(1),
        incarnation: chance::draw_u64(),
        founder: true,
        seeds: Vec::new(),
    };
    make_folder(config, &identity)?;
    Ok(identity)
}

/// How a node asks to be let in.
#[derive(Debug, Clone)]
pub struct Application {
    /// `host:port` of a member.
    pub seed: String,
    /// How the connection to it is made.
    pub connector: Connector,
    /// What convinces the [`Doorkeeper`](crate::Doorkeeper) there.
    pub payload: Bytes,
}

/// Gets an id from the cluster that answers at `seed`, and makes the folder.
pub(crate) async fn join(config: &Config, seed: &str) -> Result<Identity, StartError> {
    let application = Application {
        seed: seed.to_owned(),
        connector: Connector::plain(),
        payload: Bytes::new(),
    };
    apply(config, application, |_, _| Ok(())).await
}

pub(crate) async fn apply(
    config: &Config,
    application: Application,
    keep: impl FnOnce(&Identity, Bytes) -> Result<(), String>,
) -> Result<Identity, StartError> {
    config.check()?;
    if let Some(owner) = identity::inspect(&config.data_dir)? {
        return Err(StartError::Occupied {
            path: config.data_dir.clone(),
            node: owner.node,
        });
    }
    let seed = application.seed.clone();
    let failed = |why: String| StartError::Join {
        seed: seed.clone(),
        why,
    };
    let incarnation = chance::draw_u64();
    let reply = tokio::time::timeout(PATIENCE, ask(&application, incarnation, &config.advertise))
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?
        .map_err(|status| failed(told(&status)))?;
    let cluster =
        <[u8; 16]>::try_from(&*reply.cluster).map_err(|_| failed("the answer names no cluster".to_owned()))?;
    let mut seeds: Vec<String> = reply.members.into_iter().map(|m| m.address).collect();
    if !seeds.contains(&seed) {
        seeds.push(seed.clone());
    }
    let identity = Identity {
        cluster: ClusterId(u128::from_be_bytes(cluster)),
        node: NodeId(reply.id),
        incarnation,
        founder: false,
        seeds,
    };
    keep(&identity, reply.equipment).map_err(failed)?;
    make_folder(config, &identity)?;
    Ok(identity)
}

/// Asks until there is a leader to answer.
async fn ask(application: &Application, incarnation: u64, address: &str) -> Result<proto::JoinReply, Status> {
    let mut client = dial(&application.seed, application.connector.clone())?;
    let message = proto::JoinRequest {
        incarnation,
        address: address.to_owned(),
        protocol: PROTOCOL,
        application: application.payload.clone(),
    };
    loop {
        let mut request = Request::new(message.clone());
        Badge::stranger(incarnation).write(request.metadata_mut());
        match client.join(request).await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) if status.code() == Code::Aborted => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(status) => return Err(status),
        }
    }
}

/// What a refusal says, or what is behind a connection that could not be made.
fn told(status: &Status) -> String {
    let innermost = std::iter::successors(std::error::Error::source(status), |error| error.source()).last();
    innermost.map_or_else(|| status.message().to_owned(), ToString::to_string)
}

fn make_folder(config: &Config, identity: &Identity) -> Result<(), StartError> {
    identity::create(&config.data_dir, identity)?;
    let _lock = identity::lock(&config.data_dir)?;
    log::LogStore::create(&config.data_dir.join("log"), identity)?;
    state::create(&config.data_dir, identity)
}

impl<M: Machine> Node<M> {
    /// The leader's part of a join: whether, under which id, and with what.
    pub(crate) async fn let_in(&self, from: IpAddr, request: proto::JoinRequest) -> Result<(u64, Bytes), Status> {
        let turned = |turned: Turned| match turned {
            Turned::Away(why) => Status::permission_denied(why),
            Turned::Later(why) => Status::aborted(why),
        };
        let doorkeeper = match (self.doorkeeper.get(), &self.config.security) {
            (Some(doorkeeper), _) => doorkeeper,
            (None, Security::Plaintext) => {
                let taken = |member: &Member| !member.address.is_empty() && member.address == request.address;
                if let Some(other) = self.members().into_iter().find(taken) {
                    return Err(Status::permission_denied(format!(
                        "node {} of this cluster is at {} already: tell the others another address, or remove that node first",
                        other.id, other.address
                    )));
                }
                let id = self.new_id().await.map_err(Status::aborted)?;
                return Ok((id, Bytes::new()));
            }
            (None, Security::Tls(_)) => return Err(Status::aborted("nobody decides here who may join")),
        };
        let admitted = doorkeeper.admit(from, request.address.clone(), request.application.clone());
        admitted.await.map_err(turned)?;
        let id = self.new_id().await.map_err(Status::aborted)?;
        let equipped = doorkeeper.equip(NodeId(id), request.address, request.application);
        Ok((id, equipped.await.map_err(turned)?))
    }

    /// The leader's part of a join: an id that was never given and never will be, the index of an entry made for
    /// nothing else.
    pub(crate) async fn new_id(&self) -> Result<u64, String> {
        #[cfg(feature = "planted-bugs")]
        if let (Some(id), true) = (self.state.any_retired(), crate::planted::is("id-reused")) {
            return Ok(id);
        }
        let made = tokio::time::timeout(PATIENCE / 2, self.raft.write_blank()).await;
        match made {
            Ok(Ok(response)) => Ok(response.log_id.index),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no majority confirmed it in time".to_owned()),
        }
    }

    /// Who leads, as the node at `seed` sees it.
    pub(crate) async fn leader_according_to(&self, seed: &str) -> Option<(u64, String)> {
        // Whose address it is, is not known: the badge's `to` stays 0, which only `describe` takes.
        let mut request = Request::new(proto::DescribeRequest {});
        Badge::of(&self.identity, 0).write(request.metadata_mut());
        let mut client = self.channels.client(0, seed, Lane::Client).ok()?;
        let call = tokio::time::timeout(Duration::from_secs(1), client.describe(request));
        let reply = call.await.ok()?.ok()?.into_inner();
        let leader = reply.members.into_iter().find(|m| m.id == reply.leader)?;
        Some((leader.id, leader.address))
    }
}
