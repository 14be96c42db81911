//! The fed-node of this host: its ports, its state, its limits.

use super::super::{CertificateFacts, Check, Facts, Finding, NodeFacts, Port, Subject, fail, ok, skipped, warn};
use super::bytes;

pub(super) static CHECKS: &[Check] = &[
    Check {
        name: "fed-node",
        on: Subject::Federation,
        why: "while it is down, this server's users are not found from the others, and nothing can be changed here",
        judge: running,
    },
    Check {
        name: "peer port",
        on: Subject::Host,
        why: "the other nodes reach this one there: log, votes and snapshots",
        judge: |facts| port(facts, "peer.listen"),
    },
    Check {
        name: "client port",
        on: Subject::Host,
        why: "the command line and your programs reach the node there",
        judge: |facts| port(facts, "client.listen"),
    },
    Check {
        name: "redirect port",
        on: Subject::Host,
        why: "Asterisk asks there where a user is, and its number stands in every endpoint",
        judge: |facts| port(facts, "redirect.listen"),
    },
    Check {
        name: "redirect server",
        on: Subject::Host,
        why: "Dial(PJSIP/..) of somebody who is registered elsewhere waits for its answer",
        judge: redirect,
    },
    Check {
        name: "FastAGI port",
        on: Subject::Host,
        why: "the generated dialplan asks there where a call goes",
        judge: |facts| port(facts, "agi.listen"),
    },
    Check {
        name: "metrics",
        on: Subject::Host,
        why: "what is not measured is noticed by users first",
        judge: metrics,
    },
    Check {
        name: "who reaches the client API",
        on: Subject::Host,
        why: "it is where tokens are guessed and floods come in: keep it to those who need it",
        judge: client_exposure,
    },
    Check {
        name: "open files",
        on: Subject::Federation,
        why: "RocksDB, peers and clients each take some: a node without any left cannot go on",
        judge: open_files,
    },
    Check {
        name: "memory of fed-node",
        on: Subject::Federation,
        why: "it should need little: growth without end is a defect to be reported",
        judge: resident,
    },
    Check {
        name: "waiting changes",
        on: Subject::Federation,
        why: "a queue that does not empty means a slow disk, a slow network or no quorum",
        judge: queue,
    },
    Check {
        name: "snapshot",
        on: Subject::Federation,
        why: "a node that was down for long needs the log since the last snapshot, and so does a restart",
        judge: snapshot,
    },
    Check {
        name: "certificate",
        on: Subject::Host,
        why: "by it the other nodes and the clients believe this one: when it has expired, nobody does",
        judge: certificate,
    },
];

fn node(facts: &Facts) -> Result<&NodeFacts, Finding> {
    let node = facts.node.as_ref();
    node.map_err(|_| skipped("fed-node does not answer"))
}

fn running(facts: &Facts) -> Finding {
    match &facts.node {
        Ok(node) => ok(format!(
            "{} (id {}) answers, version {}",
            node.status.node_name, node.status.node, node.status.version
        )),
        Err(why) => fail(
            why.clone(),
            "systemctl start fed-node (or: fed-node run), then its log: journalctl -u fed-node -n 50",
        ),
    }
}

fn port(facts: &Facts, key: &str) -> Finding {
    let Some(port) = facts.host.ports.iter().find(|port| port.key == key) else {
        return skipped("the configuration does not say it");
    };
    let Port {
        address, answers, free, ..
    } = port;
    match (facts.node.is_ok(), answers, free) {
        (true, true, _) => ok(format!("{address} answers")),
        (true, false, _) => fail(
            format!("nothing answers at {address}, though fed-node runs"),
            format!("compare {key} with the configuration that fed-node was started with, and restart it"),
        ),
        (false, false, true) => ok(format!("{address} is free")),
        (false, ..) => fail(
            format!("{address} is taken by another program, or is no address of this host"),
            format!(
                "ss -ltnp | grep {}, or change {key}",
                address.rsplit(':').next().unwrap_or_default()
            ),
        ),
    }
}

fn redirect(facts: &Facts) -> Finding {
    match facts.host.redirect_answers {
        _ if facts.node.is_err() => skipped("fed-node does not answer"),
        None => skipped("it is not listened on"),
        Some(true) => ok("it answers OPTIONS"),
        Some(false) => fail(
            "it does not answer OPTIONS over UDP",
            "look for a firewall on loopback: nft list ruleset; then restart fed-node",
        ),
    }
}

