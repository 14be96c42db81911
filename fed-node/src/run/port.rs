//! The map as the bridge and the router see it, over this node's member of the cluster.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use fed_ari::port::{MapEvent, MapPort, MapSnapshot, MapWatch, PortError, Proposed};
use fed_core::audit::Actor;
use fed_core::command::Command;
use fed_core::event::Change;
use fed_core::ids::{NodeId, Revision, SessionId};
use fed_core::map::{FederationMap, MapView};
use fed_raft::{Cluster, Consistency, KeepAliveError, ProposeError, ReadError, Snapshot, Watch, WatchItem};

use crate::security::{SameDigest, Vault, in_the_name_of};

/// [`MapPort`] over the cluster.
#[derive(Clone)]
pub struct RaftPort {
    cluster: Cluster<FederationMap>,
    vault: Arc<Vault>,
}

impl RaftPort {
    /// A port for this node, which opens secrets of the map with the key of `vault`.
    #[must_use]
    pub fn new(cluster: Cluster<FederationMap>, vault: Arc<Vault>) -> Self {
        Self { cluster, vault }
    }

    fn snapshot(&self, snapshot: Snapshot) -> MapSnapshot {
        let (revision, stale) = (snapshot.revision(), snapshot.stale());
        MapSnapshot::new(Arc::new(snapshot), revision, stale).with_key(self.vault.key())
    }

    /// What this node changes by itself: sealed, and in its own name, but for registrations and sessions, which are what phones and
    /// servers do.
    fn own(&self, command: Command) -> Command {
        let observed = matches!(
            command,
            Command::Bind { .. } | Command::Unbind { .. } | Command::OpenSession { .. } | Command::EndSession { .. }
        );
        if observed {
            return command;
        }
        let local = self.cluster.local();
        let sealed = self.vault.seal(command, &MapView::new(&local), SameDigest::Stays);
        in_the_name_of(Actor::Node(self.cluster.id()), &self.cluster, &self.vault, sealed)
    }
}

fn not_proposed(error: ProposeError) -> PortError {
    match error {
        ProposeError::OutcomeUnknown { why } => PortError::OutcomeUnknown(why),
        ProposeError::Overloaded { retry_after } => PortError::Overloaded { retry_after },
        ProposeError::Stopped(_) => PortError::Stopped,
        ProposeError::NoLeader
        | ProposeError::LowSpace { .. }
        | ProposeError::TooLarge { .. }
        | ProposeError::FeatureLevel { .. }
        | ProposeError::Refused(_) => PortError::NoQuorum(error.to_string()),
    }
}

fn not_read(error: ReadError) -> PortError {
    match error {
        ReadError::Store(error) => PortError::Store(error.to_string()),
        ReadError::Stopped(_) => PortError::Stopped,
        ReadError::NoQuorum | ReadError::Behind { .. } | ReadError::Overloaded { .. } => {
            PortError::NoQuorum(error.to_string())
        }
    }
}

fn proposed(proposed: fed_raft::Proposed<fed_core::command::Reply>) -> Proposed {
    Proposed {
        reply: proposed.reply,
        revision: proposed.revision,
    }
}

#[async_trait]
impl MapPort for RaftPort {
    fn here(&self) -> NodeId {
        self.cluster.id()
    }

    fn applied(&self) -> Revision {
        self.cluster.local().revision()
    }

    fn local(&self) -> MapSnapshot {
        self.snapshot(self.cluster.local())
    }

    async fn linearizable(&self, budget: Duration) -> Result<MapSnapshot, PortError> {
        self.cluster
            .read(Consistency::Linearizable, budget)
            .await
            .map(|snapshot| self.snapshot(snapshot))
            .map_err(not_read)
    }

    async fn propose(&self, command: Command) -> Result<Proposed, PortError> {
        let command = self.own(command);
        self.cluster.propose(command).await.map(proposed).map_err(not_proposed)
    }

    async fn propose_many(&self, commands: Vec<Command>) -> Result<Vec<Proposed>, PortError> {
        let commands = commands.into_iter().map(|command| self.own(command)).collect();
        let all = self.cluster.propose_many(commands).await.map_err(not_proposed)?;
        Ok(all.into_iter().map(proposed).collect())
    }

    fn watch(&self, from: Revision) -> Box<dyn MapWatch> {
        Box::new(RaftWatch(self.cluster.watch(from)))
    }

    async fn keep_alive(&self, session: SessionId) -> Result<(), PortError> {
        match self.cluster.keep_alive(session).await {
            // A session that has ended is seen in the map.
            Ok(_) | Err(KeepAliveError::Ended(_)) => Ok(()),
            Err(KeepAliveError::NoLeader(why)) => Err(PortError::NoQuorum(why)),
            Err(KeepAliveError::Stopped(_)) => Err(PortError::Stopped),
        }
    }
}

struct RaftWatch(Watch<Change>);

#[async_trait]
impl MapWatch for RaftWatch {
    async fn next(&mut self) -> MapEvent {
        loop {
            match self.0.next().await {
                Some(WatchItem::Events { revision, events }) => {
                    return MapEvent::Changes {
                        revision,
                        changes: events,
                    };
                }
                Some(WatchItem::Progress(_)) => {}
                Some(WatchItem::Compacted { .. }) => return MapEvent::Compacted,
                Some(WatchItem::Stopped { .. }) | None => return MapEvent::Stopped,
            }
        }
    }
}
