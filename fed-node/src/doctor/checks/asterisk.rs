//! The Asterisk beside this node: ARI, modules, wiring, version, drift.

use fed_ari::client::{AsteriskVersion, Capabilities, Feature, MODULES_NEEDED};
use fed_ari::stanzas::{REFRESH_OPTION, Refreshes};

use super::super::{AsteriskFacts, Check, Facts, Finding, Grade, Subject, fail, ok, skipped, warn};

pub(super) static CHECKS: &[Check] = &[
    Check {
        name: "ARI",
        on: Subject::Host,
        why: "everything that fed-node does with Asterisk goes over it",
        judge: ari,
    },
    Check {
        name: "rights of the ARI user",
        on: Subject::Host,
        why: "a user that may only read cannot push a single device",
        judge: rights,
    },
    Check {
        name: "version of Asterisk",
        on: Subject::Host,
        why: "old branches get no security fixes any more, and some releases have holes that are known",
        judge: version,
    },
    Check {
        name: "modules",
        on: Subject::Host,
        why: "without one of them calls or registrations cannot be followed",
        judge: modules,
    },
    Check {
        name: "HTTP server of Asterisk",
        on: Subject::Host,
        why: "ARI on every interface lets others try passwords at it",
        judge: http,
    },
    Check {
        name: "ARI wiring",
        on: Subject::Host,
        why: "ari.conf and http.conf let fed-node in",
        judge: |facts| wiring(facts, &["http.conf", "ari.conf"]),
    },
    Check {
        name: "sorcery wiring",
        on: Subject::Host,
        why: "without a writable place for each type Asterisk takes no devices over ARI",
        judge: |facts| wiring(facts, &["sorcery.conf"]),
    },
    Check {
        name: "refresh wiring",
        on: Subject::Host,
        why: "without it a phone that leaves and comes back at once may lose its registration until its next one",
        judge: refreshes,
    },
    Check {
        name: "dialplan wiring",
        on: Subject::Host,
        why: "without its contexts no call asks fed-node where to go",
        judge: |facts| wiring(facts, &["extensions.conf"]),
    },
    Check {
        name: "SIP of Asterisk",
        on: Subject::Host,
        why: "phones register there, and the other servers send calls there",
        judge: sip,
    },
    Check {
        name: "redirect transport",
        on: Subject::Host,
        why: "over UDP a call to somebody elsewhere waits 32 s while fed-node is down; over TCP it goes on at once",
        judge: transport,
    },
    Check {
        name: "bridge",
        on: Subject::Federation,
        why: "it keeps map and Asterisk the same: a fault of it is a device that does not work",
        judge: bridge,
    },
    Check {
        name: "drift",
        on: Subject::Federation,
        why: "what Asterisk has must be what the map wants, object by object",
        judge: drift,
    },
];

/// The oldest release of each branch without the hole: before it, users of ARI with `read_only` could write.
const READ_ONLY_HOLDS: [AsteriskVersion; 4] = [
    AsteriskVersion::new(20, 20, 1),
    AsteriskVersion::new(21, 12, 3),
    AsteriskVersion::new(22, 10, 1),
    AsteriskVersion::new(23, 4, 1),
];

/// Branches whose security support has ended.
const ENDED: [u16; 9] = [12, 13, 14, 15, 16, 17, 18, 19, 21];

fn asterisk(facts: &Facts) -> Result<&AsteriskFacts, Finding> {
    let asterisk = facts.asterisk.as_ref();
    asterisk.ok_or_else(|| match &facts.config {
        Ok(_) => skipped("this node has no Asterisk (asterisk.enabled = false)"),
        Err(_) => skipped("the configuration does not say where it is"),
    })
}

fn ari(facts: &Facts) -> Finding {
    match asterisk(facts).map(|asterisk| &asterisk.version) {
        Err(why) => why,
        Ok(None) => skipped("it was not asked"),
        Ok(Some(Ok(version))) => ok(format!("Asterisk {version} answers")),
        Ok(Some(Err(why))) => fail(
            why.clone(),
            "systemctl status asterisk; fed-node asterisk-config --write; systemctl restart asterisk",
        ),
    }
}

