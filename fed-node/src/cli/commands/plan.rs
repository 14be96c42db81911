//! `plan` and `apply`: changes of the members, shown before they are made.

use fed_proto::client as pb;
use pb::plan_members_request::Action;
use serde::Serialize;
use tonic::Status;

use super::node::{leaving, named};
use crate::cli::args::Output;
use crate::cli::change::Intent;
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{Show, print, table};
use crate::cli::views::Done;
use crate::explain::Code;
use crate::membership::PlanCommand;
use crate::talk;

pub(super) async fn plan(client: &Client, command: PlanCommand, output: Output) -> Outcome {
    let action = match command {
        PlanCommand::Leave { node } => Action::Leave(pb::RemoveNodeRequest {
            id: match node {
                Some(node) => leaving(client, &node).await?.0,
                None => 0,
            },
            ..pb::RemoveNodeRequest::default()
        }),
        PlanCommand::Lead { node } => Action::Lead(id(client, &node).await?),
        PlanCommand::Replace { old, new } => Action::Replace(pb::ReplaceNode {
            old: leaving(client, &old).await?.0,
            new: id(client, &new).await?,
        }),
    };
    let plan = planned(client, action).await?;
    let command = format!("fed-node apply {}", plan.id);
    print(output, &PlanView::from(plan))?;
    talk!("nothing was changed; do it with: {command}");
    Ok(())
}

async fn id(client: &Client, node: &str) -> Outcome<u64> {
    Ok(named(client, node).await?.node.unwrap_or_default().id)
}

/// What would be done.
///
/// # Errors
/// Why it cannot be done.
pub(super) async fn planned(client: &Client, action: Action) -> Outcome<pb::MembersPlan> {
    let request = pb::PlanMembersRequest { action: Some(action) };
    let answer = client.api.clone().plan_members(request).await;
    Ok(answer.map_err(|status| not_planned(client, status))?.into_inner())
}

fn not_planned(client: &Client, status: Status) -> Failure {
    let failure = Failure::of_read(status);
    if !matches!(
        failure.code,
        Code::ReadNoQuorum | Code::NoLeader | Code::MembersNoLeader
    ) {
        return failure;
    }
    let text = format!(
        "no quorum at {}: members are planned and changed by a majority of the voters. `fed-node status` says who is missing: start those; \
         where most voters are lost for good, `fed-node recover` on one that is left",
        client.address
    );
    Failure::new(Exit::Unavailable, text).coded(failure.code)
}

/// With `--dry-run`, prints what would be done, and says so.
pub(super) async fn tell(client: &Client, action: Action, intent: Intent) -> Outcome {
    print(intent.output, &PlanView::from(planned(client, action).await?))?;
    talk!("nothing was changed (--dry-run)");
    Ok(())
}

pub(super) async fn apply(client: &Client, plan: String, intent: Intent) -> Outcome {
    let request = pb::ApplyPlanRequest {
        plan: plan.clone(),
        dry_run: intent.dry_run,
    };
    let reply = client.api.clone().apply_plan(request).await?.into_inner();
    if intent.dry_run {
        print(intent.output, &WouldApply { dry_run: true, plan })?;
        talk!("nothing was changed (--dry-run)");
        return Ok(());
    }
    print(
        intent.output,
        &Done {
            text: format!("{plan} was done"),
            revision: reply.revision,
        },
    )
}

/// A plan that still holds.
#[derive(Debug, Serialize)]
struct WouldApply {
    dry_run: bool,
    plan: String,
}

impl Show for WouldApply {
    fn text(&self) -> String {
        format!("{} would be done now", self.plan)
    }
}

/// A plan as it is shown.
#[derive(Debug, Serialize)]
pub(super) struct PlanView {
    plan: String,
    title: String,
    before: ShapeView,
    after: ShapeView,
    steps: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ShapeView {
    voters: Vec<String>,
    learners: Vec<String>,
    leader: String,
    quorum: u32,
    up: u32,
    can_lose: Option<u32>,
}

impl From<pb::MembersPlan> for PlanView {
    fn from(plan: pb::MembersPlan) -> Self {
        let shape = |shape: Option<pb::MembersShape>| {
            let shape = shape.unwrap_or_default();
            ShapeView {
                voters: shape.voters,
                learners: shape.learners,
                leader: shape.leader,
                quorum: shape.quorum,
                up: shape.up,
                can_lose: shape.can_lose,
            }
        };
        Self {
            plan: plan.id,
            title: plan.title,
            before: shape(plan.before),
            after: shape(plan.after),
            steps: plan.steps,
            warnings: plan.warnings,
        }
    }
}

impl Show for PlanView {
    fn text(&self) -> String {
        let none = |text: String| if text.is_empty() { "-".to_owned() } else { text };
        let row = |name: &str, value: &dyn Fn(&ShapeView) -> String| {
            [name.to_owned(), none(value(&self.before)), none(value(&self.after))]
        };
        let rows = [
            row("voters", &|shape| shape.voters.join(" ")),
            row("not voting", &|shape| shape.learners.join(" ")),
            row("leader", &|shape| match shape.leader.as_str() {
                "" => "one of the voters".to_owned(),
                leader => leader.to_owned(),
            }),
            row("quorum", &|shape| format!("{} of {}", shape.quorum, shape.voters.len())),
            row("voters up", &|shape| shape.up.to_string()),
            row("may still be lost", &|shape| match shape.can_lose {
                Some(count) => count.to_string(),
                None => "no quorum".to_owned(),
            }),
        ];
        let mut lines = vec![self.title.clone(), table(["", "BEFORE", "AFTER"], rows)];
        for (head, list) in [("steps:", &self.steps), ("mind:", &self.warnings)] {
            if !list.is_empty() {
                lines.push(head.to_owned());
                lines.extend(list.iter().map(|line| format!("  - {line}")));
            }
        }
        lines.join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_is_shown_before_beside_after() {
        let shape = |voters: &[&str], can_lose| pb::MembersShape {
            voters: voters.iter().map(|name| (*name).to_owned()).collect(),
            leader: "n1".to_owned(),
            quorum: 2,
            up: u32::try_from(voters.len()).unwrap(),
            can_lose: Some(can_lose),
            learners: Vec::new(),
        };
        let plan = pb::MembersPlan {
            id: "leave-3@57.3".to_owned(),
            title: "n3 (id 3) leaves the federation for good".to_owned(),
            before: Some(shape(&["n1", "n2", "n3"], 1)),
            after: Some(shape(&["n1", "n2"], 0)),
            steps: vec!["n3 is taken out".to_owned()],
            warnings: vec!["join another node first".to_owned()],
        };
        let expected = "\
n3 (id 3) leaves the federation for good
                    BEFORE    AFTER
 voters             n1 n2 n3  n1 n2
 not voting         -         -
 leader             n1        n1
 quorum             2 of 3    2 of 2
 voters up          3         2
 may still be lost  1         0
steps:
  - n3 is taken out
mind:
  - join another node first";
        assert_eq!(PlanView::from(plan).text(), expected);
    }
}
