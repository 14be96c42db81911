//! What an administrator wants to know first, in a sentence. Pure.

use std::time::SystemTime;

use fed_core::ids::NodeId;

use super::{MemberView, SinceView, StatusView};
use crate::cli::clock;

impl StatusView {
    /// How the federation is, in words.
    pub(in crate::cli::commands) fn words(&self) -> String {
        let now = SystemTime::now();
        let mut lines = vec![match (self.quorum, self.leader) {
            (true, Some(leader)) => self.with_quorum(leader, now),
            (true, None) => format!("{}, nobody leads yet: an election is under way", self.nodes_up()),
            (false, _) => self.without_quorum(now),
        }];
        for member in &self.members {
            if let Some(asterisk) = &member.asterisk
                && !asterisk.trouble.is_empty()
            {
                lines.push(format!("Asterisk {}: {}", member.called(), asterisk.trouble));
            }
        }
        lines.join("\n")
    }

    fn nodes_up(&self) -> String {
        // A node whose Asterisk is down is up: it votes, and what is wrong with it is said.
        let up = |member: &&MemberView| member.up || member.state == "asterisk_down";
        let up = self.members.iter().filter(up).count();
        format!("{up} of {} nodes up", self.members.len())
    }

    fn with_quorum(&self, leader: u64, now: SystemTime) -> String {
        let held = self
            .leader_since
            .as_ref()
            .map(|since| format!(" {}", since.lasting()))
            .unwrap_or_default();
        let mut text = format!(
            "{}, leader {}{held}, {}",
            self.nodes_up(),
            self.name_of(leader),
            self.spare()
        );
        let troubles: Vec<String> = self
            .members
            .iter()
            .filter_map(|member| self.trouble(member, now))
            .collect();
        if !troubles.is_empty() {
            text.push_str("; ");
            text.push_str(&troubles.join("; "));
        }
        text
    }

    /// How many voters may still be lost, given those that are lost already.
    fn spare(&self) -> String {
        let up = |id: NodeId| {
            let mut members = self.members.iter();
            members.any(|member| member.id == id.0 && (member.up || member.heard))
        };
        let spare = match fed_raft::can_lose(&self.voter_groups, up) {
            None | Some(0) => "none more can be lost".to_owned(),
            Some(1) => "one more can be lost".to_owned(),
            Some(2) => "two more can be lost".to_owned(),
            Some(more) => format!("{more} more can be lost"),
        };
        if self.voter_groups.len() > 1 {
            return format!("{spare} while the voters are changed");
        }
        spare
    }

    /// What is wrong with a member while there is a quorum.
    fn trouble(&self, member: &MemberView, now: SystemTime) -> Option<String> {
        let since = member.state_since.began(now);
        let name = member.called();
        Some(match member.state.as_str() {
            "asterisk_down" => {
                let since = member
                    .asterisk
                    .as_ref()
                    .filter(|asterisk| !asterisk.connected)
                    .and_then(|asterisk| asterisk.since.as_ref())
                    .map_or(since, |own| own.began(now));
                format!("Asterisk {name} is down {since}")
            }
            "down" => format!("{name} is down {since}"),
            "starting" => format!("{name} is starting, its registrations do not count yet"),
            "not_heard" => format!("{name} does not answer {} {since}", self.node_name),
            _ => return None,
        })
    }

    /// Who was heard and who was not, from this node's own view: the map knows nothing of the present without a quorum.
    fn without_quorum(&self, now: SystemTime) -> String {
        let voters: Vec<&MemberView> = self.members.iter().filter(|member| member.votes()).collect();
        let heard: Vec<&&MemberView> = voters.iter().filter(|member| member.heard).collect();
        let needed = voters.len() / 2 + 1;
        let here = &self.node_name;
        let lasting = self
            .quorum_since
            .as_ref()
            .map(|since| format!(" {}", since.lasting()))
            .unwrap_or_default();
        let mut text = format!(
            "NO QUORUM at {here}{lasting}: {} of {} voters heard from here, {needed} are needed",
            heard.len(),
            voters.len()
        );
        let heard_too: Vec<String> = self
            .members
            .iter()
            .filter(|member| member.heard)
            .map(|member| {
                if member.id == self.node {
                    format!("{} (this)", member.called())
                } else {
                    member.called()
                }
            })
            .collect();
        text.push_str(&format!("; heard: {}", heard_too.join(", ")));
        let silent: Vec<String> = self
            .members
            .iter()
            .filter(|member| !member.heard)
            .map(|member| format!("{} ({})", member.called(), member.state_since.began(now)))
            .collect();
        if !silent.is_empty() {
            text.push_str(&format!("; not heard: {}", silent.join(", ")));
        }
        text.push_str(&format!(
            ".\nCalls and local reads go on from what {here} knew last (revision {}). Changes are refused until ",
            self.revision
        ));
        text.push_str(&match needed.saturating_sub(heard.len()) {
            0 => "they have elected a leader that this node hears".to_owned(),
            1 => "one more voter is back".to_owned(),
            more => format!("{more} more voters are back"),
        });
        text.push('.');
        text
    }
}

