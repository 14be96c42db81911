//! `check perf`: disks and commits against the times after which nodes elect another leader.

use std::time::Duration;

use fed_proto::client as pb;
use serde::Serialize;

use crate::cli::args::{Output, PerfArgs};
use crate::cli::client::Client;
use crate::cli::exit::{Exit, Failure, Outcome};
use crate::cli::output::{Show, print, table};

#[derive(Serialize)]
struct PerfView {
    nodes: Vec<NodePerf>,
}

#[derive(Serialize)]
struct NodePerf {
    node: u64,
    node_name: String,
    fsync: Option<LatencyView>,
    commit: Option<LatencyView>,
    election_min_ms: u32,
    passed: bool,
    verdict: PerfVerdict,
}

#[derive(Serialize)]
struct LatencyView {
    samples: u32,
    p50_us: u64,
    p99_us: u64,
    max_us: u64,
}

/// What the times of a node mean.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum PerfVerdict {
    /// Far below what elections need.
    Pass,
    /// The reasons, in words.
    Fail(Vec<String>),
    /// It was not measured.
    Skipped(String),
}

/// Holds a node's times against its election timeout. A disk that needs a fifth of it leaves no room for the network and a busy
/// processor; a commit that needs half of it is near an election.
pub(crate) fn judge(reply: &pb::PerfReply) -> PerfVerdict {
    let election = u64::from(reply.election_min_ms) * 1000;
    let mut reasons = Vec::new();
    let hold = |what: &str, took: u64, limit: u64, part: &str| {
        (took > limit).then(|| {
            format!(
                "{what} {}, more than {} ({part} of the election timeout of {} ms)",
                shown(took),
                shown(limit),
                reply.election_min_ms
            )
        })
    };
    match &reply.fsync {
        Some(fsync) => {
            reasons.extend(hold("a synced write takes", fsync.p99_us, election / 5, "a fifth"));
            reasons.extend(hold("a synced write took up to", fsync.max_us, election, "all"));
        }
        None => reasons.push("the disk could not be measured".to_owned()),
    }
    match &reply.commit {
        Some(commit) => reasons.extend(hold("a commit takes", commit.p99_us, election / 2, "half")),
        None => reasons.push("nothing could be committed: there is no quorum".to_owned()),
    }
    if reasons.is_empty() {
        PerfVerdict::Pass
    } else {
        PerfVerdict::Fail(reasons)
    }
}

fn shown(micros: u64) -> String {
    let time = Duration::from_micros(micros);
    if micros < 10_000 {
        format!("{:.1} ms", time.as_secs_f64() * 1000.0)
    } else {
        format!("{} ms", time.as_millis())
    }
}

pub(super) async fn perf(client: &Client, args: &PerfArgs, output: Output) -> Outcome {
    let mut nodes = Vec::new();
    let mut asked: Vec<(u64, String)> = vec![(0, String::new())];
    if !args.here {
        let status = client.api.clone().status(pb::StatusRequest {}).await;
        let status = status.map_err(Failure::of_read)?.into_inner();
        asked = status.members.into_iter().map(|m| (m.id, m.name)).collect();
    }
    // One after another: they share a network, and perhaps a disk.
    for (node, name) in asked {
        let reply = client.operations.clone().perf(pb::PerfRequest { node }).await;
        nodes.push(match reply {
            Ok(reply) => NodePerf::of(reply.into_inner()),
            Err(status) => NodePerf::skipped(node, name, Failure::of_read(status).message),
        });
    }
    let view = PerfView { nodes };
    print(output, &view)?;
    view.outcome()
}

impl NodePerf {
    fn of(reply: pb::PerfReply) -> Self {
        let verdict = judge(&reply);
        let latency = |latency: pb::Latency| LatencyView {
            samples: latency.samples,
            p50_us: latency.p50_us,
            p99_us: latency.p99_us,
            max_us: latency.max_us,
        };
        Self {
            node: reply.node,
            node_name: reply.node_name,
            fsync: reply.fsync.map(latency),
            commit: reply.commit.map(latency),
            election_min_ms: reply.election_min_ms,
            passed: verdict == PerfVerdict::Pass,
            verdict,
        }
    }

    fn skipped(node: u64, node_name: String, why: String) -> Self {
        Self {
            node,
            node_name,
            fsync: None,
            commit: None,
            election_min_ms: 0,
            passed: false,
            verdict: PerfVerdict::Skipped(why),
        }
    }
}

