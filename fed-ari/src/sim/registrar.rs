//! The registrar: phones register, refresh, move away and expire.

use std::time::{Duration, SystemTime};

use super::{object::Object, world::World};
use crate::client::contact_id;

/// What a phone sends with REGISTER.
#[derive(Clone, Debug)]
pub struct Registration {
    /// Aor and endpoint, as the device's id.
    pub aor: String,
    /// The contact's URI.
    pub uri: String,
    /// How long it lasts.
    pub expires: Duration,
    /// What the phone calls itself.
    pub user_agent: String,
    /// Path headers.
    pub path: String,
    /// Address and port the REGISTER came from.
    pub via: (String, u16),
    /// The digest (HA1) that the phone knows; none = the right one.
    pub ha1: Option<String>,
}

/// A registration as the registrar keeps it.
#[derive(Clone, Debug)]
pub(crate) struct Binding {
    pub(crate) registration: Registration,
    /// When it expires.
    ends: SystemTime,
    /// Order of arrival.
    arrival: u64,
}

impl Registration {
    /// A registration for an hour with the right password.
    pub fn new(device: &str, uri: &str) -> Self {
        Self {
            aor: device.to_owned(),
            uri: uri.to_owned(),
            expires: Duration::from_secs(3600),
            user_agent: "sim phone".to_owned(),
            path: String::new(),
            via: ("127.0.0.1".to_owned(), 5060),
            ha1: None,
        }
    }

    /// Whether it came over a connection.
    fn is_connected(&self) -> bool {
        let lower = self.uri.to_ascii_lowercase();
        lower.contains(";transport=") && !lower.contains(";transport=udp")
    }

    fn id(&self) -> String {
        contact_id(&self.aor, &self.uri)
    }
}

/// The registrar's final answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// 200: bound, refreshed or unbound.
    Ok,
    /// 401 again and again: no such endpoint or credentials, or a wrong password.
    Unauthorized,
    /// 403: `max_contacts` reached and `remove_existing` off.
    Forbidden,
    /// 404: the endpoint has no aor of that name.
    NotFound,
}

impl World {
    /// URIs of the registrations of an aor, newest first.
    pub(crate) fn live_uris(&self, aor: &str) -> Vec<String> {
        let mut live: Vec<_> = self.bindings.values().filter(|b| b.registration.aor == aor).collect();
        live.sort_by_key(|b| std::cmp::Reverse(b.arrival));
        live.into_iter().map(|b| b.registration.uri.clone()).collect()
    }

    /// A REGISTER with its authentication. Expiry 0 unregisters. All events are out when this returns, as they are when a phone has its 200 OK.
    pub(crate) fn register(&mut self, new: Registration) -> RegisterOutcome {
        let (outcome, superseded) = self.take_in(new);
        self.let_go(&superseded);
        outcome
    }

    /// The first half of a REGISTER: the contact is there, and those that it takes the place of are too.
    pub(crate) fn take_in(&mut self, mut new: Registration) -> (RegisterOutcome, Vec<String>) {
        let done = |outcome| (outcome, Vec::new());
        // What has run out is cleared away before anything is looked at.
        self.expire(SystemTime::now());
        let device = new.aor.clone();
        if !self.authenticates(&device, new.ha1.as_deref()) {
            return done(RegisterOutcome::Unauthorized);
        }
        let Some(aor) = self
            .object("aor", &device)
            .filter(|_| self.aors_of(&device).contains(&device))
        else {
            return done(RegisterOutcome::NotFound);
        };
        let id = new.id();
        if new.expires.is_zero() {
            self.remove_registration(&id, true);
            return done(RegisterOutcome::Ok);
        }
        let number = |name: &str| aor.value(self.version, name).parse::<u64>().unwrap_or(0);
        let (minimum, maximum) = (number("minimum_expiration"), number("maximum_expiration"));
        let limit = number("max_contacts") as usize;
        let remove_existing = aor.value(self.version, "remove_existing") == "true";
        // Below a second only for tests that wait for an expiry; a real phone asks in whole seconds.
        if new.expires >= Duration::from_secs(1) {
            new.expires = Duration::from_secs(new.expires.as_secs().clamp(minimum, maximum.max(minimum)));
        }
        let ends = SystemTime::now() + new.expires;
        if let Some(known) = self.bindings.get_mut(&id) {
            known.ends = ends;
            let uri = new.uri.clone();
            known.registration = new;
            self.renewed(&device, &uri);
            return done(RegisterOutcome::Ok);
        }
        let others = self.live_uris(&device);
        if limit == 0 || (others.len() >= limit && !remove_existing) {
            return done(RegisterOutcome::Forbidden);
        }
        let arrival = self.next();
        let uri = new.uri.clone();
        self.bindings.insert(
            id,
            Binding {
                registration: new,
                ends,
                arrival,
            },
        );
        self.appeared(&device, &uri);
        let superseded = others.iter().skip(limit - 1).map(|old| contact_id(&device, old));
        (RegisterOutcome::Ok, superseded.collect())
    }

    /// The second half: these go.
    pub(crate) fn let_go(&mut self, superseded: &[String]) {
        for id in superseded {
            self.remove_registration(id, true);
        }
    }

