//! A SIP phone for tests: real sockets inside a lab namespace, digest authentication, RTP, and timings from one
//! monotonic clock, so that what two phones see can be compared to the microsecond.
//!
//! SIPp plays phones as well (see [`crate::sipp`]); this one exists because a test must be able to decide, message by message,
//! what the phone does next, and to know exactly when each message was there.

mod call;
mod digest;
mod incoming;
mod message;
mod rtp;
mod sdp;
mod wire;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use parking_lot::Mutex;

pub use call::{Call, Ended};
pub(crate) use digest::authorise;
pub use incoming::Incoming;
pub use message::Message;
pub use rtp::Rtp;
pub use wire::{Origin, Transport};

use crate::lab::Namespace;
use wire::Wire;

/// How long a phone waits for an answer to one request before the test fails. Datagrams are sent again every 500 ms.
const ANSWER: Duration = Duration::from_secs(5);
const RESEND: Duration = Duration::from_millis(500);

/// What a phone does with a call that comes in. In each case the call is handed to [`Phone::incoming`] as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Rings and answers at once.
    Answer,
    /// Rings and leaves the rest to the test.
    Ring,
    /// Refuses with this status.
    Refuse(u16),
    /// Says that it moved (302), to the user `moved` at this address.
    Redirect(SocketAddr),
}

/// When a registration happened.
#[derive(Debug, Clone, Copy)]
pub struct Registered {
    /// The REGISTER that was accepted left the phone.
    pub sent: Instant,
    /// Its 200 OK was there.
    pub ok: Instant,
}

/// One phone. Cheap to clone; the sockets close with the last clone.
#[derive(Debug, Clone)]
pub struct Phone {
    inner: Arc<Inner>,
    incoming: Arc<Mutex<Receiver<Incoming>>>,
}

type Arrived = (Instant, Message);

/// Where the messages with one Call-ID go, and the media that a new offer inside it is answered with.
#[derive(Clone)]
struct Dialog {
    events: Sender<Arrived>,
    media: Option<Arc<Rtp>>,
}

pub(crate) struct Inner {
    id: String,
    password: String,
    pub(crate) namespace: Namespace,
    pub(crate) voice: u8,
    pub(crate) wire: Wire,
    behaviour: Mutex<Behaviour>,
    dialogs: Mutex<HashMap<String, Dialog>>,
    incoming: Mutex<Sender<Incoming>>,
    sequence: AtomicU32,
    invites: AtomicU64,
    registration: String,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Phone({} at {})", self.id, self.wire.local())
    }
}

impl Phone {
    /// A phone for the device `id`, listening on `ip` inside `namespace`. It answers calls until told otherwise.
    pub fn new(namespace: &Namespace, ip: IpAddr, id: &str, password: &str, transport: Transport) -> Result<Self> {
        static VOICES: AtomicU8 = AtomicU8::new(1);
        let (sender, receiver) = mpsc::channel();
        let inner = Arc::new(Inner {
            id: id.to_owned(),
            password: password.to_owned(),
            namespace: namespace.clone(),
            // 0x7f and 0xff are silence in mu-law; a voice is never silent.
            voice: VOICES.fetch_add(1, Ordering::Relaxed) % 120 + 1,
            wire: Wire::open(namespace, ip, transport)?,
            behaviour: Mutex::new(Behaviour::Answer),
            dialogs: Mutex::default(),
            incoming: Mutex::new(sender),
            sequence: AtomicU32::new(1),
            invites: AtomicU64::new(0),
            registration: format!("reg-{}", token()),
        });
        // The reading threads hold the phone weakly: they end when the test lets go of it.
        let weak = Arc::downgrade(&inner);
        inner.wire.start(move |message, origin, at| {
            if let Some(inner) = weak.upgrade() {
                inner.receive(message, origin, at);
            }
        })?;
        Ok(Self {
            inner,
            incoming: Arc::new(Mutex::new(receiver)),
        })
    }

    /// The device this phone registers as.
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// What fills the RTP packets it sends.
    pub fn voice(&self) -> u8 {
        self.inner.voice
    }

    /// The contact URI it registers.
    pub fn contact(&self) -> String {
        self.inner.contact()
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.inner.wire.local()
    }

    /// How many INVITEs that start a call have reached it, ever.
    pub fn invites(&self) -> u64 {
        self.inner.invites.load(Ordering::SeqCst)
    }

