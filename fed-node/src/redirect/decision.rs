//! What to answer: pure, from the request and what the map says.

use std::net::SocketAddr;

use fed_core::capability::{self, Claims, Path};
use fed_core::ids::NodeId;
use fed_core::route::Cause;

use super::config::{RedirectConfig, TargetTransport};
use super::locator::{Located, Place, Stamp, Target};
use super::message::{Flaw, Method, Request};

const NO_SUCH: &str = "no such device, user or number";
/// A redirect is a call's first crossing: calls that came over a trunk are never located again.
const HOPS: u8 = 1;
/// Places in one answer: with them it still goes into one datagram.
const MOST_CONTACTS: usize = 4;
/// Characters of a SIP address that is given out.
const LONGEST_ADDRESS: usize = 120;

/// The statuses a redirect server gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Status {
    Ok = 200,
    MovedTemporarily = 302,
    BadRequest = 400,
    NotFound = 404,
    MethodNotAllowed = 405,
    UnsupportedUriScheme = 416,
    TemporarilyUnavailable = 480,
    NoSuchTransaction = 481,
    LoopDetected = 482,
    TooManyHops = 483,
    BusyHere = 486,
    ServiceUnavailable = 503,
    VersionNotSupported = 505,
    MessageTooLarge = 513,
}

/// What to say, before it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) status: Status,
    /// For the person who reads the trace.
    pub(super) why: Option<&'static str>,
    /// Where to go, best first; of a redirect alone.
    pub(super) contacts: Vec<String>,
    pub(super) retry_after_s: Option<u32>,
    pub(super) stale: bool,
}

impl Reply {
    pub(super) fn plain(status: Status) -> Self {
        Self {
            status,
            why: None,
            contacts: Vec::new(),
            retry_after_s: None,
            stale: false,
        }
    }

    pub(super) fn refusal(status: Status, why: &'static str) -> Self {
        Self {
            why: Some(why),
            ..Self::plain(status)
        }
    }
}

/// What a request needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it is not answered.
    Silence,
    /// This answer, whatever the map says.
    Reply(Reply),
    /// To know where this device, user or number is.
    Lookup(String),
}

/// The first look at a request, without the map.
///
/// `Require` and `Proxy-Require` are not looked at: what they demand concerns the call, which we never take part in.
pub(super) fn triage(request: &Request) -> Need {
    if request.method == Method::Ack {
        return Need::Silence;
    }
    let reply = match (request.flaw, request.method) {
        (Some(Flaw::Malformed(why)), _) => Reply::refusal(Status::BadRequest, why),
        (Some(Flaw::UriScheme), _) => Reply::plain(Status::UnsupportedUriScheme),
        (Some(Flaw::Version), _) => Reply::plain(Status::VersionNotSupported),
        (None, _) if request.to_has_tag => Reply::plain(Status::NoSuchTransaction),
        // The INVITE had its final answer at once: there is nothing left to cancel, and 8.3 wants a 200.
        (None, Method::Cancel) => Reply::plain(Status::Ok),
        (None, Method::Invite | Method::Options) => return look_up(request),
        (None, _) => Reply::plain(Status::MethodNotAllowed),
    };
    Need::Reply(reply)
}

