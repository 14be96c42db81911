//! The life of the bridge: claim the Asterisk, connect, reconcile, follow changes, and begin again when the link is lost.

use std::{future::pending, sync::Arc, time::Duration};

use fed_core::{
    command::Command,
    event::{Change, UnboundWhy},
    ids::{DeviceId, Revision, SessionId},
};
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, Interval, MissedTickBehavior, interval_at, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use super::{
    BridgeConfig, BridgeFault, BridgeStatus, Phase,
    apply::{Applied, Applier, ApplyError, Known},
    applying::{Applying, report, retry_later, send},
    health,
    look_again::look_again,
    observe::{Observer, Step},
    owner::{Before, Owner},
    resync::Extent,
    settled::{Candidate, Settled},
    stranded::take_back,
};
use crate::{
    client::{AriClient, AriEvent, AsteriskInfo, Capabilities, ContactStatus, EventStream, Feature, Link},
    port::{MapEvent, MapPort, MapWatch},
    render::{Scope, Target},
    router::{Router, answer_stasis},
};

/// What is subscribed to.
const SOURCES: [&str; 1] = ["endpoint:PJSIP"];

/// What is listened to. Everything else of a subscribed endpoint, such as each step of its calls, would be written for nothing.
const EVENTS: [&str; 3] = ["ApplicationReplaced", "ContactStatusChange", "StasisStart"];

/// First and longest pause before another attempt; doubles in between.
pub(super) const PAUSES: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(2));

/// Pause after a fault that somebody has to mend.
const LONG_PAUSE: Duration = Duration::from_secs(3);

/// How long the end of a session may take to be recorded; after that the cluster notices by itself.
const ENDING: Duration = Duration::from_secs(1);

/// How long a new link waits for steps of the last one.
const STEPS: Duration = Duration::from_secs(2);

/// What Asterisk told of a contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ContactEvent {
    pub(super) aor: String,
    pub(super) uri: String,
    pub(super) status: ContactStatus,
    /// What the own copy of the map had applied when it was told. Whatever it may wait for afterwards, it is no newer than that.
    pub(super) at: Revision,
}

/// Everything that lives as long as the bridge.
pub(super) struct Life {
    pub(super) client: AriClient,
    pub(super) port: Arc<dyn MapPort>,
    router: Arc<Router>,
    config: BridgeConfig,
    owner: Owner,
    pub(super) observer: Arc<Observer>,
    pub(super) settled: Arc<Settled>,
    known: Arc<Mutex<Known>>,
    pub(super) status: watch::Sender<BridgeStatus>,
    written: watch::Sender<Option<Revision>>,
}

/// Runs the bridge until it is stopped.
pub(super) async fn run(life: Life, stop: CancellationToken) {
    let mut pause = PAUSES.0;
    loop {
        let fault = tokio::select! {
            fault = life.serve(&mut pause) => fault,
            () = stop.cancelled() => break,
        };
        life.lost(&fault).await;
        let wait = match fault {
            BridgeFault::NoAri(_) | BridgeFault::Unresponsive { .. } | BridgeFault::Map(_) => pause,
            _ => LONG_PAUSE,
        };
        pause = (pause * 2).min(PAUSES.1);
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = stop.cancelled() => break,
        }
    }
    life.end_session().await;
    // Whoever comes next need not wait; when Asterisk cannot be asked, there is nothing to let go.
    let _ = timeout(ENDING, life.owner.release(&life.client)).await;
    life.status.send_modify(|status| status.phase = Phase::Stopped);
}

impl Life {
    pub(super) fn new(
        client: AriClient,
        port: Arc<dyn MapPort>,
        router: Arc<Router>,
        config: BridgeConfig,
        status: watch::Sender<BridgeStatus>,
        written: watch::Sender<Option<Revision>>,
    ) -> Self {
        let settled = Arc::new(Settled::open(config.settled_file.clone(), &config.identity));
        let (one_port, one_router) = (Arc::clone(&port), Arc::clone(&router));
        Self {
            owner: Owner::new(config.identity.clone()),
            observer: Observer::new(
                client.clone(),
                one_port,
                one_router,
                Arc::clone(&settled),
                status.clone(),
            ),
            settled,
            known: Arc::default(),
            client,
            port,
            router,
            config,
            status,
            written,
        }
    }

