//! A decision as channel variables, and the one question about registrations that it takes.
//!
//! What Asterisk has to dial for a device registered here is what `PJSIP_DIAL_CONTACTS` says at this moment; all of them are asked for in
//! one go, and a stage of which nothing is left is not written.

use std::collections::HashMap;

use fed_core::ids::{ContactUri, DeviceId};
use fed_core::route::StageCondition;

use super::{Decision, Leg, decide::Stage};

/// Stands between the answers to one combined question; no contact that is dialled holds it.
const SEPARATOR: char = '|';

/// Characters that one assignment may have; Asterisk cuts AGI commands at 2,047.
const LONGEST_ASSIGNMENT: usize = 1_500;

/// Variables to set, in order.
pub type Variables = Vec<(String, String)>;

/// The devices whose registrations must be asked for, without repetition.
pub fn devices(decision: &Decision) -> Vec<DeviceId> {
    let mut devices: Vec<DeviceId> = Vec::new();
    if let Decision::Dial { stages, .. } = decision {
        for leg in stages.iter().flat_map(|stage| &stage.legs) {
            if let Leg::Registered(device) = leg
                && !devices.contains(device)
            {
                devices.push(device.clone());
            }
        }
    }
    devices
}

/// The dialplan expression that answers for all of them.
pub fn question(devices: &[DeviceId]) -> String {
    let each: Vec<String> = devices
        .iter()
        .map(|d| format!("${{PJSIP_DIAL_CONTACTS({d},{d})}}"))
        .collect();
    each.join(&SEPARATOR.to_string())
}

/// The answer to [`question`], by device; a device with nothing to dial is left out. So is one that registered with something that
/// means more to `Dial` than a contact does: it chose the text itself, and would have the callers dial what its user may not. One with
/// the separator in it shifts the answers of those after it, which then are not theirs and are left out too.
pub fn contacts<'a>(devices: &'a [DeviceId], answer: &'a str) -> HashMap<&'a DeviceId, &'a str> {
    let answers = answer.split(SEPARATOR).map(str::trim);
    let registered = devices.iter().zip(answers).filter(|(_, dial)| !dial.is_empty());
    registered
        .filter(|(device, dial)| {
            let own = dial.split('&').all(|leg| is_contact_of(device, leg));
            if !own {
                tracing::warn!(%device, "registered with a contact that cannot be dialled safely: it is not called");
            }
            own
        })
        .collect()
}

/// Whether this is `PJSIP/<device>/<contact>`, and nothing else.
fn is_contact_of(device: &DeviceId, leg: &str) -> bool {
    let contact = leg
        .strip_prefix("PJSIP/")
        .and_then(|rest| rest.strip_prefix(device.as_str())?.strip_prefix('/'));
    contact.is_some_and(|contact| ContactUri::new(contact).is_ok())
}

/// A decision in the dialplan's words.
pub struct Told {
    /// What to set.
    pub set: Variables,
    /// The decision was to dial, and nobody it meant is registered here: by now the map may say something else.
    pub in_vain: bool,
}

/// A decision in the dialplan's words, with what Asterisk answered to the [`question`] about its devices.
pub fn told(decision: &Decision, devices: &[DeviceId], registered: &str) -> Told {
    let set = variables(decision, &contacts(devices, registered));
    let dials = set.iter().any(|(name, value)| name == "FED_ACTION" && value == "dial");
    Told {
        in_vain: matches!(decision, Decision::Dial { .. }) && !dials,
        set,
    }
}

/// The variables that tell the dialplan what to do.
pub fn variables(decision: &Decision, contacts: &HashMap<&DeviceId, &str>) -> Variables {
    match decision {
        Decision::Refuse { cause, .. } => refusal(*cause),
        Decision::Dial { stages, cause } => dialling(stages, contacts, *cause),
    }
}

fn refusal(cause: u8) -> Variables {
    vec![
        ("FED_CAUSE".into(), cause.to_string()),
        ("FED_ACTION".into(), "refuse".into()),
    ]
}

/// What became of a stage of the decision.
enum Fate {
    /// It is the stage of this number, from 1, in the dialplan.
    Written(usize),
    /// Nobody in it can be reached: the first stage that would follow no answer takes its place.
    Empty {
        after: Option<usize>,
        on: StageCondition,
        replaced: bool,
    },
    /// It can never be come to.
    Dropped,
}

