//! Agrees on the key that seals, and seals what is not sealed yet.
//!
//! The map names the key by its id. A federation's first node makes the key at `init`; in one that is older than the key, the
//! leader makes it once all members know sealed values. Whichever id is first in the map counts. A member without the
//! key asks the others for it, over the connections of the cluster's members.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fed_core::audit::{Actor, Origin};
use fed_core::command::{Command, Expect, Reply};
use fed_core::ids::DeviceId;
use fed_core::kv::StoreError;
use fed_core::map::{FederationMap, MapView};
use fed_core::records::setting;
use fed_core::sealing::SealKey;
use fed_proto::client as pb;
use fed_raft::Cluster;
use prost::Message;
use tokio::time::Instant;

use super::vault::{SameDigest, Vault};

/// The feature level from which members know sealed values and changes in somebody's name.
const LEVEL: u32 = 2;
/// Pause while something is still to be agreed on.
const SOON: Duration = Duration::from_millis(200);
/// Pause when all is agreed on.
const LATER: Duration = Duration::from_secs(5);
/// How often the leader looks for what is not sealed: only a node without the key writes such a thing.
const LOOK_EVERY: Duration = Duration::from_secs(3600);
/// Devices sealed in one change.
const PAGE: usize = 200;
/// Longest wait for another member's answer.
const WITHIN: Duration = Duration::from_secs(2);

/// Works until it is dropped.
pub async fn keep(cluster: Cluster<FederationMap>, vault: Arc<Vault>) {
    let mut keeper = Keeper {
        cluster,
        vault,
        looked_at: None,
        said: String::new(),
    };
    loop {
        let pause = keeper.step().await.unwrap_or_else(|why| {
            // The same trouble is said once, not each time it is met.
            if keeper.said != why {
                tracing::warn!("secrets of the map: {why}");
                keeper.said = why;
            }
            LATER
        });
        tokio::time::sleep(pause).await;
    }
}

struct Keeper {
    cluster: Cluster<FederationMap>,
    vault: Arc<Vault>,
    /// When this node, leading, last saw that everything is sealed.
    looked_at: Option<Instant>,
    said: String,
}

impl Keeper {
    async fn step(&mut self) -> Result<Duration, String> {
        let status = self.cluster.status();
        if status.feature_level < LEVEL {
            return Ok(SOON);
        }
        let named = MapView::new(&self.cluster.local()).seal_key().map_err(text)?;
        let leads = status.leader == Some(self.cluster.id());
        let (named, here) = (named.as_deref(), self.vault.key());
        self.vault
            .reached(here.as_ref().is_some_and(|key| named == Some(key.id())));
        match (named, here) {
            (Some(id), Some(key)) if key.id() == id => {
                self.said.clear();
                if !leads {
                    self.looked_at = None;
                } else if self.looked_at.is_none_or(|at| at.elapsed() > LOOK_EVERY) {
                    self.seal_the_rest(&key).await?;
                    self.looked_at = Some(Instant::now());
                }
                Ok(LATER)
            }
            (Some(id), Some(key)) => Err(format!(
                "security/cluster.key is key {}, the federation's is {id}: move the file away and start this node again, then it asks the others for theirs",
                key.id()
            )),
            (Some(id), None) => self.ask_for(id).await.map(|()| Duration::ZERO),
            (None, key) if leads => self.name(key).await.map(|()| Duration::ZERO),
            (None, _) => Ok(SOON),
        }
    }

    /// Writes into the map which key seals: the one here, or a new one.
    async fn name(&self, here: Option<Arc<SealKey>>) -> Result<(), String> {
        let key = match here {
            Some(key) => key,
            None => {
                let key = SealKey::new(rand::random());
                self.vault.install(key.clone()).map_err(text)?;
                tracing::info!(id = key.id(), "made the key that seals the map's secrets");
                Arc::new(key)
            }
        };
        self.propose(Command::PutSetting {
            key: setting::SEAL_KEY.to_owned(),
            value: key.id().into(),
            expect: Expect::Absent,
        })
        .await
    }

