//! Differences: what is registered at this Asterisk against what the map has here, and the commands that mend it. Pure.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use fed_core::{
    command::Command,
    ids::{ContactUri, DeviceId, NodeId, Revision, SessionId},
    kv::StoreError,
    map::MapView,
    records::Binding,
};

use super::observe::Registration;
use crate::client::Contact;

/// What a comparison found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// They mend it, in this order: of a device that may have one contact, the last one stands.
    pub(super) commands: Vec<Command>,
    /// Of devices with more contacts than may be, those of which nothing was told and that are not bound. One contact is being put in the place of
    /// another: at the next look the older one is gone.
    pub(super) unknown: BTreeSet<Registration>,
    /// Devices of which some of these are left out for now.
    pub(super) left_out: BTreeSet<DeviceId>,
    /// Those of these that are still there, beside as many of which something is known as may be: they are to be ended.
    pub(super) surplus: Vec<Registration>,
}

/// What makes the bindings of these devices at a node agree with their registrations. `seen` answers when a registration was seen happening
/// that could not be bound at the time; all others that are not bound here began after `began_after`. `stays` is true for what was
/// [unknown](Differences::unknown) at the last look too.
pub(super) fn differences(
    view: &MapView<'_>,
    (node, session): (NodeId, SessionId),
    asked: &BTreeSet<DeviceId>,
    contacts: &[Contact],
    seen: impl Fn(&DeviceId, &ContactUri) -> Option<Revision>,
    began_after: Option<Revision>,
    stays: impl Fn(&Registration) -> bool,
) -> Result<Differences, StoreError> {
    let here = |device: &DeviceId, contact: &ContactUri| -> Result<Option<Binding>, StoreError> {
        let mut bindings = view.bindings_of(device)?.into_iter().map(|binding| binding.value);
        Ok(bindings.find(|b| b.node == node && b.contact == *contact))
    };
    let is_known = |device: &DeviceId, contact: &ContactUri| -> Result<bool, StoreError> {
        Ok(here(device, contact)?.is_some() || seen(device, contact).is_some())
    };
    let crowded = crowded(view, contacts, is_known)?;
    let mut all = Differences::default();
    let mut binds = Vec::new();
    let mut registered: HashSet<Registration> = HashSet::new();
    for found in contacts {
        let Some((device, contact)) = registration(found) else {
            continue;
        };
        let same = here(&device, &contact)?;
        registered.insert((device.clone(), contact.clone()));
        let as_found = |b: &Binding| b.session == session && b.user_agent == found.user_agent && b.path == found.path;
        if same.as_ref().is_some_and(as_found) {
            continue;
        }
        let told = seen(&device, &contact);
        if let Some(full) = crowded.get(&device)
            && !is_known(&device, &contact)?
        {
            let unknown = (device.clone(), contact.clone());
            let stays = stays(&unknown);
            all.unknown.insert(unknown.clone());
            if !stays {
                all.left_out.insert(device);
                continue;
            }
            if *full {
                all.surplus.push(unknown);
                continue;
            }
        }
        // One that was bound here may have stood for long.
        let unseen = began_after.filter(|_| same.is_none());
        let bindings = view.bindings_of(&device)?;
        let basis = match told.or(unseen) {
            // It began after everything the map knows of the device elsewhere: this is the newer registration.
            Some(at) if bindings.iter().all(|b| b.value.node == node || b.created <= at) => Some(at),
            _ => None,
        };
        let (user_agent, path) = (found.user_agent.clone(), found.path.clone());
        let bind = Command::Bind {
            device,
            contact,
            node,
            session,
            basis,
            user_agent,
            path,
        };
        binds.push((told, bind));
    }
    // What was seen happening is newer than what was found.
    binds.sort_by_key(|(told, _)| *told);
    let mut unbound = BTreeSet::new();
    // Only of those that were asked for: the list of all may be older than this copy, and lack a device that is bound here.
    for device in asked {
        for binding in view.bindings_of(device)? {
            let key = (binding.value.device, binding.value.contact);
            if binding.value.node == node && !registered.contains(&key) {
                unbound.insert(key);
            }
        }
    }
    let unbinds = unbound
        .into_iter()
        .map(|(device, contact)| Command::Unbind { device, contact, node });
    all.commands = binds.into_iter().map(|(_, bind)| bind).chain(unbinds).collect();
    Ok(all)
}