fn dialling(stages: &[Stage], contacts: &HashMap<&DeviceId, &str>, cause: u8) -> Variables {
    let mut set = Variables::new();
    let mut fates: Vec<Fate> = Vec::with_capacity(stages.len());
    let mut written = 0;
    let mut order: Vec<String> = Vec::new();
    for (index, stage) in stages.iter().enumerate() {
        let Some((after, on)) = place(index, stage, &mut fates) else {
            fates.push(Fate::Dropped);
            continue;
        };
        let legs = legs(stage, contacts);
        if legs.is_empty() {
            fates.push(Fate::Empty {
                after,
                on,
                replaced: false,
            });
            continue;
        }
        written += 1;
        fates.push(Fate::Written(written));
        order.push(who(stage));
        set.push((format!("FED_DIAL_{written}"), legs.join("&")));
        set.push((format!("FED_TIMEOUT_{written}"), stage.timeout_s.to_string()));
        if let Some(after) = after {
            set.push((format!("FED_AFTER_{written}"), after.to_string()));
            set.push((format!("FED_ON_{written}"), statuses(on).into()));
        }
    }
    if written == 0 {
        return refusal(cause);
    }
    set.push(("FED_STAGES".into(), written.to_string()));
    if written > 1 {
        // A call that is asked about again while one of them rings goes on there if it is to be the same turn.
        set.push(("FED_ORDER".into(), order.join("|")));
    }
    set.push(("FED_CAUSE".into(), cause.to_string()));
    // Last: a call that is cut off halfway is not dialled halfway.
    set.push(("FED_ACTION".into(), "dial".into()));
    set
}

/// After which written stage, and on which of its ends, a stage comes; the one that begins comes after none.
fn place(index: usize, stage: &Stage, fates: &mut [Fate]) -> Option<(Option<usize>, StageCondition)> {
    if index == 0 {
        return Some((None, stage.on));
    }
    match fates.get_mut(stage.after)? {
        Fate::Written(number) => Some((Some(*number), stage.on)),
        Fate::Empty { after, on, replaced } if !*replaced && stage.on != StageCondition::Busy => {
            *replaced = true;
            Some((*after, *on))
        }
        Fate::Empty { .. } | Fate::Dropped => None,
    }
}

fn legs<'a>(stage: &'a Stage, contacts: &HashMap<&DeviceId, &'a str>) -> Vec<&'a str> {
    stage
        .legs
        .iter()
        .filter_map(|leg| match leg {
            Leg::There { dial, .. } => Some(dial.as_str()),
            Leg::Registered(device) => contacts.get(device).copied(),
        })
        .collect()
}

/// The devices of a stage, wherever they are.
fn who(stage: &Stage) -> String {
    let devices: Vec<&str> = stage.legs.iter().map(|leg| leg.device().as_str()).collect();
    devices.join("&")
}

/// The same in one assignment, where the values allow it: each assignment is a round trip of its own.
pub fn at_once(set: Variables) -> Variables {
    let plain = |value: &str| {
        !value.is_empty() && !value.contains([',', '"', '\\']) && value.trim() == value && closes_what_it_opens(value)
    };
    let length: usize = set.iter().map(|(name, value)| name.len() + value.len() + 2).sum();
    if length > LONGEST_ASSIGNMENT || !set.iter().all(|(_, value)| plain(value)) {
        return set;
    }
    let names: Vec<&str> = set.iter().map(|(name, _)| name.as_str()).collect();
    let values: Vec<&str> = set.iter().map(|(_, value)| value.as_str()).collect();
    vec![(format!("ARRAY({})", names.join(",")), values.join(","))]
}

/// Whether Asterisk is outside of all brackets after this value: to it no comma within one ends a value.
fn closes_what_it_opens(value: &str) -> bool {
    let depth = |open: char, close: char| {
        value.chars().fold(0_usize, |depth, c| match c {
            c if c == open => depth + 1,
            c if c == close => depth.saturating_sub(1),
            _ => depth,
        })
    };
    depth('(', ')') == 0 && depth('[', ']') == 0
}

