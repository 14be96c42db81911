//! `drift`: every node's bindings against its Asterisk.

use fed_proto::client as pb;
use serde::Serialize;

use super::node::all_nodes;
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
    let asked = client.api.clone().status(pb::StatusRequest {}).await;
    let asked = asked.map_err(Failure::of_read)?.into_inner();
    let mut nodes = Vec::new();
    if !args.here {
        let records = all_nodes(client).await?;
        let known: Vec<u64> = records
            .iter()
            .flat_map(|record| &record.node)
            .map(|node| node.id)
            .collect();
        for node in records.into_iter().filter_map(|record| record.node) {
            if node.id != asked.node {
                nodes.push(elsewhere(client, node).await);
            }
        }
        let unknown = asked
            .members
            .iter()
            .filter(|member| !known.contains(&member.id) && member.id != asked.node);
        nodes.extend(unknown.map(without_record));
    }
    let here = checked(client, 0).await;
    nodes.push(here.unwrap_or_else(|failure| skipped(asked.node, &asked.node_name, failure.message)));
    nodes.sort_by_key(|node| node.node);
    let view = DriftView { nodes };
    print(output, &view)?;
    view.verdict()
}

impl DriftView {
    /// Differences come before gaps: they are certain.
    fn verdict(&self) -> Outcome {
        let found: usize = self.nodes.iter().map(|node| node.differences.len()).sum();
        let gaps: Vec<&str> = self
            .nodes
            .iter()
            .filter(|node| node.skipped.is_some())
            .map(|node| node.node_name.as_str())
            .collect();
        let missing = if gaps.is_empty() {
            String::new()
        } else {
            format!(
                "not compared: {} of {} nodes ({})",
                gaps.len(),
                self.nodes.len(),
                gaps.join(", ")
            )
        };
        match (found, missing.is_empty()) {
            (0, true) => Ok(()),
            (0, false) => Err(Failure::new(Exit::Incomplete, missing)),
            (_, true) => Err(Failure::new(Exit::Drift, format!("{found} differences"))),
            (_, false) => Err(Failure::new(Exit::Drift, format!("{found} differences; {missing}"))),
        }
    }
}

/// A member of the cluster that the map does not describe: there is no address to ask it at.
fn without_record(member: &pb::Member) -> NodeDrift {
    let why = "it is a member, but the map has no record of it: it has not started yet, or its leaving was interrupted (then repeat `fed-node leave`)";
    skipped(member.id, &format!("node {}", member.id), why.to_owned())
}

fn skipped(node: u64, name: &str, why: String) -> NodeDrift {
    NodeDrift {
        node,
        node_name: name.to_owned(),
        compared: 0,
        differences: Vec::new(),
        skipped: Some(why),
    }
}

/// A node's own comparison, through the node asked; 0 is that one itself.
async fn checked(client: &Client, node: u64) -> Outcome<NodeDrift> {
    let reply = client.api.clone().drift(pb::DriftRequest { node }).await;
    let reply = reply.map_err(Failure::of_read)?.into_inner();
    if node != 0 && reply.node != node {
        return Err(Failure::failed(
            "the node asked cannot pass the question on: bring the nodes to the same version",
        ));
    }
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

/// Another node, which the node asked passes the question on to.
async fn elsewhere(client: &Client, node: pb::Node) -> NodeDrift {
    if node.state == "down" {
        return skipped(node.id, &node.name, "it is down".to_owned());
    }
    let checked = checked(client, node.id).await;
    checked.unwrap_or_else(|failure| skipped(node.id, &node.name, failure.message))
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

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(node: u64, differences: usize) -> NodeDrift {
        let difference = || Difference {
            kind: "contact_without_binding".to_owned(),
            object: "alice".to_owned(),
            detail: String::new(),
        };
        NodeDrift {
            node,
            node_name: format!("n{node}"),
            compared: 3,
            differences: std::iter::repeat_with(difference).take(differences).collect(),
            skipped: None,
        }
    }

    fn verdict(nodes: Vec<NodeDrift>) -> (u8, String) {
        DriftView { nodes }.verdict().map_or_else(
            |failure| (failure.exit.code(), failure.message),
            |()| (0, String::new()),
        )
    }

    #[test]
    fn a_node_that_was_not_compared_is_no_agreement() {
        assert_eq!(verdict(vec![compared(1, 0), compared(2, 0)]).0, 0);
        let (code, words) = verdict(vec![compared(1, 0), skipped(2, "n2", "it is down".to_owned())]);
        assert_eq!((code, words.as_str()), (8, "not compared: 1 of 2 nodes (n2)"));
        let (code, words) = verdict(vec![compared(1, 2), skipped(2, "n2", "it is down".to_owned())]);
        assert_eq!(code, 7, "a difference is worse than a gap");
        assert!(words.contains("2 differences") && words.contains("n2"), "{words}");
    }

    #[test]
    fn a_member_that_the_map_does_not_know_is_listed() {
        let member = pb::Member {
            id: 7,
            ..pb::Member::default()
        };
        let listed = without_record(&member);
        assert_eq!(listed.node_name, "node 7");
        assert!(listed.skipped.is_some_and(|why| why.contains("no record")));
    }
}
