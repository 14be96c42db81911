//! What a node does by itself: snapshots and purging, getting itself into the cluster, promoting learners.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use fed_core::machine::Machine;
use openraft::async_runtime::watch::WatchReceiver;
use tokio::time::Instant;

use crate::error::StartError;
use crate::members::{Change, Changed};
use crate::node::{Leader, Node};
use crate::platform::tasks;
use crate::raft::{LogId, Peer};
use crate::status::Role;

const EVERY: Duration = Duration::from_millis(250);
/// Whoever makes a change of voters has given up by then.
const HALF_MADE: Duration = Duration::from_secs(6);
/// How often the leader asks whether everybody understands more.
const ASK_LEVELS: Duration = Duration::from_secs(5);
/// A learner that lacks fewer entries than this has caught up.
const CAUGHT_UP: u64 = 1000;

/// What is said of an engine that ended without saying why.
const ENDED: &str = "the consensus engine ended by itself, with a panic that the log tells; start the node again";

/// Who was let in asks again when it has not heard of it for so long: the leader may have died before it was committed.
const ENTER_AGAIN: Duration = Duration::from_secs(5);

/// Looks after the node until it stops.
pub(crate) async fn run<M: Machine>(node: Arc<Node<M>>) {
    let mut logged = Logged::default();
    let mut led = Led::default();
    let mut entered = None;
    // The engine's task owns the other end: it is closed when that ends, be it by a panic. This one changes with leaders and members;
    // that of all metrics changes several times with each write, and would wake this task each time.
    let mut changes = node.raft.server_metrics();
    let ended = async move { while changes.changed().await.is_ok() {} };
    tokio::pin!(ended);
    loop {
        tokio::select! {
            biased;
            () = node.life.closing.cancelled() => return,
            () = &mut ended => {
                let metrics = node.raft.metrics();
                let failure = metrics.borrow_watched().running_state.clone().err();
                let why = failure.map_or_else(|| ENDED.to_owned(), |failure| told(failure.to_string(), &node.config.data_dir));
                node.life.fail(&why, node.config.on_failure);
                return;
            }
            () = tokio::time::sleep(EVERY) => {}
        }
        let failure = node.raft.metrics().borrow_watched().running_state.clone();
        if let Err(failure) = failure {
            let why = told(failure.to_string(), &node.config.data_dir);
            node.life.fail(&why, node.config.on_failure);
            return;
        }
        if let Some(damage) = node.state.last_snapshot().and_then(|snapshot| snapshot.damage()) {
            node.life.fail(&damage.to_string(), node.config.on_failure);
            return;
        }
        node.learn_addresses();
        node.keep_log_short(&mut logged).await;
        node.get_in(&mut entered).await;
        if node.leader() == Leader::Here {
            node.look_after_members(&mut led).await;
        } else {
            led = Led::default();
        }
    }
}

/// What an operator is told of the engine's failure: of damage, which RocksDB begins with this word, with the two ways out.
fn told(failure: String, data_dir: &Path) -> String {
    if !failure.contains("Corruption: ") {
        return failure;
    }
    let (path, what) = (data_dir.to_owned(), failure);
    StartError::Damaged { path, what }.to_string()
}

/// Reads the snapshot and the state that were there at the start, beside everything else, and ends the node when they are damaged: who
/// needs the one, perhaps months later, is to get a whole one, and of the other there are parts that nobody asks for in months.
pub(crate) async fn check_what_is_there<M: Machine>(node: Arc<Node<M>>) {
    let (state, life, then) = (node.state.clone(), node.life.clone(), node.config.on_failure);
    drop(node);
    let closing = life.closing.clone();
    let found = tasks::blocking(move || {
        let snapshot = state.last_snapshot().filter(|snapshot| !snapshot.check());
        let damage = snapshot.and_then(|snapshot| snapshot.damage());
        Ok(damage.or_else(|| state.check(&|| closing.is_cancelled())))
    });
    // A thread that could not be started says nothing of what is there.
    if let Ok(Some(damage)) = found.await
        && !life.is_closing()
    {
        life.fail(&damage.to_string(), then);
    }
}

/// Where the last snapshot was asked for.
#[derive(Default)]
struct Logged {
    bytes: u64,
    purged_at: Option<Instant>,
}

/// What a leader keeps in mind while it leads.
#[derive(Default)]
struct Led {
    /// Since when each voter does not answer.
    absent: HashMap<u64, Instant>,
    asked_levels_at: Option<Instant>,
    /// The change of voters that is half made, and since when.
    half_made: Option<(Option<LogId>, Instant)>,
}

