//! The event socket: connects, subscribes, watches over the link, and connects again.
//!
//! A task of its own always drains the socket (Asterisk cuts slow readers off). When the consumer falls too far behind, the link is
//! dropped on purpose: events may be lost anyway, so "disconnected, look at everything again" is the one case consumers must handle.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use backon::{BackoffBuilder, ExponentialBuilder};
use futures::{SinkExt, Stream, StreamExt};
use reqwest::Method;
use tokio::{net::TcpStream, sync::mpsc, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error as WsError, Message, client::IntoClientRequest},
};
use tokio_util::task::AbortOnDropHandle;

use super::{
    AriClient, AriError, AriEvent,
    http::{Call, encode},
};

/// Events that may wait for the consumer before the link is dropped.
const QUEUE: usize = 16_384;

/// What the event socket has to say.
#[derive(Clone, Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "nearly all are events: a box for each would cost more than the room"
)]
pub enum Link {
    /// Connected and subscribed: from here on events flow. Whatever happened before is unknown, so take a snapshot now.
    Connected {
        /// Sources that this Asterisk does not know yet, of which nothing will be told: to be given to [`AriClient::subscribe`] when it does.
        unknown: Vec<String>,
    },
    /// An event.
    Event(AriEvent),
    /// The link is gone, or an attempt to connect failed; another attempt follows by itself.
    Disconnected {
        /// Why, for people.
        why: String,
    },
}

/// The events of one application. Ends only when dropped, which closes the socket.
pub struct EventStream {
    items: mpsc::Receiver<Link>,
    _task: AbortOnDropHandle<()>,
}

impl EventStream {
    /// The next item; waits while there is none.
    pub async fn next(&mut self) -> Link {
        match self.items.recv().await {
            Some(link) => link,
            // The task ends only by being dropped with this stream.
            None => std::future::pending().await,
        }
    }
}

impl Stream for EventStream {
    type Item = Link;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Link>> {
        self.items.poll_recv(cx)
    }
}

