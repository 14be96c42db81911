//! Sessions: who is alive. Timed in the leader's memory, on its monotonic clock; only the end of one is a command.
//!
//! A new leader gives every open session a fresh ttl. Time in which the leader itself did not run (it was paused,
//! the machine was asleep) or heard from no majority is not held against anybody, and it ends a session only once a majority has
//! confirmed it: what a leader that is cut off wrote into its log, or sent to the next leader, would end those who are well.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::SessionId;
use fed_core::machine::Machine;
use fed_proto::peer as proto;
use parking_lot::Mutex;
use proto::keep_alive_reply::Result as Reply;
use tokio::time::Instant;

use crate::error::KeepAliveError;
use crate::node::{Leader, Node};
use crate::raft::LogId;
use crate::transport::Lane;

/// How often the leader looks, in parts of the ttl.
const LOOKS: u32 = 15;

/// The leader's clockwork; empty on every other node.
#[derive(Default)]
pub(crate) struct Sessions {
    timers: Mutex<Timers>,
}

#[derive(Default)]
struct Timers {
    /// The term in which this node leads and has applied everything that was there before it.
    term: Option<u64>,
    /// When each open session runs out.
    ends: BTreeMap<SessionId, Instant>,
    /// Sessions that ran out: their end is on its way, or will be tried again.
    ending: BTreeSet<SessionId>,
}

/// Heartbeats without an answer of a majority after which the leader takes itself for alone.
const UNANSWERED: u32 = 3;

/// What the leader says to a keep-alive.
pub(crate) enum Kept {
    Yes,
    Ended,
    NotLeader,
}

impl<M: Machine> Node<M> {
    pub(crate) async fn keep_alive(&self, session: SessionId) -> Result<Duration, KeepAliveError> {
        if self.life.is_closing() {
            return Err(KeepAliveError::Stopped(self.life.reason()));
        }
        let no_leader = |why: &str| Err(KeepAliveError::NoLeader(why.to_owned()));
        let (id, address) = match self.leader() {
            Leader::Here => {
                return match self.keep_here(session) {
                    Kept::Yes => Ok(self.config.session_ttl),
                    Kept::Ended => Err(KeepAliveError::Ended(session)),
                    Kept::NotLeader => no_leader("this node is only just becoming leader"),
                };
            }
            Leader::There { id, address } => (id, address),
            Leader::Unknown => return no_leader("no leader is known"),
        };
        let Ok(mut client) = self.channels.client(id, &address, Lane::Client) else {
            return no_leader("the leader's address is not usable");
        };
        let message = proto::KeepAliveRequest { session: session.0 };
        let call = client.keep_alive(self.channels.request(id, message));
        let reply = match tokio::time::timeout(self.config.session_ttl / 2, call).await {
            Ok(Ok(reply)) => reply.into_inner().result,
            Ok(Err(status)) => return no_leader(status.message()),
            Err(_) => return no_leader("the leader did not answer in time"),
        };
        match reply {
            Some(Reply::Kept(kept)) => Ok(Duration::from_millis(u64::from(kept.ttl_ms))),
            Some(Reply::Ended(_)) => Err(KeepAliveError::Ended(session)),
            Some(Reply::NotLeader(_)) | None => no_leader("the leader has changed"),
        }
    }

    /// The leader's part, for itself and for the others.
    pub(crate) fn keep_here(&self, session: SessionId) -> Kept {
        // A leader that no majority follows must not let anybody believe in it.
        if self.is_cut_off() {
            return Kept::NotLeader;
        }
        let ends = Instant::now() + self.config.session_ttl;
        let mut timers = self.sessions.timers.lock();
        if timers.term.is_none() {
            return Kept::NotLeader;
        }
        if timers.ending.contains(&session) {
            return Kept::Ended;
        }
        match self.state.machine.open_sessions(&*self.state.view()) {
            Ok(open) if open.contains(&session) => {
                timers.ends.insert(session, ends);
                Kept::Yes
            }
            Ok(_) => Kept::Ended,
            Err(_) => Kept::NotLeader,
        }
    }

    /// The term in which this node leads, once it has applied an entry of it, and so everything before.
    fn settled_term(&self) -> Option<u64> {
        use openraft::async_runtime::watch::WatchReceiver;
        let metrics = self.raft.metrics();
        let metrics = metrics.borrow_watched();
        let applied: LogId = self.state.view().applied()?;
        let leads = metrics.state.is_leader() && applied.leader_id.term == metrics.current_term;
        leads.then_some(metrics.current_term)
    }

    /// Sessions that ran out; brings the clockwork up to date.
    fn look_at_sessions(&self, lost: Duration) -> Vec<SessionId> {
        let now = Instant::now();
        let term = self.settled_term();
        let mut timers = self.sessions.timers.lock();
        if timers.term != term {
            timers.term = term;
            timers.ends.clear();
            timers.ending.clear();
        }
        if term.is_none() {
            return Vec::new();
        }
        let Ok(open) = self.state.machine.open_sessions(&*self.state.view()) else {
            return Vec::new();
        };
        let ttl = self.config.session_ttl;
        let mut ends = BTreeMap::new();
        for session in open {
            let end = timers.ends.get(&session).map_or(now + ttl, |end| *end + lost);
            ends.insert(session, end);
        }
        let over = ends.iter().filter(|(_, end)| **end <= now);
        timers.ending = over.map(|(session, _)| *session).collect();
        timers.ends = ends;
        timers.ending.iter().copied().collect()
    }
}

/// Times the sessions while this node leads, until it stops.
pub(crate) async fn run<M: Machine>(node: Arc<Node<M>>) {
    let every = node.config.session_ttl / LOOKS;
    let mut last = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(every) => {}
            () = node.life.closing.cancelled() => return,
        }
        let since = last.elapsed();
        last = Instant::now();
        let lost = match since {
            // Nobody can reach a leader that is cut off. Not only once it counts as cut off: a session that was kept some time before would
            // run out until then.
            _ if node.out_of_touch() > node.config.heartbeat * UNANSWERED => since,
            _ if since > every * 3 => since - every,
            _ => Duration::ZERO,
        };
        let over = node.look_at_sessions(lost);
        if over.is_empty() || node.confirm_leadership().await.is_err() {
            continue;
        }
        for session in over {
            let command = node.state.machine.end_session(session);
            if let Err(error) = node.propose_as_leader(command, node.config.session_ttl).await {
                tracing::warn!(%session, %error, "a session that ran out could not be ended yet");
            } else {
                node.metrics.sessions_ended.inc();
                tracing::info!(%session, "a session ran out and was ended");
            }
            last = Instant::now();
        }
    }
}