fn metrics(facts: &Facts) -> Finding {
    let listen = match &facts.config {
        Ok(config) => config.metrics.listen.as_ref(),
        Err(_) => return skipped("the configuration does not say where they are"),
    };
    match listen {
        None => warn("they are served nowhere", "set metrics.listen = \"127.0.0.1:7402\""),
        Some(listen) if !listen.is_loopback() => warn(
            format!("{listen} is reached by other hosts, and asks nobody for a password"),
            "guard the port by a firewall, or set metrics.listen to loopback",
        ),
        Some(_) => port(facts, "metrics.listen"),
    }
}

fn client_exposure(facts: &Facts) -> Finding {
    match &facts.config {
        Err(_) => skipped("the configuration does not say where it is"),
        Ok(config) if config.client.listen.is_loopback() => ok(format!("{}: this host alone", config.client.listen)),
        Ok(config) => ok(format!(
            "{}: whoever reaches it, over TLS and with a token",
            config.client.listen
        )),
    }
}

fn about(facts: &Facts) -> Result<&fed_proto::client::About, Finding> {
    let node = node(facts)?;
    let own = node.nodes.iter().find(|answer| answer.id == node.status.node);
    own.and_then(|own| own.about.as_ref())
        .ok_or_else(|| skipped("the node does not say"))
}

fn open_files(facts: &Facts) -> Finding {
    let about = match about(facts) {
        Ok(about) if about.open_files_limit > 0 => about,
        Ok(_) => return skipped("the system does not say"),
        Err(why) => return why,
    };
    let seen = format!("{} of {} in use", about.open_files, about.open_files_limit);
    let mend = "set LimitNOFILE=65536 in the service's unit, and restart it";
    if about.open_files > about.open_files_limit / 10 * 8 {
        return fail(seen, mend);
    }
    if about.open_files_limit < 4_096 {
        return warn(seen, mend);
    }
    ok(seen)
}

fn resident(facts: &Facts) -> Finding {
    match about(facts) {
        Err(why) => why,
        Ok(about) if about.resident_bytes > 2 << 30 => warn(
            format!("{} in use", bytes(about.resident_bytes)),
            "fed-node debug bundle, and report it; a restart frees it",
        ),
        Ok(about) => ok(format!("{} in use", bytes(about.resident_bytes))),
    }
}

fn queue(facts: &Facts) -> Finding {
    match about(facts) {
        Err(why) => why,
        Ok(about) if about.queued > 1_000 => warn(format!("{} wait", about.queued), "fed-node check perf"),
        Ok(about) => ok(format!("{} wait", about.queued)),
    }
}

/// More than this many entries since the last snapshot: the trigger by size should have come long before.
const LONG_LOG: u64 = 5_000_000;

fn snapshot(facts: &Facts) -> Finding {
    match about(facts) {
        Err(why) => why,
        Ok(about) => {
            let since = about.applied.saturating_sub(about.snapshot);
            let seen = format!("{since} entries since the last one");
            if since > LONG_LOG {
                warn(
                    seen,
                    "set raft.snapshot_entries = 1000000, and look at the log: fed-node logs --level warn",
                )
            } else {
                ok(seen)
            }
        }
    }
}

/// Less than this is left of a certificate that renews itself: it should have done so hours ago.
const OVERDUE_S: i64 = 48 * 3600;
/// Time that people need to have one signed.
const SIGNING_S: i64 = 7 * 24 * 3600;

fn certificate(facts: &Facts) -> Finding {
    let is_node = matches!(facts.host.folder.identity, Ok(Some(_)));
    match &facts.host.certificate {
        _ if !is_node => skipped("the data folder holds no node yet"),
        None if facts.config.is_err() => skipped("the configuration does not say whether there is one"),
        None => skipped("security.plaintext: this node has none"),
        Some(Err(why)) => fail(why.clone(), "fed-node explain FED-0054"),
        Some(Ok(found)) => validity(*found),
    }
}

