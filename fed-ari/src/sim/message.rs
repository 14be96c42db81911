//! A SIP message as text: its first line, its headers, and the answer to it.

use std::net::SocketAddr;

use super::cause;

/// A request or an answer.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// The first line.
    pub(crate) start: String,
    headers: Vec<(String, String)>,
}

impl Message {
    pub(crate) fn parse(bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok()?;
        let mut lines = text.split("\r\n");
        let start = lines.next().filter(|l| l.contains("SIP/2.0"))?.to_owned();
        let headers = lines
            .take_while(|l| !l.is_empty())
            .filter_map(|l| l.split_once(':'))
            .map(|(name, value)| (full_name(name.trim()).to_owned(), value.trim().to_owned()))
            .collect();
        Some(Self { start, headers })
    }

    pub(crate) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.headers
            .iter()
            .filter(move |(n, _)| n.eq_ignore_ascii_case(name))
            .map(|(_, v)| v.as_str())
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.headers
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case(name))
            .map_or("", |(_, v)| v.as_str())
    }

    /// The method of a request.
    pub(crate) fn method(&self) -> &str {
        self.start.split(' ').next().unwrap_or_default()
    }

    /// The status of an answer.
    pub(crate) fn status(&self) -> Option<u16> {
        self.start.strip_prefix("SIP/2.0 ")?.split(' ').next()?.parse().ok()
    }

    /// User part of the URI in a header or a first line.
    pub(crate) fn user(text: &str) -> &str {
        let uri = text.split_once("sip:").map_or("", |(_, rest)| rest);
        uri.split_once('@')
            .map_or("", |(user, _)| user.split(';').next().unwrap_or_default())
    }

    /// An answer to this request.
    pub(crate) fn answer(&self, status: u16, to_tag: &str, contact: Option<SocketAddr>) -> String {
        let mut text = format!("SIP/2.0 {status} {}\r\n", cause::words(status));
        for via in self.all("Via") {
            text += &format!("Via: {via}\r\n");
        }
        let to = self.get("To");
        let tag = if to.contains(";tag=") || status == 100 {
            String::new()
        } else {
            format!(";tag={to_tag}")
        };
        text += &format!(
            "From: {}\r\nTo: {to}{tag}\r\nCall-ID: {}\r\nCSeq: {}\r\n",
            self.get("From"),
            self.get("Call-ID"),
            self.get("CSeq")
        );
        if let Some(contact) = contact {
            text += &format!("Contact: <sip:{contact}>\r\n");
        }
        text + "Content-Length: 0\r\n\r\n"
    }
}

fn full_name(name: &str) -> &str {
    match name {
        "v" => "Via",
        "f" => "From",
        "t" => "To",
        "i" => "Call-ID",
        "m" => "Contact",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_with_short_names_too() {
        let message =
            Message::parse(b"INVITE sip:bob~x@h SIP/2.0\r\nv: SIP/2.0/UDP a\r\nf: <sip:alice@h>;tag=1\r\n\r\n")
                .expect("a message");
        assert_eq!(
            (message.method(), message.get("Via"), Message::user(message.get("From"))),
            ("INVITE", "SIP/2.0/UDP a", "alice")
        );
        assert_eq!(Message::user(&message.start), "bob~x");
    }
}
