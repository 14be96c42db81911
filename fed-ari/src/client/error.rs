//! What can go wrong with an ARI call, always naming the object and what to do about it.

use std::time::Duration;

/// Why an ARI call failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AriError {
    /// No connection to Asterisk's HTTP server, or it broke before an answer.
    #[error(
        "Asterisk's ARI at {url} cannot be reached for {object}: {why}; check that Asterisk runs and that http.conf has enabled=yes and this address"
    )]
    Unreachable {
        /// Address tried.
        url: String,
        /// What was asked.
        object: String,
        /// The cause, for people.
        why: String,
    },
    /// Asterisk does not accept the user or the password, or the user is read-only.
    #[error(
        "Asterisk at {url} refused ARI user {username:?} for {object} (status {status}); check this user, its password and read_only=no in ari.conf"
    )]
    Unauthorized {
        /// Address asked.
        url: String,
        /// The user of ari.conf.
        username: String,
        /// What was asked.
        object: String,
        /// 401, or 403 where the user may only read.
        status: u16,
    },
    /// The object is not there.
    #[error("{object} does not exist in Asterisk ({body}); create it first, or let the bridge reconcile")]
    NotFound {
        /// What was asked.
        object: String,
        /// Asterisk's own words.
        body: String,
    },
    /// Asterisk understood and refused.
    #[error("Asterisk refused {object} with status {status}: {body}; {remedy}")]
    Refused {
        /// What was asked.
        object: String,
        /// HTTP status.
        status: u16,
        /// Asterisk's own words.
        body: String,
        /// What to do next.
        remedy: &'static str,
    },
    /// No complete answer in time. The call may have had its effect.
    #[error(
        "Asterisk did not answer {object} within {after:?} and may still carry it out; read the object back, and look at Asterisk's load"
    )]
    Timeout {
        /// What was asked.
        object: String,
        /// The deadline that passed.
        after: Duration,
    },
    /// An answer that cannot be understood.
    #[error("the answer for {object} cannot be understood: {why}; check that the address is an Asterisk's ARI")]
    Malformed {
        /// What was asked.
        object: String,
        /// What was wrong with it.
        why: String,
    },
}

impl AriError {
    /// True where trying the same call later may succeed without anyone changing anything.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } => true,
            Self::Refused { status, .. } => *status == 503,
            _ => false,
        }
    }

    /// True for [`AriError::NotFound`].
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound { .. })
    }

    /// The remedy that fits a refusal's status.
    pub(crate) fn remedy(status: u16) -> &'static str {
        match status {
            400 => "an attribute is unknown to this version or has a bad value: remove it or correct it",
            403 => {
                "the object's type has no writable sorcery wizard, or the user may only read: see sorcery.conf and ari.conf"
            }
            409 => "the object or channel is in another state than the call needs: look at it again",
            412 | 422 => "the arguments do not fit together: see the API documentation of this call",
            503 => "Asterisk is starting or overloaded: try again",
            _ => "see Asterisk's log for the cause",
        }
    }
}