fn rights(facts: &Facts) -> Finding {
    match asterisk(facts).map(|asterisk| &asterisk.may_write) {
        Err(why) => why,
        Ok(None) => skipped("ARI does not answer"),
        Ok(Some(Ok(()))) => ok("it may change what it has to"),
        Ok(Some(Err(why))) => fail(
            why.clone(),
            "set read_only=no for it in ari.conf, then: asterisk -rx 'module reload res_ari.so'",
        ),
    }
}

fn version(facts: &Facts) -> Finding {
    let version = match asterisk(facts).map(|asterisk| &asterisk.version) {
        Err(why) => return why,
        Ok(Some(Ok(version))) => *version,
        Ok(_) => return skipped("Asterisk does not say"),
    };
    if version < AsteriskVersion::OLDEST {
        return fail(
            format!("{version} is too old"),
            format!(
                "upgrade to {} or later, best to an LTS branch that is still mended (20 or 22)",
                AsteriskVersion::OLDEST
            ),
        );
    }
    if ENDED.contains(&version.major) {
        return warn(
            format!("{version}: branch {} gets no security fixes any more", version.major),
            "upgrade to an LTS branch that does (20 or 22); fed-node works with mixed versions meanwhile",
        );
    }
    let branch = READ_ONLY_HOLDS.iter().find(|fixed| fixed.major == version.major);
    match branch {
        Some(fixed) if version < *fixed => warn(
            format!("{version}: users of ARI with read_only=yes may write (mended in {fixed})"),
            format!("upgrade to {fixed} or later, and give no ARI user to anybody who may not write"),
        ),
        _ => ok(version.to_string()),
    }
}

fn modules(facts: &Facts) -> Finding {
    match asterisk(facts).map(|asterisk| &asterisk.modules) {
        Err(why) => why,
        Ok(None) => skipped("ARI does not answer"),
        Ok(Some(Err(why))) => skipped(why.clone()),
        Ok(Some(Ok(running))) => {
            let missing: Vec<&str> = MODULES_NEEDED
                .into_iter()
                .filter(|needed| !running.iter().any(|module| module == needed))
                .collect();
            if missing.is_empty() {
                return ok("all that are needed run");
            }
            fail(
                format!("not running: {}", missing.join(", ")),
                format!(
                    "asterisk -rx 'module load {}', and remove its noload line from modules.conf",
                    missing[0]
                ),
            )
        }
    }
}

fn http(facts: &Facts) -> Finding {
    match asterisk(facts) {
        Err(why) => why,
        Ok(asterisk) => match (&asterisk.http_warning, &asterisk.files) {
            (Some(warning), _) => warn(
                warning.clone(),
                "edit http.conf, then: asterisk -rx 'module reload http'",
            ),
            (None, Some(Ok(_))) => ok("it listens where fed-node asks"),
            (None, _) => skipped("http.conf could not be read"),
        },
    }
}

fn wiring(facts: &Facts, files: &[&str]) -> Finding {
    let found = match asterisk(facts).map(|asterisk| &asterisk.files) {
        Err(why) => return why,
        Ok(None) => return skipped("Asterisk's files were not looked at"),
        Ok(Some(Err(why))) => return warn(why.clone(), "fed-node asterisk-config shows what is needed"),
        Ok(Some(Ok(found))) => found,
    };
    let missing: Vec<&str> = found
        .iter()
        .filter(|(file, missing)| *missing && files.contains(&file.as_str()))
        .map(|(file, _)| file.as_str())
        .collect();
    if missing.is_empty() {
        return ok(format!("{} have all that is needed", files.join(" and ")));
    }
    fail(
        format!(
            "something is missing in, or differs from what is needed in, {}",
            missing.join(" and ")
        ),
        "fed-node asterisk-config --write, then: systemctl restart asterisk",
    )
}

