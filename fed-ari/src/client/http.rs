//! One REST call: address, credentials, deadline, and the answer sorted into result or error.

use std::time::{Duration, Instant};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::{Method, StatusCode};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{AriClient, AriError};

/// Everything but RFC 3986's unreserved characters is encoded: ids hold `;` and `@`.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Bytes of an error body that are kept for the message.
const BODY_SHOWN: usize = 300;

/// An answer that takes longer is worth a word.
const SLOW: Duration = Duration::from_secs(1);

/// One path segment or query value, encoded.
pub(crate) fn encode(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// A call being prepared: method, path below `/ari/`, query, body, and its name in error texts.
pub(crate) struct Call<'a> {
    method: Method,
    path: String,
    object: String,
    query: Vec<(&'a str, &'a str)>,
    body: Option<serde_json::Value>,
    queue: Queue,
}

/// Whom a call waits for when there are many.
#[derive(Clone, Copy, Debug)]
enum Queue {
    /// Those about objects.
    Objects,
    /// Those about calls: somebody hears silence meanwhile.
    Calls,
    /// Nobody.
    None,
}

impl<'a> Call<'a> {
    /// `path` is below `/ari/` with its segments encoded; `object` names it for people.
    pub(crate) fn new(method: Method, path: String, object: impl Into<String>) -> Self {
        Self {
            method,
            path,
            object: object.into(),
            query: Vec::new(),
            body: None,
            queue: Queue::Objects,
        }
    }

    pub(crate) fn query(mut self, name: &'a str, value: &'a str) -> Self {
        self.query.push((name, value));
        self
    }

    /// Made beside all others, however many there are: for signs of life, whose delay would be taken for Asterisk's.
    pub(crate) fn beside_others(mut self) -> Self {
        self.queue = Queue::None;
        self
    }

    /// Concerns a call that is being made: waits for others of these only.
    pub(crate) fn for_a_call(mut self) -> Self {
        self.queue = Queue::Calls;
        self
    }

    pub(crate) fn body(mut self, body: serde_json::Value) -> Self {
        self.body = Some(body);
        self
    }
}

impl AriClient {
    /// Makes the call and decodes its answer.
    pub(crate) async fn fetch<T: DeserializeOwned>(&self, call: Call<'_>) -> Result<T, AriError> {
        let object = call.object.clone();
        let body = self.send(call).await?;
        serde_json::from_slice(&body).map_err(|e| AriError::Malformed {
            object,
            why: e.to_string(),
        })
    }

    /// Makes the call and drops its answer.
    pub(crate) async fn perform(&self, call: Call<'_>) -> Result<(), AriError> {
        self.send(call).await.map(drop)
    }

    async fn send(&self, call: Call<'_>) -> Result<bytes::Bytes, AriError> {
        let config = &self.inner.config;
        let url = format!("{}/ari/{}", config.root(), call.path);
        let mut request = self
            .inner
            .http
            .request(call.method, &url)
            .basic_auth(&config.username, Some(&config.password));
        if !call.query.is_empty() {
            request = request.query(&call.query);
        }
        if let Some(body) = &call.body {
            request = request.json(body);
        }
        let object = call.object;
        let after = config.timeouts.request;
        let begun = Instant::now();
        let places = match call.queue {
            Queue::Objects => Some(&self.inner.places),
            Queue::Calls => Some(&self.inner.call_places),
            Queue::None => None,
        };
        let place = match places {
            Some(places) => match timeout(after, places.acquire()).await {
                Ok(place) => place.ok(),
                Err(_) => return Err(AriError::Timeout { object, after }),
            },
            None => None,
        };
        let waited = begun.elapsed();
        let response = request.send().await.map_err(|e| self.broken(&e, &object, after))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|e| self.broken(&e, &object, after))?;
        drop(place);
        let took = begun.elapsed().saturating_sub(waited);
        if took > SLOW {
            tracing::warn!(%object, ?took, ?waited, "Asterisk is slow to answer");
        }
        if status.is_success() {
            return Ok(body);
        }
        Err(self.refusal(status, &body, object))
    }

    fn broken(&self, error: &reqwest::Error, object: &str, after: Duration) -> AriError {
        if error.is_timeout() && !error.is_connect() {
            return AriError::Timeout {
                object: object.to_owned(),
                after,
            };
        }
        AriError::Unreachable {
            url: self.inner.config.root().to_owned(),
            object: object.to_owned(),
            why: chain(error),
        }
    }

    fn refusal(&self, status: StatusCode, body: &[u8], object: String) -> AriError {
        let config = &self.inner.config;
        let body = words(body);
        match status.as_u16() {
            401 => AriError::Unauthorized {
                url: config.root().to_owned(),
                username: config.username.clone(),
                object,
                status: 401,
            },
            404 => AriError::NotFound { object, body },
            status => AriError::Refused {
                object,
                status,
                body,
                remedy: AriError::remedy(status),
            },
        }
    }
}

/// Asterisk's message out of an error body, or the body itself, shortened.
fn words(body: &[u8]) -> String {
    let message = serde_json::from_slice::<serde_json::Value>(body).ok().and_then(|v| {
        v.get("message")
            .or(v.get("error"))
            .and_then(|m| m.as_str().map(str::to_owned))
    });
    message.unwrap_or_else(|| {
        String::from_utf8_lossy(&body[..body.len().min(BODY_SHOWN)])
            .trim()
            .to_owned()
    })
}

/// An error and its causes in one line; reqwest's own text hides the cause.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = cause.to_string();
        source = cause.source();
    }
    text
}
