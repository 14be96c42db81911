//! Looking again, now and then, whether Asterisk still has what was written: nobody is told when an object is changed or deleted over ARI.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::{Instant, MissedTickBehavior, interval_at},
};

use super::{BridgeStatus, ObjectDrift, apply::Known, check_objects, names::Names};
use crate::{client::AriClient, port::MapPort, render::Scope};

/// Objects named in the log at once.
const NAMED: usize = 10;

/// Compares every object with the map in each round of `every`; what is not as it should be is forgotten, so that the next application,
/// which is asked for through `scopes`, looks at it and mends it. Trunks whose names lead elsewhere by now are written anew. What waits for a registration to end is left waiting.
pub(super) async fn look_again(
    client: AriClient,
    port: Arc<dyn MapPort>,
    redirect: String,
    every: Duration,
    known: Arc<Mutex<Known>>,
    status: watch::Sender<BridgeStatus>,
    scopes: mpsc::UnboundedSender<Scope>,
) {
    let mut rounds = interval_at(Instant::now() + every, every);
    rounds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut names = Names::default();
    loop {
        rounds.tick().await;
        match names.renew(&*port, &client, &redirect).await {
            Ok(renewed) if renewed.is_empty() => {}
            Ok(renewed) => {
                let missing: Vec<_> = renewed.into_iter().map(ObjectDrift::Missing).collect();
                known.lock().forget(&missing);
                // As below.
                let _ = scopes.send(Scope::All);
            }
            Err(error) => tracing::debug!(%error, "the names of trunks could not be looked up again"),
        }
        let compared = match check_objects(&*port, &client, &redirect).await {
            Ok(compared) => compared,
            Err(error) => {
                tracing::debug!(%error, "the objects in Asterisk could not be looked at again");
                continue;
            }
        };
        let waiting = status.borrow().postponed.clone();
        let changed: Vec<_> = compared
            .drift
            .into_iter()
            .filter(|drift| drift.key().is_none_or(|key| !waiting.contains(key)))
            .collect();
        if changed.is_empty() {
            continue;
        }
        for drift in changed.iter().take(NAMED) {
            tracing::warn!("somebody changed an object of the federation in Asterisk: {drift}; it is put right");
        }
        if changed.len() > NAMED {
            tracing::warn!("and {} objects more", changed.len() - NAMED);
        }
        known.lock().forget(&changed);
        // The applier ends only with the link, and this with it.
        let _ = scopes.send(Scope::All);
    }
}
