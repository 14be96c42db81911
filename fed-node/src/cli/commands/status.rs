//! `status`: in words first, then a table.

use std::fmt::Write;

use fed_proto::client as pb;
use serde::Serialize;

use crate::cli::args::Output;
use crate::cli::client::Client;
use crate::cli::exit::{Failure, Outcome};
use crate::cli::output::{Show, print, table};

#[derive(Serialize)]
struct StatusView {
    node: u64,
    node_name: String,
    cluster: String,
    role: String,
    leader: Option<u64>,
    quorum: bool,
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
    version: String,
    uptime_s: u64,
}

#[derive(Serialize)]
struct AsteriskView {
    connected: bool,
    version: String,
    trouble: String,
    session: Option<u64>,
}

#[derive(Serialize)]
struct MemberView {
    id: u64,
    name: String,
    role: String,
    up: bool,
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
        let asterisk = reply.asterisk.unwrap_or_default();
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
            quorum: reply.quorum,
            term: reply.term,
            last_log: reply.last_log,
            applied: reply.applied,
            revision: reply.revision,
            state_hash: reply.state_hash,
            asterisk: AsteriskView {
                connected: asterisk.connected,
                version: asterisk.version,
                trouble: asterisk.trouble,
                session: Some(asterisk.session).filter(|session| *session != 0),
            },
            users: counts.users,
            devices: counts.devices,
            bindings: counts.bindings,
            members: reply.members.into_iter().map(member).collect(),
            version: reply.version,
            uptime_s: reply.uptime_s,
        }
    }
}

impl MemberView {
    fn votes(&self) -> bool {
        self.role != "learner"
    }
}

impl StatusView {
    fn name_of(&self, id: u64) -> String {
        let member = self
            .members
            .iter()
            .find(|member| member.id == id)
            .filter(|member| !member.name.is_empty());
        member.map_or_else(|| format!("node {id}"), |member| member.name.clone())
    }

    /// What an administrator wants to know first.
    fn words(&self) -> String {
        let up = self.members.iter().filter(|member| member.up).count();
        let voters = self.members.iter().filter(|member| member.votes()).count();
        let mut text = format!("{up} of {} nodes up", self.members.len());
        match (self.quorum, self.leader) {
            (true, Some(leader)) => {
                let spare = (voters - 1) / 2;
                let down = self.members.iter().filter(|member| member.votes() && !member.up).count();
                let spare = spare.saturating_sub(down);
                let _ = write!(text, ", leader {}, {spare} more can be lost", self.name_of(leader));
            }
            _ => text.push_str(
                ", NO QUORUM here: calls and local reads go on from what this node knows, changes are refused until a majority is back",
            ),
        }
        if !self.asterisk.trouble.is_empty() {
            let _ = write!(text, "\nAsterisk of {}: {}", self.node_name, self.asterisk.trouble);
        }
        text
    }
}

impl Show for StatusView {
    fn text(&self) -> String {
        let nodes = table(
            ["ID", "NODE", "ROLE", "STATE", "ASTERISK", "ADDRESS", "BEHIND"],
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
                    if member.up { "up" } else { "down" }.to_owned(),
                    member.asterisk_version.clone(),
                    member.address.clone(),
                    member.lag.map_or_else(|| "unknown".to_owned(), |lag| lag.to_string()),
                ]
            }),
        );
        format!(
            "{}\n{nodes}\n{} users, {} devices, {} registrations; revision {}, term {}, cluster {}",
            self.words(),
            self.users,
            self.devices,
            self.bindings,
            self.revision,
            self.term,
            self.cluster
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(id: u64, up: bool) -> pb::Member {
        pb::Member {
            id,
            name: format!("n{id}"),
            role: "voter".to_owned(),
            up,
            lag: -1,
            ..pb::Member::default()
        }
    }

    #[test]
    fn what_may_still_be_lost_counts_what_is_lost_already() {
        let mut reply = pb::StatusReply {
            quorum: true,
            leader: 2,
            members: vec![member(1, true), member(2, true), member(3, true)],
            ..pb::StatusReply::default()
        };
        assert_eq!(
            StatusView::from(reply.clone()).words(),
            "3 of 3 nodes up, leader n2, 1 more can be lost"
        );
        reply.members[0].up = false;
        assert_eq!(
            StatusView::from(reply.clone()).words(),
            "2 of 3 nodes up, leader n2, 0 more can be lost"
        );
        reply.quorum = false;
        assert!(StatusView::from(reply).words().contains("NO QUORUM"));
    }
}