impl AriClient {
    /// Opens the event socket of the configured application and keeps it open. `sources` are subscribed after each connect, such as
    /// `endpoint:PJSIP`; [`Link::Connected`] names those that Asterisk does not know.
    ///
    /// Only one socket may be open for an application: a second one steals it (`ApplicationReplaced`), here or in another process.
    pub fn events(&self, sources: &[&str]) -> EventStream {
        let (sender, items) = mpsc::channel(QUEUE);
        let sources = sources.iter().map(|s| (*s).to_owned()).collect();
        let task = tokio::spawn(run(self.clone(), sources, sender));
        EventStream {
            items,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Lets only events of these types through to the configured application's socket, until the application goes (from 16.3 on). Without it
    /// Asterisk writes each step that a call takes in the dialplan to whoever subscribed its endpoint, some fifty events a call.
    ///
    /// # Errors
    /// [`AriError::Refused`] with 404 where the application's socket is not open.
    pub async fn allow_events(&self, types: &[&str]) -> Result<(), AriError> {
        let app = &self.config().app;
        let allowed: Vec<_> = types.iter().map(|t| serde_json::json!({ "type": t })).collect();
        self.perform(
            Call::new(
                Method::PUT,
                format!("applications/{}/eventFilter", encode(app)),
                format!("the event filter of application {app}"),
            )
            .body(serde_json::json!({ "allowed": allowed })),
        )
        .await
    }

    /// Has events of this source sent to the configured application, for as long as its socket is open. `false` where Asterisk does not know
    /// the source: a technology is known from its first endpoint on, and as long as Asterisk runs. Asterisk logs a warning then.
    ///
    /// # Errors
    /// [`AriError::NotFound`] where the application's socket is not open.
    pub async fn subscribe(&self, source: &str) -> Result<bool, AriError> {
        let app = &self.config().app;
        let subscribed = self
            .perform(
                Call::new(
                    Method::POST,
                    format!("applications/{}/subscription", encode(app)),
                    format!("the subscription of application {app} to {source}"),
                )
                .query("eventSource", source),
            )
            .await;
        match subscribed {
            Ok(()) => Ok(true),
            Err(AriError::Refused { status: 422, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn run(client: AriClient, sources: Vec<String>, sender: mpsc::Sender<Link>) {
    let timeouts = client.config().timeouts.clone();
    let backoff = ExponentialBuilder::default()
        .with_min_delay(timeouts.backoff_min)
        .with_max_delay(timeouts.backoff_max)
        .with_jitter()
        .without_max_times();
    let mut pauses = backoff.build();
    loop {
        let why = match open(&client, &sources).await {
            Ok((socket, unknown)) => {
                pauses = backoff.build();
                if sender.send(Link::Connected { unknown }).await.is_err() {
                    return;
                }
                drain(socket, &sender, timeouts.ping).await
            }
            Err(why) => why,
        };
        if sender.send(Link::Disconnected { why }).await.is_err() {
            return;
        }
        tokio::time::sleep(pauses.next().unwrap_or(timeouts.backoff_max)).await;
    }
}

/// Connects and subscribes, and says which sources are not known. The subscription comes before the first item, so a snapshot taken after it
/// misses nothing.
async fn open(client: &AriClient, sources: &[String]) -> Result<(Socket, Vec<String>), String> {
    let config = client.config();
    let url = format!(
        "ws{}/ari/events?app={}",
        config.root().strip_prefix("http").unwrap_or_default(),
        encode(&config.app)
    );
    let mut request = url
        .as_str()
        .into_client_request()
        .map_err(|e| format!("the event address {url} is bad: {e}"))?;
    let credentials = data_encoding::BASE64.encode(format!("{}:{}", config.username, config.password).as_bytes());
    let header = format!("Basic {credentials}")
        .parse()
        .map_err(|_| "the ARI user or password cannot be sent as a header".to_owned())?;
    request.headers_mut().insert("Authorization", header);
    let object = format!("the event socket of application {}", config.app);
    let (socket, _) = timeout(
        config.timeouts.connect + config.timeouts.request,
        connect_async(request),
    )
    .await
    .map_err(|_| {
        AriError::Timeout {
            object: object.clone(),
            after: config.timeouts.connect + config.timeouts.request,
        }
        .to_string()
    })?
    .map_err(|e| refused(client, object, e).to_string())?;
    let mut unknown = Vec::new();
    for source in sources {
        if !client.subscribe(source).await.map_err(|error| error.to_string())? {
            unknown.push(source.clone());
        }
    }
    Ok((socket, unknown))
}

fn refused(client: &AriClient, object: String, error: WsError) -> AriError {
    let config = client.config();
    match error {
        WsError::Http(response) if response.status().as_u16() == 401 => AriError::Unauthorized {
            url: config.root().to_owned(),
            username: config.username.clone(),
            object,
            status: 401,
        },
        WsError::Http(response) => AriError::Refused {
            object,
            status: response.status().as_u16(),
            body: "no WebSocket was opened".to_owned(),
            remedy: AriError::remedy(response.status().as_u16()),
        },
        other => AriError::Unreachable {
            url: config.root().to_owned(),
            object,
            why: other.to_string(),
        },
    }
}

/// Passes events on until the link ends, and says why it did.
async fn drain(mut socket: Socket, sender: &mpsc::Sender<Link>, ping: Duration) -> String {
    let mut silent = false;
    loop {
        let message = match timeout(ping, socket.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(e))) => return format!("the event socket broke: {e}"),
            Ok(None) => return "Asterisk closed the event socket".to_owned(),
            Err(_) if silent => {
                return format!("no answer to a ping on the event socket for {ping:?}");
            }
            Err(_) => {
                silent = true;
                match timeout(ping, socket.send(Message::Ping(bytes::Bytes::new()))).await {
                    Ok(Ok(())) => continue,
                    Ok(Err(e)) => return format!("the event socket broke: {e}"),
                    Err(_) => return "the event socket takes nothing any more".to_owned(),
                }
            }
        };
        silent = false;
        let event = match message {
            Message::Text(text) => AriEvent::parse(&text),
            Message::Close(_) => return "Asterisk closed the event socket".to_owned(),
            _ => None,
        };
        let Some(event) = event else { continue };
        let replaced = matches!(event, AriEvent::ApplicationReplaced { .. });
        match sender.try_send(Link::Event(event)) {
            Ok(()) if replaced => {
                return "another program took this application's events over; give it an application name of its own"
                    .to_owned();
            }
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                return format!("more than {QUEUE} events wait to be read; starting over");
            }
            Err(mpsc::error::TrySendError::Closed(_)) => {
                return "nobody listens".to_owned();
            }
        }
    }
}
