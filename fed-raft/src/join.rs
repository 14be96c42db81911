//! Getting into a cluster: an id from the leader, a folder with it, and later, when the node runs, the door.

use std::time::Duration;

use fed_core::ids::NodeId;
use fed_core::machine::Machine;
use fed_proto::peer as proto;
use tonic::{Code, Request, Status};

use crate::config::Config;
use crate::error::StartError;
use crate::identity::{self, ClusterId, Identity};
use crate::node::Node;
use crate::platform::chance;
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

/// Gets an id from the cluster that answers at `seed`, and makes the folder.
pub(crate) async fn join(config: &Config, seed: &str) -> Result<Identity, StartError> {
    config.check()?;
    if let Some(owner) = identity::inspect(&config.data_dir)? {
        return Err(StartError::Occupied {
            path: config.data_dir.clone(),
            node: owner.node,
        });
    }
    let failed = |why: String| StartError::Join {
        seed: seed.to_owned(),
        why,
    };
    let incarnation = chance::draw_u64();
    let message = proto::JoinRequest {
        incarnation,
        address: config.advertise.clone(),
        protocol: PROTOCOL,
    };
    let reply = tokio::time::timeout(PATIENCE, ask(seed, &message))
        .await
        .map_err(|_| failed("no answer in time".to_owned()))?
        .map_err(|status| failed(status.message().to_owned()))?;
    let cluster =
        <[u8; 16]>::try_from(&*reply.cluster).map_err(|_| failed("the answer names no cluster".to_owned()))?;
    let mut seeds: Vec<String> = reply.members.into_iter().map(|m| m.address).collect();
    if !seeds.iter().any(|known| known == seed) {
        seeds.push(seed.to_owned());
    }
    let identity = Identity {
        cluster: ClusterId(u128::from_be_bytes(cluster)),
        node: NodeId(reply.id),
        incarnation,
        founder: false,
        seeds,
    };
    make_folder(config, &identity)?;
    Ok(identity)
}

/// Asks until there is a leader to answer.
async fn ask(seed: &str, message: &proto::JoinRequest) -> Result<proto::JoinReply, Status> {
    let mut client = dial(seed)?;
    loop {
        let mut request = Request::new(message.clone());
        Badge::stranger(message.incarnation).write(request.metadata_mut());
        match client.join(request).await {
            Ok(reply) => return Ok(reply.into_inner()),
            Err(status) if status.code() == Code::Aborted => {
                tokio::time::sleep(PAUSE).await;
            }
            Err(status) => return Err(status),
        }
    }
}

fn make_folder(config: &Config, identity: &Identity) -> Result<(), StartError> {
    identity::create(&config.data_dir, identity)?;
    let _lock = identity::lock(&config.data_dir)?;
    log::LogStore::create(&config.data_dir.join("log"), identity)?;
    state::create(&config.data_dir, identity)
}

impl<M: Machine> Node<M> {
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
