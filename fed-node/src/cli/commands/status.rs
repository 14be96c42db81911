//! `status`: in words first, then a table.

#[cfg(test)]
pub(crate) mod fixture;
mod words;

use std::collections::BTreeSet;
use std::time::{Duration, SystemTime};

use fed_core::ids::NodeId;
use fed_proto::client as pb;
use serde::Serialize;

use crate::cli::args::Output;
use crate::cli::client::Client;
use crate::cli::clock;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{Show, print, table};

#[derive(Debug, Clone, Serialize)]
pub(super) struct StatusView {
    node: u64,
    node_name: String,
    cluster: String,
    role: String,
    leader: Option<u64>,
    /// As the leader itself says, or else as the node asked saw it; none when nobody leads.
    leader_since: Option<SinceView>,
    quorum: bool,
    /// With a quorum, or without.
    quorum_since: Option<SinceView>,
    term: u64,
    last_log: u64,
    applied: u64,
    revision: u64,
    state_hash: String,
    asterisk: AsteriskView,
    users: u64,
    devices: u64,
    bindings: u64,
    members: Vec<MemberView>,
    /// Two groups while a change of voters is under way.
    voter_groups: Vec<BTreeSet<NodeId>>,
    version: String,
    uptime_s: u64,
}

#[derive(Debug, Clone, Serialize)]
struct AsteriskView {
    connected: bool,
    version: String,
    trouble: String,
    session: Option<u64>,
    since: Option<SinceView>,
}

/// How long something has been so.
#[derive(Debug, Clone, Default, Serialize)]
struct SinceView {
    seconds: u64,
    /// It was so when the observer first looked: it may be longer.
    at_least: bool,
    since_unix_s: u64,
}

#[derive(Debug, Clone, Serialize)]
struct MemberView {
    id: u64,
    name: String,
    role: String,
    /// With a quorum: has an open session. Without one: answered.
    up: bool,
    /// Answered the node asked just now.
    heard: bool,
    state: String,
    state_since: SinceView,
    asterisk: Option<AsteriskView>,
    address: String,
    /// Log entries behind the leader; none: there is no leader to say, or it has not heard from this member.
    lag: Option<i64>,
    asterisk_version: String,
}

pub(super) async fn status(client: &Client, output: Output) -> Outcome {
    let reply = client.api.clone().status(pb::StatusRequest {}).await;
    let reply = reply.map_err(Failure::of_read)?.into_inner();
    print(output, &StatusView::from(reply))
}

impl From<pb::StatusReply> for StatusView {
    fn from(reply: pb::StatusReply) -> Self {
        let voter_groups = crate::membership::voters(&reply);
        let counts = reply.counts.unwrap_or_default();
        let member = |member: pb::Member| MemberView {
            id: member.id,
            name: member.name,
            role: if member.id == reply.leader {
                "leader".to_owned()
            } else {
                member.role
            },
            up: member.up,
            heard: member.heard,
            state: member.state,
            state_since: member.since.map(SinceView::from).unwrap_or_default(),
            asterisk: member.asterisk.map(Into::into),
            address: member.address,
            lag: Some(member.lag).filter(|lag| *lag >= 0),
            asterisk_version: member.asterisk_version,
        };
        Self {
            node: reply.node,
            node_name: reply.node_name,
            cluster: reply.cluster,
            role: reply.role,
            leader: Some(reply.leader).filter(|leader| *leader != 0),
            leader_since: reply.leader_since.map(Into::into),
            quorum: reply.quorum,
            quorum_since: reply.quorum_since.map(Into::into),
            term: reply.term,
            last_log: reply.last_log,
            applied: reply.applied,
            revision: reply.revision,
            state_hash: reply.state_hash,
            asterisk: reply.asterisk.unwrap_or_default().into(),
            users: counts.users,
            devices: counts.devices,
            bindings: counts.bindings,
            members: reply.members.into_iter().map(member).collect(),
            voter_groups,
            version: reply.version,
            uptime_s: reply.uptime_s,
        }
    }
}

impl From<pb::AsteriskStatus> for AsteriskView {
    fn from(asterisk: pb::AsteriskStatus) -> Self {
        Self {
            connected: asterisk.connected,
            version: asterisk.version,
            trouble: asterisk.trouble,
            session: Some(asterisk.session).filter(|session| *session != 0),
            since: asterisk.since.map(Into::into),
        }
    }
}

impl From<pb::Since> for SinceView {
    fn from(since: pb::Since) -> Self {
        let time = Duration::from_millis(since.ago_ms);
        Self {
            seconds: time.as_secs(),
            at_least: since.at_least,
            since_unix_s: clock::unix_seconds(clock::ago(time)),
        }
    }
}

impl SinceView {
    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds)
    }
}

impl MemberView {
    fn votes(&self) -> bool {
        self.role != "learner"
    }

    fn called(&self) -> String {
        if self.name.is_empty() {
            format!("node {}", self.id)
        } else {
            self.name.clone()
        }
    }
}

impl StatusView {
    /// How much there is.
    pub(super) fn counted(&self) -> String {
        format!(
            "{} users, {} devices, {} registrations; revision {}, term {}",
            self.users, self.devices, self.bindings, self.revision, self.term
        )
    }

    /// The map's revision at the node asked.
    pub(super) fn revision(&self) -> u64 {
        self.revision
    }

    fn name_of(&self, id: u64) -> String {
        let member = self.members.iter().find(|member| member.id == id);
        member.map_or_else(|| format!("node {id}"), MemberView::called)
    }
}

impl Show for StatusView {
    const STATES: bool = true;

    fn text(&self) -> String {
        let now = SystemTime::now();
        let nodes = table(
            ["ID", "NODE", "ROLE", "STATE", "", "ASTERISK", "ADDRESS", "BEHIND"],
            self.members.iter().map(|member| {
                let name = if member.name.is_empty() {
                    "(no record)"
                } else {
                    &member.name
                };
                let name = if member.id == self.node {
                    format!("{name} (this)")
                } else {
                    name.to_owned()
                };
                [
                    member.id.to_string(),
                    name,
                    member.role.clone(),
                    member.state.replace('_', " "),
                    member.state_since.began(now),
                    member.asterisk_version.clone(),
                    member.address.clone(),
                    member.lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string()),
                ]
            }),
        );
        format!(
            "{}\n{nodes}\n{}, cluster {}",
            self.words(),
            self.counted(),
            self.cluster
        )
    }
}