impl PerfView {
    fn outcome(&self) -> Outcome {
        let of = |wanted: fn(&PerfVerdict) -> bool| -> Vec<&str> {
            let nodes = self.nodes.iter().filter(|node| wanted(&node.verdict));
            nodes.map(|node| node.node_name.as_str()).collect()
        };
        let failed = of(|verdict| matches!(verdict, PerfVerdict::Fail(_)));
        let skipped = of(|verdict| matches!(verdict, PerfVerdict::Skipped(_)));
        let mut texts = Vec::new();
        if !failed.is_empty() {
            texts.push(format!("did not pass: {}", failed.join(", ")));
        }
        if !skipped.is_empty() {
            texts.push(format!("not measured: {}", skipped.join(", ")));
        }
        let exit = match (failed.is_empty(), skipped.is_empty()) {
            (true, true) => return Ok(()),
            (true, false) => Exit::Incomplete,
            (false, _) => Exit::Broken,
        };
        Err(Failure::new(exit, texts.join("; ")))
    }
}

impl Show for PerfView {
    const STATES: bool = true;

    fn text(&self) -> String {
        let times = |latency: &Option<LatencyView>| {
            latency.as_ref().map_or_else(
                || "-".to_owned(),
                |l| format!("{} / {} / {}", shown(l.p50_us), shown(l.p99_us), shown(l.max_us)),
            )
        };
        let rows = self.nodes.iter().map(|node| {
            let verdict = match &node.verdict {
                PerfVerdict::Pass => "pass".to_owned(),
                PerfVerdict::Fail(reasons) => format!("FAIL: {}", reasons.join("; ")),
                PerfVerdict::Skipped(why) => format!("not measured: {why}"),
            };
            [
                node.node_name.clone(),
                times(&node.fsync),
                times(&node.commit),
                match node.election_min_ms {
                    0 => "-".to_owned(),
                    ms => format!("{ms} ms"),
                },
                verdict,
            ]
        });
        table(
            ["NODE", "FSYNC P50/P99/MAX", "COMMIT P50/P99/MAX", "ELECTION", "VERDICT"],
            rows,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(fsync_us: u64, commit_us: Option<u64>) -> pb::PerfReply {
        let latency = |us| pb::Latency {
            samples: 60,
            p50_us: us,
            p99_us: us,
            max_us: us,
        };
        pb::PerfReply {
            fsync: Some(latency(fsync_us)),
            commit: commit_us.map(latency),
            heartbeat_ms: 150,
            election_min_ms: 750,
            ..pb::PerfReply::default()
        }
    }

    #[test]
    fn times_are_held_against_the_election_timeout() {
        assert_eq!(judge(&reply(2_000, Some(5_000))), PerfVerdict::Pass);
        assert_eq!(judge(&reply(150_000, Some(375_000))), PerfVerdict::Pass, "at the limit");
        for (reply, word) in [
            (
                reply(150_001, Some(5_000)),
                "a synced write takes 150 ms, more than 150 ms (a fifth",
            ),
            (reply(2_000, Some(375_001)), "a commit takes 375 ms"),
            (reply(2_000, None), "no quorum"),
        ] {
            let PerfVerdict::Fail(reasons) = judge(&reply) else {
                panic!("{word}")
            };
            assert!(reasons.iter().any(|reason| reason.contains(word)), "{reasons:?}");
        }
    }

    #[test]
    fn verdicts_are_told_to_scripts_in_small_letters() {
        let slow = judge(&reply(2_000, None));
        for (verdict, expected) in [
            (PerfVerdict::Pass, "\"pass\""),
            (slow, "{\"fail\":[\"nothing could be committed: there is no quorum\"]}"),
            (PerfVerdict::Skipped("why".to_owned()), "{\"skipped\":\"why\"}"),
        ] {
            assert_eq!(serde_json::to_string(&verdict).unwrap(), expected);
        }
    }

    #[test]
    fn a_slow_node_is_worse_than_one_that_was_not_measured() {
        let view = |nodes| PerfView { nodes };
        let code = |view: PerfView| view.outcome().map_or_else(|failure| failure.exit.code(), |()| 0);
        let slow = || NodePerf::of(reply(900_000, Some(1_000)));
        let gone = || NodePerf::skipped(3, "n3".to_owned(), "it cannot be reached".to_owned());
        let fine = || NodePerf::of(reply(1_000, Some(1_000)));
        assert_eq!(code(view(vec![fine()])), 0);
        assert_eq!(code(view(vec![fine(), gone()])), 8);
        assert_eq!(code(view(vec![slow(), gone()])), 10);
    }
}