    fn authenticates(&self, device: &str, ha1: Option<&str>) -> bool {
        let Some(endpoint) = self.object("endpoint", device) else {
            return false;
        };
        let name = endpoint.value(self.version, "auth");
        let Some(auth) = self.object("auth", &name) else {
            return false;
        };
        ha1.is_none_or(|ha1| ha1.eq_ignore_ascii_case(&auth.value(self.version, "md5_cred")))
    }

    fn appeared(&mut self, aor: &str, uri: &str) {
        for endpoint in self.endpoints_of(aor) {
            self.settle(&endpoint);
            self.announce_contact(&endpoint, aor, uri, "NonQualified");
            self.announce_device(&endpoint, "NOT_INUSE");
        }
    }

    /// A registration was written anew, by its phone or over ARI.
    fn renewed(&mut self, aor: &str, uri: &str) {
        if self.refresh_events {
            for endpoint in self.endpoints_of(aor) {
                self.announce_contact(&endpoint, aor, uri, "NonQualified");
            }
        }
    }

    /// A contact object written over ARI: made, a registration like any other, or these fields of it changed. `false` for fields that make none.
    pub(crate) fn write_registration(&mut self, id: &str, fields: &[(String, String)]) -> bool {
        let field = |name: &str| fields.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let ends = match field("expiration_time").map(str::parse) {
            Some(Ok(ends)) => Some(SystemTime::UNIX_EPOCH + Duration::from_secs(ends)),
            Some(Err(_)) => return false,
            None => None,
        };
        if let Some(known) = self.bindings.get_mut(id) {
            let before = known.ends;
            known.ends = ends.unwrap_or(before);
            let Registration { aor, uri, .. } = known.registration.clone();
            self.renewed(&aor, &uri);
            // A REGISTER whose contact the registrar had read before, and writes now.
            if std::mem::take(&mut self.faults.renew_what_is_written)
                && let Some(known) = self.bindings.get_mut(id)
            {
                known.ends = before;
                self.renewed(&aor, &uri);
            }
            return true;
        }
        let Some((aor, _)) = id.split_once(";@") else {
            return false;
        };
        let text = |name: &str| field(name).unwrap_or_default().to_owned();
        let (uri, Some(ends)) = (text("uri"), ends) else {
            return false;
        };
        if contact_id(aor, &uri) != id {
            return false;
        }
        let registration = Registration {
            aor: aor.to_owned(),
            uri: uri.clone(),
            expires: Duration::ZERO,
            user_agent: text("user_agent"),
            path: text("path"),
            via: (text("via_addr"), text("via_port").parse().unwrap_or(0)),
            ha1: None,
        };
        let arrival = self.next();
        let binding = Binding {
            registration,
            ends,
            arrival,
        };
        self.bindings.insert(id.to_owned(), binding);
        self.appeared(aor, &uri);
        true
    }

    /// Removes a registration by its id; `false` where there is none.
    pub(crate) fn remove_registration(&mut self, id: &str, announced: bool) -> bool {
        let Some(Binding { registration: gone, .. }) = self.bindings.remove(id) else {
            return false;
        };
        if announced {
            for endpoint in self.endpoints_of(&gone.aor) {
                self.settle(&endpoint);
                let online = self.online.get(&endpoint).copied().unwrap_or(false);
                self.announce_device(&endpoint, if online { "NOT_INUSE" } else { "UNAVAILABLE" });
                self.announce_contact(&endpoint, &gone.aor, &gone.uri, "Removed");
            }
        }
        true
    }

    /// Removes what has expired.
    pub(crate) fn expire(&mut self, now: SystemTime) {
        let ended: Vec<String> = self
            .bindings
            .iter()
            .filter(|(_, b)| b.ends <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in ended {
            self.remove_registration(&id, true);
        }
    }

    /// Whether a registration's contact is made that of its connection (`rewrite_contact`), which ends with Asterisk. Others survive, over
    /// TCP as well.
    pub(crate) fn ends_with_its_connection(&self, registration: &Registration) -> bool {
        let rewrites = |endpoint: &Object| endpoint.value(self.version, "rewrite_contact") == "true";
        registration.is_connected() && self.object("endpoint", &registration.aor).is_some_and(rewrites)
    }

    /// A contact object as ARI reads it.
    pub(crate) fn read_registration(&self, id: &str) -> Option<Vec<(String, String)>> {
        let Binding {
            registration: r,
            ends,
            arrival,
        } = self.bindings.get(id)?;
        let ends = ends
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default()
            .as_secs();
        let fields = [
            ("via_addr", r.via.0.clone()),
            ("via_port", r.via.1.to_string()),
            ("call_id", format!("sim-{arrival}")),
            ("reg_server", "sim".to_owned()),
            (
                "prune_on_boot",
                if self.ends_with_its_connection(r) { "yes" } else { "no" }.to_owned(),
            ),
            ("path", r.path.clone()),
            ("endpoint", r.aor.clone()),
            ("uri", r.uri.clone()),
            ("qualify_frequency", "0".to_owned()),
            ("user_agent", r.user_agent.clone()),
            ("expiration_time", ends.to_string()),
            ("outbound_proxy", String::new()),
        ];
        Some(
            fields
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    }
}