fn refreshes(facts: &Facts) -> Finding {
    const RELOAD: &str = "asterisk -rx 'module reload res_pjsip.so'";
    let asterisk = match asterisk(facts) {
        Ok(asterisk) => asterisk,
        Err(why) => return why,
    };
    if let Some(Ok(version)) = asterisk.version
        && !Capabilities::of_version(version).has(Feature::RefreshEvents)
    {
        return warn(
            format!("{version} cannot tell of refreshed registrations"),
            "upgrade to an LTS branch that is still mended (20 or 22), then: fed-node asterisk-config --write",
        );
    }
    // Sections that `asterisk-config` leaves alone: what is needed then is the administrator's to write.
    let by_hand = format!("{REFRESH_OPTION}=yes");
    let (seen, mend) = match &asterisk.refreshes {
        Some(Refreshes::SetOff { section }) => (
            format!("pjsip.conf sets {REFRESH_OPTION} off in [{section}]"),
            "set it to yes there, or take that line out and run: fed-node asterisk-config --write".to_owned(),
        ),
        Some(Refreshes::SeveralGlobals { sections }) => (
            format!(
                "pjsip.conf has several global objects ([{}]): Asterisk reads none of them, and fed-node adds to none",
                sections.join("], [")
            ),
            "make one of them, and run: fed-node asterisk-config --write".to_owned(),
        ),
        Some(Refreshes::SharedName { section }) => (
            format!(
                "pjsip.conf uses the name [{section}] for something else too, so fed-node does not add the line {by_hand}"
            ),
            format!("put {by_hand} into a section of type=global, under a name of its own"),
        ),
        Some(Refreshes::RunsPrograms) => (
            format!(
                "pjsip.conf runs programs (#exec), so fed-node does not add the line {by_hand}, and cannot see whether it is there"
            ),
            format!("put {by_hand} into the section of type=global in pjsip.conf itself"),
        ),
        Some(Refreshes::Told | Refreshes::ByBlock(_)) | None => {
            let found = wiring(facts, &["pjsip.conf"]);
            if found.grade != Grade::Fail {
                return found;
            }
            (
                "pjsip.conf does not have Asterisk tell of refreshed registrations".to_owned(),
                "fed-node asterisk-config --write".to_owned(),
            )
        }
    };
    warn(seen, format!("{mend}; then: {RELOAD}"))
}

/// A transport for phones and one that a dead redirect server is noticed by at once.
const TRANSPORTS: &str = "add transports to pjsip.conf ([transport-udp] type=transport protocol=udp bind=0.0.0.0, [transport-tcp] with protocol=tcp), \
     restart Asterisk, then fed-node";

fn sip(facts: &Facts) -> Finding {
    let (sip, modules) = match asterisk(facts) {
        Err(why) => return why,
        Ok(asterisk) => match &asterisk.sip {
            None => return skipped("it was not looked at"),
            Some(sip) => (sip, &asterisk.modules),
        },
    };
    let address = &sip.address;
    let older = matches!(modules, Some(Ok(running)) if running.iter().any(|module| module == "chan_sip.so"));
    match (sip.answers, &sip.has_transport) {
        (false, Ok(false)) => fail(
            format!("nothing answers SIP at {address}, and pjsip.conf has no transport: PJSIP listens nowhere"),
            match older {
                true => format!("noload => chan_sip.so in modules.conf, which has the port otherwise; {TRANSPORTS}"),
                false => TRANSPORTS.to_owned(),
            },
        ),
        (false, _) => warn(
            format!("nothing answers SIP at {address}, at least not when asked from this host"),
            "look where PJSIP listens (asterisk -rx 'pjsip show transports'), and set sip.advertise to where others reach that",
        ),
        (true, _) if older => warn(
            format!(
                "chan_sip runs beside PJSIP; what answers at {address} may be that one, which knows no device of the federation"
            ),
            "noload => chan_sip.so in modules.conf, unless it has a port of its own; restart Asterisk",
        ),
        (true, Ok(false)) => warn(
            format!("something answers SIP at {address}, but pjsip.conf has no transport"),
            TRANSPORTS,
        ),
        (true, _) => ok(format!("it answers at {address}")),
    }
}

fn transport(facts: &Facts) -> Finding {
    match asterisk(facts).map(|asterisk| &asterisk.redirect_over_tcp) {
        Err(why) => why,
        Ok(None) => skipped("it was not looked at"),
        Ok(Some((true, why))) => ok(format!("TCP: {why}")),
        Ok(Some((false, why))) => warn(
            format!("UDP: {why}"),
            "add a transport with protocol=tcp to pjsip.conf, restart Asterisk, then fed-node",
        ),
    }
}

