//! This host: configuration, folder, disk, memory, names, clock.

use std::net::IpAddr;

use super::super::{Check, Facts, Finding, Subject, fail, ok, skipped, warn};
use super::bytes;

pub(super) static CHECKS: &[Check] = &[
    Check {
        name: "configuration",
        on: Subject::Host,
        why: "fed-node does not start with a key that it does not know or a value that does not fit",
        judge: configuration,
    },
    Check {
        name: "data folder",
        on: Subject::Host,
        why: "it is this node's identity, log and map: without it the node is nobody",
        judge: data_folder,
    },
    Check {
        name: "permissions of the data folder",
        on: Subject::Host,
        why: "digests of passwords lie in it, and a digest is as good as the password",
        judge: permissions,
    },
    Check {
        name: "files with secrets",
        on: Subject::Host,
        why: "whoever reads the ARI password or a key is an administrator",
        judge: secrets,
    },
    Check {
        name: "disk space",
        on: Subject::Host,
        why: "with little space only deletions are accepted, and a full disk stops the node",
        judge: space,
    },
    Check {
        name: "file names left",
        on: Subject::Host,
        why: "a file system without free inodes is full, whatever space it has",
        judge: inodes,
    },
    Check {
        name: "speed of the disk",
        on: Subject::Host,
        why: "every change waits for the disks of a majority, and a disk slower than the election timeout costs the leader its place",
        judge: fsync,
    },
    Check {
        name: "memory",
        on: Subject::Host,
        why: "a host that swaps misses heartbeats, and the system may kill Asterisk or fed-node",
        judge: memory,
    },
    Check {
        name: "time synchronisation",
        on: Subject::Host,
        why: "logs, certificates and the capabilities of calls need clocks that agree to a second or so",
        judge: time,
    },
    Check {
        name: "host name",
        on: Subject::Host,
        why: "Asterisk looks its own name up for every call: where it leads nowhere, calls stall for hundreds of milliseconds",
        judge: host_name,
    },
    Check {
        name: "advertised address",
        on: Subject::Host,
        why: "the other nodes reach this one under peer.advertise: it must lead here, from there, and be the one that they know",
        judge: advertised,
    },
];

fn configuration(facts: &Facts) -> Finding {
    match &facts.config {
        Ok(_) => ok("it can be read, and its values fit"),
        Err(why) => fail(
            why.lines().collect::<Vec<_>>().join("; "),
            "correct the lines named; `fed-node example-config` shows every key",
        ),
    }
}

fn data_folder(facts: &Facts) -> Finding {
    let Ok(config) = &facts.config else {
        return skipped("the configuration does not say where it is");
    };
    let path = config.data_dir.display();
    match &facts.host.folder.identity {
        Ok(Some(node)) => match config.node.id {
            Some(wanted) if wanted != *node => fail(
                format!("{path} belongs to node {node}, and node.id says {wanted}"),
                "correct node.id or data_dir",
            ),
            _ => ok(format!("{path} belongs to node {node}")),
        },
        Ok(None) => fail(
            format!("{path} holds no node"),
            "fed-node init (the first node), or fed-node join TOKEN (fed-node token join on another prints it)",
        ),
        Err(why) => fail(
            why.clone(),
            "see the text; `fed-node explain FED-0039` has the ways out",
        ),
    }
}

fn permissions(facts: &Facts) -> Finding {
    let Ok(config) = &facts.config else {
        return skipped("the configuration does not say where it is");
    };
    let path = config.data_dir.display();
    match facts.host.folder.mode {
        None => skipped(format!("{path} cannot be looked at")),
        Some(mode) if mode & 0o022 != 0 => fail(
            format!("others may write in {path} (mode {mode:03o})"),
            format!("chmod go-rwx {path}"),
        ),
        Some(mode) if mode & 0o005 != 0 => warn(
            format!("everybody may look into {path} (mode {mode:03o})"),
            format!("chmod o-rwx {path}"),
        ),
        Some(mode) => ok(format!("mode {mode:03o}")),
    }
}

fn secrets(facts: &Facts) -> Finding {
    let open: Vec<&str> = facts
        .host
        .secrets
        .iter()
        .filter(|(_, mode)| mode & 0o007 != 0)
        .map(|(path, _)| path.as_str())
        .collect();
    if !open.is_empty() {
        return fail(
            format!("everybody may read or change {}", open.join(", ")),
            format!("chmod o-rwx {}", open.join(" ")),
        );
    }
    match facts.host.secrets.len() {
        0 => skipped("there is none yet"),
        files => ok(format!("{files} found, none open to everybody")),
    }
}

