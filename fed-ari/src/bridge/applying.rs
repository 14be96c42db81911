//! Applying: what changes in the map is written into Asterisk, for as long as a link lasts.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use tokio::{
    sync::{mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    BridgeStatus,
    apply::{Applied, Applier},
    observe::Observer,
};
use crate::{port::MapSnapshot, render::Scope};

/// Pause before objects that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(5);

/// What is written at once belongs together: a user comes with devices.
const BREATH: Duration = Duration::from_millis(1);

/// Applies what changes in the map: the first change at once, those that follow it closely a little later, so that many make one plan.
pub(super) async fn keep_applied(
    applier: Applier,
    snapshot: MapSnapshot,
    mut scopes: mpsc::UnboundedReceiver<Scope>,
    again: mpsc::UnboundedSender<Scope>,
    debounce: Duration,
    status: watch::Sender<BridgeStatus>,
    observer: Arc<Observer>,
) {
    let mut applied = Applied::default();
    if let Err(error) = applier.apply_globals(&snapshot, &mut applied).await {
        tracing::warn!(%error, "the numbers for the time without fed-node could not be written");
        retry_later(&again, Scope::All);
    }
    let mut ready_at = Instant::now();
    while let Some(first) = scopes.recv().await {
        let mut wanted = BTreeSet::from([first]);
        sleep_until(ready_at.max(Instant::now() + BREATH)).await;
        while let Ok(scope) = scopes.try_recv() {
            wanted.insert(scope);
        }
        match applier.apply(&wanted).await {
            Ok(applied) => {
                if !applied.faults.is_empty() {
                    wanted.into_iter().for_each(|scope| retry_later(&again, scope));
                }
                report(&status, &observer, &applier, &applied);
            }
            Err(error) => {
                tracing::warn!(%error, "a change could not be applied yet");
                wanted.into_iter().for_each(|scope| retry_later(&again, scope));
            }
        }
        ready_at = Instant::now() + debounce;
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
    let scopes = scopes.clone();
    tokio::spawn(async move {
        tokio::time::sleep(RETRY).await;
        send(&scopes, scope);
    });
}
