//! What a simulated Asterisk is given at its start.

use std::{net::SocketAddr, time::Duration};

use super::SimVersion;

/// How the simulated Asterisk is set up.
#[derive(Clone, Debug)]
pub struct SimConfig {
    /// The version to behave like.
    pub version: SimVersion,
    /// User of `ari.conf`.
    pub username: String,
    /// Its password.
    pub password: String,
    /// Where ARI listens; port 0 takes a free one.
    pub http: SocketAddr,
    /// Where SIP listens (UDP); port 0 takes a free one.
    pub sip: SocketAddr,
    /// Object types with a writable sorcery mapping.
    pub writable: Vec<String>,
    /// `extensions.conf`: contexts with what the subset of the dialplan knows.
    pub dialplan: String,
    /// `send_contact_status_on_update_registration` of `pjsip.conf`: events of refreshes too.
    pub refresh_events: bool,
    /// How often expired registrations are looked for.
    pub expiry_check: Duration,
}

impl SimConfig {
    /// On free loopback ports, user `fed`, password `secret`, with all sorcery mappings and no dialplan.
    pub fn new(version: SimVersion) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        Self {
            version,
            username: "fed".to_owned(),
            password: "secret".to_owned(),
            http: any,
            sip: any,
            writable: ["auth", "aor", "endpoint", "identify"].map(str::to_owned).to_vec(),
            dialplan: String::new(),
            refresh_events: true,
            expiry_check: Duration::from_millis(50),
        }
    }
}
