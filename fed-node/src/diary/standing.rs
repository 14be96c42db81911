//! Since when things are as they are. Pure: the caller brings the time.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use fed_core::ids::NodeId;

use super::sight::{Sight, State};

/// Since when something is as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Since {
    /// When it was first seen so.
    pub at: Instant,
    /// It was so when this node first looked: it may be longer.
    pub at_least: bool,
}

impl Since {
    /// How long.
    #[must_use]
    pub fn ago(&self) -> Duration {
        self.at.elapsed()
    }
}

/// Since when each part of a sight has been so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The leader, or that there is none.
    pub leader: Since,
    /// The quorum, or that there is none.
    pub quorum: Since,
    /// Each member's state.
    pub members: BTreeMap<NodeId, Since>,
    /// Whether this node's own Asterisk works.
    pub asterisk: Since,
}

impl Standing {
    /// At the first look.
    #[must_use]
    pub fn first(sight: &Sight, at: Instant) -> Self {
        let since = Since { at, at_least: true };
        Self {
            leader: since,
            quorum: since,
            members: sight.members.keys().map(|id| (*id, since)).collect(),
            asterisk: since,
        }
    }

    /// After another look.
    #[must_use]
    pub fn after(&self, then: &Sight, now: &Sight, at: Instant) -> Self {
        let new = Since { at, at_least: false };
        let keep = |same: bool, old: Since| if same { old } else { new };
        let state = |sight: &Sight, id: &NodeId| -> Option<State> {
            sight.members.get(id).map(|seen| seen.state(sight.quorum))
        };
        let member = |id: &NodeId| {
            let old = self.members.get(id).copied().unwrap_or(new);
            (*id, keep(state(then, id) == state(now, id), old))
        };
        Self {
            leader: keep((then.leader, then.term) == (now.leader, now.term), self.leader),
            quorum: keep(then.quorum == now.quorum, self.quorum),
            members: now.members.keys().map(member).collect(),
            asterisk: keep(works(then) == works(now), self.asterisk),
        }
    }
}

fn works(sight: &Sight) -> Option<bool> {
    let own = sight.members.get(&sight.here)?;
    own.asterisk.as_ref().map(|asterisk| asterisk.works)
}

#[cfg(test)]
mod tests {
    use super::super::sight::Seen;
    use super::*;

    #[test]
    fn what_changed_is_new_and_what_did_not_keeps_its_time() {
        let seen = Seen {
            heard: true,
            session: true,
            ..Seen::default()
        };
        let then = Sight {
            here: NodeId(1),
            quorum: true,
            leader: Some(NodeId(1)),
            term: 1,
            led: None,
            members: BTreeMap::from([(NodeId(1), seen.clone()), (NodeId(2), seen)]),
        };
        let start = Instant::now();
        let first = Standing::first(&then, start);
        assert!(first.leader.at_least, "it may have led for longer");
        let mut now = then.clone();
        now.members.get_mut(&NodeId(2)).unwrap().session = false;
        let later = start + Duration::from_secs(60);
        let second = first.after(&then, &now, later);
        assert_eq!((second.leader.at, second.leader.at_least), (start, true));
        assert_eq!(second.members[&NodeId(1)].at, start);
        let changed = second.members[&NodeId(2)];
        assert_eq!((changed.at, changed.at_least), (later, false));
    }
}
