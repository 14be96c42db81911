//! The bridge: a level-triggered reconciler between the map and one Asterisk, in both directions.
//!
//! *Apply*: what the map means is rendered, planned and written. *Observe*: registrations become bindings, superseded bindings take
//! their stale contacts away. Events are hints; after every connect the whole is compared. The node's session is open
//! while Asterisk is healthy, from that comparison on; those of single devices later leave it open.

mod apply;
mod applying;
mod compare;
mod differences;
mod drift;
mod health;
mod hearing;
mod lanes;
mod link;
mod look;
mod look_again;
mod names;
mod objects;
mod observe;
mod owner;
mod recall;
mod resync;
mod returns;
mod seen;
mod settled;
mod stale;
mod status;
mod stranded;

use std::{path::PathBuf, sync::Arc, time::Duration};

use fed_core::ids::Revision;
use tokio::{sync::watch, task::JoinHandle};
use tokio_util::sync::CancellationToken;

pub use drift::{Drift, DriftError, check_drift, drift};
pub use health::Rhythm;
pub use objects::{Compared, ObjectDrift, check_objects};
pub use status::{BridgeCounts, BridgeFault, BridgeStatus, Phase};

use crate::{client::AriClient, port::MapPort, router::Router};

/// How long a bridge may take to stop.
const STOPPING: Duration = Duration::from_secs(2);

/// What a bridge has to know besides its Asterisk and the map.
#[derive(Clone, Debug)]
pub struct BridgeConfig {
    /// `host:port` of the redirect server as Asterisk reaches it, with URI parameters such as `;transport=tcp` behind it.
    pub redirect: String,
    /// Who this is, the same after every start and unlike any other node of any federation: `<cluster id>/<node id>`, say.
    pub identity: String,
    /// Where the bridge notes up to where Asterisk and map agreed, for the next process of this node; `None`: nowhere. Registrations that
    /// began while no bridge ran then give way to whatever the map has.
    pub settled_file: Option<PathBuf>,
    /// Rhythm and patience.
    pub rhythm: Rhythm,
}

impl BridgeConfig {
    /// With the default rhythm.
    pub fn new(redirect: impl Into<String>, identity: impl Into<String>) -> Self {
        Self {
            redirect: redirect.into(),
            identity: identity.into(),
            settled_file: None,
            rhythm: Rhythm::default(),
        }
    }
}

/// A running bridge.
pub struct Bridge {
    status: watch::Receiver<BridgeStatus>,
    written: watch::Receiver<Option<Revision>>,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Bridge {
    /// Starts the bridge between this Asterisk and the map. Calls that enter the Stasis application are answered by `router`. It
    /// connects, and connects again, by itself; look at [`Bridge::status`] for how it fares.
    pub fn start(client: AriClient, port: Arc<dyn MapPort>, router: Arc<Router>, config: BridgeConfig) -> Self {
        let (sender, status) = watch::channel(BridgeStatus::default());
        let (written_sender, written) = watch::channel(None);
        let stop = CancellationToken::new();
        let life = link::Life::new(client, port, router, config, sender, written_sender);
        let task = tokio::spawn(link::run(life, stop.clone()));
        Self {
            status,
            written,
            stop,
            task,
        }
    }

    /// How the bridge and its Asterisk are now.
    pub fn status(&self) -> BridgeStatus {
        self.status.borrow().clone()
    }

    /// Changes of the status.
    pub fn watch_status(&self) -> watch::Receiver<BridgeStatus> {
        self.status.clone()
    }

    /// Up to which revision of the map everything was written into Asterisk, but for what [`BridgeStatus::faults`] and
    /// [`BridgeStatus::postponed`] name; `None` while there is no link, or none of it was written yet.
    pub fn watch_written(&self) -> watch::Receiver<Option<Revision>> {
        self.written.clone()
    }

    /// Ends this node's session and lets its Asterisk go, which keeps its objects, registrations and calls. Takes two seconds at most.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(STOPPING, &mut self.task).await.is_err() {
            self.task.abort();
        }
    }
}

impl Drop for Bridge {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}
