//! Do all nodes hold the same state? Two nodes that have applied the same log up to the same revision must have the same hash.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::verdict::Verdict;

/// The hash of one node's state at one revision.
#[derive(Clone, Debug)]
pub struct HashSample {
    /// The node.
    pub node: i64,
    /// The revision of the state that was hashed.
    pub revision: u64,
    /// The hash, as text.
    pub hash: String,
}

/// What the check found.
#[derive(Clone, Debug, Serialize)]
pub struct ReplicaReport {
    /// Unknown if no revision was seen at two nodes.
    pub verdict: Verdict,
    /// Revisions that were seen at two nodes or more.
    pub compared: usize,
    /// One sentence for each revision at which hashes differ, the lowest first.
    pub faults: Vec<String>,
}

/// Compares all samples of the same revision, those of one node before and after a restart included.
pub fn check(samples: &[HashSample]) -> ReplicaReport {
    let mut revisions: BTreeMap<u64, BTreeMap<&str, BTreeSet<i64>>> = BTreeMap::new();
    for sample in samples {
        let hashes = revisions.entry(sample.revision).or_default();
        hashes.entry(&sample.hash).or_default().insert(sample.node);
    }
    let nodes = |hashes: &BTreeMap<&str, BTreeSet<i64>>| hashes.values().flatten().collect::<BTreeSet<_>>().len();
    let compared = revisions.values().filter(|hashes| nodes(hashes) > 1).count();
    let faults: Vec<String> = revisions
        .iter()
        .filter(|(_, hashes)| hashes.len() > 1)
        .map(|(revision, hashes)| {
            let camps: Vec<String> = hashes
                .iter()
                .map(|(hash, nodes)| format!("{} {hash}", camp(nodes)))
                .collect();
            format!("at revision {revision} the states differ: {}", camps.join(", "))
        })
        .collect();
    let verdict = match (faults.is_empty(), compared) {
        (false, _) => Verdict::False,
        (true, 0) => Verdict::Unknown,
        (true, _) => Verdict::True,
    };
    ReplicaReport {
        verdict,
        compared,
        faults,
    }
}

fn camp(nodes: &BTreeSet<i64>) -> String {
    let names: Vec<String> = nodes.iter().map(i64::to_string).collect();
    match names.as_slice() {
        [one] => format!("node {one} has"),
        more => format!("nodes {} have", more.join(" and ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(node: i64, revision: u64, hash: &str) -> HashSample {
        HashSample {
            node,
            revision,
            hash: hash.into(),
        }
    }

    #[test]
    fn equal_revisions_must_have_equal_hashes_and_others_need_not() {
        let good = [
            sample(1, 7, "aa"),
            sample(2, 7, "aa"),
            sample(3, 8, "bb"),
            sample(1, 8, "bb"),
        ];
        let report = check(&good);
        assert_eq!((report.verdict, report.compared), (Verdict::True, 2));
        let bad = [
            sample(1, 7, "aa"),
            sample(2, 7, "ff"),
            sample(3, 7, "aa"),
            sample(1, 8, "bb"),
        ];
        let report = check(&bad);
        assert_eq!(report.verdict, Verdict::False);
        assert_eq!(
            report.faults,
            ["at revision 7 the states differ: nodes 1 and 3 have aa, node 2 has ff"]
        );
    }

    #[test]
    fn a_node_whose_state_changed_without_a_revision_is_found() {
        assert_eq!(check(&[sample(1, 7, "aa"), sample(1, 7, "ff")]).verdict, Verdict::False);
    }

    #[test]
    fn states_that_were_never_compared_prove_nothing() {
        assert_eq!(check(&[]).verdict, Verdict::Unknown);
        assert_eq!(
            check(&[sample(1, 7, "aa"), sample(2, 8, "bb"), sample(1, 7, "aa")]).verdict,
            Verdict::Unknown
        );
    }
}
