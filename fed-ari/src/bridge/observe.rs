//! Observing: a registration at this Asterisk becomes a binding of the map, and a binding that moved away takes its contact with it.
//!
//! The bind goes out with what the event carries; the phone's details follow as a second, unhurried command that gives way to anything newer.

use std::{
    collections::{BTreeSet, HashMap},
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, SystemTime},
};

use fed_core::{
    command::{Command, Refusal, Reply},
    ids::{ContactUri, DeviceId, NodeId, Revision, SessionId},
};
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use super::{
    BridgeStatus, lanes::Lanes, link::ContactEvent, look::Looks, recall::recall, resync::Extent, returns::Returns,
    settled::Settled, status::BridgeCounts,
};
use crate::{
    client::{AriClient, ContactStatus},
    port::{MapPort, PortError, Proposed, SEEN_AT, fresh_or_stale},
    render::is_redirect_aor,
    router::Router,
};

/// How long the map may take to confirm that a contact is stale; after it the own copy has to do.
const FRESH_WITHIN: Duration = Duration::from_millis(500);

/// Something that happened to one contact of one device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// A phone registered here.
    Registered(ContactUri),
    /// The registration is gone.
    Gone(ContactUri),
    /// The map took the binding away: the contact is stale.
    Stale(ContactUri),
    /// What is there is to be compared with the map.
    Look,
}

/// When a step was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Moment {
    time: SystemTime,
    /// What the own copy of the map had applied.
    at: Revision,
}

/// A device and where it is.
pub(super) type Registration = (DeviceId, ContactUri);

/// Turns what happens at one Asterisk into commands, and the map's verdicts into deletions.
pub(super) struct Observer {
    pub(super) client: AriClient,
    pub(super) port: Arc<dyn MapPort>,
    router: Arc<Router>,
    pub(super) settled: Arc<Settled>,
    pub(super) status: watch::Sender<BridgeStatus>,
    pub(super) lanes: Arc<Lanes<(Step, Moment)>>,
    session: Mutex<Option<SessionId>>,
    /// Contacts that this bridge is ending: their removal is no news.
    pub(super) ending: Mutex<HashMap<Registration, usize>>,
    /// Registrations seen but not bound yet, be it for want of a quorum or because a comparison was under way, with the revision applied when they were seen.
    pub(super) seen: Mutex<HashMap<Registration, Revision>>,
    pub(super) looks: Mutex<Looks>,
    pub(super) returns: Returns,
    /// Sources of events that Asterisk does not know yet.
    pub(super) unheard: Mutex<Vec<String>>,
    counts: Mutex<BridgeCounts>,
    /// What of map and Asterisk must be compared.
    to_compare: Mutex<Extent>,
    /// Rung when that has become more.
    resync: Notify,
}

