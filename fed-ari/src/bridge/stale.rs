//! Stale contacts: ended at this Asterisk where the map does not want them here, and put back where their phone had come back meanwhile.

use std::{sync::Arc, time::Duration};

use fed_core::ids::{ContactUri, DeviceId};

use super::{
    link::ContactEvent,
    observe::{Observer, Registration, Step},
};
use crate::client::{AriError, ContactStatus, Ended, Fields, patiently};

/// Attempts at ending a stale contact.
const ATTEMPTS: u32 = 5;

impl Observer {
    /// Ends a contact of this Asterisk that the map does not want here. One that its phone renews meanwhile is compared with the map instead.
    pub(super) async fn end_contact(self: &Arc<Self>, device: &DeviceId, contact: &ContactUri) {
        let registration = (device.clone(), contact.clone());
        for attempt in 1..=ATTEMPTS {
            match self.try_to_end(&registration).await {
                Ok(Ended::Gone) => {
                    tracing::debug!(%device, %contact, "a stale contact was ended");
                    return self.count(|counts| counts.stale_deleted += 1);
                }
                Ok(Ended::NotThere) => return,
                Ok(Ended::Renewed) => {
                    tracing::debug!(%device, %contact, "a stale contact was renewed while it was being ended");
                    // Where Asterisk tells of refreshes, that will be the quicker one.
                    self.remember_seen(device, contact, self.port.applied());
                    return self.look_now_at(device);
                }
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(20) * attempt * attempt).await;
                }
                Err(error) => {
                    tracing::warn!(%device, %contact, %error, "a stale contact could not be ended");
                    // It will be found again. What Asterisk refuses is not asked for again at once.
                    return self.look_at(device);
                }
            }
        }
    }

    /// One attempt. What Asterisk will tell of it is expected, before it is done: the words of a refresh for what is written, and its removal.
    async fn try_to_end(&self, registration: &Registration) -> Result<Ended, AriError> {
        let (aor, uri) = (registration.0.as_str(), registration.1.as_str());
        let Some(fields) = self.client.contact_fields(aor, uri).await? else {
            return Ok(Ended::NotThere);
        };
        self.returns.deleting(registration.clone(), fields.clone());
        // Registered again while this was going on: its turn comes next.
        let again = Step::Registered(registration.1.clone());
        if self.lanes.waits(&registration.0, |(step, _)| *step == again) {
            self.returns.gone(registration);
            return Ok(Ended::NotThere);
        }
        *self.ending.lock().entry(registration.clone()).or_default() += 1;
        let ended = self.run_out_and_clear_away(registration, &fields).await;
        match ended {
            Ok(Ended::Gone) => return ended,
            Ok(Ended::Renewed) => self.returns.stands(registration),
            Ok(Ended::NotThere) => self.returns.gone(registration),
            // It may have run out: the next attempt must not take that for the phone's doing.
            Err(_) => {}
        }
        self.ended_by_us(registration);
        ended
    }

    async fn run_out_and_clear_away(&self, registration: &Registration, fields: &Fields) -> Result<Ended, AriError> {
        let (aor, uri) = (registration.0.as_str(), registration.1.as_str());
        self.returns.writing(registration, true);
        let written = self.client.run_out(aor, uri).await;
        // Whether one that broke off was written nobody knows: a refresh that is passed over is less than a stranger's word taken for the phone's.
        if matches!(written, Ok(false) | Err(AriError::Refused { .. })) {
            self.returns.writing(registration, false);
        }
        if written? {
            let cleared = self.client.clear_away(aor, uri).await?;
            if cleared == Ended::NotThere {
                self.returns.was_removed(registration);
            }
            return Ok(cleared);
        }
        match self.client.contact_fields(aor, uri).await? {
            None => Ok(Ended::NotThere),
            // One of which this Asterisk takes no change.
            Some(now) if now == *fields => {
                let deleted = self.client.delete_contact(aor, uri).await?;
                Ok(if deleted { Ended::Gone } else { Ended::NotThere })
            }
            Some(_) => Ok(Ended::Renewed),
        }
    }

    /// True for the event of such a removal. It is no news then.
    pub(super) fn is_own_end(&self, event: &ContactEvent) -> bool {
        let (Ok(device), Ok(contact)) = (DeviceId::new(event.aor.as_str()), ContactUri::new(event.uri.as_str())) else {
            return false;
        };
        let registration = (device, contact);
        if event.status != ContactStatus::Removed || !self.ended_by_us(&registration) {
            return false;
        }
        self.seen.lock().remove(&registration);
        self.returns.gone(&registration);
        true
    }

    /// True for the removal that our own ending of a contact causes, once for each.
    pub(super) fn ended_by_us(&self, registration: &Registration) -> bool {
        let mut ending = self.ending.lock();
        let Some(times) = ending.get_mut(registration) else {
            return false;
        };
        *times -= 1;
        if *times == 0 {
            ending.remove(registration);
        }
        true
    }

    /// Puts back a registration that our own deletion took along: the phone had refreshed it, and Asterisk's word of that came too late.
    ///
    /// It ends when the deleted one would have ended, which is too early only where the refresh fell into the millisecond between the last look and the deletion.
    pub(super) async fn put_back(&self, device: &DeviceId, contact: &ContactUri) {
        let registration = (device.clone(), contact.clone());
        let Some(fields) = self.returns.take_lost(&registration) else {
            return;
        };
        let there = patiently(|| self.client.get_contact(device.as_str(), contact.as_str()));
        let back = match there.await {
            // Registered after the deletion, or renewed before it.
            Ok(Some(_)) => return,
            Ok(None) => {
                self.returns.writing(&registration, true);
                let put = || self.client.put_contact_back(device.as_str(), contact.as_str(), &fields);
                let written = patiently(put).await;
                if written.is_err() {
                    self.returns.writing(&registration, false);
                }
                written
            }
            Err(error) => Err(error),
        };
        match back {
            Ok(()) => {
                tracing::debug!(%device, %contact, "a registration that was refreshed while it was ended is back")
            }
            Err(error) => {
                tracing::warn!(%device, %contact, %error, "a registration that was refreshed while it was ended could not be put back");
            }
        }
    }
}
