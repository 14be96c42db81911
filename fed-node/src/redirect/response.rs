//! Writes an answer: pure.

use std::fmt::Write;
use std::net::SocketAddr;

use super::decision::{Reply, Status};
use super::message::Request;

const ALLOW: &str = "INVITE, ACK, CANCEL, OPTIONS";

impl Status {
    /// The status line's number and words.
    fn line(self) -> (u16, &'static str) {
        let reason = match self {
            Self::Ok => "OK",
            Self::MovedTemporarily => "Moved Temporarily",
            Self::BadRequest => "Bad Request",
            Self::NotFound => "Not Found",
            Self::MethodNotAllowed => "Method Not Allowed",
            Self::UnsupportedUriScheme => "Unsupported URI Scheme",
            Self::TemporarilyUnavailable => "Temporarily Unavailable",
            Self::NoSuchTransaction => "Call/Transaction Does Not Exist",
            Self::LoopDetected => "Loop Detected",
            Self::TooManyHops => "Too Many Hops",
            Self::BusyHere => "Busy Here",
            Self::ServiceUnavailable => "Service Unavailable",
            Self::VersionNotSupported => "Version Not Supported",
            Self::MessageTooLarge => "Message Too Large",
        };
        (self as u16, reason)
    }
}

/// A route that nobody takes.
const UNUSED_ROUTE: &str = "<sip:fed-node.invalid;lr>";

/// The answer as it goes on the wire: the request's own headers and at most 1,200 bytes more.
///
/// `to_tag` must be the same for every repetition of a request (RFC 3261 section 8.2.7).
pub(super) fn write(request: &Request, reply: &Reply, source: SocketAddr, to_tag: u64) -> Vec<u8> {
    let (code, reason) = reply.status.line();
    let mut text = format!("SIP/2.0 {code} {reason}\r\n");
    let mut header = |name: &str, value: &str| {
        let _ = write!(text, "{name}: {value}\r\n");
    };
    header("Via", &request.top_via.answered(source));
    for via in &request.lower_vias {
        header("Via", via);
    }
    header("From", &request.from);
    if request.to_has_tag {
        header("To", &request.to);
    } else {
        header("To", &format!("{};tag={to_tag:016x}", request.to));
    }
    header("Call-ID", &request.call_id);
    header("CSeq", &request.cseq);
    if !reply.contacts.is_empty() {
        // Asterisk with `rewrite_contact` puts our own address in place of the target's, except where a response has a
        // Record-Route: then it rewrites that instead. In a 302 nothing else looks at it (RFC 3261 section 12.1.2).
        header("Record-Route", UNUSED_ROUTE);
        for contact in &reply.contacts {
            header("Contact", contact);
        }
    }
    if matches!(reply.status, Status::Ok | Status::MethodNotAllowed) {
        header("Allow", ALLOW);
    }
    if let Some(seconds) = reply.retry_after_s {
        header("Retry-After", &seconds.to_string());
    }
    if let Some(why) = reply.why {
        header("Warning", &format!("399 fed-node \"{why}\""));
    }
    if reply.stale {
        header("X-Fed-Stale", "yes");
    }
    header("Server", "fed-node");
    text.push_str("Content-Length: 0\r\n\r\n");
    text.into_bytes()
}
