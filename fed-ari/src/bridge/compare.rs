//! Comparing until it succeeds, while phones go on registering.

use std::collections::{HashMap, HashSet};

use tokio::sync::mpsc;

use super::{
    BridgeFault, Phase,
    link::{ContactEvent, Life, PAUSES, continue_after},
    observe::new_registration,
    resync::{ResyncError, resync},
};
use crate::{client::ContactStatus, render::is_redirect_aor};

/// What phones did while something was compared, to be followed after.
#[derive(Default)]
struct Missed {
    events: Vec<ContactEvent>,
    /// The last word of each contact.
    last: HashMap<(String, String), ContactEvent>,
    /// Aors of which a contact went that this bridge had ended.
    ended: HashSet<String>,
}

impl Missed {
    /// Keeps it, if anything is to be learnt from it: cut off from the map this may last for hours, in which every phone refreshes.
    fn keep(&mut self, event: ContactEvent) {
        let tells_nothing = matches!(event.status, ContactStatus::Unreachable | ContactStatus::Unknown);
        if tells_nothing || is_redirect_aor(&event.aor) {
            return;
        }
        let is_there = |event: &ContactEvent| event.status != ContactStatus::Removed;
        let last = self.last.insert((event.aor.clone(), event.uri.clone()), event.clone());
        if !last.is_some_and(|last| is_there(&last) && is_there(&event) && last.at == event.at) {
            self.events.push(event);
        }
    }

    /// What the comparison has not settled.
    fn unsettled(self, is_settled: impl Fn(&ContactEvent) -> bool) -> Unsettled {
        let mut contacts = HashSet::new();
        let mut words: Vec<ContactEvent> = self.events.into_iter().rev().collect();
        // A word before the last would bind a contact that is gone, over the one that the comparison has found.
        words.retain(|event| contacts.insert((event.aor.clone(), event.uri.clone())));
        let mut left = Unsettled {
            unclear: self.ended,
            ..Unsettled::default()
        };
        let mut found = HashSet::new();
        for event in words {
            if is_settled(&event) {
                found.insert(event.aor);
            } else if found.contains(&event.aor) {
                left.unclear.insert(event.aor);
            } else {
                left.words.push(event);
            }
        }
        left.words.reverse();
        left
    }
}

/// What is left to do of what phones did while something was compared.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unsettled {
    /// To be followed, in order: the last words of contacts of which nothing later of their device was settled.
    pub(super) words: Vec<ContactEvent>,
    /// Of these something was told before what was settled. Followed it would put an older contact over the one that was found, or the found one, if
    /// followed as well, over what another node has bound since: they are looked at.
    pub(super) unclear: HashSet<String>,
}

impl Life {
    /// Keeps what a phone did meanwhile, and answers whether it did anything.
    fn miss(&self, missed: &mut Missed, event: &ContactEvent) -> bool {
        if self.observer.is_own(event) {
            return false;
        }
        if let Some(registration) = new_registration(event) {
            self.observer.returns.registered(&registration);
        }
        // Its removal is expected once. Only the last word of a contact will be followed, and that may be a later registration.
        if self.observer.is_own_end(event) {
            missed.ended.insert(event.aor.clone());
            return false;
        }
        missed.keep(event.clone());
        true
    }

    /// Compares what is to be compared until that succeeds. Only an Asterisk that answers nothing is a reason to give up.
    ///
    /// Begins when all steps under way are done. Cut off from the map this lasts as long as that; what phones do meanwhile is noted with the
    /// moment it was told, so that the comparison can tell a registration that is new from one that is old. The events that it has not
    /// settled are given back, to be followed after.
    pub(super) async fn compare(
        &self,
        contacts: &mut mpsc::UnboundedReceiver<ContactEvent>,
    ) -> Result<Unsettled, BridgeFault> {
        let mut missed = Missed::default();
        let _held = self.observer.hold_looks();
        loop {
            tokio::select! {
                biased;
                Some(event) = contacts.recv() => drop(self.miss(&mut missed, &event)),
                () = self.observer.settle() => break,
            }
        }
        // Not before: a step that was under way would forget what is noted of its device.
        for event in &missed.events {
            self.observer.note(event);
        }
        self.status.send_modify(|status| status.phase = Phase::Reconciling);
        let attempts = self.compare_until_done();
        tokio::pin!(attempts);
        loop {
            tokio::select! {
                biased;
                Some(event) = contacts.recv() => {
                    if self.miss(&mut missed, &event) {
                        self.observer.note(&event);
                    }
                }
                done = &mut attempts => {
                    done?;
                    return Ok(missed.unsettled(|event| self.observer.is_settled(event)));
                }
            }
        }
    }

