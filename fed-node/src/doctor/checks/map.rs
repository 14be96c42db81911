//! What the map holds: settings that nothing works without, names that lead nowhere or are Asterisk's own, phones at the addresses of trunks.

use fed_core::records::setting;

use super::super::{Check, Facts, Finding, Subject, fail, ok, skipped, warn};
use super::federation::node;

pub(super) static CHECKS: &[Check] = &[
    Check {
        name: "realm",
        on: Subject::Federation,
        why: "every password is bound to it: without it no device can be added",
        judge: |facts| set(facts, setting::REALM),
    },
    Check {
        name: "capability key",
        on: Subject::Federation,
        why: "it signs the targets of calls between nodes: without it they are all refused",
        judge: |facts| set(facts, setting::CAPABILITY_KEY),
    },
    Check {
        name: "references",
        on: Subject::Federation,
        why: "a call that is forwarded to nobody is refused, and its caller hears that there is no such number",
        judge: references,
    },
    Check {
        name: "names",
        on: Subject::Federation,
        why: "Asterisk's dialplan goes to extensions of these names by itself, at a hangup, a timeout or a fax tone: calls that nobody dialled may ring there, and calls to them be taken for something else",
        judge: names,
    },
    Check {
        name: "phones at trunks",
        on: Subject::Federation,
        why: "Asterisk tells who calls by the address first: at another server a phone there is taken for that trunk, and its REGISTER is answered 404",
        judge: phones_at_trunks,
    },
];

fn set(facts: &Facts, key: &str) -> Finding {
    match node(facts) {
        Err(why) => why,
        Ok(node) if node.settings.is_empty() => skipped("the settings could not be read"),
        Ok(node) if node.settings.iter().any(|setting| setting.key == key && setting.set) => ok("it is set"),
        Ok(_) => fail(
            "it is not set",
            "start the founding node: it writes it at its first start with a quorum",
        ),
    }
}

/// So many are told; the others are counted.
const TOLD: usize = 5;

fn references(facts: &Facts) -> Finding {
    let ends = match node(facts).map(|node| &node.loose_ends) {
        Err(why) => return why,
        Ok(Err(why)) => return skipped(why.clone()),
        Ok(Ok(ends)) => ends,
    };
    if ends.is_empty() {
        return ok("what users' forwards and preferences name is there");
    }
    warn(
        the_first(ends),
        "fed-node user set USER, with another value or \"\" for none; or add who is missing",
    )
}

fn names(facts: &Facts) -> Finding {
    let held = match node(facts).map(|node| &node.reserved_names) {
        Err(why) => return why,
        Ok(Err(why)) => return skipped(why.clone()),
        Ok(Ok(held)) => held,
    };
    if held.is_empty() {
        return ok("nobody has a name that the dialplan keeps for itself");
    }
    warn(
        the_first(held),
        "a device: fed-node device add NEW --user USER, set its phone to that, then fed-node device remove OLD; a user: fed-node user add NEW, then fed-node user remove OLD; a number: fed-node user set USER --number, with the others alone",
    )
}

fn phones_at_trunks(facts: &Facts) -> Finding {
    let phones = match node(facts).map(|node| &node.phones_at_trunks) {
        Err(why) => return why,
        Ok(Err(why)) => return skipped(why.clone()),
        Ok(Ok(phones)) => phones,
    };
    if phones.is_empty() {
        return ok("no phone is registered from the address of another server or SIP peer");
    }
    warn(
        the_first(phones),
        "fed-node setting set sip_peers, with the addresses of that software alone; a phone behind another server's address needs an address of its own",
    )
}

/// The first of them, and how many more.
fn the_first(all: &[String]) -> String {
    let mut seen = all.iter().take(TOLD).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > TOLD {
        seen.push_str(&format!("; and {} more", all.len() - TOLD));
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::super::super::facts::testing::facts;
    use super::super::super::{Grade, NodeFacts};
    use super::*;

    fn change(facts: &mut Facts, change: impl FnOnce(&mut NodeFacts)) {
        change(facts.node.as_mut().unwrap());
    }

    #[test]
    fn a_healthy_map_is_all_well() {
        let facts = facts();
        for check in CHECKS {
            let found = (check.judge)(&facts);
            assert_eq!(found.grade, Grade::Ok, "{}: {found:?}", check.name);
        }
    }

    #[test]
    fn missing_settings_are_broken() {
        let mut facts = facts();
        change(&mut facts, |node| {
            node.settings.retain(|setting| setting.key != setting::CAPABILITY_KEY);
        });
        assert_eq!(set(&facts, setting::CAPABILITY_KEY).grade, Grade::Fail);
        assert_eq!(set(&facts, setting::REALM).grade, Grade::Ok);
    }

    #[test]
    fn what_is_named_and_is_not_there_is_told_and_no_more_than_can_be_read() {
        let mut facts = facts();
        change(&mut facts, |node| {
            node.loose_ends = Ok((1..=7).map(|n| format!("user u{n} prefers node 9")).collect());
        });
        let found = references(&facts);
        assert_eq!(found.grade, Grade::Warn);
        assert!(
            found.seen.contains("u5 ") && found.seen.ends_with("and 2 more"),
            "{found:?}"
        );
        change(&mut facts, |node| node.loose_ends = Err("too many".to_owned()));
        assert_eq!(references(&facts).grade, Grade::Skipped);
    }

    #[test]
    fn who_has_a_name_of_the_dialplans_is_named() {
        let mut facts = facts();
        change(&mut facts, |node| {
            node.reserved_names = Ok(vec!["user fax".to_owned(), "device fax of user fax".to_owned()]);
        });
        let found = names(&facts);
        assert_eq!(found.grade, Grade::Warn);
        assert!(
            found.seen == "user fax; device fax of user fax" && found.mend.contains("fed-node device remove"),
            "{found:?}"
        );
        change(&mut facts, |node| node.reserved_names = Err("no answer".to_owned()));
        assert_eq!(names(&facts).grade, Grade::Skipped);
    }

    #[test]
    fn a_phone_at_the_address_of_a_trunk_is_named() {
        let mut facts = facts();
        change(&mut facts, |node| {
            node.phones_at_trunks = Ok(vec!["alice at n2".to_owned()])
        });
        let found = phones_at_trunks(&facts);
        assert!(found.grade == Grade::Warn && found.seen == "alice at n2", "{found:?}");
        change(&mut facts, |node| node.phones_at_trunks = Err("too many".to_owned()));
        assert_eq!(phones_at_trunks(&facts).grade, Grade::Skipped);
    }
}
