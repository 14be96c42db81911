//! Applying: what changes in the map is written into Asterisk, for as long as a link lasts.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use fed_core::ids::{DeviceId, Revision};
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    BridgeStatus,
    apply::{Applied, Applier, ApplyError},
    observe::Observer,
};
use crate::{port::MapSnapshot, render::Scope};

/// Pause before objects that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// First and longest pause before all of it is tried again where nothing could be; doubles in between. What a node that has just joined lacks
/// comes within a moment.
const PAUSES: (Duration, Duration) = (Duration::from_millis(50), RETRY);

/// What is written at once belongs together: a user comes with devices.
const BREATH: Duration = Duration::from_millis(1);

/// What applies changes, and whom it tells.
pub(super) struct Applying {
    pub(super) applier: Applier,
    pub(super) debounce: Duration,
    pub(super) status: watch::Sender<BridgeStatus>,
    /// Up to which revision everything is in Asterisk.
    pub(super) written: watch::Sender<Option<Revision>>,
    pub(super) observer: Arc<Observer>,
}

impl Applying {
    /// Applies what changes in the map: the first change at once, those that follow it closely a little later, so that many make one
    /// plan. `snapshot` was applied already. A revision comes through `followed` after the scopes that it changed.
    pub(super) async fn keep_applied(
        self,
        snapshot: MapSnapshot,
        mut scopes: mpsc::UnboundedReceiver<Scope>,
        again: mpsc::UnboundedSender<Scope>,
        mut followed: watch::Receiver<Revision>,
    ) {
        let mut applied = Applied::default();
        let mut behind = Behind::default();
        if let Err(error) = self.applier.apply_globals(&snapshot, &mut applied).await {
            tracing::warn!(%error, "the numbers for the time without fed-node could not be written");
            behind.put_off(&BTreeSet::from([Scope::All]), &again);
        } else {
            self.written.send_replace(Some(snapshot.revision));
        }
        let mut ready_at = Instant::now();
        loop {
            let mut wanted = BTreeSet::new();
            tokio::select! {
                biased;
                scope = scopes.recv() => match scope {
                    Some(scope) => drop(wanted.insert(scope)),
                    None => return,
                },
                changed = followed.changed() => if changed.is_err() { return },
            }
            if !wanted.is_empty() {
                sleep_until(ready_at.max(Instant::now() + BREATH)).await;
            }
            // Before the scopes are taken: those of this revision were sent before it.
            let revision = *followed.borrow_and_update();
            while let Ok(scope) = scopes.try_recv() {
                wanted.insert(scope);
            }
            if !wanted.is_empty() {
                self.apply(&wanted, &mut behind, &again).await;
                ready_at = Instant::now() + self.debounce;
            }
            if behind.not_written.is_empty() {
                self.written.send_replace(Some(revision));
            }
        }
    }

    /// Applies these.
    async fn apply(&self, wanted: &BTreeSet<Scope>, behind: &mut Behind, again: &mpsc::UnboundedSender<Scope>) {
        match self.write(wanted).await {
            Ok(applied) => {
                behind.written(wanted);
                if !applied.faults.is_empty() {
                    wanted.iter().for_each(|scope| retry_later(again, scope.clone()));
                }
                report(&self.status, &self.observer, &self.applier, &applied);
            }
            Err(error) => {
                tracing::warn!(%error, "a change could not be applied yet");
                behind.put_off(wanted, again);
            }
        }
    }

    /// Writes these, and sees to it that this bridge is told of what registers with them.
    async fn write(&self, wanted: &BTreeSet<Scope>) -> Result<Applied, ApplyError> {
        let applied = self.applier.apply(wanted).await?;
        for aor in &applied.aors {
            if let Ok(device) = DeviceId::new(aor.as_str()) {
                self.observer.look_at(&device);
            }
        }
        if self.observer.hear(&self.applier).await? {
            self.observer.want_resync();
        }
        Ok(applied)
    }
}

/// What could not be applied at all, and comes again.
#[derive(Default)]
struct Behind {
    not_written: BTreeSet<Scope>,
    /// Before the next attempt.
    pause: Duration,
}

impl Behind {
    fn written(&mut self, scopes: &BTreeSet<Scope>) {
        self.not_written
            .retain(|scope| !scopes.contains(scope) && !scopes.contains(&Scope::All));
        self.pause = Duration::ZERO;
    }

    fn put_off(&mut self, scopes: &BTreeSet<Scope>, again: &mpsc::UnboundedSender<Scope>) {
        self.not_written.extend(scopes.iter().cloned());
        self.pause = (self.pause * 2).clamp(PAUSES.0, PAUSES.1);
        for scope in scopes {
            send_after(again, scope.clone(), self.pause);
        }
    }
}

/// Tells the status what was applied.
pub(super) fn report(status: &watch::Sender<BridgeStatus>, observer: &Observer, applier: &Applier, applied: &Applied) {
    observer.count(|counts| {
        counts.written += applied.written;
        counts.deleted += applied.deleted;
    });
    status.send_modify(|status| {
        let again = |kind: &str, id: &str| applied.covers(kind, id);
        status.postponed.retain(|(kind, id)| !again(kind.as_str(), id));
        status.postponed.extend(applied.postponed.iter().cloned());
        status
            .faults
            .retain(|fault| !fault.object().is_some_and(|(kind, id)| again(kind, id)));
        for fault in &applied.faults {
            status.add_fault(fault.clone());
        }
        let unsettled = status.faults.iter().filter(|fault| fault.object().is_some()).count();
        status.verified = applier.verified();
        status.desired = status.verified + status.postponed.len() + unsettled;
        status.counts = observer.counts();
    });
}

/// Has this applied.
pub(super) fn send(scopes: &mpsc::UnboundedSender<Scope>, scope: Scope) {
    // The applier ends only with the link, and then everything is looked at again.
    let _ = scopes.send(scope);
}

/// Has this applied again, in a while.
pub(super) fn retry_later(scopes: &mpsc::UnboundedSender<Scope>, scope: Scope) {
    send_after(scopes, scope, RETRY);
}

fn send_after(scopes: &mpsc::UnboundedSender<Scope>, scope: Scope, pause: Duration) {
    let scopes = scopes.clone();
    tokio::spawn(async move {
        tokio::time::sleep(pause).await;
        send(&scopes, scope);
    });
}
