//! Who comes back: what tells a refresh from a registration that the map must hear of, and a registration that a deletion took along from one
//! that is gone.
//!
//! A phone that leaves a server and registers there again, with the same contact, before the bridge has deleted the old one, has refreshed
//! it. Asterisk tells of that in the words of a new registration (`send_contact_status_on_update_registration`), and before it tells of the
//! deletion: then what was deleted is put back. It uses the same words for what this bridge writes itself, and under load now and then for
//! what has just gone.

use std::{
    collections::{HashMap, HashSet},
    time::{Duration, Instant},
};

use fed_core::ids::{DeviceId, Revision};
use parking_lot::Mutex;

use super::observe::Registration;
use crate::client::{Fields, has_run_out};

/// Answers remembered before those that the own copy has caught up with are forgotten.
const MANY: usize = 4_096;

/// Words of a registration are doubtful for so long after Asterisk told that it is gone: seen were 7 ms.
const DOUBT: Duration = Duration::from_millis(500);

/// What this bridge has just done to its devices.
#[derive(Default)]
pub(super) struct Returns {
    answered: Mutex<Answered>,
    deleted: Mutex<HashMap<Registration, Deleted>>,
    /// Registrations that this bridge wrote: Asterisk tells of each once, and it is no news.
    written: Mutex<HashMap<Registration, usize>>,
    doubts: Mutex<Doubts>,
}

/// Asterisk told of registrations that they are gone, and after that that they are there.
#[derive(Default)]
struct Doubts {
    gone: HashMap<Registration, Instant>,
    told: HashSet<Registration>,
}

impl Doubts {
    fn forget(&mut self, registration: &Registration) {
        self.gone.remove(registration);
        self.told.remove(registration);
    }
}

#[derive(Default)]
struct Answered {
    at: HashMap<DeviceId, Revision>,
    /// How many are there before they are looked through again.
    most: usize,
}

/// A registration that is being deleted, until Asterisk has told that it is gone.
struct Deleted {
    fields: Fields,
    /// Asterisk told that it was refreshed meanwhile.
    refreshed: bool,
}

impl Returns {
    /// Notes up to where the map has answered what this bridge proposed for a device; `None` where it did not answer.
    pub(super) fn answered(&self, device: &DeviceId, at: Option<Revision>, applied: Revision) {
        let mut answered = self.answered.lock();
        answered.at.insert(device.clone(), at.unwrap_or(Revision(u64::MAX)));
        if answered.at.len() > answered.most.max(MANY) {
            answered.at.retain(|_, at| *at > applied);
            answered.most = 2 * answered.at.len();
        }
    }

    /// True where a copy of the map that has applied this much may lack what this bridge itself proposed for the device.
    pub(super) fn is_behind(&self, device: &DeviceId, applied: Revision) -> bool {
        self.answered.lock().at.get(device).is_some_and(|at| *at > applied)
    }

    /// A deletion begins, or another attempt at it. What an earlier one has made run out is kept as it was before.
    pub(super) fn deleting(&self, registration: Registration, fields: Fields) {
        self.doubts.lock().forget(&registration);
        let mut deleted = self.deleted.lock();
        let earlier = deleted.remove(&registration);
        let refreshed = earlier.as_ref().is_some_and(|earlier| earlier.refreshed);
        let fields = match earlier {
            Some(earlier) if has_run_out(&fields) => earlier.fields,
            _ => fields,
        };
        deleted.insert(registration, Deleted { fields, refreshed });
    }

    /// It stands after all: nothing is lost.
    pub(super) fn stands(&self, registration: &Registration) {
        self.deleted.lock().remove(registration);
    }

    /// Asterisk told of the registration as of a new one.
    pub(super) fn registered(&self, registration: &Registration) {
        if let Some(deleted) = self.deleted.lock().get_mut(registration) {
            deleted.refreshed = true;
        }
    }

    /// Asterisk told that the registration is gone, or it was not deleted after all.
    pub(super) fn gone(&self, registration: &Registration) {
        let mut deleted = self.deleted.lock();
        if deleted.get(registration).is_some_and(|deleted| !deleted.refreshed) {
            deleted.remove(registration);
        }
    }

    /// What a deletion took along although it had been refreshed, once.
    pub(super) fn take_lost(&self, registration: &Registration) -> Option<Fields> {
        let mut deleted = self.deleted.lock();
        let deleted = deleted
            .get(registration)
            .is_some_and(|deleted| deleted.refreshed)
            .then(|| deleted.remove(registration));
        deleted.flatten().map(|deleted| deleted.fields)
    }

    /// This bridge writes the registration itself; `false` where it did not come to that.
    pub(super) fn writing(&self, registration: &Registration, begins: bool) {
        let mut written = self.written.lock();
        let times = written.entry(registration.clone()).or_default();
        *times = if begins { *times + 1 } else { times.saturating_sub(1) };
        tracing::trace!(device = %registration.0, contact = %registration.1, times, begins, "words of this bridge's own");
        if *times == 0 {
            written.remove(registration);
        }
    }