    /// Sets what it does with calls from now on.
    pub fn behave(&self, behaviour: Behaviour) {
        *self.inner.behaviour.lock() = behaviour;
    }

    /// Registers at a server for ten minutes.
    ///
    /// # Errors
    /// When no answer comes, or the server refuses; the text holds the status.
    pub fn register(&self, server: SocketAddr) -> Result<Registered> {
        self.register_for(server, 600)
    }

    /// Takes the registration away again.
    ///
    /// # Errors
    /// As [`Phone::register`].
    pub fn unregister(&self, server: SocketAddr) -> Result<Registered> {
        self.register_for(server, 0)
    }

    /// Registers for that many seconds; the status of a refusal is in the error.
    ///
    /// # Errors
    /// As [`Phone::register`].
    pub fn register_for(&self, server: SocketAddr, expires: u32) -> Result<Registered> {
        self.register_contact(server, &self.inner.contact(), expires)
    }

    /// Registers for that many seconds with a contact of the test's choosing, whatever that is.
    ///
    /// # Errors
    /// As [`Phone::register`].
    pub fn register_contact(&self, server: SocketAddr, contact: &str, expires: u32) -> Result<Registered> {
        let inner = &self.inner;
        let uri = format!("sip:{}", server.ip());
        let build = |authorization: Option<(String, String)>| {
            let request = inner
                .request("REGISTER", &uri, &inner.registration)
                .with("To", inner.address_at(server))
                .with("Contact", format!("<{contact}>"))
                .with("Expires", expires.to_string());
            match authorization {
                Some((name, value)) => request.with(&name, value),
                None => request,
            }
        };
        let (first, _) = inner.ask(&build(None), server)?;
        let Some(authorization) = inner.answer_challenge(&first.1, "REGISTER", &uri) else {
            return registered(&first.1, first.0, first.0);
        };
        let (answer, sent) = inner.ask(&build(Some(authorization)), server)?;
        registered(&answer.1, sent, answer.0).with_context(|| format!("{} at {server}", inner.id))
    }

    /// Calls `dialled` through a server: sends the INVITE, meets its challenge, and hands the call over as soon as the
    /// authenticated INVITE is on its way.
    ///
    /// # Errors
    /// When the server does not answer the first INVITE at all.
    pub fn call(&self, server: SocketAddr, dialled: &str) -> Result<Call> {
        Call::place(self.inner.clone(), server, dialled, &[])
    }

    /// As [`Phone::call`], with more headers in the INVITE.
    ///
    /// # Errors
    /// As [`Phone::call`].
    pub fn call_with(&self, server: SocketAddr, dialled: &str, headers: &[(&str, &str)]) -> Result<Call> {
        Call::place(self.inner.clone(), server, dialled, headers)
    }

    /// The next call that came in.
    ///
    /// # Errors
    /// When none comes within `patience`.
    pub fn incoming(&self, patience: Duration) -> Result<Incoming> {
        match self.incoming.lock().recv_timeout(patience) {
            Ok(call) => Ok(call),
            Err(_) => bail!("no call reached {} within {patience:?}", self.inner.id),
        }
    }

    /// Forgets calls that came in and were not looked at.
    pub fn forget_incoming(&self) {
        while self.incoming.lock().try_recv().is_ok() {}
    }
}

impl Inner {
    pub(crate) fn contact(&self) -> String {
        let transport = if self.wire.transport() == Transport::Tcp {
            ";transport=tcp"
        } else {
            ""
        };
        format!("sip:{}@{}{transport}", self.id, self.wire.local())
    }

    pub(crate) fn address_at(&self, server: SocketAddr) -> String {
        format!("<sip:{}@{}>", self.id, server.ip())
    }

    /// A request outside a dialogue, with everything but To and what is the method's own.
    pub(crate) fn request(&self, method: &str, uri: &str, call_id: &str) -> Message {
        let server = uri
            .rsplit_once('@')
            .map_or_else(|| uri.trim_start_matches("sip:"), |(_, host)| host);
        let host = server.split([':', ';']).next().unwrap_or(server);
        Message::new(format!("{method} {uri} SIP/2.0"))
            .with("Via", self.via())
            .with("Max-Forwards", "70")
            .with("From", format!("<sip:{}@{host}>;tag={}", self.id, token()))
            .with("Call-ID", call_id)
            .with(
                "CSeq",
                format!("{} {method}", self.sequence.fetch_add(1, Ordering::Relaxed)),
            )
            .with("User-Agent", "fed-test-phone")
    }

