//! From the members and what is to be done to what will be. Pure.

use super::id::{Action, Basis, PlanId};

/// A member, and what is known of it now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its id.
    pub id: u64,
    /// Its name; empty when the map has no record of it.
    pub name: String,
    /// Whether it votes.
    pub votes: bool,
    /// Whether the leader hears from it.
    pub up: bool,
    /// Whether it has an open session: its fed-node and Asterisk serve.
    pub serves: bool,
    /// Registrations at it.
    pub bindings: u64,
}

impl Member {
    fn shown(&self) -> String {
        if self.name.is_empty() {
            format!("node {}", self.id)
        } else {
            self.name.clone()
        }
    }
}

/// All of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Federation {
    /// By id.
    pub members: Vec<Member>,
    /// Who leads; none: nobody, or nobody knows.
    pub leader: Option<u64>,
    /// The node that was asked.
    pub asked: u64,
    /// How many are to vote.
    pub target_voters: usize,
    /// When this was so.
    pub basis: Basis,
}

/// Who decides, and what can be lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shape {
    /// Their names.
    pub voters: Vec<String>,
    /// Names of those that do not vote.
    pub learners: Vec<String>,
    /// Who leads; none: one of the voters.
    pub leader: Option<String>,
    /// Voters that must be up.
    pub quorum: usize,
    /// Voters that are up.
    pub up: usize,
    /// How many more may die; none: there is no quorum.
    pub can_lose: Option<usize>,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its name.
    pub id: PlanId,
    /// What it is about, in words.
    pub title: String,
    /// As it is.
    pub before: Shape,
    /// As it will be when all steps are done.
    pub after: Shape,
    /// What happens, in order.
    pub steps: Vec<String>,
    /// What to think of before.
    pub warnings: Vec<String>,
}

/// Plans what is to be done.
///
/// # Errors
/// Why it cannot be done, and the remedy.
pub fn plan(federation: &Federation, action: Action) -> Result<Plan, String> {
    let mut planner = Planner {
        before: federation,
        members: federation.members.clone(),
        leader: federation.leader,
        steps: Vec::new(),
        warnings: Vec::new(),
    };
    let title = match action {
        Action::Leave(node) => planner.leave(node, false)?,
        Action::LeaveLosingQuorum(node) => planner.leave(node, true)?,
        Action::Lead(node) => planner.lead(node)?,
        Action::Replace { old, new } => planner.replace(old, new)?,
    };
    Ok(planner.finish(title, action))
}

struct Planner<'a> {
    before: &'a Federation,
    members: Vec<Member>,
    leader: Option<u64>,
    steps: Vec<String>,
    warnings: Vec<String>,
}

