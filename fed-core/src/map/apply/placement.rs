//! Which bindings of a device stand after one more was made: a pure decision.

use crate::event::UnboundWhy;
use crate::ids::Revision;
use crate::records::{Binding, Record};

/// A binding the device has, and whether its session is open.
pub(super) struct Candidate {
    pub(super) record: Record<Binding>,
    pub(super) live: bool,
}

/// How a node came to know of a registration.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// It saw it happen: the last in the log wins.
    Happening,
    /// It found the contact standing: perhaps it is older than a binding elsewhere.
    Standing,
}

/// What becomes of a new binding.
pub(super) enum Placement {
    /// It is there already, as this revision left it.
    Unchanged(Revision),
    /// It gives way to this one.
    Refused { by: Binding },
    /// It stands; what is kept beside it, and what goes.
    Placed {
        placed: Record<Binding>,
        kept: Vec<Record<Binding>>,
        gone: Vec<(Binding, UnboundWhy)>,
    },
}

/// Places `new` among the device's bindings, of which `limit` may be live.
pub(super) fn place(
    mut new: Binding,
    seen: Seen,
    limit: usize,
    candidates: Vec<Candidate>,
    revision: Revision,
) -> Placement {
    let mut created = revision;
    let mut counted_already = false;
    let mut gone = Vec::new();
    let mut others = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let old = &candidate.record.value;
        if old.contact != new.contact {
            others.push(candidate);
        } else if old.node == new.node {
            // What a refresh does not tell is as it was.
            new.user_agent = new.user_agent.or_else(|| old.user_agent.clone());
            new.path = new.path.or_else(|| old.path.clone());
            if *old == new {
                return Placement::Unchanged(candidate.record.modified);
            }
            created = candidate.record.created;
            counted_already = candidate.live;
        } else if candidate.live && seen == Seen::Standing {
            return Placement::Refused {
                by: candidate.record.value,
            };
        } else {
            gone.push(leave(candidate));
        }
    }
    others.sort_by(|a, b| age(a).cmp(&age(b)));
    if seen == Seen::Happening || !counted_already {
        let live = others.iter().filter(|other| other.live).count();
        let excess = (live + 1).saturating_sub(limit);
        match make_room(&mut others, excess, seen, &new) {
            Ok(victims) => gone.extend(victims.into_iter().map(leave)),
            Err(by) => return Placement::Refused { by },
        }
    }
    while others.len() + 1 > limit
        && let Some(dead) = others.iter().position(|other| !other.live)
    {
        gone.push(leave(others.remove(dead)));
    }
    let kept = others.into_iter().map(|other| other.record).collect();
    let placed = Record {
        created,
        modified: revision,
        value: new,
    };
    Placement::Placed { placed, kept, gone }
}

/// Takes `excess` live bindings out of `others` (oldest first), or names the one that must not give way: one that was
/// only found standing displaces none at another node.
fn make_room(others: &mut Vec<Candidate>, excess: usize, seen: Seen, new: &Binding) -> Result<Vec<Candidate>, Binding> {
    let may_go = |other: &Candidate| other.live && (seen == Seen::Happening || other.record.value.node == new.node);
    if others.iter().filter(|other| may_go(other)).count() < excess {
        let stands = others.iter().rev().find(|other| other.live && !may_go(other));
        let by = stands.expect("fewer may go than are in excess, so one stands");
        return Err(by.record.value.clone());
    }
    let mut victims = Vec::with_capacity(excess);
    while victims.len() < excess
        && let Some(oldest) = others.iter().position(may_go)
    {
        victims.push(others.remove(oldest));
    }
    Ok(victims)
}

fn age(candidate: &Candidate) -> (Revision, &str) {
    (candidate.record.modified, candidate.record.value.contact.as_str())
}

fn leave(candidate: Candidate) -> (Binding, UnboundWhy) {
    let why = if candidate.live {
        UnboundWhy::Superseded
    } else {
        UnboundWhy::Dead
    };
    (candidate.record.value, why)
}
