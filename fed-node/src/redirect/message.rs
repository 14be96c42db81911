//! Reads a SIP request: leniently enough to answer what can be answered, strictly enough that nothing copied into an answer can do harm.
//!
//! Headers, Via and URIs are parsed by `sip-header`; framing, limits and what counts as answerable are decided here.

use std::net::{IpAddr, SocketAddr};

use sip_header::sip_uri::{SipUri, Uri, decode_user};
use sip_header::{SipHeaderAddr, SipVia, extract_all_headers, split_comma_entries};

/// Longest message taken or sent, in bytes.
pub(super) const MAX_MESSAGE: usize = 65_507;
/// Most Via entries that an answer carries back; no path is that long.
const MAX_VIAS: usize = 70;
const SIP_PORT: u16 = 5060;

/// The methods that mean something to a redirect server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Invite,
    Ack,
    Cancel,
    Options,
    Other,
}

/// Why a request that can be answered cannot be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flaw {
    /// 400, with the reason.
    Malformed(&'static str),
    /// 416: no `sip` or `tel`.
    UriScheme,
    /// 505
    Version,
}

/// A request that can be answered: everything its answer repeats is there and harmless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) method: Method,
    /// What is asked for: the user part of the Request-URI, percent-decoded; `None` when it names only a host.
    pub(super) asked: Option<String>,
    pub(super) flaw: Option<Flaw>,
    pub(super) top_via: TopVia,
    /// The Via entries below the topmost, as they came.
    pub(super) lower_vias: Vec<String>,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) to_has_tag: bool,
    pub(super) call_id: String,
    pub(super) cseq: String,
    /// Hops left, where the request says so.
    pub(super) max_forwards: Option<u32>,
}

/// The topmost Via: who sent the request, and where the answer goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct TopVia {
    /// `SIP/2.0/UDP host:port;params`, without `received` and `rport`.
    text: String,
    host: String,
    /// The port in it, or 5060.
    pub(super) port: u16,
    wants_rport: bool,
}

impl Request {
    /// Reads one message. The error says why it deserves no answer: it is no request, or too little of it can be read.
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, &'static str> {
        if bytes.len() > MAX_MESSAGE {
            return Err("larger than any message may be");
        }
        let (head, body) = match head_end(bytes) {
            Some(end) => (&bytes[..end], Some(&bytes[end..])),
            None => (bytes, None),
        };
        // Old phones send Latin-1 display names. One byte for one, so that no answer grows by it.
        let head = String::from_utf8_lossy(head).replace(char::REPLACEMENT_CHARACTER, "?");
        let (line, rest) = head.split_once('\n').ok_or("no line")?;
        let line = RequestLine::parse(line.trim_end_matches('\r'))?;
        let headers = Headers(extract_all_headers(rest));

        let mut vias: Vec<&str> = headers
            .all("Via", "v")
            .flat_map(split_comma_entries)
            .map(str::trim)
            .collect();
        if vias.is_empty() || vias.len() > MAX_VIAS {
            return Err("no Via, or too many");
        }
        let lower_vias = vias.split_off(1).into_iter().map(str::to_owned).collect::<Vec<_>>();
        let (from, to) = (headers.required("From", "f")?, headers.required("To", "t")?);
        let (call_id, cseq) = (headers.required("Call-ID", "i")?, headers.required("CSeq", "cseq")?);
        if lower_vias
            .iter()
            .map(String::as_str)
            .chain([from, to, call_id, cseq])
            .any(is_harmful)
        {
            return Err("control characters");
        }
        let max_forwards = headers.all("Max-Forwards", "max-forwards").next();
        let to_address = to.parse::<SipHeaderAddr>();
        let asked = line.asked();
        let flaw = line.flaw.or(asked.as_ref().err().copied()).or_else(|| {
            headers
                .flaw(line.method, cseq, body)
                .or(to_address.is_err().then_some("To is no address"))
                .or(max_forwards
                    .is_some_and(|text| number(text).is_none())
                    .then_some("Max-Forwards is no number"))
                .map(Flaw::Malformed)
        });
        Ok(Self {
            method: line.method(),
            asked: asked.unwrap_or_default(),
            flaw,
            top_via: TopVia::parse(vias[0])?,
            lower_vias,
            to_has_tag: to_address.is_ok_and(|address| address.tag().is_some()),
            from: from.to_owned(),
            to: to.to_owned(),
            call_id: call_id.to_owned(),
            cseq: cseq.to_owned(),
            max_forwards: max_forwards.and_then(number),
        })
    }
}

/// Where the headers of `bytes` end, the blank line included.
pub(super) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'\n')
        .find_map(|(at, _)| match &bytes[at + 1..] {
            [b'\n', ..] => Some(at + 2),
            [b'\r', b'\n', ..] => Some(at + 3),
            _ => None,
        })
}

struct RequestLine<'a> {
    method: &'a str,
    uri: &'a str,
    flaw: Option<Flaw>,
}

