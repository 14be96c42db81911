//! The federation: quorum, members, clocks, versions, replicas.

use fed_core::ids::NodeId;
use fed_proto::client as pb;

use super::super::{Check, Facts, Finding, NodeFacts, Subject, fail, ok, skipped, warn};

pub(super) static CHECKS: &[Check] = &[
    Check {
        name: "quorum",
        on: Subject::Federation,
        why: "without a majority of the voters calls go on, and nothing can be changed",
        judge: quorum,
    },
    Check {
        name: "members heard",
        on: Subject::Federation,
        why: "a node that does not answer is no help when another one dies",
        judge: members,
    },
    Check {
        name: "voters",
        on: Subject::Federation,
        why: "with fewer than three voters nothing may be lost, and an even number protects no better than one less",
        judge: voters,
    },
    Check {
        name: "sessions",
        on: Subject::Federation,
        why: "a node's registrations count only while its session is open",
        judge: sessions,
    },
    Check {
        name: "lag",
        on: Subject::Federation,
        why: "a node that is far behind answers from the past, and cannot take over",
        judge: lag,
    },
    Check {
        name: "elections",
        on: Subject::Federation,
        why: "each one stops changes for a second; many mean a slow disk, processor or network",
        judge: elections,
    },
    Check {
        name: "clocks of the nodes",
        on: Subject::Federation,
        why: "a call between nodes carries a capability that expires by the clock: clocks that differ refuse calls",
        judge: clocks,
    },
    Check {
        name: "versions of fed-node",
        on: Subject::Federation,
        why: "mixed versions are for an upgrade, not for every day",
        judge: versions,
    },
    Check {
        name: "feature level",
        on: Subject::Federation,
        why: "new kinds of changes are refused until every node understands them",
        judge: level,
    },
    Check {
        name: "replicas",
        on: Subject::Federation,
        why: "all nodes must hold the same: a difference is damage or a defect",
        judge: replicas,
    },
];

/// What the node says.
pub(super) fn node(facts: &Facts) -> Result<&NodeFacts, Finding> {
    let node = facts.node.as_ref();
    node.map_err(|_| skipped("fed-node does not answer"))
}

fn name(member: &pb::Member) -> String {
    if member.name.is_empty() {
        format!("node {}", member.id)
    } else {
        member.name.clone()
    }
}

fn names<'a>(members: impl Iterator<Item = &'a pb::Member>) -> String {
    members.map(name).collect::<Vec<_>>().join(", ")
}

fn voting(node: &NodeFacts) -> impl Iterator<Item = &pb::Member> {
    node.status.members.iter().filter(|member| member.role != "learner")
}

fn quorum(facts: &Facts) -> Finding {
    let node = match node(facts) {
        Ok(node) => node,
        Err(why) => return why,
    };
    let (voters, heard) = (voting(node).count(), voting(node).filter(|member| member.heard).count());
    let seen = format!("{heard} of {voters} voters answer");
    if !node.status.quorum {
        return fail(
            format!("there is none here; {seen}"),
            "bring the silent nodes back (fed-node status names them); when they are lost for good: fed-node recover",
        );
    }
    let heard = |id: NodeId| {
        node.status
            .members
            .iter()
            .any(|member| member.id == id.0 && member.heard)
    };
    let groups = crate::membership::voters(&node.status);
    if groups.len() > 1 {
        return ok(format!("{seen}; a change of voters is under way"));
    }
    if voters > 2 && fed_raft::can_lose(&groups, heard).unwrap_or(0) == 0 {
        return warn(
            format!("{seen}: none more can be lost"),
            "bring the silent nodes back, or join another node",
        );
    }
    ok(seen)
}

fn members(facts: &Facts) -> Finding {
    match node(facts) {
        Err(why) => why,
        Ok(node) => {
            let silent = names(node.status.members.iter().filter(|member| !member.heard));
            if silent.is_empty() {
                ok(format!("all {} answer", node.status.members.len()))
            } else {
                fail(
                    format!("no answer from {silent}"),
                    "systemctl status fed-node there; a firewall between: nc -zv ADDRESS 7401; gone for good: fed-node leave NODE",
                )
            }
        }
    }
}

fn voters(facts: &Facts) -> Finding {
    let node = match node(facts) {
        Ok(node) => node,
        Err(why) => return why,
    };
    let voters = voting(node).count();
    let wanted = facts.config.as_ref().map_or(3, |config| config.raft.voters);
    let seen = format!("{voters} vote, {wanted} are wanted");
    match voters {
        1 if wanted > 1 => warn(
            format!("{seen}: nothing may be lost"),
            "fed-node token join here, and fed-node join TOKEN on two more servers",
        ),
        2 => warn(
            format!("{seen}: nothing may be lost, two are no safer than one"),
            "fed-node token join here, and fed-node join TOKEN on one more server",
        ),
        few if few < wanted => warn(seen, "join more nodes; they are promoted by themselves"),
        even if even % 2 == 0 => warn(
            format!("{seen}: an even number protects no better than one less"),
            "join one more node, or let one leave",
        ),
        _ => ok(seen),
    }
}