fn space(facts: &Facts) -> Finding {
    let Some((free, total)) = facts.host.space else {
        return skipped("it could not be measured");
    };
    let seen = format!("{} of {} free", bytes(free), bytes(total));
    let needed = facts.config.as_ref().map_or(0, |config| config.disk.min_free_mb << 20);
    if free < needed {
        return fail(
            format!("{seen}, less than disk.min_free_mb: changes are refused"),
            "free some space, or lower disk.min_free_mb",
        );
    }
    if free < needed.saturating_mul(2) || free < total / 20 {
        return warn(
            seen,
            "free some space before changes are refused: df -h, journalctl --vacuum-size=500M",
        );
    }
    ok(seen)
}

fn inodes(facts: &Facts) -> Finding {
    match facts.host.inodes {
        None | Some((_, 0)) => skipped("this file system does not count them"),
        Some((free, total)) if free < 1_000 => {
            fail(format!("{free} of {total} free"), "remove small files there: df -i")
        }
        Some((free, total)) if free < total / 50 => {
            warn(format!("{free} of {total} free"), "remove small files there: df -i")
        }
        Some((free, total)) => ok(format!("{free} of {total} free")),
    }
}

fn fsync(facts: &Facts) -> Finding {
    let fsync = match &facts.host.fsync {
        None => return skipped("there is no data folder to measure in"),
        Some(Err(why)) => return fail(why.clone(), "run doctor as the user of fed-node, and look at dmesg"),
        Some(Ok(fsync)) => fsync,
    };
    let election = facts.config.as_ref().map_or(750, |config| config.raft.election_min_ms) * 1_000;
    let ms = |micros: u64| micros as f64 / 1_000.0;
    let seen = format!(
        "a synced write takes {:.1} ms, the slowest of a hundred {:.1} ms, at most {:.1} ms",
        ms(fsync.p50_us),
        ms(fsync.p99_us),
        ms(fsync.max_us)
    );
    let mend = "use a local SSD for data_dir, move other load from it, or raise raft.election_min_ms and raft.election_max_ms on every node; then: fed-node check perf";
    if fsync.p99_us > election / 5 || fsync.max_us > election {
        return fail(seen, mend);
    }
    if fsync.p99_us > election / 15 {
        return warn(seen, mend);
    }
    ok(seen)
}

fn memory(facts: &Facts) -> Finding {
    match facts.host.memory {
        None | Some((_, 0)) => skipped("the system does not say"),
        Some((available, total)) => {
            let seen = format!("{} of {} available", bytes(available), bytes(total));
            if available < (256 << 20).min(total / 10) {
                warn(
                    seen,
                    "give this host more memory, or less to do: ps aux --sort=-rss | head",
                )
            } else {
                ok(seen)
            }
        }
    }
}

fn time(facts: &Facts) -> Finding {
    match facts.host.time_synced {
        None => skipped("the system does not say whether its clock follows others (timedatectl)"),
        Some(true) => ok("the clock follows others"),
        Some(false) => warn(
            "the clock follows nobody",
            "apt-get install chrony, or: timedatectl set-ntp true",
        ),
    }
}

fn host_name(facts: &Facts) -> Finding {
    let name = &facts.host.name;
    match &facts.host.name_leads_to {
        Ok(addresses) if !addresses.is_empty() => ok(format!("{name} leads to {}", list(addresses))),
        _ => warn(
            format!("{name} leads nowhere"),
            format!("echo '127.0.1.1 {name}' >> /etc/hosts"),
        ),
    }
}

fn advertised(facts: &Facts) -> Finding {
    let Ok(config) = &facts.config else {
        return skipped("the configuration does not say it");
    };
    let address = config.peer_advertised();
    // Port 0 is known only once it is bound.
    let known = facts.node.as_ref().ok().and_then(|node| {
        let own = node
            .status
            .members
            .iter()
            .find(|member| member.id == node.status.node)?;
        let differs = !own.address.is_empty() && address.port() != 0 && own.address != address.to_string();
        differs.then_some(&own.address)
    });
    let alone = facts.node.as_ref().is_ok_and(|node| node.status.members.len() <= 1);
    match (&facts.host.advertised_leads_to, known) {
        (Err(why), _) => fail(
            format!("{address}: {why}"),
            "set peer.advertise to a name or address that every node can resolve",
        ),
        (Ok(_), Some(known)) => warn(
            format!("the configuration says {address}, and the federation still has {known} for this node"),
            "systemctl restart fed-node: it tells the others as soon as there is a leader; where that changes nothing, its log says who has \
             the address already",
        ),
        (Ok(addresses), None) if !addresses.is_empty() && addresses.iter().all(IpAddr::is_loopback) && !alone => warn(
            format!(
                "{address} leads to {}: no other host reaches this one there",
                list(addresses)
            ),
            "set peer.advertise to this host's name or address in the network",
        ),
        (Ok(addresses), None) => ok(format!("{address} leads to {}", list(addresses))),
    }
}

