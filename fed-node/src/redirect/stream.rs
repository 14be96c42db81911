//! Cuts a TCP stream into SIP messages (RFC 3261 section 18.3) and keep-alives (RFC 5626 section 3.5.1).

use super::message::{MAX_MESSAGE, head_end};

/// Longest request line and headers taken from a stream, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// One thing that came out of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    /// A message with its whole body.
    Message(Vec<u8>),
    /// A double CRLF, to be answered by a single one.
    Ping,
}

/// Where one message ends cannot be told: the stream is of no further use.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Broken {
    /// The headers of the message in question, when there were any.
    pub(super) head: Vec<u8>,
    /// Whether it was too large, rather than malformed.
    pub(super) too_large: bool,
}

/// Collects bytes and gives out frames. Holds at most one message and what was read together with it.
#[derive(Debug, Default)]
pub(super) struct Framer {
    buffer: Vec<u8>,
    /// How much of the buffer is known to hold no end of headers.
    scanned: usize,
    /// Length of the message at the front of the buffer, once its headers are read.
    total: Option<usize>,
    line_breaks: u8,
}

impl Framer {
    /// Adds what was read.
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Whether a message has begun and is not complete.
    pub(super) fn is_in_message(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// The next frame, or `None` when more bytes are needed.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Broken> {
        let total = match self.total {
            Some(total) => total,
            None => {
                if self.skip_line_breaks() {
                    return Ok(Some(Frame::Ping));
                }
                let Some(total) = self.measure()? else {
                    return Ok(None);
                };
                *self.total.insert(total)
            }
        };
        if self.buffer.len() < total {
            return Ok(None);
        }
        let rest = self.buffer.split_off(total);
        (self.scanned, self.total) = (0, None);
        Ok(Some(Frame::Message(std::mem::replace(&mut self.buffer, rest))))
    }

    /// Drops line breaks between messages; true when the second in a row made a keep-alive.
    fn skip_line_breaks(&mut self) -> bool {
        while let Some(length) = leading_line_break(&self.buffer) {
            self.buffer.drain(..length);
            self.scanned = 0;
            self.line_breaks += 1;
            if self.line_breaks == 2 {
                self.line_breaks = 0;
                return true;
            }
        }
        if !self.buffer.is_empty() && self.buffer != b"\r" {
            self.line_breaks = 0;
        }
        false
    }

    /// The length of the message at the front of the buffer, as soon as its headers are there.
    fn measure(&mut self) -> Result<Option<usize>, Broken> {
        let from = self.scanned.saturating_sub(3);
        let Some(head) = head_end(&self.buffer[from..]).map(|end| from + end) else {
            self.scanned = self.buffer.len();
            return if self.buffer.len() > MAX_HEAD {
                Err(self.broken(0, true))
            } else {
                Ok(None)
            };
        };
        if head > MAX_HEAD {
            return Err(self.broken(head, true));
        }
        let Some(body) = content_length(&self.buffer[..head]) else {
            return Err(self.broken(head, false));
        };
        match head.checked_add(body) {
            Some(total) if total <= MAX_MESSAGE => Ok(Some(total)),
            _ => Err(self.broken(head, true)),
        }
    }

    fn broken(&mut self, head: usize, too_large: bool) -> Broken {
        let mut bytes = std::mem::take(&mut self.buffer);
        bytes.truncate(head.min(MAX_HEAD));
        self.scanned = 0;
        Broken { head: bytes, too_large }
    }
}

fn leading_line_break(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [b'\r', b'\n', ..] => Some(2),
        [b'\n', ..] => Some(1),
        _ => None,
    }
}

/// The one Content-Length of these headers; a stream has no other way to say where a message ends.
fn content_length(head: &[u8]) -> Option<usize> {
    let lengths = sip_header::extract_header(&String::from_utf8_lossy(head), "Content-Length");
    let [length] = lengths.as_slice() else {
        return None;
    };
    length
        .bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| length.parse().unwrap_or(usize::MAX))
        .filter(|_| !length.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(framer: &mut Framer) -> Vec<Frame> {
        std::iter::from_fn(|| framer.next().expect("a sound stream")).collect()
    }

    #[test]
    fn messages_and_pings_come_out_whole_however_the_bytes_arrive() {
        let first = b"OPTIONS sip:a@b SIP/2.0\r\nContent-Length: 4\r\n\r\nbody".as_slice();
        let second = b"OPTIONS sip:c@d SIP/2.0\r\nl: 0\r\n\r\n".as_slice();
        let stream = [b"\r\n\r\n", first, b"\r\n", second, b"\r\n\r\n"].concat();
        for step in 1..stream.len() {
            let mut framer = Framer::default();
            let mut seen = Vec::new();
            for chunk in stream.chunks(step) {
                framer.push(chunk);
                seen.extend(frames(&mut framer));
            }
            let expected = [
                Frame::Ping,
                Frame::Message(first.to_vec()),
                Frame::Message(second.to_vec()),
                Frame::Ping,
            ];
            assert_eq!(seen, expected, "in steps of {step}");
            assert!(!framer.is_in_message());
        }
    }

    #[test]
    fn a_message_of_unknown_length_breaks_the_stream() {
        for length in [
            "",
            "Content-Length: x\r\n",
            "Content-Length: -1\r\n",
            "Content-Length: 1\r\nl: 2\r\n",
            "Content-Length:\r\n",
        ] {
            let mut framer = Framer::default();
            framer.push(format!("OPTIONS sip:a@b SIP/2.0\r\n{length}\r\n").as_bytes());
            let broken = framer.next().expect_err(length);
            assert!(!broken.too_large);
            assert!(broken.head.starts_with(b"OPTIONS"));
        }
    }

    #[test]
    fn a_message_over_the_limit_breaks_the_stream_before_it_is_read() {
        for length in ["65536", "18446744073709551615", "99999999999999999999999999"] {
            let mut framer = Framer::default();
            framer.push(format!("OPTIONS sip:a@b SIP/2.0\r\nContent-Length: {length}\r\n\r\n").as_bytes());
            assert!(framer.next().expect_err(length).too_large);
        }
        let mut framer = Framer::default();
        framer.push(&vec![b'x'; MAX_HEAD + 1]);
        assert!(framer.next().expect_err("an endless header").too_large);
        assert!(!framer.is_in_message(), "nothing is kept");
    }
}