fn sessions(facts: &Facts) -> Finding {
    let node = match node(facts) {
        Ok(node) if node.status.quorum => node,
        Ok(_) => return skipped("without a quorum nobody knows"),
        Err(why) => return why,
    };
    let without: Vec<&pb::Member> = node
        .status
        .members
        .iter()
        .filter(|member| member.heard && !member.up)
        .collect();
    if without.is_empty() {
        return ok("every node that answers has one");
    }
    fail(
        format!("none for {}, which answer", names(without.iter().copied())),
        "their Asterisk is down or being filled: fed-node status, then systemctl status asterisk there",
    )
}

fn lag(facts: &Facts) -> Finding {
    match node(facts) {
        Err(why) => why,
        Ok(node) => {
            let behind = |member: &&pb::Member| member.heard && member.lag > 1_000;
            let slow: Vec<String> = node
                .status
                .members
                .iter()
                .filter(behind)
                .map(|member| format!("{} ({} entries)", name(member), member.lag))
                .collect();
            if slow.is_empty() {
                ok("nobody is far behind")
            } else {
                warn(
                    format!("far behind: {}", slow.join(", ")),
                    "fed-node check perf; it catches up by itself unless its disk or link is too slow",
                )
            }
        }
    }
}

fn elections(facts: &Facts) -> Finding {
    let node = match node(facts) {
        Ok(node) => node,
        Err(why) => return why,
    };
    let own = node.nodes.iter().find(|answer| answer.id == node.status.node);
    let Some(about) = own.and_then(|own| own.about.as_ref()) else {
        return skipped("the node does not say");
    };
    let seen = format!("{} in the last hour, as this node saw it", about.leaders_last_hour);
    if about.leaders_last_hour > 6 {
        return warn(seen, "fed-node events, then: fed-node check perf");
    }
    ok(seen)
}

fn clocks(facts: &Facts) -> Finding {
    let node = match node(facts) {
        Ok(node) => node,
        Err(why) => return why,
    };
    // What the way of the answer explains is held against nobody.
    let off = |answer: &pb::NodeAnswer| {
        let off = answer.clock_ahead_ms.unsigned_abs();
        off.saturating_sub(answer.clock_within_ms)
    };
    let others = node
        .nodes
        .iter()
        .filter(|answer| answer.about.is_some() && answer.id != node.status.node);
    let Some(worst) = others.max_by_key(|answer| off(answer)) else {
        return skipped("no other node answers");
    };
    let seconds = worst.clock_ahead_ms as f64 / 1_000.0;
    let seen = format!("the clock of {} differs most, by {seconds:+.2} s", worst.name);
    let mend = format!(
        "set the clock of {} and have it follow others: timedatectl set-ntp true",
        worst.name
    );
    match off(worst) {
        0..=1_000 => ok(seen),
        1_001..=5_000 => warn(seen, mend),
        _ => fail(seen, mend),
    }
}

/// Each value with the nodes that have it; more than one value is worth a word.
fn spread(node: &NodeFacts, value: fn(&pb::About) -> String) -> Vec<(String, Vec<String>)> {
    let mut found: Vec<(String, Vec<String>)> = Vec::new();
    for about in node.nodes.iter().filter_map(|answer| answer.about.as_ref()) {
        let value = value(about);
        match found.iter_mut().find(|(known, _)| *known == value) {
            Some((_, nodes)) => nodes.push(about.node_name.clone()),
            None => found.push((value, vec![about.node_name.clone()])),
        }
    }
    found
}

fn versions(facts: &Facts) -> Finding {
    match node(facts).map(|node| spread(node, |about| about.version.clone())) {
        Err(why) => why,
        Ok(found) => match found.as_slice() {
            [] => skipped("no node says"),
            [(version, nodes)] => ok(format!("{version} on all {} that answer", nodes.len())),
            several => {
                let texts: Vec<String> = several
                    .iter()
                    .map(|(version, nodes)| format!("{version} on {}", nodes.join(", ")))
                    .collect();
                warn(texts.join("; "), "bring every node to the newest of them")
            }
        },
    }
}

fn level(facts: &Facts) -> Finding {
    match node(facts).map(|node| spread(node, |about| about.feature_level.to_string())) {
        Err(why) => why,
        Ok(found) => match found.as_slice() {
            [] => skipped("no node says"),
            [(level, _)] => ok(format!("{level} everywhere")),
            _ => warn(
                "the nodes do not agree on it yet",
                "wait a moment; it rises by itself when every node runs the same version",
            ),
        },
    }
}