    /// One link to Asterisk, from claim to loss. Answers why it ended.
    async fn serve(&self, pause: &mut Duration) -> BridgeFault {
        let mut link = match self.connect().await {
            Ok(link) => link,
            Err(fault) => return fault,
        };
        *pause = PAUSES.0;
        let fault = tokio::select! {
            fault = self.follow(&link.info, link.before, &mut link.contacts) => fault,
            fault = link.fatal.recv() => fault.unwrap_or_else(|| BridgeFault::NoAri("the event socket ended".into())),
        };
        drop(link);
        fault
    }

    async fn connect(&self) -> Result<Connected, BridgeFault> {
        let info = self.client.info().await.map_err(|e| BridgeFault::of_error(&e))?;
        let before = self
            .owner
            .claim(&self.client)
            .await
            .map_err(|e| BridgeFault::of_error(&e))??;
        // What steps of the last link still did, this one will not be told of.
        let _ = timeout(STEPS, self.observer.settle()).await;
        self.observer.link_lost();
        let mut events = self.client.events(&SOURCES);
        match events.next().await {
            Link::Disconnected { why } => return Err(BridgeFault::NoAri(why)),
            Link::Connected { unknown } => self.observer.does_not_hear(unknown),
            Link::Event(_) => {}
        }
        if Capabilities::of_version(info.version).has(Feature::EventFilter)
            && let Err(error) = self.client.allow_events(&EVENTS).await
        {
            // Costs time only: what is not listened to is passed over.
            tracing::warn!(%error, "Asterisk writes more events than are listened to");
        }
        let (fatal_sender, fatal) = mpsc::channel(4);
        let (contact_sender, contacts) = mpsc::unbounded_channel();
        let pulse = health::Pulse::now();
        let rhythm = self.config.rhythm.clone();
        let spawn =
            |task: std::pin::Pin<Box<dyn Future<Output = ()> + Send>>| AbortOnDropHandle::new(tokio::spawn(task));
        let tasks = vec![
            spawn(Box::pin(pump(
                self.client.clone(),
                Arc::clone(&self.port),
                Arc::clone(&self.router),
                events,
                contact_sender,
                fatal_sender.clone(),
            ))),
            spawn(Box::pin(health::watch_over(
                self.client.clone(),
                pulse.clone(),
                rhythm.clone(),
                fatal_sender.clone(),
            ))),
            spawn(Box::pin(health::keep_alive(
                Arc::clone(&self.port),
                Arc::clone(&self.observer),
                pulse,
                rhythm,
            ))),
            spawn(Box::pin(health::show_ownership(
                self.client.clone(),
                self.owner.clone(),
                fatal_sender,
            ))),
        ];
        self.status.send_modify(|status| {
            status.phase = Phase::Reconciling;
            status.version = Some(info.version);
        });
        Ok(Connected {
            info,
            before,
            contacts,
            fatal,
            _tasks: tasks,
        })
    }

