//! `node list|show` and `leave`.

use fed_proto::client as pb;
use pb::plan_members_request::Action;

use super::plan;
use crate::cli::args::{LeaveArgs, NodeCommand};
use crate::cli::change::Intent;
use crate::cli::client::{Api, Client};
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::print;
use crate::cli::views::{Done, NodeView, Nodes};

pub(super) async fn node(client: &Client, command: NodeCommand, intent: Intent) -> Outcome {
    let output = intent.output;
    match command {
        NodeCommand::List => {
            let nodes = all_nodes(client).await?.into_iter().map(Into::into).collect();
            print(output, &Nodes(nodes))
        }
        NodeCommand::Show { node } => print(output, &NodeView::from(named(client, &node).await?)),
        NodeCommand::Lead { node } => lead(client, &node, intent).await,
    }
}

async fn lead(client: &Client, node: &str, intent: Intent) -> Outcome {
    let node = named(client, node).await?.node.unwrap_or_default();
    if intent.dry_run {
        return plan::tell(client, Action::Lead(node.id), intent).await;
    }
    let request = pb::TransferLeadershipRequest { id: node.id };
    let reply = client.api.clone().transfer_leadership(request).await?.into_inner();
    print(
        intent.output,
        &Done {
            text: format!("node {} (id {}) leads", node.name, node.id),
            revision: reply.revision,
        },
    )
}

/// Every node.
///
/// # Errors
/// When the node cannot be asked.
pub(crate) async fn all_nodes(client: &Client) -> Outcome<Vec<pb::NodeRecord>> {
    let list = |mut api: Api, consistency| async move {
        api.list_nodes(pb::ListRequest {
            consistency,
            ..pb::ListRequest::default()
        })
        .await
    };
    Ok(client.read(list).await?.nodes)
}

pub(super) async fn named(client: &Client, node: &str) -> Outcome<pb::NodeRecord> {
    let get = |mut api: Api, consistency| {
        let request = pb::GetRequest {
            id: node.to_owned(),
            consistency,
            with_credentials: false,
        };
        async move { api.get_node(request).await }
    };
    client.read(get).await
}

/// The id of a node by its name or id; 0, the node asked, for none.
///
/// # Errors
/// When there is no such node.
pub(super) async fn id_of(client: &Client, node: Option<&str>) -> Outcome<u64> {
    match node {
        None => Ok(0),
        Some(node) => Ok(named(client, node).await?.node.unwrap_or_default().id),
    }
}

pub(super) async fn leave(client: &Client, args: &LeaveArgs, intent: Intent) -> Outcome {
    let (id, what) = match &args.node {
        Some(node) => {
            let (id, name) = leaving(client, node).await?;
            (id, format!("node {name} (id {id})"))
        }
        None => (0, format!("the node at {}", client.address)),
    };
    let lose_quorum = match (&args.force_lose_quorum, &args.node) {
        (None, _) => false,
        (Some(again), Some(node)) if again == node => true,
        (Some(again), _) => {
            return Err(Failure::usage(format!(
                "--force-lose-quorum names {again}, which is not the node to take out: nothing was changed"
            )));
        }
    };
    let removal = pb::RemoveNodeRequest {
        id,
        lose_quorum,
        cut_off: args.cut_off,
    };
    if intent.dry_run {
        return plan::tell(client, Action::Leave(removal), intent).await;
    }
    intent.confirm(&format!(
        "{what} leaves the federation for good; its data folder cannot be used again. Go on?"
    ))?;
    let reply = client.api.clone().remove_node(removal).await?.into_inner();
    print(
        intent.output,
        &Done {
            text: format!("{what} has left"),
            revision: reply.revision,
        },
    )
}

/// Id and name of the node that is to leave. One whose leaving was interrupted has no record any more, and is a member still.
pub(super) async fn leaving(client: &Client, node: &str) -> Outcome<(u64, String)> {
    let missing = match named(client, node).await {
        Ok(record) => {
            let node = record.node.unwrap_or_default();
            return Ok((node.id, node.name));
        }
        Err(failure) if failure.exit == Exit::NotFound => failure,
        Err(failure) => return Err(failure),
    };
    let status = client.api.clone().status(pb::StatusRequest {}).await;
    let members = status.map_err(Failure::of_read)?.into_inner().members;
    let nameless: Vec<u64> = members
        .iter()
        .filter(|member| member.name.is_empty())
        .map(|member| member.id)
        .collect();
    match node.parse() {
        Ok(id) if nameless.contains(&id) => Ok((id, "without a record".to_owned())),
        _ if nameless.is_empty() => Err(missing),
        _ => {
            let ids: Vec<String> = nameless.iter().map(u64::to_string).collect();
            let text = format!(
                "{}; members without a record in the map (a leaving that was interrupted), to be named by id: {}",
                missing.message,
                ids.join(", ")
            );
            Err(Failure::new(Exit::NotFound, text))
        }
    }
}
