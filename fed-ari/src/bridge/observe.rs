//! Observing: a registration at this Asterisk becomes a binding of the map, and a binding that moved away takes its contact with it.
//!
//! The bind goes out with what the event carries; the phone's details follow as a second, unhurried command that gives way to anything newer.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::{Duration, SystemTime},
};

use fed_core::{
    command::{Command, Refusal, Reply},
    ids::{ContactUri, DeviceId, NodeId, Number, Revision, SessionId},
};
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{lanes::Lanes, status::BridgeCounts};
use crate::{
    client::{AriClient, ContactStatus, HangupReason, LegState},
    port::{MapPort, SEEN_AT, fresh_or_stale},
    render::is_redirect_aor,
    router::Router,
};

/// How long the map may take to confirm that a contact is stale; after it the own copy has to do.
const FRESH_WITHIN: Duration = Duration::from_millis(500);

/// The generated dialplan takes this cause as the wish to be asked again.
pub(super) const MOVED: HangupReason = HangupReason::Unspecified;

/// Pauses before each look for calls that still ring a phone that has moved.
const RECALLS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(60),
    Duration::from_millis(150),
    Duration::from_millis(300),
];

/// Attempts at deleting a stale contact.
const ATTEMPTS: u32 = 5;

/// Something that happened to one contact of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A phone registered here.
    Registered(ContactUri),
    /// The registration is gone.
    Gone(ContactUri),
    /// The map took the binding away: the contact is stale.
    Stale(ContactUri),
}

type Registration = (DeviceId, ContactUri);

/// Turns what happens at one Asterisk into commands, and the map's verdicts into deletions.
pub(super) struct Observer {
    client: AriClient,
    port: Arc<dyn MapPort>,
    router: Arc<Router>,
    lanes: Arc<Lanes<(Step, SystemTime)>>,
    session: Mutex<Option<SessionId>>,
    /// Contacts that this bridge is deleting: their removal is no news.
    deleting: Mutex<HashMap<Registration, usize>>,
    /// Registrations seen but not bound yet for want of a quorum, with the revision applied when they were seen.
    seen: Mutex<HashMap<Registration, Revision>>,
    counts: Mutex<BridgeCounts>,
    /// Rung when map and Asterisk must be compared as a whole.
    resync: Notify,
}

impl Observer {
    pub(super) fn new(client: AriClient, port: Arc<dyn MapPort>, router: Arc<Router>) -> Arc<Self> {
        Arc::new(Self {
            client,
            port,
            router,
            lanes: Lanes::new(),
            session: Mutex::new(None),
            deleting: Mutex::new(HashMap::new()),
            seen: Mutex::new(HashMap::new()),
            counts: Mutex::new(BridgeCounts::default()),
            resync: Notify::new(),
        })
    }

    pub(super) fn session(&self) -> Option<SessionId> {
        *self.session.lock()
    }

    pub(super) fn set_session(&self, session: Option<SessionId>) {
        *self.session.lock() = session;
    }

    pub(super) fn counts(&self) -> BridgeCounts {
        *self.counts.lock()
    }

    pub(super) fn count(&self, change: impl FnOnce(&mut BridgeCounts)) {
        change(&mut self.counts.lock());
    }

    /// Waits until a comparison of the whole is wanted.
    pub(super) async fn resync_wanted(&self) {
        self.resync.notified().await;
    }

    /// Asks for a comparison of the whole.
    pub(super) fn want_resync(&self) {
        self.resync.notify_one();
    }

    /// Waits until no step is under way.
    pub(super) async fn settle(&self) {
        self.lanes.idle().await;
    }

    /// Forgets what was expected of a link that is gone.
    pub(super) fn link_lost(&self) {
        self.deleting.lock().clear();
    }

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
    pub(super) fn note(&self, aor: &str, uri: &str, status: ContactStatus) {
        if let Some((device, contact)) = new_registration(aor, uri, status) {
            self.remember_seen(&device, &contact);
        }
    }

    /// True for a noted registration that a comparison has dealt with since.
    pub(super) fn is_settled(&self, aor: &str, uri: &str, status: ContactStatus) -> bool {
        new_registration(aor, uri, status).is_some_and(|registration| !self.seen.lock().contains_key(&registration))
    }

    /// Follows an event of a contact.
    pub(super) fn contact_changed(self: &Arc<Self>, aor: &str, uri: &str, status: ContactStatus) {
        // Our own static contacts raise the same events.
        if is_redirect_aor(aor) {
            return;
        }
        let Ok(device) = DeviceId::new(aor) else { return };
        let contact = match ContactUri::new(uri) {
            Ok(contact) => contact,
            Err(error) => {
                tracing::warn!(%device, %error, "a phone registered with a contact that cannot be bound");
                return;
            }
        };
        match status {
            ContactStatus::Created | ContactStatus::NonQualified | ContactStatus::Reachable => {
                self.push(device, Step::Registered(contact));
            }
            ContactStatus::Removed => self.push(device, Step::Gone(contact)),
            // The registration stands.
            ContactStatus::Unreachable | ContactStatus::Unknown => {}
        }
    }