impl Led {
    /// Takes note of who answers; a voter that has not for `at_most`, if there is one.
    fn long_dead(&mut self, voters: impl Iterator<Item = (u64, bool)>, now: Instant, at_most: Duration) -> Option<u64> {
        let mut absent = HashMap::new();
        for (id, alive) in voters {
            if !alive {
                absent.insert(id, self.absent.get(&id).copied().unwrap_or(now));
            }
        }
        self.absent = absent;
        let longest = self.absent.iter().min_by_key(|(id, since)| (**since, **id))?;
        (!at_most.is_zero() && now.duration_since(*longest.1) >= at_most).then_some(*longest.0)
    }
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
        if bytes - logged.bytes >= self.config.snapshot_bytes || self.many_entries() {
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

    fn many_entries(&self) -> bool {
        let most = self.config.snapshot_entries;
        let metrics = self.raft.metrics();
        let snapshot = metrics.borrow_watched().snapshot.map_or(0, |id| id.index);
        most > 0 && self.state.view().index().saturating_sub(snapshot) >= most
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

    /// Asks to be let in when this node is no member yet, or is known under another address. Who was let in a moment ago hears of
    /// it when it has caught up so far.
    async fn get_in(&self, entered: &mut Option<Instant>) {
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
        if entered.is_some_and(|at| at.elapsed() < ENTER_AGAIN) {
            return;
        }
        let mut made = match self.leader() {
            Leader::Here => self.change_here(&Change::Enter(me, peer.clone()).into()).await,
            Leader::There { id, address } => self.enter_over(id, &address, peer.clone()).await,
            Leader::Unknown => Changed::NotLeader,
        };
        // Whom this node takes for the leader may have been it long ago: nobody tells one that nobody finds.
        if matches!(made, Changed::NotLeader | Changed::Unknown(_)) {
            made = self.enter_over_others(peer).await;
        }
        let old = known.map(|known| known.address);
        match made {
            Changed::Done(_) => {
                match old {
                    None => tracing::info!(node = me, "let into the cluster"),
                    Some(old) => {
                        tracing::info!(node = me, old, new = self.advertise, "the members know the new address")
                    }
                }
                *entered = Some(Instant::now());
            }
            Changed::Refused(why) => {
                match old {
                    None => tracing::warn!(node = me, why, "not let into the cluster"),
                    Some(old) => tracing::warn!(
                        node = me,
                        old,
                        new = self.advertise,
                        why,
                        "the members keep the old address"
                    ),
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            Changed::NotLeader | Changed::Unknown(_) => {}
        }
    }

    /// Asks the members that it knows of who leads; one that has just joined knows only the addresses that it was given.
    async fn enter_over_others(&self, peer: Peer) -> Changed {
        let me = self.identity.node;
        let members = self.members().into_iter().filter(|member| member.id != me);
        let asked: BTreeSet<String> = members
            .map(|member| member.address)
            .chain(self.identity.seeds.iter().cloned())
            .collect();
        let mut last = Changed::NotLeader;
        for seed in &asked {
            let Some((id, address)) = self.leader_according_to(seed).await else {
                continue;
            };
            last = self.enter_over(id, &address, peer.clone()).await;
            if !matches!(last, Changed::NotLeader | Changed::Unknown(_)) {
                return last;
            }
        }
        last
    }

    async fn look_after_members(&self, led: &mut Led) {
        self.finish_change(led).await;
        self.fill_voters(led).await;
        if led.asked_levels_at.is_none_or(|at| at.elapsed() > ASK_LEVELS) {
            led.asked_levels_at = Some(Instant::now());
            self.raise_feature_level().await;
        }
    }

    /// A change of voters takes two steps. When whoever made it stopped waiting, or led and died, after the first, the
    /// second is made here: members that no longer vote stay as learners.
    async fn finish_change(&self, led: &mut Led) {
        let (at, groups) = {
            let metrics = self.raft.metrics();
            let metrics = metrics.borrow_watched();
            let members = &metrics.membership_config;
            (*members.log_id(), members.membership().get_joint_config().len())
        };
        if groups < 2 {
            led.half_made = None;
            return;
        }
        match led.half_made {
            Some((known, since)) if known == at => {
                if since.elapsed() > HALF_MADE {
                    let made = self.finish_change_here().await;
                    tracing::info!(?made, "a change of voters was half made");
                    led.half_made = None;
                }
            }
            _ => led.half_made = Some((at, Instant::now())),
        }
    }

    /// Promotes one learner while voters are too few, or one of them is dead for long.
    async fn fill_voters(&self, led: &mut Led) {
        let members = self.members();
        let voters: Vec<_> = members.iter().filter(|m| m.role != Role::Learner).collect();
        let answering = voters.iter().map(|m| (m.id.0, self.is_alive(m)));
        let dead = led.long_dead(answering, Instant::now(), self.config.replace_dead_after);
        let wanted = voters.len() < self.config.target_voters;
        if !wanted && dead.is_none() {
            return;
        }
        let ready = members
            .iter()
            .find(|m| m.role == Role::Learner && m.lag.is_some_and(|lag| lag < CAUGHT_UP) && self.is_alive(m));
        if let Some(learner) = ready {
            let id = learner.id;
            let made = match dead {
                Some(dead) if !wanted => self.replace_here(dead, id.0).await,
                _ => self.change_here(&Change::Promote(id.0).into()).await,
            };
            match made {
                Changed::Done(_) => tracing::info!(node = %id, in_place_of = dead, "promoted to voter"),
                other => tracing::debug!(node = %id, ?other, "not promoted yet"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    #[test]
    fn damage_that_is_read_while_the_node_runs_is_told_with_the_two_ways_out() {
        let damage = "applying log entry 197: the store failed: Corruption: block checksum mismatch in 000015.sst";
        let text = told(damage.to_owned(), Path::new("/data"));
        assert!(text.starts_with("/data: ") && text.contains(damage), "{text}");
        assert!(text.contains("join again") && text.contains("backup"), "{text}");
        assert_eq!(told("a panic".to_owned(), Path::new("/data")), "a panic");
    }

    #[test]
    fn a_voter_is_long_dead_only_after_an_unbroken_silence() {
        let (mut led, start) = (Led::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        let silent = || [(1, true), (2, false), (3, true)].into_iter();
        let all = || [(1, true), (2, true), (3, true)].into_iter();
        assert_eq!(led.long_dead(silent(), at(0), LONG), None);
        assert_eq!(led.long_dead(silent(), at(59), LONG), None);
        assert_eq!(led.long_dead(all(), at(60), LONG), None, "it answered");
        assert_eq!(led.long_dead(silent(), at(61), LONG), None);
        assert_eq!(led.long_dead(silent(), at(121), LONG), Some(2));
        assert_eq!(led.long_dead(silent(), at(122), Duration::ZERO), None, "switched off");
    }
}
