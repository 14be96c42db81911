//! How long the certificate that is in use is good for, for metrics.

use std::time::UNIX_EPOCH;

use fed_raft::security::{Keyring, Security};

use crate::config::Config;

/// Watches a node's certificate, also when it is renewed.
#[derive(Debug, Clone)]
pub(crate) struct Validity {
    keyring: Keyring,
    /// `built_in`, whose certificates renew themselves, or `own`: somebody has to have a new one signed.
    authority: &'static str,
}

impl Validity {
    /// That of this node; none where nothing is encrypted.
    pub(crate) fn of(config: &Config, security: &Security) -> Option<Self> {
        let Security::Tls(keyring) = security else { return None };
        let authority = if config.tls.ca.is_some() { "own" } else { "built_in" };
        Some(Self {
            keyring: keyring.clone(),
            authority,
        })
    }

    /// In the text format that Prometheus reads.
    pub(crate) fn metrics(&self) -> String {
        let name = "fed_node_certificate_expires_timestamp_seconds";
        let expires = self.keyring.current().expires();
        let seconds = expires.duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs());
        format!(
            "# HELP {name} When the certificate that this node uses ends, by whose authority.\n# TYPE {name} gauge\n{name}{{authority=\"{}\"}} {seconds}\n",
            self.authority
        )
    }
}
