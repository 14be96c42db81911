//! Everything the simulated Asterisk knows, behind one lock: objects, registrations, channels, applications, faults.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{
    SimVersion,
    announce::{self, App},
    channel::Channel,
    journal::Journal,
    object::{Object, Refusal},
    phone::PhoneScript,
    registrar::Binding,
};

/// What is to go wrong.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults {
    /// Every REST answer waits this long.
    pub(crate) delay: Duration,
    /// Events are dropped on their way out.
    pub(crate) lose_events: bool,
    /// Events wait here on their way out, with their sources.
    pub(crate) held_events: Option<Vec<(Vec<String>, Value)>>,
    /// The next calls with this in their method and path answer this status and do nothing.
    pub(crate) failures: Vec<(String, u16)>,
    /// The next registration that is written over ARI is one that the registrar is writing too, a moment later.
    pub(crate) renew_what_is_written: bool,
    /// No registration can be written over ARI.
    pub(crate) refuse_registrations: bool,
}

/// The state.
pub(crate) struct World {
    pub(crate) version: SimVersion,
    /// Types with a writable sorcery wizard.
    pub(crate) writable: HashSet<String>,
    pub(crate) objects: BTreeMap<(String, String), Object>,
    /// Registrations by the id of their contact object.
    pub(crate) bindings: BTreeMap<String, Binding>,
    /// Endpoints by their last announced state.
    pub(crate) online: BTreeMap<String, bool>,
    /// There has been an endpoint since it started: only then can those of the technology be subscribed together.
    pub(crate) knows_technology: bool,
    pub(crate) globals: HashMap<String, String>,
    pub(crate) channels: BTreeMap<String, Arc<Channel>>,
    pub(crate) apps: HashMap<String, App>,
    pub(crate) phones: HashMap<String, PhoneScript>,
    /// `send_contact_status_on_update_registration`.
    pub(crate) refresh_events: bool,
    /// Devices and contacts that rang, in order.
    pub(crate) rings: Vec<(String, String)>,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    pub(crate) started: SystemTime,
    pub(crate) sequence: u64,
}

impl World {
    pub(crate) fn new(version: SimVersion, writable: HashSet<String>) -> Self {
        Self {
            version,
            writable,
            objects: BTreeMap::new(),
            bindings: BTreeMap::new(),
            online: BTreeMap::new(),
            knows_technology: false,
            globals: HashMap::new(),
            channels: BTreeMap::new(),
            apps: HashMap::new(),
            phones: HashMap::new(),
            refresh_events: true,
            rings: Vec::new(),
            faults: Faults::default(),
            journal: Journal::default(),
            started: SystemTime::now(),
            sequence: 0,
        }
    }

    /// The next number of whatever needs one.
    pub(crate) fn next(&mut self) -> u64 {
        self.sequence += 1;
        self.sequence
    }

    /// An object of a type by id.
    pub(crate) fn object(&self, type_: &str, id: &str) -> Option<&Object> {
        self.objects.get(&(type_.to_owned(), id.to_owned()))
    }