fn bridge(facts: &Facts) -> Finding {
    if let Err(why) = asterisk(facts) {
        return why;
    }
    let Ok(node) = &facts.node else {
        return skipped("fed-node does not answer");
    };
    let status = node.status.asterisk.clone().unwrap_or_default();
    match (status.connected, status.trouble.as_str()) {
        (true, "") => ok("map and Asterisk are kept the same"),
        (true, trouble) => warn(trouble, "do what the text says; fed-node explain CODE has more"),
        (false, trouble) => fail(
            format!("not connected: {trouble}"),
            "do what the text says; fed-node explain CODE has more",
        ),
    }
}

fn drift(facts: &Facts) -> Finding {
    if let Err(why) = asterisk(facts) {
        return why;
    }
    match facts.node.as_ref().map(|node| &node.drift) {
        Err(_) => skipped("fed-node does not answer"),
        Ok(Err(why)) => skipped(why.clone()),
        Ok(Ok(0)) => ok("none"),
        Ok(Ok(differences)) => fail(
            format!("{differences} differences"),
            "fed-node drift --here shows them; if they stay for a minute: systemctl restart fed-node",
        ),
    }
}

#[cfg(test)]
mod tests {
    use fed_ari::stanzas::ConfigFile;

    use super::super::super::facts::testing::facts;
    use super::*;

    fn change(facts: &mut Facts, change: impl FnOnce(&mut AsteriskFacts)) {
        change(facts.asterisk.as_mut().unwrap());
    }

    #[test]
    fn a_healthy_asterisk_is_all_well() {
        let facts = facts();
        for check in CHECKS {
            let found = (check.judge)(&facts);
            assert_eq!(found.grade, Grade::Ok, "{}: {found:?}", check.name);
        }
    }

    #[test]
    fn versions_with_known_holes_and_ended_branches_are_named() {
        for (text, grade, word) in [
            ("22.10.1", Grade::Ok, ""),
            ("22.10.0", Grade::Warn, "read_only"),
            ("20.20.1", Grade::Ok, ""),
            ("16.28.0", Grade::Warn, "no security fixes"),
            ("24.0.0", Grade::Ok, ""),
        ] {
            let mut facts = facts();
            change(&mut facts, |asterisk| {
                asterisk.version = Some(Ok(text.parse().unwrap()))
            });
            let found = version(&facts);
            assert!(found.grade == grade && found.seen.contains(word), "{text}: {found:?}");
        }
    }

    #[test]
    fn an_asterisk_that_no_phone_can_reach_is_named() {
        let of = |answers: bool, has_transport: Result<bool, String>, more: &str| {
            let mut facts = facts();
            change(&mut facts, |asterisk| {
                let found = asterisk.sip.as_mut().unwrap();
                (found.answers, found.has_transport) = (answers, has_transport);
                let Some(Ok(running)) = &mut asterisk.modules else {
                    panic!("they are known");
                };
                running.push(more.to_owned());
            });
            sip(&facts)
        };
        for (found, grade, word) in [
            (of(true, Ok(true), ""), Grade::Ok, "192.0.2.1:5060"),
            (of(false, Ok(false), ""), Grade::Fail, "no transport"),
            (of(false, Ok(true), ""), Grade::Warn, "nothing answers"),
            (
                of(false, Err("unreadable".to_owned()), ""),
                Grade::Warn,
                "nothing answers",
            ),
            // As Debian's Asterisk 16 is after its installation.
            (of(true, Ok(false), "chan_sip.so"), Grade::Warn, "chan_sip"),
            (of(true, Ok(true), "chan_sip.so"), Grade::Warn, "chan_sip"),
            (of(true, Ok(false), ""), Grade::Warn, "no transport"),
        ] {
            assert!(found.grade == grade && found.seen.contains(word), "{found:?}");
        }
    }

