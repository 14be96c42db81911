//! `check replicas`: whether all nodes hold the same.

use std::collections::{BTreeMap, BTreeSet};

use fed_proto::client as pb;
use serde::Serialize;

use crate::cli::args::Output;
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{Show, print, table};

/// Looks until all nodes have been seen at one revision.
const TRIES: usize = 5;

/// What a comparison came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Compared {
    /// The revision at which they were compared; none: there was none that all went through.
    pub(crate) revision: Option<u64>,
    /// Each node.
    pub(crate) nodes: Vec<NodeCompared>,
}

/// One node's part.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct NodeCompared {
    node: u64,
    pub(crate) node_name: String,
    pub(crate) verdict: Verdict,
    hash: String,
}

/// What became of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// It holds what most hold.
    Same,
    /// It holds something else than most.
    Differs,
    /// Nobody has a majority on his side: this is one of several versions.
    Disputed,
    /// Its rows do not add up to the hash it keeps: they were damaged where they lie.
    Damaged,
    /// It could not be compared.
    Skipped(String),
}

/// Compares what the nodes said. The newest state that the most of them went through decides. A state is what a log entry left: what
/// changes no revision, such as a change that was refused, leaves its trace in the state too.
pub(crate) fn compare(replicas: &[pb::Replica]) -> Compared {
    let mut at: BTreeMap<(u64, u64), BTreeMap<u64, &str>> = BTreeMap::new();
    for replica in replicas.iter().filter(|replica| replica.why.is_empty()) {
        for kept in &replica.kept {
            let state = (kept.revision, kept.index);
            at.entry(state).or_default().insert(replica.node, &kept.hash);
        }
    }
    let best = at.iter().max_by_key(|(state, nodes)| (nodes.len(), **state));
    let (revision, hashes) = best.map_or((None, BTreeMap::new()), |((revision, _), nodes)| {
        (Some(*revision), nodes.clone())
    });
    let alone = hashes.len() == 1 && replicas.len() > 1;
    let most = most_frequent(&hashes);
    let nodes = replicas.iter().map(|replica| {
        let hash = hashes.get(&replica.node).copied().unwrap_or_default();
        let damaged = replica
            .rows
            .as_ref()
            .is_some_and(|rows| rows.hash != replica.kept_with_rows);
        let verdict = match (replica.why.is_empty(), &most) {
            (false, _) => Verdict::Skipped(replica.why.clone()),
            _ if damaged => Verdict::Damaged,
            _ if hash.is_empty() => {
                Verdict::Skipped("it was never at the same revision as the others while they were asked".to_owned())
            }
            _ if alone => Verdict::Skipped("there was no other to compare it with".to_owned()),
            (_, Some(most)) if *most == hash => Verdict::Same,
            (_, Some(_)) => Verdict::Differs,
            (_, None) => Verdict::Disputed,
        };
        NodeCompared {
            node: replica.node,
            node_name: replica.node_name.clone(),
            verdict,
            hash: hash.to_owned(),
        }
    });
    Compared {
        revision,
        nodes: nodes.collect(),
    }
}

/// The hash of more nodes than any other; none where two have as many.
fn most_frequent(hashes: &BTreeMap<u64, &str>) -> Option<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for hash in hashes.values() {
        *counts.entry(hash).or_default() += 1;
    }
    let most = counts.values().max().copied()?;
    let mut winners = counts.iter().filter(|(_, count)| **count == most);
    let winner = winners.next().map(|(hash, _)| (*hash).to_owned());
    winner.filter(|_| winners.next().is_none())
}

pub(super) async fn replicas(client: &Client, output: Output) -> Outcome {
    let mut compared = None;
    for _ in 0..TRIES {
        let reply = client.operations.clone().replicas(pb::ReplicasRequest {}).await;
        let now = compare(&reply.map_err(Failure::of_read)?.into_inner().replicas);
        let whole = now.is_whole();
        compared = Some(now);
        if whole {
            break;
        }
    }
    let compared = compared.ok_or_else(|| Failure::failed("nothing was compared"))?;
    print(output, &compared)?;
    compared.outcome()
}

impl Compared {
    /// Whether nobody was left out only because the others had moved on.
    fn is_whole(&self) -> bool {
        let skipped: BTreeSet<&str> = self
            .nodes
            .iter()
            .filter_map(|node| match &node.verdict {
                Verdict::Skipped(why) => Some(why.as_str()),
                _ => None,
            })
            .collect();
        !skipped.iter().any(|why| why.starts_with("it was never"))
    }

    /// The nodes that hold something else.
    pub(crate) fn wrong(&self) -> Vec<&NodeCompared> {
        let wrong =
            |node: &&NodeCompared| matches!(node.verdict, Verdict::Differs | Verdict::Damaged | Verdict::Disputed);
        self.nodes.iter().filter(wrong).collect()
    }

    fn outcome(&self) -> Outcome {
        let names = |nodes: &[&NodeCompared]| {
            let names: Vec<&str> = nodes.iter().map(|node| node.node_name.as_str()).collect();
            names.join(", ")
        };
        let wrong = self.wrong();
        if !wrong.is_empty() {
            let text = format!(
                "not what the others hold, or damaged: {}; take such a node out and in again: `fed-node leave NODE` elsewhere while it is stopped, empty its folder, `fed-node join`",
                names(&wrong)
            );
            return Err(Failure::new(Exit::Broken, text));
        }
        let skipped = |node: &&NodeCompared| matches!(node.verdict, Verdict::Skipped(_));
        let skipped: Vec<&NodeCompared> = self.nodes.iter().filter(skipped).collect();
        if !skipped.is_empty() {
            return Err(Failure::new(
                Exit::Incomplete,
                format!("not compared: {}", names(&skipped)),
            ));
        }
        Ok(())
    }
}