fn validity(CertificateFacts { left_s, own_authority }: CertificateFacts) -> Finding {
    let hours = left_s.abs() / 3600;
    let (seen, mend) = if left_s < 0 {
        (
            format!("it expired {hours} hours ago"),
            "is the clock right? a voter renews its own when it runs: systemctl restart fed-node; another node: fed-node leave NODE elsewhere, empty the folder, fed-node join TOKEN",
        )
    } else {
        (
            format!("good for {hours} more hours"),
            "the log says why it is not renewed: fed-node logs --level warn; a voter has to be reachable",
        )
    };
    let by_hand = "have your authority sign a new one (tls.cert); the node takes it up by itself";
    match own_authority {
        true if left_s < 0 => fail(seen, by_hand),
        true if left_s < SIGNING_S => warn(seen, by_hand),
        false if left_s < 0 => fail(seen, mend),
        false if left_s < OVERDUE_S => warn(seen, mend),
        _ => ok(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::Grade;
    use super::super::super::facts::testing::facts;
    use super::*;

    #[test]
    fn a_healthy_node_is_all_well() {
        let facts = facts();
        for check in CHECKS {
            let found = (check.judge)(&facts);
            assert_eq!(found.grade, Grade::Ok, "{}: {found:?}", check.name);
        }
    }

    #[test]
    fn a_port_is_judged_by_whether_the_node_runs() {
        let mut facts = facts();
        let set = |facts: &mut Facts, answers, free| {
            let port = facts
                .host
                .ports
                .iter_mut()
                .find(|port| port.key == "agi.listen")
                .unwrap();
            (port.answers, port.free) = (answers, free);
        };
        set(&mut facts, false, true);
        assert_eq!(
            port(&facts, "agi.listen").grade,
            Grade::Fail,
            "it runs and does not listen"
        );
        facts.node = Err("nobody answers".to_owned());
        assert_eq!(port(&facts, "agi.listen").grade, Grade::Ok, "free for it");
        for (answers, free) in [(true, false), (false, false)] {
            set(&mut facts, answers, free);
            assert!(port(&facts, "agi.listen").seen.contains("taken"), "by somebody else");
        }
    }

    #[test]
    fn without_the_node_what_only_it_knows_is_skipped_and_its_absence_is_broken() {
        let mut facts = facts();
        facts.node = Err("no fed-node answers".to_owned());
        assert_eq!(running(&facts).grade, Grade::Fail);
        for judge in [open_files, resident, queue, snapshot, redirect] {
            assert_eq!(judge(&facts).grade, Grade::Skipped);
        }
    }

    #[test]
    fn a_certificate_that_does_not_renew_itself_is_seen_before_it_ends() {
        let judged = |left_s, own_authority| validity(CertificateFacts { left_s, own_authority }).grade;
        let day = 24 * 3600;
        assert_eq!((judged(3 * day, false), judged(day, false)), (Grade::Ok, Grade::Warn));
        assert_eq!(
            (judged(30 * day, true), judged(3 * day, true)),
            (Grade::Ok, Grade::Warn)
        );
        assert_eq!((judged(-1, false), judged(-1, true)), (Grade::Fail, Grade::Fail));
        let mut facts = facts();
        facts.host.certificate = Some(Err("chmod 600".to_owned()));
        assert_eq!(certificate(&facts).grade, Grade::Fail);
        facts.host.certificate = None;
        assert_eq!(certificate(&facts).grade, Grade::Skipped, "security.plaintext");
    }

    #[test]
    fn limits_and_queues_are_held_against_what_is_usual() {
        let mut facts = facts();
        let own = |facts: &mut Facts, change: fn(&mut fed_proto::client::About)| {
            let node = facts.node.as_mut().unwrap();
            change(node.nodes[0].about.as_mut().unwrap());
        };
        own(&mut facts, |about| about.open_files_limit = 1_024);
        assert_eq!(open_files(&facts).grade, Grade::Warn);
        own(&mut facts, |about| about.open_files = 1_000);
        assert_eq!(open_files(&facts).grade, Grade::Fail);
        own(&mut facts, |about| about.queued = 5_000);
        assert_eq!(queue(&facts).grade, Grade::Warn);
        own(&mut facts, |about| about.applied = LONG_LOG + 1);
        assert_eq!(snapshot(&facts).grade, Grade::Warn);
        own(&mut facts, |about| about.resident_bytes = 3 << 30);
        assert_eq!(resident(&facts).grade, Grade::Warn);
        facts.host.redirect_answers = Some(false);
        assert_eq!(redirect(&facts).grade, Grade::Fail);
    }
}
