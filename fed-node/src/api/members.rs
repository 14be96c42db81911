//! Changes of the members, planned and then made as planned.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fed_core::audit::Actor;
use fed_core::ids::NodeId;
use fed_core::map::MapView;
use fed_proto::client as pb;
use fed_raft::{MembersChange, Role};
use tonic::Status;

use super::failure::{damaged, not_changed};
use super::node::Removal;
use super::service::ApiService;
use crate::membership::{Action, Basis, Federation, Member, Plan, PlanId, Shape, plan};
use crate::security::note;

/// Longest wait for the leader to say from whom it hears.
const ANSWERING_WITHIN: Duration = Duration::from_secs(1);

/// Longest wait for a change of voters to be whole.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);

/// What is asked for, as an action.
pub(super) fn action(request: &pb::PlanMembersRequest) -> Result<Action, Status> {
    use pb::plan_members_request::Action as Asked;
    match request.action {
        Some(Asked::Leave(pb::RemoveNodeRequest { id, lose_quorum, .. })) => Ok(if lose_quorum {
            Action::LeaveLosingQuorum(id)
        } else {
            Action::Leave(id)
        }),
        Some(Asked::Lead(id)) => Ok(Action::Lead(id)),
        Some(Asked::Replace(pb::ReplaceNode { old, new })) => Ok(Action::Replace { old, new }),
        None => Err(Status::invalid_argument(
            "the request does not say what is to be planned",
        )),
    }
}

impl ApiService {
    /// The members as they are now: with a quorum, after everything that was acknowledged.
    async fn federation(&self) -> Result<Federation, Status> {
        let (snapshot, _) = self.snapshot(pb::Consistency::Linearizable as i32).await?;
        let cluster = &self.0.cluster;
        let status = self.settled_members().await?;
        let answering: BTreeSet<NodeId> = cluster.answering(ANSWERING_WITHIN).await;
        let view = MapView::new(&snapshot);
        let mut members = Vec::with_capacity(status.members.len());
        for member in &status.members {
            let name = view.node(member.id).map_err(|error| damaged(&error))?;
            let serves = view.session_of(member.id).map_err(|error| damaged(&error))?;
            let bindings = view.bindings_at(member.id).map_err(|error| damaged(&error))?;
            members.push(Member {
                id: member.id.0,
                name: name.map(|record| record.value.name).unwrap_or_default(),
                votes: member.role != Role::Learner,
                up: answering.contains(&member.id),
                serves: serves.is_some(),
                bindings: bindings.len() as u64,
            });
        }
        Ok(Federation {
            members,
            leader: status.leader.map(|leader| leader.0),
            asked: status.node.0,
            target_voters: self.0.raft.voters,
            basis: Basis {
                members_index: status.members_index,
                term: status.term,
            },
        })
    }

    /// How this node is when no change of voters is under way: what is half made has two groups of voters, and is another plan in a moment.
    async fn settled_members(&self) -> Result<fed_raft::Status, Status> {
        let until = Instant::now() + SETTLED_WITHIN;
        loop {
            let status = self.0.cluster.status();
            if status.voters.len() <= 1 {
                return Ok(status);
            }
            if Instant::now() > until {
                return Err(Status::failed_precondition(
                    "a change of voters is under way: ask again when it is over, `fed-node status` says so",
                ));
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    pub(super) async fn plan_members_now(&self, action: Action) -> Result<Plan, Status> {
        let action = match action {
            Action::Leave(0) => Action::Leave(self.0.cluster.id().0),
            Action::LeaveLosingQuorum(0) => Action::LeaveLosingQuorum(self.0.cluster.id().0),
            other => other,
        };
        let federation = self.federation().await?;
        plan(&federation, action).map_err(Status::failed_precondition)
    }

    /// Does what was planned, when the members are still those it was planned for.
    pub(super) async fn apply_plan_now(&self, who: Actor, id: &str, dry_run: bool) -> Result<u64, Status> {
        let wanted: PlanId = id
            .parse()
            .map_err(|error: crate::membership::NoPlan| Status::invalid_argument(error.to_string()))?;
        let plan = self.plan_members_now(wanted.action).await?;
        if plan.id != wanted {
            return Err(Status::aborted(format!(
                "the members or their leader have changed since {wanted} was planned (it would be {} now): nothing was changed; plan again and look at it",
                plan.id
            )));
        }
        let node = &self.0;
        if dry_run {
            return Ok(node.cluster.local().revision().0);
        }
        // Looked at above, and compared once more by the leader in the moment of the change: of two plans of the same members
        // that are applied at once, one is refused.
        let at = wanted.basis.members_index;
        let how = |lose_quorum, at| Removal {
            lose_quorum,
            cut_off: false,
            if_members_at: Some(at),
        };
        match wanted.action {
            Action::Leave(id) => node.leave.remove(who, NodeId(id), how(false, at)).await,
            Action::LeaveLosingQuorum(id) => node.leave.remove(who, NodeId(id), how(true, at)).await,
            Action::Lead(id) => {
                self.change_as_of(at, MembersChange::TransferLeadership(NodeId(id)))
                    .await?;
                note(&node.cluster, who, format!("leadership given to node {id}")).await;
                Ok(node.cluster.local().revision().0)
            }
            Action::Replace { old, new } => {
                let at = self.change_as_of(at, MembersChange::Promote(NodeId(new))).await?;
                note(&node.cluster, who.clone(), format!("member {new} promoted to voter")).await;
                node.leave.remove(who, NodeId(old), how(false, at)).await
            }
        }
    }

    /// Gives the leadership to a node for whoever asked; the revision of the map then.
    pub(super) async fn lead(&self, who: Actor, node: NodeId) -> Result<u64, Status> {
        let cluster = &self.0.cluster;
        let moved = cluster.transfer_leadership(node).await;
        moved.map_err(|error| not_changed(&error))?;
        note(cluster, who, format!("leadership given to node {node}")).await;
        Ok(cluster.local().revision().0)
    }

    async fn change_as_of(&self, members_at: u64, change: MembersChange) -> Result<u64, Status> {
        let changed = self.0.cluster.change_members_as_of(members_at, change).await;
        changed.map_err(|error| not_changed(&error))
    }
}

/// A plan for the wire.
pub(super) fn plan_out(plan: Plan) -> pb::MembersPlan {
    pb::MembersPlan {
        id: plan.id.to_string(),
        title: plan.title,
        before: Some(shape_out(plan.before)),
        after: Some(shape_out(plan.after)),
        steps: plan.steps,
        warnings: plan.warnings,
    }
}

fn shape_out(shape: Shape) -> pb::MembersShape {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    pb::MembersShape {
        quorum: count(shape.quorum),
        up: count(shape.up),
        can_lose: shape.can_lose.map(count),
        leader: shape.leader.unwrap_or_default(),
        voters: shape.voters,
        learners: shape.learners,
    }
}
