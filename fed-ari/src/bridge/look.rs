//! Looking: one device compared in its own lane, in quiet, while the others go on.
//!
//! At once where a change of it could not be recorded. When there is time for what no event tells of: a device that came into the map may have
//! been registered here before, a registration comes back with an aor that was written late, a stale contact could not be ended.

use std::{
    collections::{BTreeSet, HashSet, VecDeque},
    mem,
    sync::Arc,
    time::Duration,
};

use fed_core::{
    command::{Command, Reply},
    ids::DeviceId,
};
use tokio::time::sleep;

use super::{
    BridgeFault,
    differences::differences,
    observe::{Observer, Registration, Step},
    resync::{READ_BUDGET, ResyncError, settle},
};
use crate::client::AriError;

/// What a fault calls the registrations of a device.
const CONTACTS: &str = "contact";

/// Devices looked at at once: while one waits for Asterisk, what its phone does waits in its lane.
const AT_ONCE: usize = 4;

/// More that are to be looked at at once are compared together: that takes a fraction of the time, and holds up what phones do for as long.
const FEW: usize = 32;

/// The registrar has put one contact in the place of another after this, whatever else the machine has to do.
const MOMENT: Duration = Duration::from_millis(250);

/// Devices that are looked at, and will be.
#[derive(Default)]
pub(super) struct Looks {
    /// At once.
    urgent: BTreeSet<DeviceId>,
    /// In the next round.
    wanted: BTreeSet<DeviceId>,
    /// In this one.
    queue: VecDeque<DeviceId>,
    /// Now.
    running: usize,
    /// A comparison is under way, or waits until nothing else is.
    held: bool,
    /// Contacts that a look took for stale. The word of one may be on its way, under load for seconds: what the next look takes for stale too is ended.
    doubted: HashSet<Registration>,
    /// Contacts of which nothing was known at the last look, of devices that had too many.
    unknown: HashSet<Registration>,
}

impl Looks {
    /// Nobody is to be looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.urgent.is_empty() && self.wanted.is_empty() && self.queue.is_empty() && self.running == 0
    }

    /// The next one, if it can be looked at now.
    fn start(&mut self) -> Option<DeviceId> {
        if self.held || self.running == AT_ONCE {
            return None;
        }
        let next = self.urgent.pop_first().or_else(|| self.queue.pop_front());
        self.running += usize::from(next.is_some());
        next
    }

    /// What the last look at a device left to this one: the contacts that it took for stale, and those of which it knew nothing.
    fn take_last_look(&mut self, device: &DeviceId) -> (HashSet<Registration>, HashSet<Registration>) {
        let doubted = self.doubted.extract_if(|(of, _)| of == device).collect();
        (doubted, self.unknown.extract_if(|(of, _)| of == device).collect())
    }
}

impl Observer {
    /// A change of this device could not be recorded, or nobody knows what came of it.
    pub(super) fn look_now_at(self: &Arc<Self>, device: &DeviceId) {
        let mut looks = self.looks.lock();
        looks.urgent.insert(device.clone());
        if looks.urgent.len() <= FEW {
            drop(looks);
            return self.look_on();
        }
        let many = mem::take(&mut looks.urgent);
        drop(looks);
        self.want_resync_of(many);
    }

    /// What was told of these devices is not clear. Looked at one after another.
    pub(super) fn look_soon_at(self: &Arc<Self>, devices: impl Iterator<Item = DeviceId>) {
        self.looks.lock().queue.extend(devices);
        self.look_on();
    }

    /// Nobody knows whether this device is registered here. Looked at when there is time.
    pub(super) fn look_at(&self, device: &DeviceId) {
        self.looks.lock().wanted.insert(device.clone());
    }