    #[test]
    fn what_asterisk_lacks_is_named_with_the_command_that_mends_it() {
        let mut facts = facts();
        change(&mut facts, |asterisk| {
            asterisk.modules = Some(Ok(vec!["res_ari.so".to_owned()]));
            asterisk.files = Some(Ok(vec![
                ("sorcery.conf".to_owned(), true),
                ("pjsip.conf".to_owned(), true),
                ("ari.conf".to_owned(), false),
            ]));
            asterisk.may_write = Some(Err("status 403".to_owned()));
            asterisk.redirect_over_tcp = Some((false, "no TCP transport".to_owned()));
            asterisk.http_warning = Some("on every interface".to_owned());
        });
        assert!(modules(&facts).seen.contains("chan_pjsip.so"));
        let sorcery = wiring(&facts, &["sorcery.conf"]);
        assert!(
            sorcery.grade == Grade::Fail && sorcery.mend.contains("--write"),
            "{sorcery:?}"
        );
        assert_eq!(wiring(&facts, &["http.conf", "ari.conf"]).grade, Grade::Ok);
        let refreshes = refreshes(&facts);
        assert!(
            refreshes.grade == Grade::Warn && refreshes.mend.contains("res_pjsip.so"),
            "{refreshes:?}"
        );
        assert!(rights(&facts).mend.contains("read_only=no"));
        assert_eq!(transport(&facts).grade, Grade::Warn);
        assert_eq!(http(&facts).grade, Grade::Warn);
    }

    #[test]
    fn a_pjsip_conf_to_which_nothing_is_added_is_said_with_what_mends_it() {
        let judged = |pjsip: &str, version: &str| {
            let mut facts = facts();
            change(&mut facts, |asterisk| {
                asterisk.version = Some(Ok(version.parse().unwrap()));
                asterisk.refreshes = Some(Refreshes::of(&ConfigFile::parse(pjsip, |_| Vec::new())));
            });
            refreshes(&facts)
        };
        for (pjsip, seen, mend) in [
            (
                "[global]\ntype=global\nsend_contact_status_on_update_registration=no\n",
                "off in [global]",
                "set it to yes there",
            ),
            (
                "[one]\ntype=global\n[two]\ntype=global\nsend_contact_status_on_update_registration=yes\n",
                "several global objects ([one], [two])",
                "make one of them",
            ),
            (
                "[main]\ntype=transport\n[main]\ntype=global\n",
                "[main] for something else",
                "under a name of its own",
            ),
            ("#exec /usr/bin/more\n", "#exec", "in pjsip.conf itself"),
        ] {
            let found = judged(pjsip, "22.10.1");
            assert!(
                found.grade == Grade::Warn && found.seen.contains(seen) && found.mend.contains(mend),
                "{pjsip}: {found:?}"
            );
            assert!(found.mend.contains("module reload res_pjsip.so"), "{found:?}");
        }
        let told = "[global]\ntype=global\nsend_contact_status_on_update_registration=true\n";
        for fine in [told, "", "[global]\ntype=global\n"] {
            assert_eq!(judged(fine, "22.10.1").grade, Grade::Ok, "{fine}");
        }
        let old = judged("", "16.1.0");
        assert!(
            old.grade == Grade::Warn && old.seen.contains("16.1.0 cannot"),
            "{old:?}"
        );
    }

    #[test]
    fn an_asterisk_that_does_not_answer_is_broken_and_the_rest_is_not_guessed() {
        let mut facts = facts();
        change(&mut facts, |asterisk| {
            *asterisk = AsteriskFacts {
                version: Some(Err("refused".to_owned())),
                ..AsteriskFacts::default()
            };
        });
        assert_eq!(ari(&facts).grade, Grade::Fail);
        for judge in [rights, version, modules, http, sip, transport] {
            assert_eq!(judge(&facts).grade, Grade::Skipped);
        }
    }

    #[test]
    fn drift_and_faults_of_the_bridge_are_told() {
        let mut facts = facts();
        let node = facts.node.as_mut().unwrap();
        node.drift = Ok(3);
        node.status.asterisk.as_mut().unwrap().trouble = "PJSIP auth is missing".to_owned();
        assert_eq!(drift(&facts).grade, Grade::Fail);
        assert_eq!(bridge(&facts).grade, Grade::Warn);
        facts.node.as_mut().unwrap().status.asterisk.as_mut().unwrap().connected = false;
        assert_eq!(bridge(&facts).grade, Grade::Fail);
        facts.asterisk = None;
        assert_eq!(drift(&facts).grade, Grade::Skipped, "a node without an Asterisk");
    }
}