    /// True for the event of a registration that this bridge's own writing causes, once for each. Which of two is which does not matter.
    pub(super) fn is_own(&self, registration: &Registration) -> bool {
        let there = self.written.lock().contains_key(registration);
        if there {
            self.writing(registration, false);
        }
        there
    }

    /// Asterisk told that the registration is gone: of what was written before, it has told, or does not tell at all (refreshes, where they are not told).
    pub(super) fn was_removed(&self, registration: &Registration) {
        self.written.lock().remove(registration);
        let (now, mut doubts) = (Instant::now(), self.doubts.lock());
        doubts.gone.retain(|_, at| now.duration_since(*at) < DOUBT);
        doubts.gone.insert(registration.clone(), now);
    }

    /// Asterisk told that the registration is there.
    pub(super) fn told(&self, registration: &Registration) {
        let mut doubts = self.doubts.lock();
        if doubts.gone.get(registration).is_some_and(|at| at.elapsed() < DOUBT) {
            doubts.told.insert(registration.clone());
        }
    }

    /// True, once, where that was told of one that had just gone: whether it is there must be looked at.
    pub(super) fn is_doubtful(&self, registration: &Registration) -> bool {
        self.doubts.lock().told.remove(registration)
    }

    /// Forgets what was expected of a link that is gone.
    pub(super) fn link_lost(&self) {
        self.deleted.lock().clear();
        self.written.lock().clear();
        *self.doubts.lock() = Doubts::default();
    }
}

#[cfg(test)]
mod tests {
    use fed_core::ids::ContactUri;

    use super::*;

    fn alice() -> Registration {
        let contact = ContactUri::new("sip:alice@127.0.0.1:6001").expect("a contact");
        (DeviceId::new("alice").expect("an id"), contact)
    }

    #[test]
    fn a_copy_is_behind_until_it_has_what_was_answered() {
        let (returns, (alice, _)) = (Returns::default(), alice());
        assert!(!returns.is_behind(&alice, Revision(0)), "nothing was proposed");
        returns.answered(&alice, Some(Revision(7)), Revision(6));
        assert!(returns.is_behind(&alice, Revision(6)));
        assert!(!returns.is_behind(&alice, Revision(7)));
        returns.answered(&alice, None, Revision(7));
        assert!(
            returns.is_behind(&alice, Revision(1_000)),
            "what was not answered may come at any time"
        );
        returns.answered(&alice, Some(Revision(9)), Revision(7));
        assert!(!returns.is_behind(&alice, Revision(9)));
    }

    #[test]
    fn only_what_was_refreshed_before_it_was_gone_is_lost() {
        let (returns, alice) = (Returns::default(), alice());
        returns.deleting(alice.clone(), Fields::default());
        returns.gone(&alice);
        returns.registered(&alice);
        assert!(
            returns.take_lost(&alice).is_none(),
            "registered anew after the deletion"
        );
        returns.deleting(alice.clone(), Fields::default());
        returns.registered(&alice);
        returns.gone(&alice);
        assert!(returns.take_lost(&alice).is_some());
        assert!(returns.take_lost(&alice).is_none(), "once");
    }

    #[test]
    fn the_word_of_what_was_made_to_run_out_is_no_refresh() {
        let (returns, alice) = (Returns::default(), alice());
        returns.deleting(alice.clone(), Fields::default());
        returns.writing(&alice, true);
        assert!(returns.is_own(&alice));
        assert!(!returns.is_own(&alice), "a second word is the phone's");
        returns.registered(&alice);
        returns.deleting(alice.clone(), Fields::default());
        returns.writing(&alice, true);
        returns.was_removed(&alice);
        returns.gone(&alice);
        assert!(!returns.is_own(&alice), "what comes after it is gone is the phone's");
        assert!(returns.take_lost(&alice).is_some(), "a second attempt forgets nothing");
        returns.deleting(alice.clone(), Fields::default());
        returns.registered(&alice);
        returns.stands(&alice);
        assert!(returns.take_lost(&alice).is_none());
    }

    #[test]
    fn what_an_attempt_made_run_out_is_put_back_as_it_was_before() {
        let (returns, alice) = (Returns::default(), alice());
        let expires_at = |at: &str| Fields(vec![("expiration_time".to_owned(), at.to_owned())]);
        returns.deleting(alice.clone(), expires_at("1800000000"));
        returns.deleting(alice.clone(), expires_at("1"));
        returns.registered(&alice);
        assert_eq!(returns.take_lost(&alice), Some(expires_at("1800000000")));
        returns.deleting(alice.clone(), expires_at("1800000000"));
        returns.deleting(alice.clone(), expires_at("1900000000"));
        returns.registered(&alice);
        assert_eq!(returns.take_lost(&alice), Some(expires_at("1900000000")), "renewed");
    }

    #[test]
    fn what_this_bridge_wrote_is_no_news_once() {
        let (returns, alice) = (Returns::default(), alice());
        returns.writing(&alice, true);
        assert!(returns.is_own(&alice));
        assert!(!returns.is_own(&alice));
        returns.writing(&alice, true);
        returns.writing(&alice, false);
        assert!(!returns.is_own(&alice), "it was not written after all");
    }
}
