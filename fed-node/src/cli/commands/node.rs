//! `node list|show` and `leave`.

use std::io::{BufRead, IsTerminal, Write};

use fed_proto::client as pb;

use crate::cli::args::{LeaveArgs, NodeCommand, Output};
use crate::cli::client::{Api, Client};
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::print;
use crate::cli::views::{Done, NodeView, Nodes};

pub(super) async fn node(client: &Client, command: NodeCommand, output: Output) -> Outcome {
    match command {
        NodeCommand::List => {
            let nodes = all_nodes(client).await?.into_iter().map(Into::into).collect();
            print(output, &Nodes(nodes))
        }
        NodeCommand::Show { node } => print(output, &NodeView::from(named(client, &node).await?)),
    }
}

/// Every node.
///
/// # Errors
/// When the node cannot be asked.
pub(super) async fn all_nodes(client: &Client) -> Outcome<Vec<pb::NodeRecord>> {
    let list = |mut api: Api, consistency| async move {
        api.list_nodes(pb::ListRequest {
            consistency,
            ..pb::ListRequest::default()
        })
        .await
    };
    Ok(client.read(list).await?.nodes)
}

async fn named(client: &Client, node: &str) -> Outcome<pb::NodeRecord> {
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

pub(super) async fn leave(client: &Client, args: &LeaveArgs, output: Output) -> Outcome {
    let (id, what) = match &args.node {
        Some(node) => {
            let node = named(client, node).await?.node.unwrap_or_default();
            (node.id, format!("node {} (id {})", node.name, node.id))
        }
        None => (0, format!("the node at {}", client.address)),
    };
    if !args.yes {
        confirm(&format!(
            "{what} leaves the federation for good; its data folder cannot be used again. Go on?"
        ))?;
    }
    let reply = client
        .api
        .clone()
        .remove_node(pb::RemoveNodeRequest { id })
        .await?
        .into_inner();
    print(
        output,
        &Done {
            text: format!("{what} has left"),
            revision: reply.revision,
        },
    )
}

fn confirm(question: &str) -> Outcome {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::usage(
            "this cannot be undone: repeat the command with --yes to do it without being asked",
        ));
    }
    eprint!("{question} [y/N] ");
    std::io::stderr().flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if matches!(answer.trim(), "y" | "Y" | "yes") {
        Ok(())
    } else {
        Err(Failure::usage("nothing was changed"))
    }
}
