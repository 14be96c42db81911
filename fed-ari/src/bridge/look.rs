//! Looking: one device compared in its own lane, in quiet, while the others go on.
//!
//! For what no event tells of: a device that came into the map may have been registered here before, a registration comes back with an aor that
//! was written late, a stale contact could not be ended.

use std::{collections::BTreeSet, sync::Arc};

use fed_core::{command::Command, ids::DeviceId};

use super::{
    BridgeFault,
    observe::{Observer, Step},
    resync::{READ_BUDGET, ResyncError, differences, settle},
};
use crate::client::AriError;

/// What a fault calls the registrations of a device.
const CONTACTS: &str = "contact";

/// Devices looked at in one round: what is asked of Asterisk for them takes a fraction of a second.
const LOOKED_AT_ONCE: usize = 250;

impl Observer {
    /// Nobody knows whether this device is registered here. Looked at when there is time.
    pub(super) fn look_at(&self, device: &DeviceId) {
        self.unlooked.lock().insert(device.clone());
    }

    /// Looks at the next devices that nobody has looked at yet.
    pub(super) fn look_at_some(self: &Arc<Self>) {
        let mut unlooked = self.unlooked.lock();
        let some: Vec<DeviceId> = (0..LOOKED_AT_ONCE).map_while(|_| unlooked.pop_first()).collect();
        drop(unlooked);
        for device in some {
            self.push(device, Step::Look, self.port.applied());
        }
    }

    /// The step. A device that cannot be compared now is looked at again.
    pub(super) async fn look(self: &Arc<Self>, device: DeviceId) {
        match self.compare_one(&device).await {
            Ok(()) => {}
            Err(ResyncError::SessionEnded) => self.want_resync(),
            Err(error) => {
                tracing::debug!(%device, %error, "whether a device is registered here could not be looked at yet");
                self.look_at(&device);
            }
        }
    }

    async fn compare_one(self: &Arc<Self>, device: &DeviceId) -> Result<(), ResyncError> {
        let session = self.session().ok_or(ResyncError::SessionEnded)?;
        let listing = self.client.live_contacts([device.to_string()]).await?;
        if !self.cannot_read(|asked| asked == device, &listing.unread).is_empty() {
            return Ok(());
        }
        let snapshot = self.port.linearizable(READ_BUDGET).await?;
        let view = snapshot.view();
        if view.device(device)?.is_none() {
            return Ok(());
        }
        let here = self.port.here();
        if view.session_of(here)? != Some(session) {
            return Err(ResyncError::SessionEnded);
        }
        let commands = differences(
            &view,
            (here, session),
            &BTreeSet::from([device.clone()]),
            &listing.contacts,
            |device, contact| self.seen_at(device, contact),
            self.settled.at(snapshot.revision),
        )?;
        for command in commands {
            // Told of since: that is newer, and its turn comes next.
            let told = |step: &Step| match (&command, step) {
                (Command::Bind { contact, .. } | Command::Unbind { contact, .. }, Step::Registered(told)) => {
                    contact == told
                }
                _ => false,
            };
            if self.lanes.waits(device, |(step, _)| told(step)) {
                continue;
            }
            let proposed = self.propose(device, command.clone()).await?;
            settle(self, &command, proposed.reply)?;
        }
        Ok(())
    }

    /// Has the status say which of the devices that were asked for have registrations that cannot be read, and no longer say so of the others;
    /// those are looked at again.
    pub(super) fn cannot_read(
        &self,
        asked: impl Fn(&DeviceId) -> bool,
        unread: &[(String, AriError)],
    ) -> Vec<DeviceId> {
        let mut left = Vec::new();
        self.status.send_if_modified(|status| {
            let before = status.faults.len();
            status.faults.retain(|fault| match fault.object() {
                Some((CONTACTS, id)) => DeviceId::new(id).is_ok_and(|device| !asked(&device)),
                _ => true,
            });
            for (aor, error) in unread {
                let Ok(device) = DeviceId::new(aor.as_str()) else {
                    continue;
                };
                tracing::warn!(%device, %error, "whether a device is registered here cannot be asked");
                status.add_fault(BridgeFault::Object {
                    object: CONTACTS,
                    id: device.to_string(),
                    why: format!("its registrations cannot be read: {error}"),
                });
                self.look_at(&device);
                left.push(device);
            }
            !unread.is_empty() || status.faults.len() != before
        });
        left
    }
}