    pub(crate) fn via(&self) -> String {
        format!(
            "SIP/2.0/{} {};rport;branch=z9hG4bK{}",
            self.wire.transport().via(),
            self.wire.local(),
            token()
        )
    }

    pub(crate) fn answer_challenge(&self, response: &Message, method: &str, uri: &str) -> Option<(String, String)> {
        let (challenge, answer) = match response.status()? {
            401 => ("WWW-Authenticate", "Authorization"),
            407 => ("Proxy-Authenticate", "Proxy-Authorization"),
            _ => return None,
        };
        let value = response
            .all(challenge)
            .find_map(|c| digest::authorise(c, method, uri, &self.id, &self.password))?;
        Some((answer.to_owned(), value))
    }

    /// Opens the mailbox of a dialogue: everything with that Call-ID goes there.
    pub(crate) fn listen_to(&self, call_id: &str, media: Option<Arc<Rtp>>) -> Receiver<Arrived> {
        let (events, receiver) = mpsc::channel();
        self.dialogs.lock().insert(call_id.to_owned(), Dialog { events, media });
        receiver
    }

    pub(crate) fn forget(&self, call_id: &str) {
        self.dialogs.lock().remove(call_id);
    }

    /// Sends one request and waits for its final answer; also says when it was sent.
    fn ask(&self, request: &Message, server: SocketAddr) -> Result<(Arrived, Instant)> {
        let answers = self.listen_to(request.call_id(), None);
        let (sent, deadline) = (Instant::now(), Instant::now() + ANSWER);
        self.wire.send(request, server)?;
        let mut resend = sent + RESEND;
        loop {
            let now = Instant::now();
            if now >= deadline {
                self.forget(request.call_id());
                bail!("{server} did not answer {} within {ANSWER:?}", request.start);
            }
            match answers.recv_timeout(resend.min(deadline).saturating_duration_since(now)) {
                Ok((at, answer)) => {
                    if answer.cseq() == request.cseq() && answer.status().is_some_and(|s| s >= 200) {
                        self.forget(request.call_id());
                        return Ok(((at, answer), sent));
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    if self.wire.transport() == Transport::Udp {
                        self.wire.send(request, server)?;
                    }
                    resend = Instant::now() + RESEND;
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the phone {} was closed", self.id),
            }
        }
    }

    /// Everything that reaches the phone, on the reading thread.
    fn receive(self: &Arc<Self>, message: Message, origin: Origin, at: Instant) {
        let known = self.dialogs.lock().get(message.call_id()).cloned();
        match (message.method(), known) {
            (None, Some(dialog)) => {
                let _ = dialog.events.send((at, message));
            }
            (None, None) => {}
            (Some("INVITE"), None) => self.ring(message, origin, at),
            (Some(method), Some(dialog)) => {
                let answer = match method {
                    "ACK" => None,
                    "INVITE" => sdp::answer_new_offer(self, &message, dialog.media.as_deref()),
                    _ => Some(message.response(200, "OK", &token())),
                };
                if let Some(answer) = answer {
                    let _ = self.wire.reply(&answer, &origin);
                }
                let _ = dialog.events.send((at, message));
            }
            (Some("ACK"), None) => {}
            (Some("CANCEL" | "BYE"), None) => {
                let _ = self
                    .wire
                    .reply(&message.response(481, "Call Does Not Exist", &token()), &origin);
            }
            (Some(_), None) => {
                let _ = self.wire.reply(&message.response(200, "OK", &token()), &origin);
            }
        }
    }

    fn ring(self: &Arc<Self>, invite: Message, origin: Origin, at: Instant) {
        self.invites.fetch_add(1, Ordering::SeqCst);
        let behaviour = *self.behaviour.lock();
        if let Ok(call) = Incoming::arrive(self.clone(), invite, origin, at, behaviour) {
            let _ = self.incoming.lock().send(call);
        }
    }
}

fn registered(answer: &Message, sent: Instant, ok: Instant) -> Result<Registered> {
    match answer.status() {
        Some(200) => Ok(Registered { sent, ok }),
        _ => Err(anyhow!("registration refused: {}", answer.start)),
    }
}

/// A word nobody else uses, for branches, tags and Call-IDs.
pub(crate) fn token() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let clock = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |d| d.as_nanos());
    format!(
        "{:x}{:x}{:x}",
        std::process::id(),
        clock as u64,
        NEXT.fetch_add(1, Ordering::Relaxed)
    )
}