/// Devices with more of these contacts than they may have, and whether there are as many already without those of which nothing is known. The
/// registrar takes a new one in before it lets the old one go.
fn crowded(
    view: &MapView<'_>,
    contacts: &[Contact],
    is_known: impl Fn(&DeviceId, &ContactUri) -> Result<bool, StoreError>,
) -> Result<BTreeMap<DeviceId, bool>, StoreError> {
    let mut found: BTreeMap<DeviceId, Vec<ContactUri>> = BTreeMap::new();
    for (device, contact) in contacts.iter().filter_map(registration) {
        found.entry(device).or_default().push(contact);
    }
    let mut crowded = BTreeMap::new();
    for (device, contacts) in found.into_iter().filter(|(_, contacts)| contacts.len() > 1) {
        let Some(record) = view.device(&device)? else { continue };
        let most = usize::from(record.value.max_contacts);
        if contacts.len() > most {
            let mut known = 0;
            for contact in &contacts {
                known += usize::from(is_known(&device, contact)?);
            }
            crowded.insert(device, known >= most);
        }
    }
    Ok(crowded)
}

fn registration(found: &Contact) -> Option<Registration> {
    Some((
        DeviceId::new(found.aor.as_str()).ok()?,
        ContactUri::new(found.uri.as_str()).ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use fed_core::{
        command::{Expect, Reply},
        ids::UserId,
        records::{Device, DigestCredentials, Node, NodeState, User},
    };

    use super::*;
    use crate::port::memory::MemoryMap;

    const HERE: NodeId = NodeId(1);
    const SEEN: Revision = Revision(1_000);

    /// Alice with a device that may have so many contacts, and a node.
    struct Case {
        map: MemoryMap,
        session: SessionId,
    }

    impl Case {
        fn new(max_contacts: u8) -> Self {
            let mut case = Self {
                map: MemoryMap::new(),
                session: SessionId(0),
            };
            let credentials = DigestCredentials {
                realm: "federated".into(),
                md5_ha1: "0".repeat(32),
            };
            let user = UserId::new("alice").expect("an id");
            case.done(Command::PutUser {
                user: User::new(user.clone()),
                expect: Expect::Any,
            });
            case.done(Command::PutDevice {
                device: Device {
                    max_contacts,
                    ..Device::new(alice(), user, credentials)
                },
                expect: Expect::Any,
            });
            case.done(Command::PutNode {
                node: Node {
                    id: HERE,
                    name: "n1".into(),
                    peer_address: "127.0.0.1:7401".into(),
                    client_address: "127.0.0.1:7400".into(),
                    sip_address: "127.0.0.1:5060".into(),
                    asterisk_version: None,
                    capabilities: Vec::new(),
                    state: NodeState::Up,
                    weight: 1,
                    zone: None,
                },
                expect: Expect::Any,
            });
            case.open();
            case
        }

        fn done(&self, command: Command) -> Reply {
            let reply = self.map.apply(command).reply;
            assert!(!matches!(reply, Reply::Refused(_)), "{reply:?}");
            reply
        }

        /// Every binding of before is one of a session that has ended.
        fn open(&mut self) {
            if self.session != SessionId(0) {
                self.done(Command::EndSession { session: self.session });
            }
            let Reply::SessionOpened { session } = self.done(Command::OpenSession { node: HERE }) else {
                panic!("no session")
            };
            self.session = session;
        }

        fn bound(&self, contact: &str) {
            self.done(Command::Bind {
                device: alice(),
                contact: uri(contact),
                node: HERE,
                session: self.session,
                basis: None,
                user_agent: None,
                path: None,
            });
        }

        /// What is bound, unbound (`-`) and ended (`x`) where these are found, and whether something is left out. Those with a `!` were seen, in this order.
        fn found(&self, contacts: &[&str], stays: bool) -> (Vec<String>, bool) {
            let snapshot = self.map.snapshot();
            let found: Vec<Contact> = contacts
                .iter()
                .map(|contact| listed(contact.trim_end_matches('!')))
                .collect();
            let seen = |_: &DeviceId, contact: &ContactUri| {
                let at = contacts.iter().position(|listed| *listed == format!("{contact}!"));
                at.map(|at| Revision(SEEN.0 + at as u64))
            };
            let asked = BTreeSet::from([alice()]);
            let who = (HERE, self.session);
            let differences = differences(&snapshot.view(), who, &asked, &found, seen, None, |_| stays).expect("reads");
            let shown = |command: &Command| match command {
                Command::Bind { contact, .. } => contact.to_string(),
                Command::Unbind { contact, .. } => format!("-{contact}"),
                other => panic!("{other:?}"),
            };
            let commands = differences.commands.iter().map(shown);
            let ended = differences.surplus.iter().map(|(_, contact)| format!("x{contact}"));
            (commands.chain(ended).collect(), !differences.left_out.is_empty())
        }
    }

    fn alice() -> DeviceId {
        DeviceId::new("alice").expect("an id")
    }

    fn uri(contact: &str) -> ContactUri {
        ContactUri::new(contact).expect("a contact")
    }

    fn listed(contact: &str) -> Contact {
        Contact {
            aor: "alice".into(),
            uri: contact.into(),
            expires_unix_s: None,
            via_address: None,
            via_port: None,
            path: None,
            user_agent: None,
            call_id: None,
        }
    }

    fn of(commands: &[&str], left_out: bool) -> (Vec<String>, bool) {
        (commands.iter().map(|text| (*text).to_owned()).collect(), left_out)
    }

    #[test]
    fn what_is_there_is_bound_and_what_is_not_is_unbound() {
        let mut case = Case::new(1);
        case.bound("sip:a@h");
        assert_eq!(case.found(&["sip:a@h"], false), of(&[], false));
        assert_eq!(case.found(&["sip:b@h"], false), of(&["sip:b@h", "-sip:a@h"], false));
        assert_eq!(case.found(&[], false), of(&["-sip:a@h"], false));
        case.open();
        assert_eq!(case.found(&["sip:a@h"], false), of(&["sip:a@h"], false), "confirmed");
    }

    #[test]
    fn what_was_seen_comes_after_what_was_only_found() {
        let case = Case::new(3);
        let found = case.found(&["sip:c@h!", "sip:b@h!", "sip:a@h"], false);
        assert_eq!(found, of(&["sip:a@h", "sip:c@h", "sip:b@h"], false));
    }

    #[test]
    fn of_too_many_only_those_are_bound_of_which_something_is_known() {
        let mut case = Case::new(1);
        let two = ["sip:a@h", "sip:b@h"];
        assert_eq!(case.found(&two, false), of(&[], true));
        assert_eq!(
            case.found(&two, true),
            of(&two, false),
            "they are there at the next look too"
        );
        let seen = ["sip:a@h!", "sip:b@h"];
        assert_eq!(case.found(&seen, false), of(&["sip:a@h"], true));
        assert_eq!(case.found(&seen, true), of(&["sip:a@h", "xsip:b@h"], false));
        case.bound("sip:a@h");
        assert_eq!(case.found(&two, false), of(&[], true), "the other one was confirmed");
        assert_eq!(case.found(&two, true), of(&["xsip:b@h"], false));
        // Asterisk was killed, and has an older one back.
        case.open();
        assert_eq!(case.found(&two, false), of(&["sip:a@h"], true));
        assert_eq!(case.found(&two, true), of(&["sip:a@h", "xsip:b@h"], false));
    }
}
