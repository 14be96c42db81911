//! Looks at the federation from this node, again and again, and takes note of it in the diary.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use fed_core::event::{Change, UnboundWhy};
use fed_core::ids::NodeId;
use fed_core::kv::StoreError;
use fed_core::map::{FederationMap, MapView};
use fed_raft::{Cluster, Role, WatchItem};
use futures::FutureExt;

use crate::api::{AsteriskSide, about};
use crate::diary::{AsteriskSeen, Diary, Happening, Seen, Sight};

/// Between two looks; a new leader is seen at once.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Between two rounds of questions to the other members.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// Between two looks at what changed in the map.
const BREATH: Duration = Duration::from_millis(20);
/// Longest wait for an answer.
const ANSWER_WITHIN: Duration = Duration::from_millis(700);

/// A node that looks around.
pub(super) struct Observer {
    pub(super) cluster: Cluster<FederationMap>,
    /// This node's name, which the map may not have yet.
    pub(super) name: String,
    pub(super) asterisk: Arc<dyn AsteriskSide>,
    pub(super) diary: Arc<Diary>,
}

/// After this a node looks around though it does not know everybody yet.
const ACQUAINTED_WITHIN: Duration = Duration::from_secs(5);

/// What the other members answered last.
#[derive(Default)]
struct Answers {
    by: BTreeMap<NodeId, (bool, Option<AsteriskSeen>)>,
    asked: Option<Instant>,
    occasion: Option<Occasion>,
}

/// What is asked about at once when it changes: who leads, the quorum, and who has a session.
#[derive(PartialEq)]
struct Occasion(Option<NodeId>, bool, Vec<(NodeId, bool)>);

impl Observer {
    /// Looks until dropped.
    pub(super) async fn look_around(self) {
        let mut answers = Answers::default();
        let moves = self.follow_moves();
        tokio::pin!(moves);
        let mut acquainted = false;
        let begun = Instant::now();
        loop {
            match self.sight() {
                // Who was there before this node is not told as somebody who joins.
                Ok(sight) if !acquainted && !self.knows_all(&sight) && begun.elapsed() < ACQUAINTED_WITHIN => {}
                Ok(mut sight) => {
                    acquainted = true;
                    self.ask(&sight, &mut answers).await;
                    answers.complete(&mut sight);
                    self.diary.look(sight);
                }
                Err(error) => tracing::debug!(%error, "the map could not be looked at"),
            }
            tokio::select! {
                () = self.cluster.leader_changed(LOOK_EVERY) => {}
                () = &mut moves => return,
            }
        }
    }

    /// From time to time, and at once when something changed: what became of the others is part of what happened.
    async fn ask(&self, sight: &Sight, answers: &mut Answers) {
        let sessions = sight.members.iter().map(|(id, seen)| (*id, seen.session)).collect();
        let occasion = Occasion(sight.leader, sight.quorum, sessions);
        let recent = answers.asked.is_some_and(|asked| asked.elapsed() < ASK_EVERY);
        if recent && answers.occasion.as_ref() == Some(&occasion) {
            return;
        }
        answers.occasion = Some(occasion);
        for answer in about::ask_others(&self.cluster, ANSWER_WITHIN).await {
            let asterisk = answer.about.as_ref().ok().and_then(|about| about.asterisk.as_ref());
            let before = answers.by.remove(&answer.id).and_then(|(_, asterisk)| asterisk);
            let asterisk = asterisk.map(about::asterisk_seen).or(before);
            answers.by.insert(answer.id, (answer.heard(), asterisk));
        }
        answers.asked = Some(Instant::now());
    }

    /// Whether this node is a member and the map has the names of the others, as it has once a new node has caught up.
    fn knows_all(&self, sight: &Sight) -> bool {
        let nameless = |(id, seen): (&NodeId, &Seen)| seen.name == nameless(*id);
        sight.members.contains_key(&sight.here) && !sight.members.iter().any(nameless)
    }

    /// What can be seen without asking anybody.
    fn sight(&self) -> Result<Sight, StoreError> {
        let status = self.cluster.status();
        let snapshot = self.cluster.local();
        let view = MapView::new(&snapshot);
        let mut members = BTreeMap::new();
        for member in status.members {
            let id = member.id;
            let record = view.node(id)?;
            let own = id == status.node;
            let name = match record {
                Some(record) => record.value.name,
                None if own => self.name.clone(),
                None => nameless(id),
            };
            let seen = Seen {
                name,
                voter: member.role != Role::Learner,
                session: view.session_of(id)?.is_some(),
                heard: own,
                asterisk: own.then(|| about::asterisk_seen(&self.asterisk.status())),
            };
            members.insert(id, seen);
        }
        Ok(Sight {
            here: status.node,
            quorum: status.quorum,
            leader: status.leader.filter(|_| status.quorum),
            term: status.term,
            led: None,
            members,
        })
    }

    /// Notes each move of a device from one node to another; ends with the node.
    async fn follow_moves(&self) {
        let mut watch = self.cluster.watch(self.cluster.local().revision());
        loop {
            // Nobody waits for the diary: what comes at short distances is looked at together, not by a wake-up for each change.
            let item = match watch.next().now_or_never() {
                Some(item) => item,
                None => {
                    tokio::time::sleep(BREATH).await;
                    watch.next().await
                }
            };
            match item {
                Some(WatchItem::Events { events, .. }) => {
                    for (device, from, to) in moves(&events) {
                        self.diary.moved(self.moved(&device, from, to));
                    }
                }
                Some(WatchItem::Progress(_)) => {}
                Some(WatchItem::Compacted { .. }) => watch = self.cluster.watch(self.cluster.local().revision()),
                Some(WatchItem::Stopped { .. }) | None => return,
            }
        }
    }

    fn moved(&self, device: &str, from: NodeId, to: NodeId) -> Happening {
        let sight = self.diary.now();
        let name = |id| {
            sight
                .as_ref()
                .map_or_else(|| format!("node {id}"), |(sight, _)| sight.name(id))
        };
        let text = format!("{device} moved from {} to {}", name(from), name(to));
        Happening::new("moved", device, text).because("it registered there")
    }
}

/// What a member is called whose name is not known.
fn nameless(id: NodeId) -> String {
    format!("node {id}")
}

impl Answers {
    fn complete(&self, sight: &mut Sight) {
        for (id, (heard, asterisk)) in &self.by {
            if let Some(seen) = sight.members.get_mut(id) {
                seen.heard = *heard;
                seen.asterisk.clone_from(asterisk);
            }
        }
    }
}

/// The devices that moved in one revision, with from where to where.
fn moves(changes: &[Change]) -> Vec<(String, NodeId, NodeId)> {
    let bound = changes.iter().filter_map(|change| match change {
        Change::Bound { binding } => Some(binding),
        _ => None,
    });
    bound
        .filter_map(|now| {
            let then = changes.iter().find_map(|change| match change {
                Change::Unbound {
                    binding,
                    why: UnboundWhy::Superseded | UnboundWhy::Dead,
                } if binding.device == now.device && binding.node != now.node => Some(binding),
                _ => None,
            })?;
            Some((now.device.to_string(), then.node, now.node))
        })
        .collect()
}