    async fn compare_until_done(&self) -> Result<(), BridgeFault> {
        let mut pause = PAUSES.0;
        loop {
            // Looked at anew for each attempt: another device may have failed meanwhile.
            let mut extent = self.observer.to_compare();
            let result = resync(&self.observer, &mut extent).await;
            if result.is_err() {
                self.observer.compare_later(extent);
            }
            let fault = match result {
                Ok(()) => {
                    self.status.send_modify(|status| {
                        status.phase = Phase::Up;
                        status.session = self.observer.session();
                        status.counts = self.observer.counts();
                        status.faults.retain(|fault| fault.object().is_some());
                    });
                    return Ok(());
                }
                Err(ResyncError::Ari(error)) => return Err(BridgeFault::of_error(&error)),
                Err(ResyncError::Fault(fault)) => fault,
                Err(ResyncError::SessionEnded) => {
                    self.observer.set_session(None);
                    continue_after(&mut pause).await;
                    continue;
                }
                Err(error) => BridgeFault::Map(error.to_string()),
            };
            tracing::warn!(%fault, "map and Asterisk could not be compared yet");
            self.status.send_modify(|status| status.add_fault(fault));
            continue_after(&mut pause).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use fed_core::ids::Revision;

    use super::*;

    fn word(uri: &str, status: ContactStatus, at: u64) -> ContactEvent {
        ContactEvent {
            aor: "alice".into(),
            uri: uri.into(),
            status,
            at: Revision(at),
        }
    }

    fn kept(words: &[ContactEvent]) -> Missed {
        let mut missed = Missed::default();
        words.iter().for_each(|word| missed.keep(word.clone()));
        missed
    }

    #[test]
    fn ten_thousand_refreshes_are_one_word() {
        use ContactStatus::{NonQualified, Removed, Unreachable};
        let words: Vec<ContactEvent> = (0..10_000).map(|_| word("sip:a", NonQualified, 7)).collect();
        assert_eq!(kept(&words).events.len(), 1);
        // Back after it was gone, or after the map has moved on, is another registration.
        let words = [
            word("sip:a", NonQualified, 7),
            word("sip:a", Removed, 7),
            word("sip:a", NonQualified, 7),
            word("sip:a", NonQualified, 8),
            word("sip:a", Unreachable, 8),
        ];
        assert_eq!(kept(&words).events, words[..4]);
    }

    #[test]
    fn what_was_settled_is_not_followed_again_and_what_came_before_it_is_looked_at() {
        use ContactStatus::{NonQualified, Removed};
        let settled = |event: &ContactEvent| event.status == NonQualified;
        let came_back = [
            word("sip:a", Removed, 7),
            word("sip:a", NonQualified, 7),
            word("sip:b", NonQualified, 7),
        ];
        assert_eq!(kept(&came_back).unsettled(settled), Unsettled::default());
        // Two registrations, each in the place of the one before, of which the comparison found the last.
        let gave_way = [
            word("sip:a", NonQualified, 7),
            word("sip:a", Removed, 7),
            word("sip:b", NonQualified, 7),
        ];
        let left = kept(&gave_way).unsettled(settled);
        assert_eq!(
            (left.words, left.unclear),
            (vec![], HashSet::from(["alice".to_owned()]))
        );
        // What comes after what it found is followed.
        let went_on = [
            word("sip:a", NonQualified, 7),
            word("sip:b", Removed, 7),
            word("sip:c", Removed, 8),
        ];
        let left = kept(&went_on).unsettled(settled);
        assert_eq!((left.words, left.unclear), (went_on[1..].to_vec(), HashSet::new()));
    }
}
