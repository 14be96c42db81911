//! Stale contacts: ended at this Asterisk where the map does not want them here, and put back where their phone had come back meanwhile.

use std::time::Duration;

use fed_core::ids::{ContactUri, DeviceId};

use super::observe::{Observer, Registration, Step};
use crate::client::Ended;

/// Attempts at ending a stale contact.
const ATTEMPTS: u32 = 5;

impl Observer {
    /// Ends a contact of this Asterisk that the map does not want here. One that its phone renews meanwhile is compared with the map instead.
    pub(super) async fn end_contact(&self, device: &DeviceId, contact: &ContactUri) {
        let registration = (device.clone(), contact.clone());
        let fields = self.client.contact_fields(device.as_str(), contact.as_str()).await;
        if let Ok(Some(fields)) = fields {
            self.returns.deleting(registration.clone(), fields);
        }
        // Registered again while this was going on: its turn comes next.
        let again = Step::Registered(contact.clone());
        if self.lanes.waits(device, |(step, _)| *step == again) {
            return self.returns.gone(&registration);
        }
        *self.ending.lock().entry(registration.clone()).or_default() += 1;
        for attempt in 1..=ATTEMPTS {
            self.returns.running_out(&registration);
            match self.client.end_contact(device.as_str(), contact.as_str()).await {
                Ok(Ended::Gone) => {
                    tracing::debug!(%device, %contact, "a stale contact was ended");
                    return self.count(|counts| counts.stale_deleted += 1);
                }
                Ok(Ended::NotThere) => break,
                Ok(Ended::Renewed) => {
                    tracing::debug!(%device, %contact, "a stale contact was renewed while it was being ended");
                    self.ended_by_us(&registration);
                    self.returns.registered(&registration);
                    // Where Asterisk tells of refreshes, that will be the quicker one.
                    self.remember_seen(device, contact);
                    return self.want_resync_of(device);
                }
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(20) * attempt * attempt).await;
                }
                Err(error) => {
                    tracing::warn!(%device, %contact, %error, "a stale contact could not be ended");
                    self.want_resync_of(device);
                    break;
                }
            }
        }
        self.ended_by_us(&registration);
        self.returns.gone(&registration);
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
        let back = match self.client.get_contact(device.as_str(), contact.as_str()).await {
            // Registered after the deletion, or renewed before it.
            Ok(Some(_)) => return,
            Ok(None) => {
                self.returns.writing(&registration, true);
                let written = self
                    .client
                    .put_contact_back(device.as_str(), contact.as_str(), &fields)
                    .await;
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