    /// What Asterisk is about to do with this device should be done then.
    fn look_in_a_moment_at(self: &Arc<Self>, device: &DeviceId) {
        // Until then as well: this bridge is not done.
        self.look_at(device);
        let (observer, device) = (Arc::clone(self), device.clone());
        tokio::spawn(async move {
            sleep(MOMENT).await;
            observer.look_now_at(&device);
        });
    }

    /// A round: has everybody looked at that nobody has looked at yet, one after another.
    pub(super) fn look_round(self: &Arc<Self>) {
        let mut looks = self.looks.lock();
        let wanted = mem::take(&mut looks.wanted);
        looks.queue.extend(wanted);
        drop(looks);
        self.look_on();
    }

    fn look_on(self: &Arc<Self>) {
        loop {
            let next = self.looks.lock().start();
            let Some(device) = next else { return };
            self.push(device, Step::Look, self.port.applied());
        }
    }

    /// No further look begins until this is dropped.
    pub(super) fn hold_looks(self: &Arc<Self>) -> Held<'_> {
        self.looks.lock().held = true;
        Held(self)
    }

    /// The step. A device that cannot be compared now is looked at again.
    pub(super) async fn look(self: &Arc<Self>, device: DeviceId) {
        let _running = Running(self);
        match self.compare_one(&device).await {
            Ok(()) => {}
            Err(ResyncError::SessionEnded) => self.want_resync(),
            Err(ResyncError::Ari(error)) => {
                tracing::debug!(%device, %error, "whether a device is registered here could not be looked at yet");
                self.look_at(&device);
            }
            // Without a quorum, say. A comparison goes on until it succeeds.
            Err(error) => {
                tracing::debug!(%device, %error, "a device could not be compared with the map yet");
                self.want_resync_of(BTreeSet::from([device]));
            }
        }
    }

    async fn compare_one(self: &Arc<Self>, device: &DeviceId) -> Result<(), ResyncError> {
        let session = self.session().ok_or(ResyncError::SessionEnded)?;
        let (doubted, unknown) = self.looks.lock().take_last_look(device);
        let mut noted = self.all_seen();
        noted.retain(|(of, _), _| of == device);
        let listing = self.client.live_contacts([device.to_string()]).await?;
        if !self.cannot_read(|asked| asked == device, &listing.unread).is_empty() {
            return Ok(());
        }
        let snapshot = self.port.linearizable(READ_BUDGET).await?;
        let view = snapshot.view();
        if view.device(device)?.is_none() {
            self.forget_seen(&noted);
            return Ok(());
        }
        let here = self.port.here();
        if view.session_of(here)? != Some(session) {
            return Err(ResyncError::SessionEnded);
        }
        let found = differences(
            &view,
            (here, session),
            &BTreeSet::from([device.clone()]),
            &listing.contacts,
            |device, contact| self.seen_at(device, contact),
            self.settled.at(snapshot.revision),
            |contact| unknown.contains(contact),
        )?;
        self.looks.lock().unknown.extend(found.unknown);
        if !found.left_out.is_empty() {
            self.look_in_a_moment_at(device);
        }
        for (device, contact) in found.surplus {
            self.push(device, Step::Stale(contact), self.port.applied());
        }
        for command in found.commands {
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
            if let (Command::Bind { contact, .. }, Reply::BindingRefused { .. }) = (&command, &proposed.reply)
                && let registration = (device.clone(), contact.clone())
                && !doubted.contains(&registration)
                && !noted.contains_key(&registration)
            {
                self.looks.lock().doubted.insert(registration);
                self.look_at(device);
                continue;
            }
            self.forget_seen(&noted);
            settle(self, &command, proposed.reply)?;
        }
        self.forget_seen(&noted);
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

/// A look under way; the next one begins with its end.
struct Running<'a>(&'a Arc<Observer>);

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.looks.lock().running -= 1;
        self.0.look_on();
    }
}

/// Looks wait for the end of this.
pub(super) struct Held<'a>(&'a Arc<Observer>);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.looks.lock().held = false;
        self.0.look_on();
    }
}
