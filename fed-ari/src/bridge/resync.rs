//! Comparing: every registration of this Asterisk against every binding of this node, or those of some devices, and what differs is mended.
//!
//! The whole after each connect and with each session, a device whenever a change of it could not be recorded. Level-triggered: there is no
//! journal to lose.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use fed_core::{
    command::{Command, Refusal, Reply},
    ids::{ContactUri, DeviceId, Revision, SessionId},
    kv::StoreError,
};

use super::{
    BridgeFault,
    differences::{Differences, differences},
    drift::device_ids,
    observe::{Observer, Registration, Step},
};
use crate::{
    client::AriError,
    port::{MapPort, PortError},
};

/// Commands proposed at once.
const CHUNK: usize = 500;

/// How long the map may take for the state to compare with.
pub(super) const READ_BUDGET: Duration = Duration::from_secs(2);

/// What is to be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every device.
    All,
    /// These, none or more.
    Devices(BTreeSet<DeviceId>),
}

impl Extent {
    /// Nothing.
    pub(super) const NONE: Self = Self::Devices(BTreeSet::new());

    /// This and that.
    pub(super) fn add(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Devices(devices), Self::Devices(more)) => devices.extend(more),
            _ => *self = Self::All,
        }
    }

    pub(super) fn has(&self, device: &DeviceId) -> bool {
        match self {
            Self::All => true,
            Self::Devices(devices) => devices.contains(device),
        }
    }
}

/// Why a comparison could not be finished.
#[derive(Debug, thiserror::Error)]
pub(super) enum ResyncError {
    #[error(transparent)]
    Ari(#[from] AriError),
    #[error(transparent)]
    Port(#[from] PortError),
    #[error("the map cannot be read: {0}")]
    Store(#[from] StoreError),
    #[error("this node's session ended while its registrations were compared")]
    SessionEnded,
    #[error(transparent)]
    Fault(#[from] BridgeFault),
}

/// Opens or keeps this node's session and makes the bindings of these devices here agree with their registrations. The extent becomes all
/// where the session is another than before: every binding of this node belongs to the one that has ended.
pub(super) async fn resync(observer: &Arc<Observer>, extent: &mut Extent) -> Result<(), ResyncError> {
    let (client, port) = (&observer.client, &*observer.port);
    let mut noted = observer.all_seen();
    let (mut asked, listing, session) = loop {
        let devices = match extent {
            Extent::All => device_ids(&port.local().view())?,
            Extent::Devices(devices) => devices.iter().map(ToString::to_string).collect(),
        };
        let listing = client.live_contacts(devices.clone()).await?;
        let session = open_session(port).await?;
        if *extent == Extent::All || observer.session() == Some(session) {
            let asked: BTreeSet<DeviceId> = devices
                .iter()
                .filter_map(|id| DeviceId::new(id.as_str()).ok())
                .collect();
            break (asked, listing, session);
        }
        *extent = Extent::All;
    };
    for device in observer.cannot_read(|device| extent.has(device), &listing.unread) {
        asked.remove(&device);
    }
    noted.retain(|(device, _), _| asked.contains(device));
    observer.set_session(Some(session));
    let snapshot = port.linearizable(READ_BUDGET).await?;
    let seen = |device: &DeviceId, contact: &ContactUri| observer.seen_at(device, contact);
    let began_after = observer.settled.at(snapshot.revision);
    let Differences { commands, left_out, .. } = differences(
        &snapshot.view(),
        (port.here(), session),
        &asked,
        &listing.contacts,
        seen,
        began_after,
        |_| false,
    )?;
    // What these take up is theirs: whatever is told of such a registration from here on comes after.
    let mut taken = Taken {
        observer,
        seen: HashMap::new(),
    };
    for command in &commands {
        if let Command::Bind { device, contact, .. } = command {
            let registration = (device.clone(), contact.clone());
            noted.remove(&registration);
            if let Some(at) = observer.unsee(&registration) {
                taken.seen.insert(registration, at);
            }
        }
    }
    mend(port, observer, &commands).await?;
    taken.seen.clear();
    observer.forget_seen(&noted);
    observer.look_soon_at(left_out.into_iter());
    Ok(())
}

/// What a comparison takes up, given back unless it comes to its end: it may fail, or the link may go in the middle of it.
struct Taken<'a> {
    observer: &'a Observer,
    seen: HashMap<Registration, Revision>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.observer.see_again(std::mem::take(&mut self.seen));
    }
}

async fn mend(port: &dyn MapPort, observer: &Arc<Observer>, commands: &[Command]) -> Result<(), ResyncError> {
    for chunk in commands.chunks(CHUNK) {
        let replies = port.propose_many(chunk.to_vec()).await?;
        for (command, proposed) in chunk.iter().zip(replies) {
            if let Command::Bind { device, .. } | Command::Unbind { device, .. } = command {
                observer.answered(device, Some(proposed.revision));
            }
            settle(observer, command, proposed.reply)?;
        }
    }
    Ok(())
}

async fn open_session(port: &dyn MapPort) -> Result<SessionId, ResyncError> {
    let node = port.here();
    let snapshot = port.linearizable(READ_BUDGET).await?;
    if let Some(open) = snapshot.view().session_of(node)? {
        return Ok(open);
    }
    match port.propose(Command::OpenSession { node }).await?.reply {
        Reply::SessionOpened { session } => Ok(session),
        Reply::Refused(Refusal::NotFound { .. }) => Err(BridgeFault::UnknownNode { node }.into()),
        other => Err(BridgeFault::Map(format!("the session was not opened: {other:?}")).into()),
    }
}

/// Follows what came of such a command.
pub(super) fn settle(observer: &Arc<Observer>, command: &Command, reply: Reply) -> Result<(), ResyncError> {
    match (command, reply) {
        (Command::Bind { device, contact, .. }, Reply::BindingRefused { by }) => {
            // Told of since it was looked at: it is newer, and followed after the comparison.
            if observer.seen_at(device, contact).is_some() {
                return Ok(());
            }
            tracing::info!(%device, %contact, node = %by.node, "a stale contact was found: the device is registered elsewhere");
            // In the device's own lane: there may be thousands, and what phones do meanwhile waits for this comparison.
            observer.push(device.clone(), Step::Stale(contact.clone()), observer.port.applied());
        }
        (_, Reply::Refused(Refusal::SessionEnded { .. })) => return Err(ResyncError::SessionEnded),
        (_, Reply::Refused(why)) => tracing::warn!(%why, "a difference between map and Asterisk was not mended"),
        (Command::Bind { .. }, _) => observer.count(|counts| counts.bound += 1),
        _ => observer.count(|counts| counts.unbound += 1),
    }
    Ok(())
}