impl<'a> RequestLine<'a> {
    fn parse(line: &'a str) -> Result<Self, &'static str> {
        let (method, rest) = line.split_once(' ').ok_or("no request line")?;
        let (uri, version) = rest.rsplit_once(' ').ok_or("no request line")?;
        let token = |c: char| c.is_ascii_alphanumeric() || "-.!%*_+`'~".contains(c);
        if method.is_empty() || method.len() > 32 || !method.chars().all(token) {
            return Err("no method");
        }
        let number = version.strip_prefix("SIP/").ok_or("not SIP, or a response")?;
        let spaced = uri
            .contains(char::is_whitespace)
            .then_some(Flaw::Malformed("spaces in the Request-URI"));
        Ok(Self {
            method,
            uri,
            flaw: if number == "2.0" { spaced } else { Some(Flaw::Version) },
        })
    }

    fn method(&self) -> Method {
        match self.method {
            "INVITE" => Method::Invite,
            "ACK" => Method::Ack,
            "CANCEL" => Method::Cancel,
            "OPTIONS" => Method::Options,
            _ => Method::Other,
        }
    }

    fn asked(&self) -> Result<Option<String>, Flaw> {
        let scheme = self.uri.split(':').next().unwrap_or_default().to_ascii_lowercase();
        let malformed = Flaw::Malformed("the Request-URI cannot be read");
        match scheme.as_str() {
            // What a `sips` asks for is TLS to the end (RFC 3261 section 26.2.2), which no target has: never send it on without.
            "sip" => {
                let uri: SipUri = self.uri.parse().map_err(|_| malformed)?;
                uri.user()
                    .map(|user| String::from_utf8(decode_user(user).into_owned()).map_err(|_| malformed))
                    .transpose()
            }
            "tel" => match self.uri.parse() {
                Ok(Uri::Tel(tel)) => Ok(Some(tel.number().chars().filter(|c| !"-.()".contains(*c)).collect())),
                _ => Err(malformed),
            },
            _ => Err(Flaw::UriScheme),
        }
    }
}

struct Headers(Vec<(String, String)>);

impl Headers {
    fn all<'a>(&'a self, name: &'a str, compact: &'a str) -> impl Iterator<Item = &'a str> {
        let named = move |found: &str| found.eq_ignore_ascii_case(name) || found.eq_ignore_ascii_case(compact);
        self.0
            .iter()
            .filter(move |(found, _)| named(found))
            .map(|(_, value)| value.as_str())
    }

    fn required<'a>(&'a self, name: &'a str, compact: &'a str) -> Result<&'a str, &'static str> {
        self.all(name, compact)
            .next()
            .filter(|value| !value.is_empty())
            .ok_or("a header that every answer repeats is missing")
    }

    fn flaw(&self, method: &str, cseq: &str, body: Option<&[u8]>) -> Option<&'static str> {
        let Some(body) = body else {
            return Some("the headers do not end");
        };
        let twice = |name, compact| self.all(name, compact).nth(1).is_some();
        if twice("From", "f") || twice("To", "t") || twice("Call-ID", "i") || twice("CSeq", "cseq") {
            return Some("a header stands there twice");
        }
        let mut words = cseq.split_ascii_whitespace();
        if words
            .next()
            .and_then(number)
            .is_none_or(|n| n > i32::MAX.unsigned_abs())
            || words.next() != Some(method)
            || words.next().is_some()
        {
            return Some("CSeq does not fit the request");
        }
        match self
            .all("Content-Length", "l")
            .map(number)
            .collect::<Vec<_>>()
            .as_slice()
        {
            [] => None,
            [Some(length)] if usize::try_from(*length).is_ok_and(|length| length <= body.len()) => None,
            [Some(_)] => Some("the body is shorter than Content-Length says"),
            _ => Some("Content-Length is no number"),
        }
    }
}

impl TopVia {
    fn parse(value: &str) -> Result<Self, &'static str> {
        if is_harmful(value) {
            return Err("control characters");
        }
        let parsed = SipVia::parse(value).map_err(|_| "the topmost Via cannot be read")?;
        let [entry] = parsed.entries() else {
            return Err("the topmost Via cannot be read");
        };
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._:%".contains(&b));
        if entry.protocol() != "SIP" || entry.version() != "2.0" || !plain(entry.transport()) || !plain(entry.host()) {
            return Err("the topmost Via cannot be read");
        }
        let host = if entry.host().contains(':') {
            format!("[{}]", entry.host())
        } else {
            entry.host().to_owned()
        };
        let mut text = format!("SIP/2.0/{} {host}", entry.transport());
        if let Some(port) = entry.port() {
            text.push_str(&format!(":{port}"));
        }
        for (name, value) in entry
            .params()
            .iter()
            .filter(|(name, _)| name != "received" && name != "rport")
        {
            text.push(';');
            text.push_str(name);
            if let Some(value) = value {
                text.push('=');
                text.push_str(value);
            }
        }
        Ok(Self {
            text,
            host: entry.host().to_owned(),
            port: entry.port().filter(|port| *port != 0).unwrap_or(SIP_PORT),
            wants_rport: entry.rport().is_some(),
        })
    }

    /// What is the same in every repetition of one request.
    pub(super) fn identity(&self) -> &str {
        &self.text
    }

    /// The entry as the answer repeats it: with the address the request really came from (RFC 3261 18.2.1, RFC 3581).
    pub(super) fn answered(&self, source: SocketAddr) -> String {
        let ip = source.ip().to_canonical();
        let mut text = self.text.clone();
        if self.wants_rport || self.host.parse::<IpAddr>().map(|host| host.to_canonical()) != Ok(ip) {
            text.push_str(&format!(";received={ip}"));
        }
        if self.wants_rport {
            text.push_str(&format!(";rport={}", source.port()));
        }
        text
    }

    /// Where an answer goes that is sent as a datagram. Always the address the request came from (a `maddr` is not followed: it
    /// would let anybody aim our answers at others).
    pub(super) fn datagram_destination(&self, source: SocketAddr) -> SocketAddr {
        let mut destination = source;
        if !self.wants_rport {
            destination.set_port(self.port);
        }
        destination
    }
}

fn number(text: &str) -> Option<u32> {
    (!text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

/// A line break or the like inside a value would let it forge headers of the answer.
fn is_harmful(value: &str) -> bool {
    value.chars().any(|c| c.is_control() && c != '\t')
}
