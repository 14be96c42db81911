//! How quick this node's disk is, and how long the cluster takes to commit: the times that elections are set against.

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use fed_core::command::Command;
use fed_core::ids::SessionId;
use fed_proto::client as pb;
use pb::member_question::What;
use tonic::Status;

use super::drift::ask_member;
use super::node::NodeView;

const SAMPLES: usize = 60;
/// One measurement ends after this time with the samples it has.
const AT_MOST: Duration = Duration::from_secs(10);
/// Longest wait for another node's two measurements.
const WITHIN: Duration = Duration::from_secs(30);
/// What is written and synced each time.
const BLOCK: [u8; 4096] = [0x5a; 4096];
/// A session that never was: ending it is committed, changes nothing, and is what every node may ask the leader for.
const NO_SESSION: SessionId = SessionId(0);

/// Measures this node, or another one.
pub(super) async fn at(node: &NodeView, id: u64) -> Result<pb::PerfReply, Status> {
    if id == 0 || id == node.cluster.id().0 {
        return here(node).await.map_err(Status::failed_precondition);
    }
    ask_member(node, id, What::Perf(pb::PerfRequest { node: id }), WITHIN).await
}

/// Measures this node.
pub(super) async fn here(node: &NodeView) -> Result<pb::PerfReply, String> {
    let folder = node.data_dir.clone();
    let fsync = tokio::task::spawn_blocking(move || fsync(&folder)).await;
    let fsync = fsync.map_err(|error| error.to_string())?;
    let fsync = fsync.map_err(|error| format!("{}: {error}", node.data_dir.display()))?;
    let millis = |ms: u64| u32::try_from(ms).unwrap_or(u32::MAX);
    Ok(pb::PerfReply {
        node: node.cluster.id().0,
        node_name: node.name.clone(),
        fsync: latency(fsync),
        commit: latency(commit(node).await),
        heartbeat_ms: millis(node.raft.heartbeat_ms),
        election_min_ms: millis(node.raft.election_min_ms),
    })
}

/// Times of a small write with its sync, in the folder's file system.
///
/// # Errors
/// When the folder cannot be written to.
pub(crate) fn fsync(folder: &Path) -> std::io::Result<Vec<Duration>> {
    let path = folder.join("perf-probe");
    let measured = measure_file(&path);
    let removed = std::fs::remove_file(&path);
    let measured = measured?;
    removed?;
    Ok(measured)
}

fn measure_file(path: &Path) -> std::io::Result<Vec<Duration>> {
    let mut file = File::create(path)?;
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < SAMPLES && begun.elapsed() < AT_MOST {
        let one = Instant::now();
        file.write_all(&BLOCK)?;
        file.sync_data()?;
        times.push(one.elapsed());
    }
    Ok(times)
}

/// Times from proposing to the answer; as many as were acknowledged.
async fn commit(node: &NodeView) -> Vec<Duration> {
    let begun = Instant::now();
    let mut times = Vec::new();
    while times.len() < SAMPLES && begun.elapsed() < AT_MOST && node.cluster.status().quorum {
        let one = Instant::now();
        let nothing = Command::EndSession { session: NO_SESSION };
        match node.cluster.propose(nothing).await {
            Ok(_) => times.push(one.elapsed()),
            Err(error) => {
                tracing::debug!(%error, "a commit could not be measured");
                break;
            }
        }
    }
    times
}

/// The distribution of some times; none of no times.
pub(crate) fn latency(mut times: Vec<Duration>) -> Option<pb::Latency> {
    times.sort_unstable();
    let micros = |time: &Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let at = |percent: usize| times.get((times.len() * percent / 100).min(times.len() - 1));
    Some(pb::Latency {
        samples: u32::try_from(times.len()).unwrap_or(u32::MAX),
        max_us: times.last().map(micros)?,
        p50_us: at(50).map(micros)?,
        p99_us: at(99).map(micros)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_distribution_has_its_middle_and_its_end() {
        let latency = latency((1..=100).rev().map(Duration::from_micros).collect()).unwrap();
        assert_eq!(
            (latency.samples, latency.p50_us, latency.p99_us, latency.max_us),
            (100, 51, 100, 100)
        );
        assert!(super::latency(Vec::new()).is_none());
    }

    #[test]
    fn measuring_leaves_nothing_behind() {
        let folder = tempfile::tempdir().unwrap();
        assert!(!fsync(folder.path()).unwrap().is_empty());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