    /// Runs a step after all earlier ones of the device.
    pub(super) fn push(self: &Arc<Self>, device: DeviceId, step: Step) {
        let observer = Arc::clone(self);
        let step = (step, SystemTime::now());
        self.lanes.push(device, step, move |device, (step, seen)| {
            let observer = Arc::clone(&observer);
            SEEN_AT.scope(seen, async move {
                match step {
                    Step::Registered(contact) => observer.registered(device, contact).await,
                    Step::Gone(contact) => observer.gone(device, contact).await,
                    Step::Stale(contact) => observer.stale(device, contact).await,
                }
            })
        });
    }

    async fn registered(&self, device: DeviceId, contact: ContactUri) {
        let Some(session) = self.session() else {
            self.remember_seen(&device, &contact);
            return self.want_resync();
        };
        // Another's endpoint, from a file of this Asterisk: none of the federation's business.
        if !matches!(self.port.local().view().device(&device), Ok(Some(_))) {
            return;
        }
        // Noted before it is proposed: a comparison that runs meanwhile must not take it for something old. What was noted
        // earlier keeps its time; has the device registered elsewhere since, it is old indeed.
        let basis = self.remember_seen(&device, &contact);
        let newest = self
            .newest_elsewhere(&device)
            .is_none_or(|elsewhere| elsewhere <= basis);
        let bind = self.bind(&device, &contact, session, newest.then_some(basis));
        match self.port.propose(bind).await {
            Ok(proposed) => {
                if matches!(proposed.reply, Reply::Refused(Refusal::SessionEnded { .. })) {
                    return self.want_resync();
                }
                self.forget_seen(&HashMap::from([((device.clone(), contact.clone()), basis)]));
                match proposed.reply {
                    Reply::Bound { .. } => {
                        self.count(|counts| counts.bound += 1);
                        self.details(device, contact, session).await;
                    }
                    Reply::BindingRefused { .. } => self.delete_contact(&device, &contact).await,
                    Reply::Refused(why) => tracing::warn!(%device, %contact, %why, "a registration was not bound"),
                    other => tracing::warn!(%device, ?other, "an unexpected reply to a bind"),
                }
            }
            Err(error) => {
                tracing::warn!(%device, %error, "a registration could not be bound yet");
                self.want_resync();
            }
        }
    }

    /// Notes that a registration is seen now, and says when it was seen first.
    fn remember_seen(&self, device: &DeviceId, contact: &ContactUri) -> Revision {
        *self
            .seen
            .lock()
            .entry((device.clone(), contact.clone()))
            .or_insert_with(|| self.port.applied())
    }

    /// When the device was last bound at another live node; what was learnt of that registration later does not count.
    fn newest_elsewhere(&self, device: &DeviceId) -> Option<Revision> {
        let here = self.port.here();
        let live = self.port.local().view().live_bindings_of(device).unwrap_or_default();
        live.iter()
            .filter(|binding| binding.value.node != here)
            .map(|binding| binding.created)
            .max()
    }

    /// Adds what the contact object tells. With no basis: should the device have moved on in between, this changes nothing.
    async fn details(&self, device: DeviceId, contact: ContactUri, session: SessionId) {
        let found = match self.client.get_contact(device.as_str(), contact.as_str()).await {
            Ok(Some(found)) => found,
            // Taken away while it was being bound: the event of that may have been taken for the one of our own deletion.
            Ok(None) => {
                let node = self.port.here();
                return self.unbind(device, contact, node).await;
            }
            Err(_) => return,
        };
        if found.user_agent.is_none() && found.path.is_none() {
            return;
        }
        let bind = Command::Bind {
            device: device.clone(),
            contact: contact.clone(),
            node: self.port.here(),
            session,
            basis: None,
            user_agent: found.user_agent,
            path: found.path,
        };
        if let Err(error) = self.port.propose(bind).await {
            tracing::debug!(%device, %error, "the details of a registration were not recorded");
        }
    }

    fn bind(&self, device: &DeviceId, contact: &ContactUri, session: SessionId, basis: Option<Revision>) -> Command {
        Command::Bind {
            device: device.clone(),
            contact: contact.clone(),
            node: self.port.here(),
            session,
            basis,
            user_agent: None,
            path: None,
        }
    }

    async fn gone(&self, device: DeviceId, contact: ContactUri) {
        let registration = (device.clone(), contact.clone());
        self.seen.lock().remove(&registration);
        if self.deleted_by_us(&registration) {
            return;
        }
        let node = self.port.here();
        self.unbind(device, contact, node).await;
    }

    async fn unbind(&self, device: DeviceId, contact: ContactUri, node: NodeId) {
        let unbind = Command::Unbind {
            device: device.clone(),
            contact,
            node,
        };
        match self.port.propose(unbind).await {
            Ok(_) => self.count(|counts| counts.unbound += 1),
            Err(error) => {
                tracing::warn!(%device, %error, "the end of a registration could not be recorded yet");
                self.want_resync();
            }
        }
    }

