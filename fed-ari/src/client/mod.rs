//! The typed ARI client: REST calls over one connection pool, events over a WebSocket that reconnects.
//!
//! Guarantees: a few calls at once, whoever makes them; every call has a deadline; every error names the object and a remedy; fields and events
//! that this code does not know are ignored, so newer Asterisks stay usable.

mod capabilities;
mod channels;
mod config;
mod contacts;
mod endpoints;
mod error;
mod event;
mod http;
mod link;
mod objects;
mod patience;
mod system;
mod version;

use std::sync::Arc;

pub use capabilities::{Capabilities, Feature};
pub use channels::{Channel, Dialplan, HangupReason, LegState, Party};
pub use config::{AriConfig, Timeouts};
pub(crate) use contacts::has_run_out;
pub use contacts::{Contact, Ended, Listing, contact_id};
pub use endpoints::{Endpoint, EndpointState};
pub use error::AriError;
pub use event::{AriEvent, ContactStatus};
pub use link::{EventStream, Link};
pub use objects::{Fields, ObjectType};
pub(crate) use patience::patiently;
pub use system::{AsteriskInfo, MODULES_NEEDED, Module};
use tokio::sync::Semaphore;
pub use version::{AsteriskVersion, InvalidVersion};

/// A handle on one Asterisk; clones share the connection pool.
#[derive(Clone)]
pub struct AriClient {
    inner: Arc<Inner>,
}

struct Inner {
    config: AriConfig,
    http: reqwest::Client,
    places: Semaphore,
    call_places: Semaphore,
}

/// REST calls about objects at the same time; further ones wait. Asterisk has a queue of ten for new connections (`main/tcptls.c`), a thread for each, and
/// turns away whoever comes when it has a hundred sessions, whoever's they are.
const AT_ONCE: usize = 8;

/// And about calls that are being made, beside these.
const CALLS_AT_ONCE: usize = 4;

/// What a long list of calls may have in flight.
pub(crate) const IN_BULK: usize = 6;

impl AriClient {
    /// A client for this Asterisk. Nothing is connected yet.
    ///
    /// # Errors
    /// [`AriError::Malformed`] where the base address is not an `http://` address.
    pub fn new(config: AriConfig) -> Result<Self, AriError> {
        let malformed = |why: String| AriError::Malformed {
            object: format!("the ARI address {:?}", config.base_url),
            why,
        };
        let url = reqwest::Url::parse(config.root()).map_err(|e| malformed(e.to_string()))?;
        if url.scheme() != "http" || url.host_str().is_none() {
            return Err(malformed(
                "expected http://HOST:PORT (ARI belongs on loopback)".to_owned(),
            ));
        }
        let http = reqwest::Client::builder()
            .connect_timeout(config.timeouts.connect)
            .timeout(config.timeouts.request)
            // Asterisk closes an idle connection after 15 s: close it before, not while a call is on its way.
            .pool_idle_timeout(std::time::Duration::from_secs(10))
            .pool_max_idle_per_host(AT_ONCE + CALLS_AT_ONCE)
            .tcp_nodelay(true)
            .no_proxy()
            .build()
            .map_err(|e| malformed(e.to_string()))?;
        Ok(Self {
            inner: Arc::new(Inner {
                config,
                http,
                places: Semaphore::new(AT_ONCE),
                call_places: Semaphore::new(CALLS_AT_ONCE),
            }),
        })
    }

    /// The configuration this client was made with.
    pub fn config(&self) -> &AriConfig {
        &self.inner.config
    }
}

impl std::fmt::Debug for AriClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AriClient").field(&self.inner.config).finish()
    }
}
