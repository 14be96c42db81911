//! Hearing: what the bridge is subscribed to.
//!
//! Asterisk knows a technology from its first endpoint on. On a server that has none of its own, that is the first one this bridge writes, and
//! of what registers before the subscription nothing is told: it is compared after.

use super::{apply::Applier, observe::Observer};
use crate::client::AriError;

impl Observer {
    /// A link is up; of these sources nothing will be told.
    pub(super) fn does_not_hear(&self, unknown: Vec<String>) {
        *self.unheard.lock() = unknown;
    }

    /// Subscribes what Asterisk did not know when the link came up, as soon as it has an endpoint. True where that made a difference: everything
    /// must be compared then.
    ///
    /// # Errors
    /// Where it cannot be subscribed: this bridge is deaf for as long.
    pub(super) async fn hear(&self, applier: &Applier) -> Result<bool, AriError> {
        let unknown = self.unheard.lock().clone();
        if unknown.is_empty() || !applier.has_endpoints() {
            return Ok(false);
        }
        let mut left = Vec::new();
        for source in &unknown {
            if !self.client.subscribe(source).await? {
                tracing::warn!(
                    source,
                    "Asterisk has endpoints, and does not know this source of events"
                );
                left.push(source.clone());
            }
        }
        let made_a_difference = left.len() < unknown.len();
        self.does_not_hear(left);
        Ok(made_a_difference)
    }
}
