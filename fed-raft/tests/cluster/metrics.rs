//! What a node measures, against what is documented.

use std::collections::BTreeSet;

use fed_core::ids::Revision;

use crate::lab::{Lab, until};

/// Names on a page, as a query would use them.
fn served(page: &str) -> BTreeSet<String> {
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    types
        .map(|line| match line.split_once(' ').expect("a name and a kind") {
            (name, "counter") => format!("{name}_total"),
            (name, _) => name.to_owned(),
        })
        .collect()
}

/// Names in the design's section.
fn documented() -> BTreeSet<String> {
    let design = include_str!("../../DESIGN.md");
    let (_, section) = design.split_once("\n## Metrics\n").expect("the section is there");
    let quoted = section.split('`').skip(1).step_by(2);
    let names = quoted.filter_map(|text| text.split('{').next());
    names
        .filter(|name| name.starts_with("fed_raft_"))
        .map(str::to_owned)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_documented_metric_is_served_and_every_served_one_documented() {
    let lab = Lab::of(2).await;
    lab.put(0, "a", "1").await;
    let leader = lab.node(lab.leader().await).clone();
    until("the leader knows its peer", async || {
        leader.metrics().contains("fed_raft_peer_silent_seconds{")
    })
    .await;
    assert_eq!(served(&leader.metrics()), documented());
}

fn value(page: &str, sample: &str) -> Option<f64> {
    let found = page
        .lines()
        .find_map(|line| line.strip_prefix(sample)?.strip_prefix(' '));
    found.map(|number| number.parse().expect("a number"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_counted() {
    let lab = Lab::of(1).await;
    let node = lab.node(0).clone();
    let watch = node.watch(Revision(0));
    for n in 0..10 {
        lab.put(0, "a", &n.to_string()).await;
    }
    lab.get(0, "a").await;
    until("the disk was probed", async || {
        value(&node.metrics(), "fed_raft_disk_probe_seconds_count") >= Some(1.0)
    })
    .await;
    let page = node.metrics();
    let expected = [
        ("fed_raft_is_leader", 1.0),
        ("fed_raft_quorum", 1.0),
        ("fed_raft_voters", 1.0),
        ("fed_raft_revision", 10.0),
        ("fed_raft_leader_changes_total", 1.0),
        ("fed_raft_watchers", 1.0),
        ("fed_raft_watch_lag_revisions", 10.0),
        ("fed_raft_propose_seconds_count{result=\"applied\"}", 10.0),
        ("fed_raft_commit_seconds_count", 10.0),
        ("fed_raft_batch_requests_sum", 10.0),
        ("fed_raft_read_seconds_count{consistency=\"linearizable\"}", 1.0),
    ];
    for (sample, number) in expected {
        assert_eq!(value(&page, sample), Some(number), "{sample} in\n{page}");
    }
    assert!(value(&page, "fed_raft_fsync_seconds_count") >= Some(10.0), "{page}");
    assert!(value(&page, "fed_raft_apply_seconds_count") >= Some(1.0), "{page}");
    drop(watch);
    assert_eq!(value(&node.metrics(), "fed_raft_watchers"), Some(0.0));
}