impl Planner<'_> {
    fn member(&self, id: u64) -> Result<Member, String> {
        let found = self.members.iter().find(|member| member.id == id).cloned();
        found.ok_or_else(|| format!("node {id} is no member of the federation: `fed-node node list` shows them"))
    }

    fn leave(&mut self, id: u64, losing_quorum: bool) -> Result<String, String> {
        let node = self.member(id)?;
        let shown = node.shown();
        if self.members.len() == 1 {
            return Err(
                "this is the last node: the federation ends when you stop it and delete its data folder".to_owned(),
            );
        }
        if node.serves && id != self.before.asked {
            return Err(format!(
                "{shown} is up: plan and apply it there (--server), or stop it first"
            ));
        }
        self.members.retain(|member| member.id != id);
        let rest: Vec<Member> = self.members.iter().filter(|member| member.votes).cloned().collect();
        let up = rest.iter().filter(|member| member.up).count();
        if node.votes && up <= rest.len() / 2 {
            if !losing_quorum {
                return Err(format!(
                    "without {shown} only {up} of {} voters would be up, no majority: bring others up or let another node vote first",
                    rest.len()
                ));
            }
            self.warnings.push(
                "from then on nothing is acknowledged, until dead nodes come back or `fed-node recover` gives them up"
                    .to_owned(),
            );
        }
        if self.leader == Some(id) {
            self.leader = None;
            self.steps
                .push("the leadership goes to the voter that has most of the log".to_owned());
        }
        self.steps.push(format!(
            "{shown} is taken out of the map, with what is registered there"
        ));
        self.steps.push(format!(
            "{shown} is taken out of the members; its id is never given again"
        ));
        if node.bindings > 0 {
            self.warnings.push(format!(
                "{} registrations at {shown} end: those telephones must register elsewhere",
                node.bindings
            ));
        }
        self.warnings.push(format!(
            "the data folder of {shown} cannot be used again: empty it before that machine joins again"
        ));
        if node.votes {
            self.promote();
        }
        Ok(format!("{shown} (id {id}) leaves the federation for good"))
    }

    /// The leader lets others vote by itself, one after the other, while there are fewer than wanted.
    fn promote(&mut self) {
        let voters = self.members.iter().filter(|member| member.votes).count();
        let missing = self.before.target_voters.saturating_sub(voters);
        let candidates = self.members.iter_mut().filter(|member| !member.votes && member.up);
        for member in candidates.take(missing) {
            member.votes = true;
            self.steps.push(format!(
                "{} gets a vote by itself once it has everything (raft.voters = {})",
                member.shown(),
                self.before.target_voters
            ));
        }
    }

    fn lead(&mut self, id: u64) -> Result<String, String> {
        let node = self.member(id)?;
        let shown = node.shown();
        if !node.votes {
            return Err(format!("{shown} does not vote, so it cannot lead: name a voter"));
        }
        if !node.up {
            return Err(format!(
                "{shown} does not answer, so it cannot lead: name a voter that is up"
            ));
        }
        if self.leader == Some(id) {
            self.warnings
                .push(format!("{shown} leads already: there is nothing to do"));
        } else {
            self.steps.push(format!(
                "{shown} takes the leadership over; changes wait for a moment, nothing is lost"
            ));
        }
        self.leader = Some(id);
        Ok(format!("{shown} (id {id}) leads"))
    }

    fn replace(&mut self, old: u64, new: u64) -> Result<String, String> {
        let (leaving, coming) = (self.member(old)?, self.member(new)?);
        let (leaves, comes) = (leaving.shown(), coming.shown());
        if !leaving.votes {
            return Err(format!(
                "{leaves} does not vote, there is nothing to replace: plan that it leaves"
            ));
        }
        if coming.votes {
            return Err(format!("{comes} votes already: plan that {leaves} leaves"));
        }
        if !coming.up {
            return Err(format!("{comes} does not answer: bring it up first"));
        }
        for member in self.members.iter_mut().filter(|member| member.id == new) {
            member.votes = true;
        }
        self.steps.push(format!("{comes} gets a vote"));
        self.leave(old, false)?;
        Ok(format!(
            "{comes} (id {new}) votes in place of {leaves} (id {old}), which leaves the federation for good"
        ))
    }

    fn finish(mut self, title: String, action: Action) -> Plan {
        let before = shape(&self.before.members, self.before.leader);
        let after = shape(&self.members, self.leader);
        if after.can_lose == Some(0) && before.can_lose > Some(0) {
            self.warnings
                .push("afterwards no voter may die without stopping all changes: join another node first".to_owned());
        }
        if after.voters.len().is_multiple_of(2) && after.voters.len() != before.voters.len() {
            self.warnings.push(format!(
                "{} voters bear the loss of no more than {} do",
                after.voters.len(),
                after.voters.len() - 1
            ));
        }
        let basis = self.before.basis;
        Plan {
            id: PlanId { action, basis },
            title,
            before,
            after,
            steps: self.steps,
            warnings: self.warnings,
        }
    }
}

