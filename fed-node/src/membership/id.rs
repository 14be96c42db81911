//! The names of plans: `leave-2@57.3` is "take node 2 out", planned when the members were those of log entry 57, in term 3.

use std::fmt;
use std::str::FromStr;

/// What is to be done with the members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// A node leaves for good.
    Leave(u64),
    /// A node leaves although the rest has no majority up.
    LeaveLosingQuorum(u64),
    /// A voter leads.
    Lead(u64),
    /// A node that does not vote gets a vote, then a voter leaves for good.
    Replace {
        /// Who leaves.
        old: u64,
        /// Who votes.
        new: u64,
    },
}

/// Of which members a plan was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Basis {
    /// The log entry that named the members.
    pub members_index: u64,
    /// The term, which grows with every election.
    pub term: u64,
}

/// The name of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlanId {
    /// What is to be done.
    pub action: Action,
    /// Of which members it was made.
    pub basis: Basis,
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.action {
            Action::Leave(node) => write!(f, "leave-{node}")?,
            Action::LeaveLosingQuorum(node) => write!(f, "leave-losing-quorum-{node}")?,
            Action::Lead(node) => write!(f, "lead-{node}")?,
            Action::Replace { old, new } => write!(f, "replace-{old}-{new}")?,
        }
        write!(f, "@{}.{}", self.basis.members_index, self.basis.term)
    }
}

/// The text names no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no plan: `fed-node plan` prints the name of one, such as leave-2@57.3")]
pub struct NoPlan(String);

impl FromStr for PlanId {
    type Err = NoPlan;

    fn from_str(text: &str) -> Result<Self, NoPlan> {
        let parsed = || {
            let (action, basis) = text.split_once('@')?;
            let (index, term) = basis.split_once('.')?;
            let (word, node) = action.rsplit_once('-')?;
            let node = node.parse().ok()?;
            let action = match word {
                "leave" => Action::Leave(node),
                "leave-losing-quorum" => Action::LeaveLosingQuorum(node),
                "lead" => Action::Lead(node),
                replace => Action::Replace {
                    old: replace.strip_prefix("replace-")?.parse().ok()?,
                    new: node,
                },
            };
            let basis = Basis {
                members_index: index.parse().ok()?,
                term: term.parse().ok()?,
            };
            Some(Self { action, basis })
        };
        parsed().ok_or_else(|| NoPlan(text.chars().take(80).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_back_as_it_was_written() {
        let basis = Basis {
            members_index: 57,
            term: 3,
        };
        for (action, text) in [
            (Action::Leave(2), "leave-2@57.3"),
            (Action::LeaveLosingQuorum(2), "leave-losing-quorum-2@57.3"),
            (Action::Lead(9), "lead-9@57.3"),
            (Action::Replace { old: 2, new: 44 }, "replace-2-44@57.3"),
        ] {
            let id = PlanId { action, basis };
            assert_eq!(id.to_string(), text);
            assert_eq!(text.parse(), Ok(id));
        }
        for text in [
            "",
            "leave-2",
            "leave-@5.1",
            "remove-2@5.1",
            "replace-2@5.1",
            "leave-2@5",
            "leave-x@5.1",
        ] {
            assert!(text.parse::<PlanId>().is_err(), "{text}");
        }
    }
}