fn look_up(request: &Request) -> Need {
    let Some(asked) = &request.asked else {
        return Need::Reply(match request.method {
            Method::Options => Reply::plain(Status::Ok),
            _ => Reply::refusal(Status::NotFound, "no device named"),
        });
    };
    if request.method == Method::Invite && request.max_forwards == Some(0) {
        return Need::Reply(Reply::plain(Status::TooManyHops));
    }
    // A target that we (or another node) gave out comes back to be located again: it was sent to a redirect server instead of an Asterisk.
    if asked.contains('~') {
        return Need::Reply(Reply::refusal(Status::LoopDetected, "a target of a redirect came back"));
    }
    let possible = |b: u8| b.is_ascii_alphanumeric() || b"+*#._-".contains(&b);
    if asked.is_empty() || asked.len() > 40 || !asked.bytes().all(possible) {
        return Need::Reply(Reply::refusal(Status::NotFound, NO_SUCH));
    }
    Need::Lookup(asked.clone())
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asker {
    /// Where the request came from.
    pub(super) source: SocketAddr,
    /// It is this node's own Asterisk.
    pub(super) own: bool,
}

/// The answer to an INVITE or OPTIONS, given where to ring.
///
/// An Asterisk that asks for a device registered at itself has tried that registration before it asked, so where there is no other it is told
/// "unavailable": sent back to itself it would go round in circles. Everybody else is sent to the owner, also when that is here.
///
/// This node's own Asterisk gets one place: given several, it rings the next when the first was refused, and a call that she rejects is to end. Other software
/// gets them all, each with a capability of its own: what is to ring together has one q, what is to ring later a lower one.
pub(super) fn decide(
    request: &Request,
    located: &Located,
    asker: Asker,
    here: NodeId,
    config: &RedirectConfig,
    stamp: &dyn Fn() -> Stamp,
) -> Reply {
    let Asker { source, own } = asker;
    let reply = match (&located.place, request.method) {
        (Place::At(_), Method::Options) => Reply::plain(Status::Ok),
        (Place::At(targets), _) => {
            let asks_itself =
                |target: &&Target| (own && target.node == here) || is_asker(target, source, request.top_via.port);
            let most = if own { 1 } else { MOST_CONTACTS };
            let others: Vec<&Target> = targets
                .iter()
                .filter(|target| !asks_itself(target))
                .take(most)
                .collect();
            if others.is_empty() {
                Reply::refusal(Status::TemporarilyUnavailable, "registered at the asking server")
            } else {
                redirect(&others, here, config, stamp)
            }
        }
        (Place::Nowhere(cause), _) => refuse(*cause, config),
    };
    Reply {
        stale: located.stale,
        ..reply
    }
}

fn refuse(cause: Cause, config: &RedirectConfig) -> Reply {
    match cause {
        Cause::UnknownUser => Reply::refusal(Status::NotFound, NO_SUCH),
        Cause::Offline | Cause::NoAnswer => Reply::refusal(Status::TemporarilyUnavailable, "registered nowhere"),
        Cause::Busy | Cause::DoNotDisturb => Reply::refusal(Status::BusyHere, "takes no calls now"),
        Cause::Loop => Reply::refusal(Status::LoopDetected, "forwards lead in a circle"),
        Cause::TooManyHops => Reply::plain(Status::TooManyHops),
        Cause::Unavailable => Reply {
            retry_after_s: Some(config.retry_after_s),
            ..Reply::refusal(Status::ServiceUnavailable, "the map cannot be read")
        },
    }
}

fn redirect(targets: &[&Target], here: NodeId, config: &RedirectConfig, stamp: &dyn Fn() -> Stamp) -> Reply {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]%".contains(&b);
    let is_usable =
        |address: &str| !address.is_empty() && address.len() <= LONGEST_ADDRESS && address.bytes().all(plain);
    let usable = targets.iter().filter(|target| is_usable(&target.sip_address));
    let contacts: Vec<String> = usable
        .map(|target| {
            let contact = contact(target, here, config, stamp());
            // One alone needs no order.
            match targets.len() {
                1 => contact,
                _ => format!("{contact};q={}", q(target.turn)),
            }
        })
        .collect();
    if contacts.is_empty() {
        return Reply::refusal(Status::ServiceUnavailable, "the owner node has no usable SIP address");
    }
    Reply {
        contacts,
        ..Reply::plain(Status::MovedTemporarily)
    }
}

fn contact(target: &Target, here: NodeId, config: &RedirectConfig, stamp: Stamp) -> String {
    let expires = stamp.now_unix_s.saturating_add(config.capability_ttl_s);
    let claims = Claims {
        device: target.device.clone(),
        path: Path::default().then(here),
        expires_unix_s: expires.saturating_add(target.after_s),
        nonce: stamp.nonce,
        hops: HOPS,
    };
    let transport = match config.target_transport {
        TargetTransport::Any => "",
        TargetTransport::Udp => ";transport=udp",
        TargetTransport::Tcp => ";transport=tcp",
    };
    let user = capability::mint(&target.key, target.node, &claims);
    format!("<sip:{user}@{}{transport}>", target.sip_address)
}

/// How much a turn is preferred (RFC 3261 section 8.1.3.4).
fn q(turn: u8) -> &'static str {
    ["1.0", "0.9", "0.8", "0.7"][usize::from(turn).min(MOST_CONTACTS - 1)]
}

/// Whether the request comes from the very address it would be sent to.
fn is_asker(target: &Target, source: SocketAddr, via_port: u16) -> bool {
    let address = target.sip_address.as_str();
    let owner = address
        .parse::<SocketAddr>()
        .or_else(|_| format!("{address}:5060").parse());
    owner.is_ok_and(|owner| {
        owner.ip().to_canonical() == source.ip().to_canonical()
            && (owner.port() == source.port() || owner.port() == via_port)
    })
}