fn shape(members: &[Member], leader: Option<u64>) -> Shape {
    let named = |votes: bool| {
        let some = members.iter().filter(move |member| member.votes == votes);
        some.map(|member| {
            if member.up {
                member.shown()
            } else {
                format!("{} (down)", member.shown())
            }
        })
    };
    let voters: Vec<String> = named(true).collect();
    let quorum = voters.len() / 2 + 1;
    let up = members.iter().filter(|member| member.votes && member.up).count();
    Shape {
        quorum,
        up,
        can_lose: up.checked_sub(quorum),
        learners: named(false).collect(),
        leader: members
            .iter()
            .find(|member| Some(member.id) == leader)
            .map(Member::shown),
        voters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `V`: a voter, `v`: one that is down, `L` and `l`: those that do not vote. Ids and names by position, from 1; the first leads.
    fn federation(members: &str) -> Federation {
        let member = |(index, kind): (usize, char)| Member {
            id: index as u64 + 1,
            name: format!("n{}", index + 1),
            votes: kind.eq_ignore_ascii_case(&'v'),
            up: kind.is_ascii_uppercase(),
            serves: false,
            bindings: 0,
        };
        Federation {
            members: members.chars().enumerate().map(member).collect(),
            leader: Some(1),
            asked: 1,
            target_voters: 3,
            basis: Basis {
                members_index: 57,
                term: 3,
            },
        }
    }

    /// Voters, quorum, up, and what can be lost.
    type Figures = (usize, usize, usize, Option<usize>);

    /// Before and after.
    fn figures(members: &str, action: Action) -> Result<[Figures; 2], String> {
        let plan = plan(&federation(members), action)?;
        Ok([&plan.before, &plan.after].map(|s| (s.voters.len(), s.quorum, s.up, s.can_lose)))
    }

    #[test]
    fn the_figures_before_and_after_are_right() {
        for (members, action, before, after) in [
            ("VVV", Action::Leave(3), (3, 2, 3, Some(1)), (2, 2, 2, Some(0))),
            ("VVVL", Action::Leave(3), (3, 2, 3, Some(1)), (3, 2, 3, Some(1))),
            ("VVVl", Action::Leave(3), (3, 2, 3, Some(1)), (2, 2, 2, Some(0))),
            ("VVv", Action::Leave(3), (3, 2, 2, Some(0)), (2, 2, 2, Some(0))),
            ("VVVVV", Action::Leave(5), (5, 3, 5, Some(2)), (4, 3, 4, Some(1))),
            ("VVVL", Action::Leave(4), (3, 2, 3, Some(1)), (3, 2, 3, Some(1))),
            ("VVV", Action::Lead(2), (3, 2, 3, Some(1)), (3, 2, 3, Some(1))),
            (
                "VVvL",
                Action::Replace { old: 3, new: 4 },
                (3, 2, 2, Some(0)),
                (3, 2, 3, Some(1)),
            ),
            ("Vvv", Action::LeaveLosingQuorum(1), (3, 2, 1, None), (2, 2, 0, None)),
        ] {
            assert_eq!(figures(members, action), Ok([before, after]), "{members} {action:?}");
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused_with_the_remedy() {
        for (members, action, words) in [
            ("V", Action::Leave(1), "last node"),
            ("VVv", Action::Leave(2), "only 1 of 2 voters would be up"),
            ("VVV", Action::Leave(9), "no member"),
            ("VVVL", Action::Lead(4), "does not vote"),
            ("VVv", Action::Lead(3), "does not answer"),
            ("VVVL", Action::Replace { old: 4, new: 3 }, "nothing to replace"),
            ("VVV", Action::Replace { old: 2, new: 3 }, "votes already"),
            ("VVVl", Action::Replace { old: 3, new: 4 }, "bring it up first"),
        ] {
            let why = plan(&federation(members), action).unwrap_err();
            assert!(why.contains(words), "{members} {action:?}: {why}");
        }
        let mut served = federation("VVV");
        served.members[1].serves = true;
        assert!(plan(&served, Action::Leave(2)).unwrap_err().contains("is up"));
        served.asked = 2;
        assert!(plan(&served, Action::Leave(2)).is_ok());
    }

    #[test]
    fn what_to_think_of_before_is_said() {
        let mut three = federation("VVV");
        three.members[0].bindings = 17;
        let leaves = plan(&three, Action::Leave(1)).unwrap();
        let said = leaves.warnings.join("\n");
        for words in ["17 registrations at n1 end", "no voter may die", "2 voters bear"] {
            assert!(said.contains(words), "{words}: {said}");
        }
        assert_eq!(leaves.after.leader, None, "somebody else leads");
        assert!(leaves.steps[0].contains("leadership"), "{leaves:?}");
        assert_eq!(leaves.id.to_string(), "leave-1@57.3");
        let replaced = plan(&federation("VVvL"), Action::Replace { old: 3, new: 4 }).unwrap();
        assert!(replaced.steps[0].contains("n4 gets a vote"), "{replaced:?}");
        let nothing = plan(&three, Action::Lead(1)).unwrap();
        assert!(nothing.steps.is_empty() && nothing.warnings[0].contains("leads already"));
    }
}