    /// True for the removal that our own deletion causes, once for each.
    fn deleted_by_us(&self, registration: &Registration) -> bool {
        let mut deleting = self.deleting.lock();
        let Some(times) = deleting.get_mut(registration) else {
            return false;
        };
        *times -= 1;
        if *times == 0 {
            deleting.remove(registration);
        }
        true
    }

    async fn stale(&self, device: DeviceId, contact: ContactUri) {
        let node = self.port.here();
        // The own copy may be behind what this node has just bound.
        let bound = fresh_or_stale(&*self.port, FRESH_WITHIN)
            .await
            .view()
            .bindings_of(&device);
        // Registered here again in the meantime: the newest word is that it is here.
        if bound.is_ok_and(|all| all.iter().any(|b| b.value.node == node && b.value.contact == contact)) {
            return;
        }
        self.delete_contact(&device, &contact).await;
        if self.router.rang_here(&device) {
            self.router.recalling();
            // Beside the lane: the device's next registration must not wait for it.
            tokio::spawn(recall(self.client.clone(), Arc::clone(&self.port), device));
        }
    }

    /// Deletes a contact of this Asterisk that the map does not want here.
    pub(super) async fn delete_contact(&self, device: &DeviceId, contact: &ContactUri) {
        let registration = (device.clone(), contact.clone());
        *self.deleting.lock().entry(registration.clone()).or_default() += 1;
        for attempt in 1..=ATTEMPTS {
            match self.client.delete_contact(device.as_str(), contact.as_str()).await {
                Ok(true) => {
                    tracing::debug!(%device, %contact, "a stale contact was deleted");
                    return self.count(|counts| counts.stale_deleted += 1);
                }
                Ok(false) => break,
                Err(error) if error.is_transient() && attempt < ATTEMPTS => {
                    tokio::time::sleep(Duration::from_millis(20) * attempt * attempt).await;
                }
                Err(error) => {
                    tracing::warn!(%device, %contact, %error, "a stale contact could not be deleted");
                    self.want_resync();
                    break;
                }
            }
        }
        self.deleted_by_us(&registration);
    }
}

/// Takes back the calls that ring a device's phone here although it has just registered elsewhere: the dialplan asks again where it is.
///
/// They were sent here before the move was known. A leg may appear a little later than the answer that sent it, so they are looked for more than
/// once; and one that does not ring yet is left until the next look, because `Dial` forgets the cause of a channel that ends before it has called
/// it. Where another phone of the device is registered here, nothing is taken back: it may be the one that rings.
async fn recall(client: AriClient, port: Arc<dyn MapPort>, device: DeviceId) {
    let mut silent: HashSet<String> = HashSet::new();
    for pause in RECALLS {
        tokio::time::sleep(pause).await;
        let bound = port.local().view().bindings_of(&device).unwrap_or_default();
        if bound.iter().any(|binding| binding.value.node == port.here()) {
            return;
        }
        let legs = match client.endpoint("PJSIP", device.as_str()).await {
            Ok(endpoint) => endpoint.map(|endpoint| endpoint.channel_ids).unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%device, %error, "calls to a phone that moved could not be looked for");
                continue;
            }
        };
        for leg in legs {
            let ended = match client.channel(&leg).await {
                // Other calls to the device go out by the redirect server, from a customer's own dialplan: they are on the right way.
                Ok(Some(channel)) if !sent_here(&*port, &device, &channel.dialplan.exten) => continue,
                Ok(Some(channel)) => match channel.leg() {
                    Some(LegState::Ringing) => client.hangup(&leg, MOVED).await,
                    Some(LegState::Silent) if !silent.insert(leg.clone()) => client.hangup(&leg, MOVED).await,
                    Some(LegState::Silent) | None => continue,
                },
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match ended {
                Ok(_) => tracing::debug!(%device, leg, "a call to the phone that moved was taken back"),
                Err(error) => {
                    tracing::debug!(%device, leg, %error, "a call to the phone that moved could not be taken back")
                }
            }
        }
    }
}

/// Whether a leg to the device was dialled by the generated dialplan: `Dial` gives it the extension of the caller, which is a target of another
/// node, or a name of the device's user.
fn sent_here(port: &dyn MapPort, device: &DeviceId, exten: &str) -> bool {
    if let Some((name, _)) = exten.split_once('~') {
        return name == device.as_str();
    }
    let snapshot = port.local();
    let view = snapshot.view();
    let Ok(Some(record)) = view.device(device) else {
        return false;
    };
    let user = record.value.user;
    let number = Number::new(exten)
        .ok()
        .and_then(|number| view.number(&number).ok().flatten());
    exten == device.as_str() || exten == user.as_str() || number.as_ref() == Some(&user)
}

/// The registration that an event tells of; `None` for every other event, and for those of our own static contacts.
fn new_registration(aor: &str, uri: &str, status: ContactStatus) -> Option<Registration> {
    use ContactStatus::{Created, NonQualified, Reachable};
    if is_redirect_aor(aor) || !matches!(status, Created | NonQualified | Reachable) {
        return None;
    }
    Some((DeviceId::new(aor).ok()?, ContactUri::new(uri).ok()?))
}