    /// Creates the object or merges into it, as a PUT does, with all that follows for contacts and states.
    pub(crate) fn put(&mut self, type_: &str, id: &str, fields: &[(String, String)]) -> Result<(), Refusal> {
        let key = (type_.to_owned(), id.to_owned());
        let before: Vec<String> = self
            .objects
            .get(&key)
            .map(|o| o.values("contact").to_vec())
            .unwrap_or_default();
        let object = match self.objects.get(&key) {
            None => Object::create(self.version, type_, id, fields)?,
            Some(object) => {
                let mut merged = object.merge(self.version, id, fields)?;
                if type_ == "aor" {
                    // The trap: the copy that is merged into holds the live contacts, and they stay as static ones.
                    for uri in self.live_uris(id) {
                        merged.add_contact(&uri);
                    }
                }
                merged
            }
        };
        if !self.writable.contains(type_) {
            return Err(Refusal {
                status: 403,
                message: format!("Cannot create sorcery objects of type '{type_}'"),
            });
        }
        let added: Vec<String> = object
            .values("contact")
            .iter()
            .filter(|c| !before.contains(c))
            .cloned()
            .collect();
        let is_new_endpoint = type_ == "endpoint" && !self.objects.contains_key(&key);
        self.objects.insert(key, object);
        if is_new_endpoint {
            self.knows_technology = true;
            self.online.insert(id.to_owned(), false);
            for state in ["unknown", "offline"] {
                self.announce(&announce::endpoint_sources(id), &announce::endpoint_state(id, state));
            }
        }
        match type_ {
            "endpoint" => self.settle(id),
            "aor" => {
                for endpoint in self.endpoints_of(id) {
                    self.settle(&endpoint);
                    for uri in &added {
                        self.announce_contact(&endpoint, id, uri, "NonQualified");
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Removes an object; an aor takes its registrations with it, and tells of none.
    pub(crate) fn delete(&mut self, type_: &str, id: &str) -> bool {
        if type_ == "contact" {
            return self.remove_registration(id, true);
        }
        if self.objects.remove(&(type_.to_owned(), id.to_owned())).is_none() {
            return false;
        }
        match type_ {
            "endpoint" => {
                self.online.remove(id);
            }
            "aor" => {
                self.bindings.retain(|_, b| b.registration.aor != id);
                for endpoint in self.endpoints_of(id) {
                    self.settle(&endpoint);
                }
            }
            _ => {}
        }
        true
    }

    /// The aors of an endpoint, in their order.
    pub(crate) fn aors_of(&self, endpoint: &str) -> Vec<String> {
        let aors = self
            .object("endpoint", endpoint)
            .map(|o| o.value(self.version, "aors"))
            .unwrap_or_default();
        aors.split(',')
            .map(str::trim)
            .filter(|a| !a.is_empty())
            .map(str::to_owned)
            .collect()
    }

    /// The endpoints that list an aor.
    pub(crate) fn endpoints_of(&self, aor: &str) -> Vec<String> {
        self.online
            .keys()
            .filter(|e| self.aors_of(e).iter().any(|a| a == aor))
            .cloned()
            .collect()
    }

    /// All contacts of an aor, live ones first.
    pub(crate) fn contacts_of(&self, aor: &str) -> Vec<String> {
        let Some(object) = self.object("aor", aor) else {
            return Vec::new();
        };
        let mut contacts = self.live_uris(aor);
        contacts.extend(object.values("contact").iter().cloned());
        contacts
    }

    /// Announces what changed in an endpoint's reachability.
    pub(crate) fn settle(&mut self, endpoint: &str) {
        let online = self
            .aors_of(endpoint)
            .iter()
            .any(|aor| !self.contacts_of(aor).is_empty());
        let Some(was) = self.online.get_mut(endpoint) else {
            return;
        };
        if *was == online {
            return;
        }
        *was = online;
        let sources = announce::endpoint_sources(endpoint);
        self.announce(
            &sources,
            &announce::endpoint_state(endpoint, if online { "online" } else { "offline" }),
        );
        self.announce(&sources, &announce::peer_status(endpoint, online));
    }

    /// Announces a contact's state under its endpoint.
    pub(crate) fn announce_contact(&mut self, endpoint: &str, aor: &str, uri: &str, status: &str) {
        let online = self.online.get(endpoint).copied().unwrap_or(false);
        let event = announce::contact_status(endpoint, online, aor, uri, status);
        self.announce(&announce::endpoint_sources(endpoint), &event);
    }

    /// Announces the state of `PJSIP/{endpoint}`.
    pub(crate) fn announce_device(&mut self, endpoint: &str, state: &str) {
        let device = format!("PJSIP/{endpoint}");
        self.announce(
            &[format!("deviceState:{device}")],
            &announce::device_state(&device, state),
        );
    }

    /// Forgets a channel that has ended, and tells those who watch its endpoint.
    pub(crate) fn leave(&mut self, channel: &Channel) {
        if self.channels.remove(&channel.id).is_none() {
            return;
        }
        let mut sources = announce::endpoint_sources(channel.endpoint());
        sources.push(format!("channel:{}", channel.id));
        self.announce(&sources, &announce::channel_destroyed(channel));
    }

    /// Sends an event to every application that subscribed one of the sources.
    pub(crate) fn announce(&mut self, sources: &[String], event: &Value) {
        if self.faults.lose_events {
            return;
        }
        if let Some(held) = &mut self.faults.held_events {
            held.push((sources.to_vec(), event.clone()));
            return;
        }
        for (name, app) in &self.apps {
            app.offer(name, sources, event);
        }
    }

    /// What a restart of Asterisk forgets: memory objects, variables, channels, applications, and registrations whose contact was made a connection's. The
    /// others are in its database and come back with their aor.
    pub(crate) fn forget(&mut self) {
        let bindings = std::mem::take(&mut self.bindings).into_iter();
        self.bindings = bindings
            .filter(|(_, binding)| !self.ends_with_its_connection(&binding.registration))
            .collect();
        self.objects.clear();
        self.online.clear();
        self.knows_technology = false;
        self.globals.clear();
        for channel in std::mem::take(&mut self.channels).into_values() {
            channel.hang_up(0);
        }
        self.apps.clear();
        self.started = SystemTime::now();
    }
}