    /// Asks the other members for the key.
    async fn ask_for(&self, id: &str) -> Result<(), String> {
        let what = pb::member_question::What::SealKey(pb::SealKeyRequest {});
        let question = pb::MemberQuestion { what: Some(what) }.encode_to_vec();
        for member in self.cluster.members() {
            if member.id == self.cluster.id() {
                continue;
            }
            let answer = self.cluster.ask(member.id, question.clone().into(), WITHIN).await;
            let key = answer.ok().and_then(|answer| pb::SealKeyReply::decode(answer).ok());
            if let Some(key) = key
                .and_then(|reply| SealKey::from_hex(&reply.key))
                .filter(|key| key.id() == id)
            {
                tracing::info!(id, from = %member.id, "got the key that seals the map's secrets");
                return self.vault.install(key).map_err(text);
            }
        }
        Err(format!(
            "no member could give key {id}: this node cannot open credentials until one can, or until security/cluster.key is copied from one"
        ))
    }

    /// Seals what stands open in the map: written before there was a key, or by a node that had none.
    async fn seal_the_rest(&self, key: &SealKey) -> Result<(), String> {
        let mut after: Option<DeviceId> = None;
        let mut sealed = 0;
        loop {
            let (open, last) = self.open_devices(key, after.as_ref()).map_err(text)?;
            if !open.is_empty() {
                sealed += open.len();
                self.propose(Command::Batch(open)).await?;
            }
            match last {
                Some(last) => after = Some(last),
                None => break,
            }
        }
        let record = MapView::new(&self.cluster.local())
            .setting(setting::CAPABILITY_KEY)
            .map_err(text)?;
        if let Some(record) = record.filter(|record| !record.value.is_sealed()) {
            let put = Command::PutSetting {
                key: setting::CAPABILITY_KEY.to_owned(),
                value: record.value,
                expect: Expect::Revision(record.modified),
            };
            sealed += 1;
            let put = self
                .vault
                .seal(put, &MapView::new(&self.cluster.local()), SameDigest::Stays);
            self.propose(put).await?;
        }
        if sealed > 0 {
            tracing::info!(sealed, "sealed secrets that stood open in the map");
        }
        Ok(())
    }

    /// A page of devices: the changes that seal those that stand open, and where the next page begins.
    fn open_devices(
        &self,
        key: &SealKey,
        after: Option<&DeviceId>,
    ) -> Result<(Vec<Command>, Option<DeviceId>), StoreError> {
        let snapshot = self.cluster.local();
        let page = MapView::new(&snapshot).devices(after, PAGE)?;
        let last = page.last().filter(|_| page.len() == PAGE);
        let last = last.map(|record| record.value.id.clone());
        let open = page.into_iter().filter(|record| !record.value.credentials.is_sealed());
        let sealed = open.map(|record| {
            let mut device = record.value;
            device.credentials = device.credentials.sealed(key, &device.id, rand::random());
            Command::PutDevice {
                device,
                expect: Expect::Revision(record.modified),
            }
        });
        Ok((sealed.collect(), last))
    }

    async fn propose(&self, command: Command) -> Result<(), String> {
        let command = by_node(&self.cluster, command);
        match self.cluster.propose(command).await {
            // Somebody was first; the next look sees it.
            Ok(proposed) if matches!(proposed.reply, Reply::Refused(_)) => {
                tracing::debug!(reply = ?proposed.reply, "the map had changed meanwhile");
                Ok(())
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// The command in this node's own name.
pub(crate) fn by_node(cluster: &Cluster<FederationMap>, command: Command) -> Command {
    let here = cluster.id();
    Command::By {
        origin: origin(Actor::Node(here), here),
        command: Box::new(command),
    }
}

/// The command in the name of whoever asked for it here; without a name while some members do not know such commands.
pub(crate) fn in_the_name_of(who: Actor, cluster: &Cluster<FederationMap>, vault: &Vault, command: Command) -> Command {
    // The vault hears of it a moment later than the leader, who takes nothing in nobody's name from then on.
    if !vault.names_changes() && cluster.status().feature_level < LEVEL {
        return command;
    }
    Command::By {
        origin: origin(who, cluster.id()),
        command: Box::new(command),
    }
}

/// Who, at this node, now.
pub(crate) fn origin(who: Actor, via: fed_core::ids::NodeId) -> Origin {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Origin {
        who,
        via,
        at_unix: now.as_secs(),
    }
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