/// The values of DIALSTATUS that a condition fits.
const fn statuses(on: StageCondition) -> &'static str {
    match on {
        StageCondition::Always => "BUSY NOANSWER CHANUNAVAIL CONGESTION",
        StageCondition::Busy => "BUSY",
        StageCondition::NoAnswer => "NOANSWER CHANUNAVAIL CONGESTION",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(id: &str) -> DeviceId {
        DeviceId::new(id).expect("an id")
    }

    fn stage(legs: Vec<Leg>, after: usize, on: StageCondition) -> Stage {
        Stage {
            legs,
            timeout_s: 30,
            after,
            on,
        }
    }

    fn registered(id: &str) -> Leg {
        Leg::Registered(device(id))
    }

    fn get<'a>(set: &'a Variables, name: &str) -> Option<&'a str> {
        set.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    #[test]
    fn local_legs_are_what_asterisk_says_and_empty_ones_are_skipped() {
        let decision = Decision::Dial {
            stages: vec![stage(
                vec![
                    registered("a"),
                    Leg::There {
                        device: device("b"),
                        dial: "PJSIP/fed-node-2/sip:b~x@h:5060".into(),
                    },
                    registered("c"),
                ],
                0,
                StageCondition::Always,
            )],
            cause: 20,
        };
        let devices = devices(&decision);
        assert_eq!(
            question(&devices),
            "${PJSIP_DIAL_CONTACTS(a,a)}|${PJSIP_DIAL_CONTACTS(c,c)}"
        );
        let contacts = contacts(&devices, "PJSIP/a/sip:a@1:2|");
        let set = variables(&decision, &contacts);
        assert_eq!(
            get(&set, "FED_DIAL_1"),
            Some("PJSIP/a/sip:a@1:2&PJSIP/fed-node-2/sip:b~x@h:5060")
        );
        assert_eq!(get(&set, "FED_STAGES"), Some("1"));
        assert_eq!(get(&set, "FED_ORDER"), None);
        assert_eq!(
            set.last().map(|(n, v)| (n.as_str(), v.as_str())),
            Some(("FED_ACTION", "dial"))
        );
    }

    #[test]
    fn a_phone_that_registers_with_more_than_a_contact_is_not_called() {
        let devices = ["a", "b"].map(|id| DeviceId::new(id).expect("an id"));
        let good = "PJSIP/a/sip:a@192.0.2.1:5060;transport=tcp&PJSIP/a/sip:a@[2001:db8::1];ob";
        let both = format!("{good}|PJSIP/b/sip:b@192.0.2.2");
        assert_eq!(contacts(&devices, &both).len(), 2);
        for bad in [
            "PJSIP/a/sip:a&Local/900@out",
            "PJSIP/a/sip:a@192.0.2.1&Local/900@out",
            "PJSIP/a/sip:a@192.0.2.1,30,U(x)",
            "PJSIP/a/sip:${X}@h",
            "PJSIP/a/sip:a@192.0.2.1;x=[",
            "PJSIP/a/sip:a(@192.0.2.1",
            "PJSIP/out/sip:900@h",
            "PJSIP/ab/sip:a@h",
            "sip:a@h",
        ] {
            let answer = format!("{bad}|PJSIP/b/sip:b@192.0.2.2");
            let found = contacts(&devices, &answer);
            assert!(
                !found.contains_key(&devices[0]) && found.contains_key(&devices[1]),
                "{bad}"
            );
        }
        // The separator in a contact: nobody is called by what is another's.
        let shifted = contacts(&devices, "PJSIP/a/sip:x|PJSIP/b/sip:900@out@h|PJSIP/b/sip:b@h");
        assert!(!shifted.contains_key(&devices[1]), "{shifted:?}");
    }

    #[test]
    fn variables_are_set_at_once_unless_a_value_would_come_apart() {
        let set = |value: &str| vec![("A".to_owned(), "1".to_owned()), ("B".to_owned(), value.to_owned())];
        assert_eq!(at_once(set("x&y z")), [("ARRAY(A,B)".to_owned(), "1,x&y z".to_owned())]);
        assert_eq!(at_once(set("a@[::1]:5060")).len(), 1);
        for value in ["x,y", "x\"y", "x\\y", "", " x", "x[", "x(", "][", "[x", "([)"] {
            assert_eq!(at_once(set(value)), set(value), "{value:?}");
        }
        assert_eq!(at_once(set(&"x".repeat(2_000))).len(), 2);
    }

    #[test]
    fn a_call_with_nothing_left_to_dial_is_refused() {
        let decision = Decision::Dial {
            stages: vec![stage(vec![registered("a")], 0, StageCondition::Always)],
            cause: 20,
        };
        let set = variables(&decision, &HashMap::new());
        assert_eq!(get(&set, "FED_ACTION"), Some("refuse"));
        assert_eq!(get(&set, "FED_CAUSE"), Some("20"));
    }

    #[test]
    fn an_empty_stage_gives_its_place_to_the_one_that_follows_no_answer() {
        let decision = Decision::Dial {
            stages: vec![
                stage(vec![registered("a")], 0, StageCondition::Always),
                stage(vec![registered("busy")], 0, StageCondition::Busy),
                stage(vec![registered("b")], 0, StageCondition::NoAnswer),
                stage(vec![registered("c")], 2, StageCondition::Busy),
                stage(vec![registered("d")], 1, StageCondition::Always),
            ],
            cause: 20,
        };
        let ids = ["busy", "b", "c", "d"].map(device);
        let set = variables(
            &decision,
            &ids.iter()
                .zip(["PJSIP/busy", "PJSIP/b", "PJSIP/c", "PJSIP/d"])
                .collect(),
        );
        assert_eq!(get(&set, "FED_DIAL_1"), Some("PJSIP/b"));
        assert_eq!(get(&set, "FED_DIAL_2"), Some("PJSIP/c"));
        assert_eq!(
            (get(&set, "FED_AFTER_2"), get(&set, "FED_ON_2")),
            (Some("1"), Some("BUSY"))
        );
        assert_eq!(get(&set, "FED_STAGES"), Some("2"));
        assert_eq!(get(&set, "FED_ORDER"), Some("b|c"), "whose turn it is");
    }
}