impl SinceView {
    /// `for 4 h`
    fn lasting(&self) -> String {
        let least = if self.at_least { "at least " } else { "" };
        format!("for {least}{}", clock::duration(self.time()))
    }

    /// `since 12:04`
    pub(super) fn began(&self, now: SystemTime) -> String {
        let at = now.checked_sub(self.time()).unwrap_or(now);
        let before = if self.at_least { "before " } else { "" };
        format!("since {before}{}", clock::moment(at, now))
    }
}

#[cfg(test)]
mod tests {
    use fed_proto::client as pb;

    use super::super::fixture::{member, reply};
    use super::*;

    fn words(reply: pb::StatusReply) -> String {
        StatusView::from(reply).words()
    }

    #[test]
    fn a_healthy_federation_is_one_sentence() {
        let mut healthy = reply(["up", "up", "up"]);
        assert_eq!(
            words(healthy.clone()),
            "3 of 3 nodes up, leader n2 for 4 h, one more can be lost"
        );
        healthy.leader_since = Some(pb::Since {
            ago_ms: 90_000,
            at_least: true,
        });
        assert_eq!(
            words(healthy),
            "3 of 3 nodes up, leader n2 for at least 1 min, one more can be lost"
        );
    }

    #[test]
    fn what_may_still_be_lost_counts_what_is_lost_already() {
        let text = words(reply(["up", "up", "down"]));
        let now = clock::moment(SystemTime::now(), SystemTime::now());
        assert!(
            text.starts_with("2 of 3 nodes up, leader n2 for 4 h, none more can be lost; n3 is down since "),
            "{text} at {now}"
        );
    }

    #[test]
    fn a_voter_that_is_half_promoted_is_no_spare_yet() {
        let mut promoting = reply(["up", "up", "up"]);
        promoting.voter_groups = [&[1, 2][..], &[1, 2, 3]]
            .map(|ids| pb::VoterGroup { ids: ids.to_vec() })
            .to_vec();
        assert_eq!(
            words(promoting.clone()),
            "3 of 3 nodes up, leader n2 for 4 h, none more can be lost while the voters are changed"
        );
        promoting.voter_groups.remove(0);
        assert!(words(promoting).ends_with("one more can be lost"));
    }

    #[test]
    fn an_asterisk_that_is_down_takes_no_vote_with_it_and_says_since_when() {
        let mut reply = reply(["up", "up", "asterisk_down"]);
        reply.members[2].asterisk = Some(pb::AsteriskStatus {
            trouble: "it cannot be reached".to_owned(),
            since: Some(pb::Since {
                ago_ms: 60_000,
                at_least: false,
            }),
            ..pb::AsteriskStatus::default()
        });
        let text = words(reply);
        assert!(
            text.starts_with("3 of 3 nodes up, leader n2 for 4 h, one more can be lost; Asterisk n3 is down since "),
            "{text}"
        );
        assert!(text.ends_with("\nAsterisk n3: it cannot be reached"), "{text}");
    }

    #[test]
    fn without_a_quorum_it_is_said_who_was_heard_and_who_not() {
        let mut reply = reply(["up", "not_heard", "not_heard"]);
        (reply.quorum, reply.leader, reply.leader_since) = (false, 0, None);
        reply.revision = 17;
        let text = words(reply.clone());
        assert!(
            text.starts_with(
                "NO QUORUM at n1: 1 of 3 voters heard from here, 2 are needed; heard: n1 (this); not heard: n2 (since "
            ),
            "{text}"
        );
        assert!(
            text.contains("(revision 17)") && text.ends_with("until one more voter is back."),
            "{text}"
        );
        assert!(!text.contains("nodes up"), "the map does not know the present: {text}");
        reply.members[1] = member(2, "up");
        assert!(words(reply).ends_with("until they have elected a leader that this node hears."));
    }

    #[test]
    fn a_member_that_this_node_alone_does_not_hear_is_said() {
        let mut reply = reply(["up", "up", "not_heard"]);
        reply.members[2].up = true;
        let text = words(reply);
        assert!(
            text.starts_with("3 of 3 nodes up") && text.contains("; n3 does not answer n1 since "),
            "{text}"
        );
    }
}
