//! What was seen: registrations that Asterisk told of and that are not bound yet, each with what the own copy of the map had applied when it came.

use std::collections::HashMap;

use fed_core::ids::{ContactUri, DeviceId, Revision};

use super::{
    link::ContactEvent,
    observe::{Observer, Registration, new_registration},
};

impl Observer {
    /// When a registration that is not bound yet was seen; `None` where it was not.
    pub(super) fn seen_at(&self, device: &DeviceId, contact: &ContactUri) -> Option<Revision> {
        self.seen.lock().get(&(device.clone(), contact.clone())).copied()
    }

    /// What is seen and not bound yet, for [`Observer::forget_seen`] when it has been dealt with.
    pub(super) fn all_seen(&self) -> HashMap<Registration, Revision> {
        self.seen.lock().clone()
    }

    /// Forgets these, except what was seen again since.
    pub(super) fn forget_seen(&self, settled: &HashMap<Registration, Revision>) {
        self.seen
            .lock()
            .retain(|registration, at| settled.get(registration) != Some(at));
    }

    /// Notes when a registration was seen that cannot be bound yet.
    pub(super) fn note(&self, event: &ContactEvent) {
        if let Some((device, contact)) = new_registration(event) {
            self.remember_seen(&device, &contact, event.at);
        }
    }

    /// True for a noted registration that a comparison has dealt with since.
    pub(super) fn is_settled(&self, event: &ContactEvent) -> bool {
        new_registration(event).is_some_and(|registration| !self.seen.lock().contains_key(&registration))
    }

    /// Forgets when a registration was seen, and says when: what is told of it from now on is another one.
    pub(super) fn unsee(&self, registration: &Registration) -> Option<Revision> {
        self.seen.lock().remove(registration)
    }

    /// Notes again what was forgotten.
    pub(super) fn see_again(&self, unseen: HashMap<Registration, Revision>) {
        let mut seen = self.seen.lock();
        for (registration, at) in unseen {
            let first = seen.entry(registration).or_insert(at);
            *first = at.min(*first);
        }
    }

    /// Notes that a registration is seen, and says when it was seen first.
    pub(super) fn remember_seen(&self, device: &DeviceId, contact: &ContactUri, at: Revision) -> Revision {
        *self.seen.lock().entry((device.clone(), contact.clone())).or_insert(at)
    }
}