fn replicas(facts: &Facts) -> Finding {
    let compared = match node(facts) {
        Err(why) => return why,
        Ok(node) => match &node.replicas {
            Err(why) => return skipped(why.clone()),
            Ok(compared) => compared,
        },
    };
    let wrong: Vec<&str> = compared.wrong().iter().map(|node| node.node_name.as_str()).collect();
    if !wrong.is_empty() {
        return fail(
            format!("{} hold something else, or damaged rows", wrong.join(", ")),
            "fed-node check replicas; then take such a node out and in again with an empty folder",
        );
    }
    match compared.revision {
        Some(revision) => ok(format!("those that answer hold the same at revision {revision}")),
        None => skipped("there was no revision at which they could be compared"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Grade;
    use super::super::super::facts::testing::facts;
    use super::*;

    fn change(facts: &mut Facts, change: impl FnOnce(&mut NodeFacts)) {
        change(facts.node.as_mut().unwrap());
    }

    #[test]
    fn a_healthy_federation_is_all_well() {
        let facts = facts();
        for check in CHECKS {
            let found = (check.judge)(&facts);
            assert_eq!(found.grade, Grade::Ok, "{}: {found:?}", check.name);
        }
    }

    #[test]
    fn a_silent_member_is_named_and_a_lost_quorum_is_worse() {
        let mut facts = facts();
        change(&mut facts, |node| node.status.members[2].heard = false);
        assert!(members(&facts).seen.contains("n3"));
        assert_eq!(quorum(&facts).grade, Grade::Warn);
        change(&mut facts, |node| node.status.quorum = false);
        let found = quorum(&facts);
        assert!(
            found.grade == Grade::Fail && found.mend.contains("recover"),
            "{found:?}"
        );
        assert_eq!(sessions(&facts).grade, Grade::Skipped);
    }

    #[test]
    fn sessions_lag_and_elections_are_judged() {
        let mut facts = facts();
        change(&mut facts, |node| {
            node.status.members[1].up = false;
            node.status.members[2].lag = 5_000;
            node.nodes[0].about.as_mut().unwrap().leaders_last_hour = 20;
        });
        assert!(sessions(&facts).seen.contains("n2"));
        assert!(lag(&facts).seen.contains("n3 (5000 entries)"));
        assert_eq!(elections(&facts).grade, Grade::Warn);
    }

    #[test]
    fn the_number_of_voters_is_judged_by_what_may_be_lost() {
        for (count, grade) in [(1, Grade::Warn), (2, Grade::Warn), (3, Grade::Ok)] {
            let mut facts = facts();
            change(&mut facts, |node| node.status.members.truncate(count));
            assert_eq!(voters(&facts).grade, grade, "{count}");
        }
    }

    #[test]
    fn clocks_are_judged_beyond_what_the_answer_took() {
        for (ahead, within, grade) in [
            (400, 0, Grade::Ok),
            (-1_500, 0, Grade::Warn),
            (-1_500, 700, Grade::Ok),
            (60_000, 100, Grade::Fail),
        ] {
            let mut facts = facts();
            change(&mut facts, |node| {
                node.nodes[1].clock_ahead_ms = ahead;
                node.nodes[1].clock_within_ms = within;
            });
            let found = clocks(&facts);
            assert_eq!(found.grade, grade, "{found:?}");
            assert!(found.seen.contains("n2") || grade == Grade::Ok, "{found:?}");
        }
    }

    #[test]
    fn mixed_versions_and_levels_are_named() {
        let mut facts = facts();
        change(&mut facts, |node| {
            let about = node.nodes[2].about.as_mut().unwrap();
            about.version = "9.9.9".to_owned();
            about.feature_level = 7;
        });
        assert!(versions(&facts).seen.contains("9.9.9 on n3"));
        assert_eq!(level(&facts).grade, Grade::Warn);
    }

    #[test]
    fn replicas_that_differ_are_broken() {
        let mut facts = facts();
        change(&mut facts, |node| {
            node.replicas = Err("no quorum".to_owned());
        });
        assert_eq!(replicas(&facts).grade, Grade::Skipped);
        change(&mut facts, |node| {
            node.replicas = Ok(crate::cli::compare(&[1, 2, 3].map(|id| pb::Replica {
                node: id,
                node_name: format!("n{id}"),
                kept: vec![pb::HashAt {
                    revision: 7,
                    index: 0,
                    hash: if id == 2 { "b" } else { "a" }.to_owned(),
                }],
                ..pb::Replica::default()
            })));
        });
        let found = replicas(&facts);
        assert!(found.grade == Grade::Fail && found.seen.starts_with("n2 "), "{found:?}");
    }
}