fn list(addresses: &[IpAddr]) -> String {
    let texts: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    texts.join(", ")
}

#[cfg(test)]
mod tests {
    use fed_proto::client as pb;

    use super::super::super::facts::testing::facts;
    use super::super::super::{Folder, Grade};
    use super::*;

    #[test]
    fn a_healthy_host_is_all_well() {
        let facts = facts();
        for check in CHECKS {
            let found = (check.judge)(&facts);
            assert_eq!(found.grade, Grade::Ok, "{}: {found:?}", check.name);
        }
    }

    #[test]
    fn permissions_are_judged_by_who_may_do_what() {
        let mut facts = facts();
        for (mode, grade) in [
            (0o700, Grade::Ok),
            (0o750, Grade::Ok),
            (0o755, Grade::Warn),
            (0o777, Grade::Fail),
        ] {
            facts.host.folder.mode = Some(mode);
            assert_eq!(permissions(&facts).grade, grade, "{mode:o}");
        }
        facts
            .host
            .secrets
            .push(("/var/lib/fed-node/ari-password".to_owned(), 0o644));
        let found = secrets(&facts);
        assert_eq!(found.grade, Grade::Fail);
        assert_eq!(found.mend, "chmod o-rwx /var/lib/fed-node/ari-password");
    }

    #[test]
    fn space_is_judged_by_the_limit_of_the_configuration() {
        let mut facts = facts();
        for (mib, grade) in [
            (511, Grade::Fail),
            (600, Grade::Warn),
            (4_000, Grade::Warn),
            (60_000, Grade::Ok),
        ] {
            facts.host.space = Some((mib << 20, 100_000 << 20));
            assert_eq!(space(&facts).grade, grade, "{mib} MiB");
        }
        facts.host.space = None;
        assert_eq!(space(&facts).grade, Grade::Skipped);
        facts.host.inodes = Some((10, 1_000_000));
        assert_eq!(inodes(&facts).grade, Grade::Fail);
    }

    #[test]
    fn a_disk_is_judged_by_the_election_timeout() {
        let mut facts = facts();
        for (us, grade) in [(2_000, Grade::Ok), (60_000, Grade::Warn), (160_000, Grade::Fail)] {
            facts.host.fsync = Some(Ok(pb::Latency {
                samples: 60,
                p50_us: us,
                p99_us: us,
                max_us: us,
            }));
            assert_eq!(fsync(&facts).grade, grade, "{us}");
        }
        facts.host.fsync = Some(Err("read-only".to_owned()));
        assert_eq!(fsync(&facts).grade, Grade::Fail);
    }

    #[test]
    fn folders_clocks_and_names_that_are_not_right_are_named() {
        let mut facts = facts();
        facts.host.folder = Folder {
            mode: Some(0o700),
            identity: Ok(None),
        };
        assert_eq!(data_folder(&facts).grade, Grade::Fail);
        facts.host.time_synced = Some(false);
        assert_eq!(time(&facts).grade, Grade::Warn);
        facts.host.name_leads_to = Err("unknown".to_owned());
        assert!(host_name(&facts).mend.contains("/etc/hosts"));
        facts.host.advertised_leads_to = Ok(vec![IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(advertised(&facts).grade, Grade::Warn, "with other members");
        facts.host.advertised_leads_to = Ok(vec![IpAddr::from([192, 0, 2, 1])]);
        assert_eq!(advertised(&facts).grade, Grade::Ok);
        let own = |facts: &mut Facts, address: String| {
            facts.node.as_mut().unwrap().status.members[0].address = address;
        };
        own(&mut facts, "192.0.2.9:7401".to_owned());
        let moved = advertised(&facts);
        assert!(
            moved.grade == Grade::Warn
                && moved.seen.contains("still has 192.0.2.9:7401")
                && moved.mend.contains("restart"),
            "{moved:?}"
        );
        let configured = facts.config.as_ref().unwrap().peer_advertised().to_string();
        own(&mut facts, configured);
        assert_eq!(advertised(&facts).grade, Grade::Ok);
        facts.config = Err("line 3: no such key".to_owned());
        assert_eq!(configuration(&facts).grade, Grade::Fail);
        assert_eq!(
            data_folder(&facts).grade,
            Grade::Skipped,
            "what cannot be known is not taken for well"
        );
        facts.host.memory = Some((10 << 20, 1 << 30));
        assert_eq!(memory(&facts).grade, Grade::Warn);
    }
}
