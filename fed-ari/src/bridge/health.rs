//! What runs while the link is up: signs of life of Asterisk, the session's keep-alive, the mark of ownership.
//!
//! The session says "this node and its Asterisk are healthy", so it is kept alive only while Asterisk answers.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{sync::mpsc, time::timeout};

use super::{
    BridgeFault,
    observe::Observer,
    owner::{Owner, REFRESH},
};
use crate::{client::AriClient, port::MapPort};

/// Rhythm and patience of the bridge.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// Between two keep-alives of the session.
    pub keep_alive: Duration,
    /// Between two signs of life asked of Asterisk.
    pub ping: Duration,
    /// Silence after which Asterisk counts as down.
    pub silence: Duration,
    /// How long changes of the map are gathered before they are applied, when others have just been.
    pub debounce: Duration,
    /// Between two looks at whether Asterisk still has every object as written.
    pub look_again: Duration,
    /// Between two looks at whether anything is left to do; what was found to agree counts after another round. Longer than the second that Asterisk's
    /// database may be behind.
    pub settle: Duration,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            keep_alive: Duration::from_millis(400),
            ping: Duration::from_millis(500),
            silence: Duration::from_millis(2_500),
            debounce: Duration::from_millis(20),
            look_again: Duration::from_secs(300),
            settle: Duration::from_secs(5),
        }
    }
}

/// Signs of life that must fail in a row: on a busy machine a single one may take its time.
const PINGS_IN_SILENCE: u32 = 3;

/// When Asterisk last answered.
#[derive(Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    pub(super) fn now() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn silent_for(&self) -> Duration {
        self.0.lock().elapsed()
    }
}

/// Asks Asterisk for signs of life until it is silent for too long.
pub(super) async fn watch_over(client: AriClient, pulse: Pulse, rhythm: Rhythm, fatal: mpsc::Sender<BridgeFault>) {
    loop {
        tokio::time::sleep(rhythm.ping).await;
        if matches!(
            timeout(rhythm.silence / PINGS_IN_SILENCE, client.ping()).await,
            Ok(Ok(()))
        ) {
            *pulse.0.lock() = Instant::now();
        } else if pulse.silent_for() >= rhythm.silence {
            let seconds = pulse.silent_for().as_secs();
            // The receiver is gone only when the link is being given up anyway.
            let _ = fatal.send(BridgeFault::Unresponsive { seconds }).await;
            return;
        }
    }
}

/// Keeps the session alive while Asterisk is.
pub(super) async fn keep_alive(port: Arc<dyn MapPort>, observer: Arc<Observer>, pulse: Pulse, rhythm: Rhythm) {
    let mut ticks = tokio::time::interval(rhythm.keep_alive);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(session) = observer.session().filter(|_| pulse.silent_for() < rhythm.silence) else {
            continue;
        };
        match timeout(rhythm.keep_alive * 2, port.keep_alive(session)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%session, %error, "the session could not be kept alive"),
            Err(_) => tracing::debug!(%session, "the session could not be kept alive in time"),
        }
    }
}

/// Shows that this Asterisk is taken, and gives up where another took it.
pub(super) async fn show_ownership(client: AriClient, owner: Owner, fatal: mpsc::Sender<BridgeFault>) {
    loop {
        tokio::time::sleep(REFRESH).await;
        if let Ok(Some(fault)) = owner.refresh(&client).await {
            // As above.
            let _ = fatal.send(fault).await;
            return;
        }
    }
}
