//! Where an Asterisk's ARI is, and how patient to be with it.

use std::{fmt, time::Duration};

/// How to reach one Asterisk.
#[derive(Clone)]
pub struct AriConfig {
    /// Address of Asterisk's HTTP server, such as `http://127.0.0.1:8088` or `http://[::1]:8088/prefix`.
    /// A trailing `/` or `/ari` is accepted and ignored.
    pub base_url: String,
    /// User of `ari.conf`.
    pub username: String,
    /// The user's password. Never printed.
    pub password: String,
    /// Name of the Stasis application whose events are listened to.
    pub app: String,
    /// Deadlines.
    pub timeouts: Timeouts,
}

/// Deadlines of the client; all bounded so that a stuck Asterisk is seen as one.
#[derive(Clone, Debug)]
pub struct Timeouts {
    /// For a TCP connection.
    pub connect: Duration,
    /// For one REST call from first byte to last.
    pub request: Duration,
    /// Silence on the event socket after which a ping is sent; after twice this the link counts as lost.
    pub ping: Duration,
    /// First pause before reconnecting the event socket; doubles, with jitter.
    pub backoff_min: Duration,
    /// Longest pause between two attempts.
    pub backoff_max: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            request: Duration::from_secs(10),
            ping: Duration::from_secs(5),
            backoff_min: Duration::from_millis(50),
            backoff_max: Duration::from_secs(2),
        }
    }
}

impl AriConfig {
    /// A configuration with the default deadlines.
    pub fn new(
        base_url: impl Into<String>,
        username: impl Into<String>,
        password: impl Into<String>,
        app: impl Into<String>,
    ) -> Self {
        Self {
            base_url: base_url.into(),
            username: username.into(),
            password: password.into(),
            app: app.into(),
            timeouts: Timeouts::default(),
        }
    }

    /// The base address without its trailing `/` or `/ari`.
    pub(crate) fn root(&self) -> &str {
        let trimmed = self.base_url.trim_end_matches('/');
        trimmed.strip_suffix("/ari").unwrap_or(trimmed)
    }
}

impl fmt::Debug for AriConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AriConfig")
            .field("base_url", &self.base_url)
            .field("username", &self.username)
            .field("password", &"***")
            .field("app", &self.app)
            .field("timeouts", &self.timeouts)
            .finish()
    }
}
