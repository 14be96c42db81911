//! `drift`: every node's bindings against its Asterisk.

use fed_proto::client as pb;
use serde::Serialize;

use super::node::all_nodes;
use crate::address::Address;
use crate::cli::args::{DriftArgs, Output};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{Show, print, table};

#[derive(Serialize)]
struct DriftView {
    nodes: Vec<NodeDrift>,
}

#[derive(Serialize)]
struct NodeDrift {
    node: u64,
    node_name: String,
    compared: u64,
    differences: Vec<Difference>,
    /// Why it was not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    skipped: Option<String>,
}

#[derive(Serialize)]
struct Difference {
    kind: String,
    object: String,
    detail: String,
}

pub(super) async fn drift(client: &Client, args: &DriftArgs, output: Output) -> Outcome {
    let here = checked(client).await?;
    let mut nodes = Vec::new();
    if !args.here {
        for record in all_nodes(client).await? {
            let node = record.node.unwrap_or_default();
            if node.id != here.node {
                nodes.push(elsewhere(client, node).await);
            }
        }
    }
    nodes.push(here);
    nodes.sort_by_key(|node| node.node);
    let found: usize = nodes.iter().map(|node| node.differences.len()).sum();
    print(output, &DriftView { nodes })?;
    if found == 0 {
        Ok(())
    } else {
        Err(Failure::new(Exit::Drift, format!("{found} differences")))
    }
}

async fn checked(client: &Client) -> Outcome<NodeDrift> {
    let reply = client.api.clone().drift(pb::DriftRequest {}).await?.into_inner();
    let difference = |d: pb::Difference| Difference {
        kind: d.kind,
        object: d.object,
        detail: d.detail,
    };
    Ok(NodeDrift {
        node: reply.node,
        node_name: reply.node_name,
        compared: reply.compared,
        differences: reply.differences.into_iter().map(difference).collect(),
        skipped: None,
    })
}

/// Another node, over its own client API where that can be reached.
async fn elsewhere(client: &Client, node: pb::Node) -> NodeDrift {
    let checked = match reachable(client, &node) {
        Ok(address) => match Client::connect(&address).await {
            Ok(other) => checked(&other).await.map_err(|failure| failure.message),
            Err(failure) => Err(failure.message),
        },
        Err(why) => Err(why),
    };
    checked.unwrap_or_else(|why| NodeDrift {
        node: node.id,
        node_name: node.name,
        compared: 0,
        differences: Vec::new(),
        skipped: Some(why),
    })
}

fn reachable(client: &Client, node: &pb::Node) -> Result<Address, String> {
    if node.state == "down" {
        return Err("it is down".to_owned());
    }
    let address: Address = node.client_address.parse().map_err(|error| format!("{error}"))?;
    // A loopback address is another node's own, unless all nodes share this machine on ports of their own.
    if address.is_loopback() && !(client.address.is_loopback() && address.port() != client.address.port()) {
        return Err(format!(
            "its client API is on {address}, which only that host can reach: run `fed-node drift --here` there"
        ));
    }
    Ok(address)
}

impl Show for DriftView {
    fn text(&self) -> String {
        let mut parts = Vec::new();
        for node in &self.nodes {
            parts.push(match (&node.skipped, node.differences.len()) {
                (Some(why), _) => format!("{}: not compared: {why}", node.node_name),
                (None, 0) => format!("{}: {} compared, no difference", node.node_name, node.compared),
                (None, found) => {
                    let rows = node
                        .differences
                        .iter()
                        .map(|d| [d.kind.clone(), d.object.clone(), d.detail.clone()]);
                    let table = table(["KIND", "OBJECT", "DETAIL"], rows);
                    format!(
                        "{}: {} compared, {found} differences\n{table}",
                        node.node_name, node.compared
                    )
                }
            });
        }
        parts.join("\n")
    }
}