    /// Reconciles and then follows changes on both sides, for as long as the link lasts.
    async fn follow(
        &self,
        info: &AsteriskInfo,
        before: Before,
        contacts: &mut mpsc::UnboundedReceiver<ContactEvent>,
    ) -> BridgeFault {
        let target = Target {
            here: self.port.here(),
            capabilities: Capabilities::of_version(info.version),
            redirect: self.config.redirect.clone(),
        };
        let applier = Applier::new(
            self.client.clone(),
            Arc::clone(&self.port),
            target,
            Arc::clone(&self.known),
            &info.started,
        );
        let snapshot = self.port.local();
        let applied = match applier.apply_all(&snapshot, before).await {
            Ok(applied) => applied,
            Err(ApplyError::Ari(error)) => return BridgeFault::of_error(&error),
            Err(error) => return BridgeFault::Map(error.to_string()),
        };
        if let Some(fault) = applied
            .faults
            .iter()
            .find(|fault| matches!(fault, BridgeFault::MissingMapping { .. }))
        {
            return fault.clone();
        }
        self.report(&applier, &applied);
        if let Err(error) = self.observer.hear(&applier).await {
            return BridgeFault::of_error(&error);
        }
        let (scopes, scope_receiver) = mpsc::unbounded_channel();
        if !applied.faults.is_empty() {
            retry_later(&scopes, Scope::All);
        }
        let (followed, to_follow) = watch::channel(snapshot.revision);
        let applying = Applying {
            applier,
            debounce: self.config.rhythm.debounce,
            status: self.status.clone(),
            written: self.written.clone(),
            observer: Arc::clone(&self.observer),
        };
        let applying = applying.keep_applied(snapshot.clone(), scope_receiver, scopes.clone(), to_follow);
        let applying = AbortOnDropHandle::new(tokio::spawn(applying));
        let looking = AbortOnDropHandle::new(tokio::spawn(look_again(
            self.client.clone(),
            Arc::clone(&self.port),
            self.config.redirect.clone(),
            self.config.rhythm.look_again,
            Arc::clone(&self.known),
            self.status.clone(),
            scopes.clone(),
        )));
        let every = self.config.rhythm.settle;
        let mut rounds = interval_at(Instant::now() + every, every);
        rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut changes = Changes {
            watch: self.port.watch(snapshot.revision),
            followed,
            candidate: Candidate::default(),
            rounds,
        };
        self.observer.compare_later(Extent::All);
        let fault = loop {
            match self.compare(contacts).await {
                Ok(left) => {
                    left.words.iter().for_each(|event| self.contact_event(event, &scopes));
                    let unclear = left.unclear.iter().filter_map(|aor| DeviceId::new(aor.as_str()).ok());
                    self.observer.look_soon_at(unclear);
                    left.unclear.iter().for_each(|aor| self.released(aor, &scopes));
                }
                Err(fault) => break fault,
            }
            if let Some(fault) = self.steady(&mut changes, &scopes, contacts).await {
                break fault;
            }
        };
        drop((applying, looking));
        fault
    }

    /// Follows events and changes until something must be compared again (`None`) or the map is stopped.
    async fn steady(
        &self,
        map: &mut Changes,
        scopes: &mpsc::UnboundedSender<Scope>,
        contacts: &mut mpsc::UnboundedReceiver<ContactEvent>,
    ) -> Option<BridgeFault> {
        loop {
            tokio::select! {
                biased;
                event = contacts.recv() => {
                    // The pump ends only with the link, which `serve` notices.
                    let Some(event) = event else { pending().await };
                    if !self.observer.is_own(&event) {
                        self.contact_event(&event, scopes);
                    }
                }
                item = map.watch.next() => match item {
                    MapEvent::Changes { changes, revision } => {
                        for change in &changes {
                            self.changed(change, scopes);
                        }
                        // After the scopes: whoever reads it first finds them all.
                        map.followed.send_replace(revision);
                    }
                    MapEvent::Compacted => {
                        // That watch tells nothing more. What is applied and compared from here on is this revision or a later one.
                        let from = self.port.local().revision;
                        map.watch = self.port.watch(from);
                        send(scopes, Scope::All);
                        map.followed.send_replace(from);
                        self.observer.compare_later(Extent::All);
                        return None;
                    }
                    MapEvent::Stopped => return Some(BridgeFault::Map("the map has been stopped".into())),
                },
                () = self.observer.resync_wanted() => return None,
                _ = map.rounds.tick() => {
                    let now = self.observer.is_done().then(|| *map.followed.borrow());
                    if let Some(at) = map.candidate.round(now) {
                        self.settled.agreed(at);
                    }
                    self.observer.look_round();
                }
            }
        }
    }

    /// One event of a contact.
    fn contact_event(&self, event: &ContactEvent, scopes: &mpsc::UnboundedSender<Scope>) {
        self.observer.contact_changed(event);
        if event.status == ContactStatus::Removed {
            self.released(&event.aor, scopes);
        }
    }

    /// One change of the map.
    fn changed(&self, change: &Change, scopes: &mpsc::UnboundedSender<Scope>) {
        let here = self.port.here();
        match change {
            Change::Unbound {
                binding,
                why: UnboundWhy::Superseded,
            } if binding.node == here => {
                self.observer.push(
                    binding.device.clone(),
                    Step::Stale(binding.contact.clone()),
                    self.port.applied(),
                );
            }
            // It gave way while this node did not count. What its Asterisk has now may be newer: that takes a comparison.
            Change::Unbound {
                binding,
                why: UnboundWhy::Dead,
            } if binding.node == here => self.observer.look_now_at(&binding.device),
            Change::SessionEnded { session, node } if *node == here && self.observer.session() == Some(*session) => {
                tracing::warn!(%session, "this node's session has ended; opening another");
                self.observer.set_session(None);
                self.observer.want_resync();
            }
            Change::SessionEnded { node, .. } if *node != here => {
                // Beside everything else: it ends by itself within a second.
                tokio::spawn(take_back(
                    self.client.clone(),
                    Arc::clone(&self.port),
                    Arc::clone(&self.router),
                    *node,
                ));
            }
            other => {
                if let Change::DevicePut { id } = other {
                    self.observer.look_at(id);
                }
                if let Some(scope) = Scope::of_change(other) {
                    send(scopes, scope);
                }
            }
        }
    }

