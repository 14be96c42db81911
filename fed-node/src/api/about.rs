//! What a node says of itself, and asking every member for it.

use std::time::{Duration, Instant, SystemTime};

use fed_core::ids::NodeId;
use fed_core::kv::StoreError;
use fed_core::map::{FederationMap, MapView};
use fed_proto::client as pb;
use fed_raft::{AskError, Cluster};
use futures::future::join_all;
use pb::member_question::What;
use prost::Message;

use super::node::NodeView;
use crate::diary::{AsteriskSeen, Since};

/// Longest wait for a member's answer when a person waits for all of them.
pub(crate) const ANSWER_WITHIN: Duration = Duration::from_millis(400);

/// A member's answer, with how long it took.
pub(crate) struct Answer {
    pub(crate) id: NodeId,
    pub(crate) about: Result<pb::About, AskError>,
    /// From the question to the answer.
    pub(crate) took: Duration,
    /// This node's wall clock when the answer came, in milliseconds since 1970.
    pub(crate) came_unix_ms: u64,
}

impl Answer {
    /// Whether it spoke to us at all.
    pub(crate) fn heard(&self) -> bool {
        !matches!(&self.about, Err(AskError::Unreachable(_) | AskError::NotAMember(_)))
    }
}

/// Asks every other member at the same time.
pub(crate) async fn ask_others(cluster: &Cluster<FederationMap>, within: Duration) -> Vec<Answer> {
    let here = cluster.id();
    let others = cluster.members().into_iter().filter(|member| member.id != here);
    join_all(others.map(|member| ask(cluster, member.id, within))).await
}

/// Asks one other member.
pub(crate) async fn ask(cluster: &Cluster<FederationMap>, id: NodeId, within: Duration) -> Answer {
    let question = pb::MemberQuestion {
        what: Some(What::About(pb::AboutRequest {})),
    };
    let begun = Instant::now();
    let answer = cluster.ask(id, question.encode_to_vec().into(), within).await;
    let about = answer.and_then(|bytes| {
        pb::About::decode(bytes).map_err(|error| AskError::Failed(format!("its answer cannot be read: {error}")))
    });
    Answer {
        id,
        about,
        took: begun.elapsed(),
        came_unix_ms: unix_ms(),
    }
}

/// What this node says of itself.
pub(super) fn here(node: &NodeView) -> pb::About {
    let status = node.cluster.status();
    let standing = node.diary.now().map(|(_, standing)| standing);
    let leader = status.leader.filter(|_| status.quorum);
    let process = Process::look();
    pb::About {
        node: status.node.0,
        node_name: node.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        uptime_s: node.started.elapsed().as_secs(),
        clock_unix_ms: unix_ms(),
        term: status.term,
        last_log: status.last_index,
        applied: status.applied_index,
        snapshot: status.snapshot_index,
        revision: status.revision.0,
        state_hash: format!("{:032x}", status.state_hash),
        feature_level: status.feature_level,
        queued: status.queued as u64,
        quorum: status.quorum,
        leader: leader.map_or(0, |leader| leader.0),
        leader_since: leader.and(standing.as_ref()).map(|standing| since(standing.leader)),
        asterisk: Some(asterisk(node)),
        open_files: process.open_files,
        open_files_limit: process.open_files_limit,
        resident_bytes: process.resident_bytes,
        leaders_last_hour: u32::try_from(node.diary.leaders_within(Duration::from_secs(3600))).unwrap_or(u32::MAX),
    }
}

/// This node's Asterisk, with since when.
pub(super) fn asterisk(node: &NodeView) -> pb::AsteriskStatus {
    let standing = node.diary.now().map(|(_, standing)| standing);
    pb::AsteriskStatus {
        since: standing.map(|standing| since(standing.asterisk)),
        ..node.asterisk.status()
    }
}

/// The Asterisk of an answer as the diary notes it.
pub(crate) fn asterisk_seen(status: &pb::AsteriskStatus) -> AsteriskSeen {
    AsteriskSeen {
        works: status.connected || status.version == "none",
        trouble: status.trouble.clone(),
    }
}

pub(super) fn since(since: Since) -> pb::Since {
    pb::Since {
        ago_ms: millis(since.ago()),
        at_least: since.at_least,
    }
}

pub(super) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

fn unix_ms() -> u64 {
    millis(
        SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default(),
    )
}

/// What every member says, this one too.
pub(super) async fn nodes(node: &NodeView) -> Result<pb::NodesReply, StoreError> {
    let answers = ask_others(&node.cluster, ANSWER_WITHIN).await;
    let snapshot = node.cluster.local();
    let view = MapView::new(&snapshot);
    let mut nodes = Vec::new();
    for member in node.cluster.members() {
        let answer = answers.iter().find(|answer| answer.id == member.id);
        let own = member.id == node.cluster.id();
        let mut entry = pb::NodeAnswer {
            id: member.id.0,
            name: view
                .node(member.id)?
                .map(|record| record.value.name)
                .unwrap_or_default(),
            address: member.address,
            ..pb::NodeAnswer::default()
        };
        match answer {
            None if own => entry.about = Some(here(node)),
            None => entry.why = "it has become a member just now".to_owned(),
            Some(Answer { about: Err(error), .. }) => entry.why = error.to_string(),
            Some(Answer {
                about: Ok(about),
                took,
                came_unix_ms,
                ..
            }) => {
                entry.clock_within_ms = millis(*took) / 2 + 1;
                entry.clock_ahead_ms = ahead(about.clock_unix_ms, came_unix_ms - millis(*took) / 2);
                entry.about = Some(about.clone());
            }
        }
        nodes.push(entry);
    }
    Ok(pb::NodesReply { nodes })
}

fn ahead(theirs: u64, ours: u64) -> i64 {
    i64::try_from(theirs).unwrap_or(i64::MAX) - i64::try_from(ours).unwrap_or(i64::MAX)
}

/// What the system says of this process; 0 where it does not.
#[derive(Default)]
struct Process {
    open_files: u64,
    open_files_limit: u64,
    resident_bytes: u64,
}

impl Process {
    fn look() -> Self {
        let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self {
            open_files: std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
            open_files_limit: open_files_limit(&limits),
            resident_bytes: resident_bytes(&status),
        }
    }
}

fn open_files_limit(limits: &str) -> u64 {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|rest| rest.split_whitespace().next());
    match soft {
        Some("unlimited") => u64::MAX,
        soft => soft.and_then(|soft| soft.parse().ok()).unwrap_or(0),
    }
}

fn resident_bytes(status: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    kib.unwrap_or(0) * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_words_are_understood() {
        let limits = "Limit                     Soft Limit           Hard Limit           Units     \n\
                      Max open files            1024                 524288               files     \n";
        assert_eq!(open_files_limit(limits), 1024);
        assert_eq!(open_files_limit("Max open files  unlimited unlimited files"), u64::MAX);
        assert_eq!(open_files_limit(""), 0);
        assert_eq!(resident_bytes("VmHWM:\t  9 kB\nVmRSS:\t    2048 kB\n"), 2 << 20);
    }

    #[test]
    fn a_clock_that_is_behind_is_negative() {
        assert_eq!((ahead(1_000, 1_500), ahead(1_500, 1_000)), (-500, 500));
    }
}
