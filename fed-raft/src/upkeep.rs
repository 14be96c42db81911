//! What a node does by itself: snapshots and purging, getting itself into the cluster, promoting learners.

use std::sync::Arc;
use std::time::Duration;

use fed_core::machine::Machine;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use crate::members::{Change, Changed};
use crate::node::{Leader, Node};
use crate::raft::Peer;
use crate::status::Role;

const EVERY: Duration = Duration::from_millis(250);
/// A learner that lacks fewer entries than this has caught up.
const CAUGHT_UP: u64 = 1000;

/// Looks after the node until it stops.
pub(crate) async fn run<M: Machine>(node: Arc<Node<M>>) {
    let mut logged = Logged::default();
    loop {
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = node.life.closing.cancelled() => return,
        }
        let failure = node.raft.metrics().borrow_watched().running_state.clone();
        if let Err(failure) = failure {
            node.life.fail(&failure.to_string(), node.config.on_failure);
            return;
        }
        node.learn_addresses();
        node.keep_log_short(&mut logged).await;
        node.get_in().await;
        if node.leader() == Leader::Here {
            node.promote_one().await;
        }
    }
}

/// Where the last snapshot was asked for.
#[derive(Default)]
struct Logged {
    bytes: u64,
    purged_at: Option<Instant>,
}

impl<M: Machine> Node<M> {
    fn learn_addresses(&self) {
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        for (&id, peer) in metrics.membership_config.membership().nodes() {
            self.channels.learn(id, &peer.address);
        }
    }

    async fn keep_log_short(&self, logged: &mut Logged) {
        let bytes = self.log.appended_bytes();
        if bytes - logged.bytes >= self.config.snapshot_bytes {
            logged.bytes = bytes;
            // When openraft has stopped, the next look sees it.
            drop(self.raft.trigger().snapshot().await);
        }
        let due = logged.purged_at.is_none_or(|at| at.elapsed() > Duration::from_secs(5));
        if due {
            logged.purged_at = Some(Instant::now());
            self.purge_by_bytes().await;
        }
    }

    /// openraft keeps a number of entries after a snapshot; when they are big, they are still too many.
    async fn purge_by_bytes(&self) {
        let (purged, snapshot) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let index = |id: Option<crate::raft::LogId>| id.map_or(0, |id| id.index);
            (index(metrics.purged), index(metrics.snapshot))
        };
        let mut upto = purged;
        let mut kept = self.log.bytes_between(purged + 1, snapshot);
        while kept > self.config.keep_bytes && upto < snapshot {
            upto += (snapshot - upto).div_ceil(4);
            kept = self.log.bytes_between(upto + 1, snapshot);
        }
        if upto > purged {
            // When openraft has stopped, the next look sees it.
            drop(self.raft.trigger().purge_log(upto).await);
        }
    }

    /// Asks to be let in when this node is no member yet, or is known under another address.
    async fn get_in(&self) {
        let me = self.identity.node.0;
        let known = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let membership = metrics.membership_config.membership();
            membership.get_node(&me).cloned()
        };
        let peer = Peer {
            address: self.advertise.clone(),
            incarnation: self.identity.incarnation,
        };
        if known.as_ref() == Some(&peer) || self.identity.founder && known.is_none() {
            return;
        }
        let made = match self.leader() {
            Leader::Here => self.change_here(&Change::Enter(me, peer)).await,
            Leader::There { id, address } => self.enter_over(id, &address, peer).await,
            Leader::Unknown => self.enter_over_seeds(peer).await,
        };
        match made {
            Changed::Done => tracing::info!(node = me, "let into the cluster"),
            Changed::Refused(why) => {
                tracing::warn!(node = me, why, "not let into the cluster");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Changed::NotLeader | Changed::Unknown(_) => {}
        }
    }

    /// One that has just joined knows only the addresses it was given. It asks who is there, and who leads.
    async fn enter_over_seeds(&self, peer: Peer) -> Changed {
        let mut last = Changed::NotLeader;
        for seed in &self.identity.seeds {
            let Some((id, address)) = self.leader_according_to(seed).await else {
                continue;
            };
            last = self.enter_over(id, &address, peer.clone()).await;
            if last != Changed::NotLeader {
                return last;
            }
        }
        last
    }

    async fn promote_one(&self) {
        let members = self.members();
        let voters = members.iter().filter(|m| m.role != Role::Learner).count();
        if voters >= self.config.target_voters {
            return;
        }
        let ready = members
            .iter()
            .find(|m| m.role == Role::Learner && m.lag.is_some_and(|lag| lag < CAUGHT_UP) && self.is_alive(m));
        if let Some(learner) = ready {
            let id = learner.id;
            match self.change_here(&Change::Promote(id.0)).await {
                Changed::Done => tracing::info!(node = %id, "promoted to voter"),
                other => tracing::debug!(node = %id, ?other, "not promoted yet"),
            }
        }
    }
}