impl Show for Compared {
    const STATES: bool = true;

    fn text(&self) -> String {
        let at = match self.revision {
            Some(revision) => format!("compared at revision {revision}"),
            None => "no revision at which any two could be compared".to_owned(),
        };
        let rows = self.nodes.iter().map(|node| {
            let verdict = match &node.verdict {
                Verdict::Same => "same".to_owned(),
                Verdict::Differs => "DIFFERS from most".to_owned(),
                Verdict::Disputed => "DIFFERS, and no version has a majority".to_owned(),
                Verdict::Damaged => "DAMAGED: its rows do not add up to its own hash".to_owned(),
                Verdict::Skipped(why) => format!("not compared: {why}"),
            };
            [
                node.node.to_string(),
                node.node_name.clone(),
                node.hash.clone(),
                verdict,
            ]
        });
        format!("{at}\n{}", table(["ID", "NODE", "HASH", "VERDICT"], rows))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica(node: u64, kept: &[(u64, &str)]) -> pb::Replica {
        let at = |(revision, hash): &(u64, &str)| pb::HashAt {
            revision: *revision,
            index: *revision + 10,
            hash: (*hash).to_owned(),
        };
        pb::Replica {
            node,
            node_name: format!("n{node}"),
            kept: kept.iter().map(at).collect(),
            rows: kept.first().map(at),
            kept_with_rows: kept.first().map(|(_, hash)| (*hash).to_owned()).unwrap_or_default(),
            ..pb::Replica::default()
        }
    }

    fn verdicts(replicas: &[pb::Replica]) -> Vec<Verdict> {
        compare(replicas).nodes.into_iter().map(|node| node.verdict).collect()
    }

    #[test]
    fn equal_hashes_at_one_revision_are_the_same() {
        let all = [
            replica(1, &[(7, "a")]),
            replica(2, &[(6, "x"), (7, "a")]),
            replica(3, &[(7, "a"), (8, "y")]),
        ];
        let compared = compare(&all);
        assert_eq!(compared.revision, Some(7), "the one that all went through");
        assert!(compared.outcome().is_ok(), "{compared:?}");
    }

    #[test]
    fn the_node_that_differs_is_named() {
        let all = [
            replica(1, &[(7, "a")]),
            replica(2, &[(7, "b")]),
            replica(3, &[(7, "a")]),
        ];
        assert_eq!(verdicts(&all), [Verdict::Same, Verdict::Differs, Verdict::Same]);
        let failure = compare(&all).outcome().unwrap_err();
        assert_eq!(failure.exit.code(), 10);
        assert!(failure.message.contains("damaged: n2;"), "{failure}");
    }

    #[test]
    fn two_that_differ_are_both_suspected() {
        let all = [replica(1, &[(7, "a")]), replica(2, &[(7, "b")])];
        assert_eq!(verdicts(&all), [Verdict::Disputed, Verdict::Disputed]);
    }

    #[test]
    fn rows_that_do_not_add_up_are_damage() {
        let mut all = [replica(1, &[(7, "a")]), replica(2, &[(7, "a")])];
        all[1].rows.as_mut().unwrap().hash = "c".to_owned();
        assert_eq!(verdicts(&all), [Verdict::Same, Verdict::Damaged]);
    }

    #[test]
    fn a_change_that_made_no_revision_is_no_difference() {
        let mut all = [
            replica(1, &[(7, "a")]),
            replica(2, &[(7, "a")]),
            replica(3, &[(7, "b")]),
        ];
        // The third has applied one entry more, which was refused.
        all[2].kept[0].index += 1;
        let compared = compare(&all);
        assert!(compared.wrong().is_empty() && !compared.is_whole(), "{compared:?}");
    }

    #[test]
    fn one_alone_is_not_the_same_as_anything() {
        let mut all = [replica(1, &[(7, "a")]), replica(2, &[]), replica(3, &[])];
        for gone in &mut all[1..] {
            gone.why = "it cannot be reached".to_owned();
        }
        let failure = compare(&all).outcome().unwrap_err();
        assert_eq!(failure.exit.code(), 8);
        assert!(failure.message.contains("n1, n2, n3"), "{failure}");
        assert_eq!(
            verdicts(&[replica(1, &[(7, "a")])]),
            [Verdict::Same],
            "it is the federation"
        );
    }

    #[test]
    fn who_does_not_answer_is_a_gap_and_not_agreement() {
        let mut all = [replica(1, &[(7, "a")]), replica(2, &[(7, "a")]), replica(3, &[])];
        all[2].why = "it cannot be reached".to_owned();
        let compared = compare(&all);
        assert_eq!(compared.outcome().unwrap_err().exit.code(), 8);
        let busy = compare(&[replica(1, &[(7, "a")]), replica(2, &[(9, "b")])]);
        assert!(!busy.is_whole(), "looked at again");
    }
}
