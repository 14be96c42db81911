//! The endpoints Asterisk knows, with the state it sees them in.

use reqwest::Method;
use serde::Deserialize;

use super::{
    AriClient, AriError,
    http::{Call, encode},
};

/// An endpoint as ARI shows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Endpoint {
    /// `PJSIP`, `IAX2`, `SIP`.
    pub technology: String,
    /// Its id.
    pub resource: String,
    /// What Asterisk sees. Says nothing about registrations where the endpoint has a static contact: such a one counts as online, or
    /// on 22 sometimes as offline, whoever is registered.
    #[serde(default)]
    pub state: EndpointState,
    /// Channels it has now.
    #[serde(default)]
    pub channel_ids: Vec<String>,
}

/// Reachability of an endpoint in Asterisk's eyes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum EndpointState {
    /// No contact.
    Offline,
    /// At least one contact.
    Online,
    /// Not known, or a word this code does not know.
    #[default]
    #[serde(other)]
    Unknown,
}

impl AriClient {
    /// Every endpoint of a technology.
    ///
    /// # Errors
    /// As every call.
    pub async fn endpoints(&self, technology: &str) -> Result<Vec<Endpoint>, AriError> {
        let call = Call::new(
            Method::GET,
            format!("endpoints/{}", encode(technology)),
            format!("the list of {technology} endpoints"),
        );
        match self.fetch(call).await {
            // 404: the technology is not loaded, or has no endpoint.
            Err(e) if e.is_not_found() => Ok(Vec::new()),
            other => other,
        }
    }

    /// One endpoint, or `None` where there is none of this name. Asked for the sake of the calls it has.
    ///
    /// # Errors
    /// As every call.
    pub async fn endpoint(&self, technology: &str, resource: &str) -> Result<Option<Endpoint>, AriError> {
        let call = Call::new(
            Method::GET,
            format!("endpoints/{}/{}", encode(technology), encode(resource)),
            format!("endpoint {technology}/{resource}"),
        )
        .for_a_call();
        match self.fetch(call).await {
            Err(e) if e.is_not_found() => Ok(None),
            other => other.map(Some),
        }
    }
}