    /// A registration ended: what was postponed for its sake can be done.
    fn released(&self, aor: &str, scopes: &mpsc::UnboundedSender<Scope>) {
        let waits = self.status.borrow().postponed.iter().any(|(_, id)| id == aor);
        if waits && let Ok(device) = aor.parse() {
            send(scopes, Scope::Device(device));
        }
    }

    fn report(&self, applier: &Applier, applied: &Applied) {
        report(&self.status, &self.observer, applier, applied);
    }

    /// The link is gone: nobody is to be sent here.
    async fn lost(&self, fault: &BridgeFault) {
        tracing::warn!(%fault, "the bridge lost its Asterisk");
        self.status.send_modify(|status| {
            if status.phase != Phase::Down {
                status.counts.link_losses += 1;
                self.observer.count(|counts| counts.link_losses += 1);
            }
            status.phase = Phase::Down;
            status.session = None;
            status.faults = vec![fault.clone()];
        });
        self.written.send_replace(None);
        self.observer.link_lost();
        self.end_session().await;
    }

    async fn end_session(&self) {
        let Some(session) = self.observer.session() else { return };
        self.observer.set_session(None);
        if timeout(ENDING, end(&*self.port, session)).await.is_err() {
            tracing::warn!(%session, "the end of the session could not be recorded; the cluster will notice the silence");
        }
    }
}

/// Changes of the map, and how far they have been followed.
struct Changes {
    watch: Box<dyn MapWatch>,
    followed: watch::Sender<Revision>,
    candidate: Candidate,
    /// Beyond single comparisons: they may come more often than rounds.
    rounds: Interval,
}

/// A link that is up, and what runs beside it.
struct Connected {
    info: AsteriskInfo,
    before: Before,
    contacts: mpsc::UnboundedReceiver<ContactEvent>,
    fatal: mpsc::Receiver<BridgeFault>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

async fn end(port: &dyn MapPort, session: SessionId) {
    let mut pause = PAUSES.0;
    while let Err(error) = port.propose(Command::EndSession { session }).await {
        tracing::debug!(%session, %error, "the session could not be ended yet");
        continue_after(&mut pause).await;
    }
}

pub(super) async fn continue_after(pause: &mut Duration) {
    tokio::time::sleep(*pause).await;
    *pause = (*pause * 2).min(PAUSES.1);
}

/// Passes events on: calls are answered at once, whatever else is going on.
async fn pump(
    client: AriClient,
    port: Arc<dyn MapPort>,
    router: Arc<Router>,
    mut events: EventStream,
    contacts: mpsc::UnboundedSender<ContactEvent>,
    fatal: mpsc::Sender<BridgeFault>,
) {
    let fault = loop {
        match events.next().await {
            Link::Connected { .. } => {}
            Link::Disconnected { why } => break BridgeFault::NoAri(why),
            Link::Event(AriEvent::ApplicationReplaced { application }) => {
                break BridgeFault::ApplicationTaken { app: application };
            }
            Link::Event(AriEvent::StasisStart { channel, args }) => {
                let (client, router) = (client.clone(), Arc::clone(&router));
                tokio::spawn(async move {
                    if let Err(error) = answer_stasis(&client, &router, &channel, &args).await {
                        tracing::debug!(channel = channel.name, %error, "a call could not be answered");
                    }
                });
            }
            Link::Event(AriEvent::ContactStatusChange { aor, uri, status, .. }) => {
                let at = port.applied();
                if contacts.send(ContactEvent { aor, uri, status, at }).is_err() {
                    return;
                }
            }
            Link::Event(_) => {}
        }
    };
    // The receiver is gone only when the link is being given up anyway.
    let _ = fatal.send(fault).await;
}
