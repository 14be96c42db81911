//! Planning: from what Asterisk should hold and what it holds to ordered actions. Pure.
//!
//! Order decides everything: making an aor makes Asterisk fetch every endpoint there is, so all auths come first, then all aors, then all
//! endpoints, and each phase is finished before the next. An aor that phones are registered on is never written: the
//! live contacts would be copied into its static ones.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    client::{Capabilities, Feature, Fields, ObjectType},
    render::{Key, Object, attribute, is_redirect_aor, redirect_aor, same_meaning},
};

/// What Asterisk holds, as far as it was asked.
#[derive(Clone, Debug, Default)]
pub struct Actual {
    /// Objects read back; one that is not here does not exist.
    pub objects: BTreeMap<Key, Fields>,
    /// Aors that somebody is registered on.
    pub registered: BTreeSet<String>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write the whole object; nothing of another meaning is there, or a merge does no harm.
    Put(Object),
    /// Delete the object, then write it whole: its lists would add up.
    Replace(Object),
    /// Delete the object.
    Delete(Key),
}

impl Action {
    /// The object it is about.
    pub fn key(&self) -> Key {
        match self {
            Self::Put(object) | Self::Replace(object) => object.key(),
            Self::Delete(key) => key.clone(),
        }
    }
}

/// What to do, in phases: the actions of one phase may run at the same time, the next phase waits for all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// The phases, none empty.
    pub phases: Vec<Vec<Action>>,
    /// Aors that must change but that somebody is registered on: to be looked at again when the registration ends.
    pub postponed: Vec<Key>,
}

impl Plan {
    /// How many actions it has.
    pub fn len(&self) -> usize {
        self.phases.iter().map(Vec::len).sum()
    }

    /// True where nothing is to be done now.
    pub fn is_empty(&self) -> bool {
        self.phases.is_empty()
    }
}

const MAKING: [ObjectType; 4] = [
    ObjectType::Auth,
    ObjectType::Aor,
    ObjectType::Endpoint,
    ObjectType::Identify,
];

/// The actions that turn `actual` into `desired`. Objects that `actual` holds and `desired` lacks are deleted, so `actual` must
/// hold only objects of the federation.
pub fn plan(desired: &BTreeMap<Key, Object>, actual: &Actual, capabilities: &Capabilities) -> Plan {
    let mut plan = Plan::default();
    let mut add = |phase: Vec<Action>| {
        if !phase.is_empty() {
            plan.phases.push(phase);
        }
    };
    for kind in MAKING.into_iter().rev() {
        add(actual
            .objects
            .keys()
            .filter(|key| key.0 == kind && !desired.contains_key(*key))
            .map(|key| Action::Delete(key.clone()))
            .collect());
    }
    let mut postponed = Vec::new();
    let mut written = BTreeSet::new();
    for kind in MAKING {
        let mut phase = Vec::new();
        for (key, object) in desired.iter().filter(|(key, _)| key.0 == kind) {
            match actual.objects.get(key) {
                None => phase.push(Action::Put(object.clone())),
                Some(fields) if holds(object, fields, capabilities) && !follows(object, &written, capabilities) => {}
                Some(_) if kind == ObjectType::Aor && actual.registered.contains(&key.1) => postponed.push(key.clone()),
                // The static contacts of an aor and the addresses of an identify add up in a merge.
                Some(_) if matches!(kind, ObjectType::Aor | ObjectType::Identify) => {
                    phase.push(Action::Replace(object.clone()));
                }
                Some(_) => phase.push(Action::Put(object.clone())),
            }
        }
        written.extend(phase.iter().map(Action::key));
        add(phase);
    }
    plan.postponed = postponed;
    plan
}

/// Whether an endpoint is written because its redirect aor is. What says whether Asterisk goes after redirects changes with that aor's
/// contact, and where it cannot be read back nothing else would tell that it has changed.
fn follows(object: &Object, written: &BTreeSet<Key>, capabilities: &Capabilities) -> bool {
    object.kind == ObjectType::Endpoint
        && !capabilities.has(Feature::RedirectMethodReadable)
        // Rather once too often: what was written before a failure, or before this rule, may go after redirects still.
        && (written.contains(&(ObjectType::Aor, redirect_aor(&object.id))) || object.get("redirect_method") == Some("user"))
}

/// True where everything the object wants is there, by meaning; what this version cannot read back is taken as there.
pub fn holds(object: &Object, fields: &Fields, capabilities: &Capabilities) -> bool {
    differing(object, fields, capabilities).is_none()
}