impl Observer {
    pub(super) fn new(
        client: AriClient,
        port: Arc<dyn MapPort>,
        router: Arc<Router>,
        settled: Arc<Settled>,
        status: watch::Sender<BridgeStatus>,
    ) -> Arc<Self> {
        Arc::new(Self {
            client,
            port,
            router,
            settled,
            status,
            lanes: Lanes::new(),
            session: Mutex::new(None),
            ending: Mutex::new(HashMap::new()),
            seen: Mutex::new(HashMap::new()),
            looks: Mutex::default(),
            returns: Returns::default(),
            unheard: Mutex::default(),
            counts: Mutex::new(BridgeCounts::default()),
            // Nothing is known of what happened before.
            to_compare: Mutex::new(Extent::All),
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

    /// Waits until a comparison is wanted.
    pub(super) async fn resync_wanted(&self) {
        while *self.to_compare.lock() == Extent::NONE {
            self.resync.notified().await;
        }
    }

    /// Asks for a comparison of the whole.
    pub(super) fn want_resync(&self) {
        self.compare_later(Extent::All);
        self.resync.notify_one();
    }

    /// Asks for a comparison of these devices.
    pub(super) fn want_resync_of(&self, devices: BTreeSet<DeviceId>) {
        self.compare_later(Extent::Devices(devices));
        self.resync.notify_one();
    }

    /// Adds to what is to be compared.
    pub(super) fn compare_later(&self, extent: Extent) {
        self.to_compare.lock().add(extent);
    }

    /// What is to be compared now: whoever takes it compares it, or gives it back.
    pub(super) fn to_compare(&self) -> Extent {
        std::mem::replace(&mut self.to_compare.lock(), Extent::NONE)
    }

    /// True while every registration of this Asterisk is bound and every stale one deleted, as far as events and changes have come.
    pub(super) fn is_done(&self) -> bool {
        self.session().is_some()
            && self.lanes.is_idle()
            && *self.to_compare.lock() == Extent::NONE
            && self.ending.lock().is_empty()
            && self.seen.lock().is_empty()
            && self.looks.lock().is_empty()
            && self.unheard.lock().is_empty()
    }

    /// Waits until no step is under way.
    pub(super) async fn settle(&self) {
        self.lanes.idle().await;
    }

    /// Forgets what was expected of a link that is gone.
    pub(super) fn link_lost(&self) {
        self.returns.link_lost();
        self.ending.lock().clear();
    }

    /// Looks at an event first, whatever else is going on. True for one of what this bridge wrote itself, once for each: nobody is to hear of it.
    pub(super) fn is_own(&self, event: &ContactEvent) -> bool {
        let own = self.looks_own(event);
        let ContactEvent { aor, uri, status, at } = event;
        tracing::trace!(%aor, %uri, ?status, %at, own, "Asterisk told of a contact");
        own
    }

    fn looks_own(&self, event: &ContactEvent) -> bool {
        if event.status == ContactStatus::Removed {
            if let (Ok(device), Ok(contact)) = (DeviceId::new(event.aor.as_str()), ContactUri::new(event.uri.as_str()))
            {
                self.returns.was_removed(&(device, contact));
            }
            return false;
        }
        let Some(registration) = new_registration(event) else {
            return false;
        };
        let own = self.returns.is_own(&registration);
        if !own {
            self.returns.told(&registration);
        }
        own
    }

    /// Follows an event of a contact that is not this bridge's own.
    pub(super) fn contact_changed(self: &Arc<Self>, event: &ContactEvent) {
        let ContactEvent { aor, uri, status, at } = event;
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
                let registration = (device.clone(), contact.clone());
                self.returns.registered(&registration);
                if !self.is_refresh(&device, &contact) {
                    self.push(device, Step::Registered(contact), *at);
                } else if !self.lanes.is_busy(&device) {
                    // Noted while a comparison ran, and bound all the time.
                    self.seen.lock().remove(&registration);
                }
            }
            ContactStatus::Removed => {
                self.returns.gone(&(device.clone(), contact.clone()));
                self.push(device, Step::Gone(contact), *at);
            }
            // The registration stands.
            ContactStatus::Unreachable | ContactStatus::Unknown => {}
        }
    }

    /// Runs a step after all earlier ones of the device. `at`: what the own copy of the map had applied when the step was asked for.
    pub(super) fn push(self: &Arc<Self>, device: DeviceId, step: Step, at: Revision) {
        let observer = Arc::clone(self);
        let time = SystemTime::now();
        self.lanes
            .push(device, (step, Moment { time, at }), move |device, (step, moment)| {
                let observer = Arc::clone(&observer);
                async move {
                    let run = SEEN_AT.scope(moment.time, observer.run(device.clone(), step, moment.at));
                    // A lane whose step never ends would have every comparison wait for it.
                    if AssertUnwindSafe(run).catch_unwind().await.is_err() {
                        tracing::error!(%device, "a registration could not be followed: this is a bug; what it left is compared");
                        observer.look_at(&device);
                    }
                }
            });
    }

    async fn run(self: &Arc<Self>, device: DeviceId, step: Step, at: Revision) {
        match step {
            Step::Registered(contact) => self.registered(device, contact, at).await,
            Step::Gone(contact) => self.gone(device, contact).await,
            Step::Stale(contact) => self.stale(device, contact).await,
            Step::Look => self.look(device).await,
        }
    }

    /// True for an event that tells the map nothing: the device is bound here with this contact, and nothing that this bridge does may change that.
    fn is_refresh(&self, device: &DeviceId, contact: &ContactUri) -> bool {
        if self.lanes.is_busy(device) {
            // Looked at in its turn; the same word twice is looked at once.
            return self
                .lanes
                .ends_with(device, |(step, _)| *step == Step::Registered(contact.clone()));
        }
        let snapshot = self.port.local();
        let bound = snapshot.view().bindings_of(device).unwrap_or_default();
        let here = self.port.here();
        let of_now = |session| self.session() == Some(session);
        !self.returns.is_behind(device, snapshot.revision)
            && bound
                .iter()
                .any(|b| b.value.node == here && b.value.contact == *contact && of_now(b.value.session))
    }

    /// False where the own copy of the map knows that the device is not bound here with this contact.
    fn may_be_bound(&self, device: &DeviceId, contact: &ContactUri) -> bool {
        let snapshot = self.port.local();
        let bound = snapshot.view().bindings_of(device).unwrap_or_default();
        let here = self.port.here();
        self.returns.is_behind(device, snapshot.revision)
            || bound
                .iter()
                .any(|b| b.value.node == here && b.value.contact == *contact)
    }

    /// Proposes a change of a device's bindings. Each goes through here, or [`Observer::answered`] is told: a refresh is known by what came of it.
    pub(super) async fn propose(&self, device: &DeviceId, command: Command) -> Result<Proposed, PortError> {
        let proposed = self.port.propose(command).await;
        self.answered(device, proposed.as_ref().ok().map(|proposed| proposed.revision));
        proposed
    }

    /// Notes what a proposal for the device was answered; `None` for one that was not.
    pub(super) fn answered(&self, device: &DeviceId, at: Option<Revision>) {
        self.returns.answered(device, at, self.port.applied());
    }

    async fn registered(self: &Arc<Self>, device: DeviceId, contact: ContactUri, at: Revision) {
        let Some(session) = self.session() else {
            self.remember_seen(&device, &contact, at);
            return self.want_resync();
        };
        // Another's endpoint, from a file of this Asterisk: none of the federation's business.
        if !matches!(self.port.local().view().device(&device), Ok(Some(_))) {
            self.seen.lock().remove(&(device, contact));
            return;
        }
        let registration = (device.clone(), contact.clone());
        if self.returns.is_doubtful(&registration) {
            match self.client.get_contact(device.as_str(), contact.as_str()).await {
                Ok(Some(_)) => {}
                Ok(None) => {
                    tracing::debug!(%device, %contact, "Asterisk told of a registration that is gone");
                    self.seen.lock().remove(&registration);
                    return;
                }
                Err(error) => {
                    tracing::debug!(%device, %contact, %error, "whether a registration is there could not be asked");
                    self.remember_seen(&device, &contact, at);
                    return self.look_now_at(&device);
                }
            }
        }
        // Noted before it is proposed: a comparison that runs meanwhile must not take it for something old. What was noted
        // earlier keeps its time; has the device registered elsewhere since, it is old indeed.
        let basis = self.remember_seen(&device, &contact, at);
        let newest = self
            .newest_elsewhere(&device)
            .is_none_or(|elsewhere| elsewhere <= basis);
        let bind = self.bind(&device, &contact, session, newest.then_some(basis));
        match self.propose(&device, bind).await {
            Ok(proposed) => {
                if matches!(proposed.reply, Reply::Refused(Refusal::SessionEnded { .. })) {
                    return self.want_resync();
                }
                self.forget_seen(&HashMap::from([((device.clone(), contact.clone()), basis)]));
                match proposed.reply {
                    Reply::Bound { .. } => {
                        self.count(|counts| counts.bound += 1);
                        self.put_back(&device, &contact).await;
                        self.details(device, contact, session).await;
                    }
                    Reply::BindingRefused { by } => {
                        tracing::info!(%device, %contact, node = %by.node, "a contact gave way: the device has registered elsewhere since");
                        // It is not wanted back either.
                        self.returns.take_lost(&(device.clone(), contact.clone()));
                        self.end_contact(&device, &contact).await;
                    }
                    Reply::Refused(why) => tracing::warn!(%device, %contact, %why, "a registration was not bound"),
                    other => tracing::warn!(%device, ?other, "an unexpected reply to a bind"),
                }
            }
            Err(error) => {
                tracing::warn!(%device, %error, "a registration could not be bound yet");
                self.look_now_at(&device);
            }
        }
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
    async fn details(self: &Arc<Self>, device: DeviceId, contact: ContactUri, session: SessionId) {
        let found = match self.client.get_contact(device.as_str(), contact.as_str()).await {
            Ok(Some(found)) => found,
            // Taken away while it was being bound: the event of that may have been taken for the one of our own deletion. Another may have come in
            // its place: unbound before that one is bound, she would be nowhere, and a contact that she left elsewhere would count again.
            Ok(None) => return self.look_now_at(&device),
            Err(error) => {
                tracing::debug!(%device, %contact, %error, "the details of a registration could not be read yet");
                return self.look_at(&device);
            }
        };
        if found.user_agent.is_none() && found.path.is_none() {
            return;
        }
        // Should she have left there as well, this would make a registration of what is one no more.
        let stale = Step::Stale(contact.clone());
        if !self.may_be_bound(&device, &contact) || self.lanes.waits(&device, |(step, _)| *step == stale) {
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
        if let Err(error) = self.propose(&device, bind).await {
            tracing::debug!(%device, %error, "the details of a registration were not recorded yet");
            self.look_at(&device);
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

    async fn gone(self: &Arc<Self>, device: DeviceId, contact: ContactUri) {
        let registration = (device.clone(), contact.clone());
        self.seen.lock().remove(&registration);
        if self.ended_by_us(&registration) {
            return;
        }
        let node = self.port.here();
        self.unbind(device, contact, node).await;
    }

    async fn unbind(self: &Arc<Self>, device: DeviceId, contact: ContactUri, node: NodeId) {
        let unbind = Command::Unbind {
            device: device.clone(),
            contact,
            node,
        };
        match self.propose(&device, unbind).await {
            Ok(_) => self.count(|counts| counts.unbound += 1),
            Err(error) => {
                tracing::warn!(%device, %error, "the end of a registration could not be recorded yet");
                self.look_now_at(&device);
            }
        }
    }

    async fn stale(self: &Arc<Self>, device: DeviceId, contact: ContactUri) {
        let node = self.port.here();
        // The own copy may be behind what this node has just bound.
        let snapshot = fresh_or_stale(&*self.port, FRESH_WITHIN).await;
        if snapshot.stale && self.returns.is_behind(&device, snapshot.revision) {
            return self.look_now_at(&device);
        }
        let bound = snapshot.view().bindings_of(&device);
        // Registered here again in the meantime: the newest word is that it is here.
        if bound.is_ok_and(|all| all.iter().any(|b| b.value.node == node && b.value.contact == contact)) {
            return;
        }
        self.end_contact(&device, &contact).await;
        if self.router.rang_here(&device) {
            // Beside the lane: the device's next registration must not wait for it.
            let (port, router) = (Arc::clone(&self.port), Arc::clone(&self.router));
            tokio::spawn(recall(self.client.clone(), port, router, device));
        }
    }
}

/// The registration that an event tells of; `None` for every other event, and for those of our own static contacts.
pub(super) fn new_registration(event: &ContactEvent) -> Option<Registration> {
    use ContactStatus::{Created, NonQualified, Reachable};
    if is_redirect_aor(&event.aor) || !matches!(event.status, Created | NonQualified | Reachable) {
        return None;
    }
    Some((
        DeviceId::new(event.aor.as_str()).ok()?,
        ContactUri::new(event.uri.as_str()).ok()?,
    ))
}
