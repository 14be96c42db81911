//! SIP messages as the test phone needs them: headers in order, no interpretation beyond what a phone reads.

use std::fmt::Write as _;

/// One SIP request or response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The request line or status line, without its line end.
    pub start: String,
    /// Headers in the order they came, names as written.
    pub headers: Vec<(String, String)>,
    /// The body; empty when there is none.
    pub body: String,
}

impl Message {
    /// An empty message with this first line.
    pub fn new(start: impl Into<String>) -> Self {
        Self {
            start: start.into(),
            headers: Vec::new(),
            body: String::new(),
        }
    }

    /// Adds one header after those already there.
    pub fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    /// Sets the body and its type.
    pub fn with_body(mut self, content_type: &str, body: String) -> Self {
        self.headers.push(("Content-Type".to_owned(), content_type.to_owned()));
        self.body = body;
        self
    }

    /// Reads one whole message; `None` when it is not SIP.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let mut lines = head.split("\r\n");
        let start = lines.next()?.to_owned();
        if !start.contains("SIP/2.0") {
            return None;
        }
        let mut headers: Vec<(String, String)> = Vec::new();
        for line in lines {
            if line.starts_with([' ', '\t']) {
                // A folded line continues the header before it.
                headers.last_mut()?.1.push_str(line.trim_end());
                continue;
            }
            let (name, value) = line.split_once(':')?;
            headers.push((name.trim().to_owned(), value.trim().to_owned()));
        }
        Some(Self {
            start,
            headers,
            body: body.to_owned(),
        })
    }

    /// The first header of that name (case does not matter; compact forms are understood).
    pub fn header(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// Every header of that name, in order.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> + use<'a> {
        let (name, compact) = (name.to_owned(), compact_form(name));
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(&name) || compact.is_some_and(|c| n.eq_ignore_ascii_case(c)))
            .map(|(_, value)| value.as_str())
    }

    /// The status code of a response.
    pub fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// The method of a request.
    pub fn method(&self) -> Option<&str> {
        if self.start.starts_with("SIP/2.0") {
            None
        } else {
            self.start.split(' ').next()
        }
    }

    /// The request URI of a request.
    pub fn request_uri(&self) -> Option<&str> {
        self.method()?;
        self.start.split(' ').nth(1)
    }

    /// Sequence number and method of the CSeq header.
    pub fn cseq(&self) -> Option<(u32, &str)> {
        let (number, method) = self.header("CSeq")?.split_once(' ')?;
        Some((number.parse().ok()?, method.trim()))
    }

    /// The Call-ID, empty when missing.
    pub fn call_id(&self) -> &str {
        self.header("Call-ID").unwrap_or_default()
    }

    /// The URI inside the first header of that name, without brackets and parameters of the header.
    pub fn uri_in(&self, name: &str) -> Option<String> {
        let value = self.header(name)?;
        Some(match value.split_once('<') {
            Some((_, rest)) => rest.split('>').next()?.to_owned(),
            None => value.split(';').next()?.to_owned(),
        })
    }

    /// The message on the wire, with its Content-Length.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut text = format!("{}\r\n", self.start);
        for (name, value) in &self.headers {
            if !name.eq_ignore_ascii_case("Content-Length") {
                let _ = write!(text, "{name}: {value}\r\n");
            }
        }
        let _ = write!(text, "Content-Length: {}\r\n\r\n{}", self.body.len(), self.body);
        text.into_bytes()
    }

    /// The response to this request: its Via, From, To, Call-ID and CSeq, with `to_tag` added where there is none yet.
    pub fn response(&self, status: u16, reason: &str, to_tag: &str) -> Message {
        let mut response = Message::new(format!("SIP/2.0 {status} {reason}"));
        for via in self.all("Via") {
            response = response.with("Via", via);
        }
        for route in self.all("Record-Route") {
            response = response.with("Record-Route", route);
        }
        let to = self.header("To").unwrap_or_default();
        let to = if to.contains(";tag=") || status == 100 {
            to.to_owned()
        } else {
            format!("{to};tag={to_tag}")
        };
        response
            .with("From", self.header("From").unwrap_or_default())
            .with("To", to)
            .with("Call-ID", self.call_id())
            .with("CSeq", self.header("CSeq").unwrap_or_default())
    }
}

fn compact_form(name: &str) -> Option<&'static str> {
    const FORMS: [(&str, &str); 7] = [
        ("Via", "v"),
        ("From", "f"),
        ("To", "t"),
        ("Call-ID", "i"),
        ("Contact", "m"),
        ("Content-Length", "l"),
        ("Content-Type", "c"),
    ];
    FORMS
        .iter()
        .find(|(long, _)| long.eq_ignore_ascii_case(name))
        .map(|(_, short)| *short)
}

/// How many bytes of `buffer` the first whole message of a stream takes; `None` while it is not all there.
pub(super) fn framed(buffer: &[u8]) -> Option<usize> {
    let head = buffer.windows(4).position(|w| w == b"\r\n\r\n")? + 4;
    let text = std::str::from_utf8(&buffer[..head]).ok()?;
    let length = text
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("Content-Length") || name.trim().eq_ignore_ascii_case("l"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok())
        .unwrap_or(0);
    (buffer.len() >= head + length).then_some(head + length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_its_own_writing() {
        let message = Message::new("INVITE sip:bob@10.0.0.1 SIP/2.0")
            .with("Via", "SIP/2.0/UDP 10.0.0.2;branch=z9hG4bK1")
            .with("From", "<sip:a@x>;tag=1")
            .with("To", "<sip:bob@x>")
            .with("Call-ID", "c1")
            .with("CSeq", "7 INVITE")
            .with_body("application/sdp", "v=0\r\n".to_owned());
        let wire = message.to_bytes();
        assert_eq!(framed(&wire), Some(wire.len()));
        assert_eq!(framed(&wire[..wire.len() - 1]), None);
        let read = Message::parse(&wire).expect("it is SIP");
        assert_eq!(
            (read.method(), read.cseq(), read.body.as_str()),
            (Some("INVITE"), Some((7, "INVITE")), "v=0\r\n")
        );
        let busy = read.response(486, "Busy Here", "t9");
        assert_eq!(
            (busy.status(), busy.header("To")),
            (Some(486), Some("<sip:bob@x>;tag=t9"))
        );
    }

    #[test]
    fn what_is_not_sip_is_refused() {
        assert_eq!(Message::parse(b"GET / HTTP/1.1\r\n\r\n"), None);
        assert_eq!(Message::parse(&[0xff, 0xfe]), None);
    }
}