/// The first attribute that Asterisk holds otherwise than wanted.
pub fn differing(object: &Object, fields: &Fields, capabilities: &Capabilities) -> Option<&'static str> {
    // Nobody registers on it: a contact that is not wanted was written when it was.
    let of_redirects = object.kind == ObjectType::Aor && is_redirect_aor(&object.id);
    if of_redirects
        && object.get("contact").is_none()
        && fields.get("contact").is_some_and(|contact| !contact.is_empty())
    {
        return Some("contact");
    }
    object.fields.iter().find_map(|(name, wanted)| {
        let known = attribute(object.kind, name)?;
        if known.readable_with.is_some_and(|feature| !capabilities.has(feature)) {
            return None;
        }
        let actual: Vec<&str> = fields.all(name).collect();
        (!same_meaning(known.meaning, wanted, &actual.join(","))).then_some(*name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::client::AsteriskVersion;

    fn capabilities(major: u16) -> Capabilities {
        Capabilities::of_version(AsteriskVersion::new(major, 28, 0))
    }

    fn object(kind: ObjectType, id: &str, fields: &[(&'static str, &str)]) -> Object {
        Object {
            kind,
            id: id.into(),
            fields: fields.iter().map(|(n, v)| (*n, (*v).to_owned())).collect(),
        }
    }

    fn device(id: &str, max: &str) -> Vec<Object> {
        vec![
            object(
                ObjectType::Endpoint,
                id,
                &[("aors", id), ("redirect_method", "uri_pjsip")],
            ),
            object(ObjectType::Aor, id, &[("max_contacts", max)]),
            object(ObjectType::Auth, id, &[("username", id)]),
        ]
    }

    fn desired(objects: Vec<Object>) -> BTreeMap<Key, Object> {
        objects.into_iter().map(|o| (o.key(), o)).collect()
    }

    fn written(objects: &[Object]) -> Actual {
        let fields = |o: &Object| Fields(o.fields.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect());
        Actual {
            objects: objects.iter().map(|o| (o.key(), fields(o))).collect(),
            registered: BTreeSet::new(),
        }
    }

    fn kinds(plan: &Plan) -> Vec<ObjectType> {
        plan.phases.iter().map(|phase| phase[0].key().0).collect()
    }

    #[test]
    fn all_auths_come_before_all_aors_before_all_endpoints() {
        let wanted = desired([device("alice", "1"), device("bob", "1")].concat());
        let plan = plan(&wanted, &Actual::default(), &capabilities(22));
        assert_eq!(kinds(&plan), [ObjectType::Auth, ObjectType::Aor, ObjectType::Endpoint]);
        assert!(plan.phases.iter().all(|phase| phase.len() == 2));
        for phase in &plan.phases {
            assert!(phase.iter().all(|action| action.key().0 == phase[0].key().0));
        }
    }

    #[test]
    fn deletes_go_the_other_way_round_and_first() {
        let actual = written(&device("bob", "1"));
        let plan = plan(&desired(device("alice", "1")), &actual, &capabilities(22));
        assert_eq!(
            kinds(&plan),
            [
                ObjectType::Endpoint,
                ObjectType::Aor,
                ObjectType::Auth,
                ObjectType::Auth,
                ObjectType::Aor,
                ObjectType::Endpoint
            ]
        );
        assert!(
            plan.phases[..3]
                .iter()
                .flatten()
                .all(|a| matches!(a, Action::Delete((_, id)) if id == "bob"))
        );
    }

    #[test]
    fn nothing_is_done_where_all_is_there() {
        let objects = device("alice", "1");
        let plan = plan(&desired(objects.clone()), &written(&objects), &capabilities(22));
        assert!(plan.is_empty() && plan.postponed.is_empty());
    }

    #[test]
    fn an_aor_with_a_registration_is_postponed_and_without_one_replaced() {
        let wanted = desired(device("alice", "2"));
        let mut actual = written(&device("alice", "1"));
        let free = plan(&wanted, &actual, &capabilities(22));
        assert!(
            matches!(&free.phases[..], [phase] if matches!(&phase[..], [Action::Replace(o)] if o.kind == ObjectType::Aor))
        );
        actual.registered.insert("alice".into());
        let held = plan(&wanted, &actual, &capabilities(22));
        assert!(held.is_empty());
        assert_eq!(held.postponed, [(ObjectType::Aor, "alice".to_owned())]);
    }

    #[test]
    fn a_field_that_cannot_be_read_back_counts_as_there() {
        let objects = device("alice", "1");
        let mut actual = written(&objects);
        let endpoint = actual.objects.get_mut(&(ObjectType::Endpoint, "alice".to_owned()));
        endpoint
            .expect("written")
            .0
            .retain(|(name, _)| name != "redirect_method");
        assert!(plan(&desired(objects.clone()), &actual, &capabilities(16)).is_empty());
        assert_eq!(plan(&desired(objects), &actual, &capabilities(22)).len(), 1);
    }

    #[test]
    fn a_redirect_aor_loses_its_contact_and_its_endpoint_is_written_where_it_cannot_be_read() {
        let (contact, none) = (&[("contact", "sip:alice@127.0.0.1:5070")], &[]);
        let endpoint = object(ObjectType::Endpoint, "alice", &[("redirect_method", "user")]);
        let wanted = desired(vec![object(ObjectType::Aor, "alice-fed", none), endpoint.clone()]);
        let there = written(&[object(ObjectType::Aor, "alice-fed", contact), endpoint]);
        let kinds = |version| {
            let plan = plan(&wanted, &there, &capabilities(version));
            let actions = plan.phases.iter().flatten().map(|action| action.key().0);
            actions.collect::<Vec<_>>()
        };
        assert_eq!(kinds(16), [ObjectType::Aor, ObjectType::Endpoint]);
        assert_eq!(kinds(22), [ObjectType::Aor]);
    }

    #[test]
    fn a_changed_identify_is_replaced_because_its_addresses_add_up() {
        let old = object(ObjectType::Identify, "fed-node-2", &[("match", "10.0.0.1")]);
        let new = object(ObjectType::Identify, "fed-node-2", &[("match", "10.0.0.2")]);
        let plan = plan(&desired(vec![new]), &written(&[old]), &capabilities(22));
        assert!(matches!(&plan.phases[..], [phase] if matches!(&phase[..], [Action::Replace(_)])));
    }
}
