//! As much SIP as a simulated Asterisk needs to ask a redirect server and to call another one: text messages over UDP, and over TCP
//! where the URI says so.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{line::Line, message::Message};

/// Redirects followed for one leg.
const MOST_REDIRECTS: usize = 5;

/// First wait before an unanswered request is sent again; doubles.
const RESEND: Duration = Duration::from_millis(500);

/// When an INVITE without any answer counts as lost.
const LOST: Duration = Duration::from_secs(32);

/// Where a SIP URI leads; a name without a port means 5060.
pub(crate) async fn resolve(uri: &str) -> Option<SocketAddr> {
    let rest = uri.trim_start_matches("sips:").trim_start_matches("sip:");
    let host = rest
        .rsplit_once('@')
        .map_or(rest, |(_, host)| host)
        .split([';', '?', '>'])
        .next()?;
    let has_port = host
        .rsplit_once(':')
        .is_some_and(|(h, port)| port.parse::<u16>().is_ok() && (!h.contains(':') || h.ends_with(']')));
    let host = if has_port {
        host.to_owned()
    } else {
        format!("{host}:5060")
    };
    tokio::net::lookup_host(host).await.ok()?.next()
}

/// A leg on its way out.
pub(crate) struct Leg {
    ip: IpAddr,
    line: Line,
    call_id: String,
    from: String,
    sequence: u32,
    /// Where and what to tell when it is given up: set while an INVITE waits, or a call stands.
    parting: Option<(SocketAddr, String)>,
}

impl Drop for Leg {
    fn drop(&mut self) {
        if let Some((target, message)) = self.parting.take() {
            // Nobody waits for the answer.
            self.line.send_now(&message, target);
        }
    }
}

impl Leg {
    /// A leg from this server, in the name of a caller.
    pub(crate) async fn new(server: SocketAddr, caller: &str, call_id: String) -> io::Result<Self> {
        let line = Line::datagrams(server.ip()).await?;
        let from = format!("<sip:{caller}@{server}>;tag={}", line.local()?.port());
        Ok(Self {
            ip: server.ip(),
            line,
            call_id,
            from,
            sequence: 0,
            parting: None,
        })
    }

    /// Calls the URI, follows redirects where `follow` allows, and answers the URI that was answered, or the status it ended with.
    pub(crate) async fn invite(&mut self, uri: &str, follow: bool, ringing: impl Fn()) -> Result<String, u16> {
        let mut uri = uri.to_owned();
        for _ in 0..MOST_REDIRECTS {
            let target = resolve(&uri).await.ok_or(503_u16)?;
            self.turn_to(&uri, target).await.map_err(|_| 503_u16)?;
            let answer = self.ask(&uri, target, &ringing).await?;
            let status = answer.status().unwrap_or(500);
            let to = answer.get("To").to_owned();
            self.parting = None;
            self.line.send(&self.request("ACK", &uri, &to, "ACK"), target).await;
            match status {
                200..=299 => {
                    self.sequence += 1;
                    self.parting = Some((target, self.request("BYE", &uri, &to, "BYE")));
                    return Ok(uri);
                }
                300..=399 if follow => {
                    let contact = answer.get("Contact");
                    let found = contact
                        .split_once('<')
                        .map_or(contact, |(_, rest)| rest.split('>').next().unwrap_or_default());
                    uri = found.to_owned();
                }
                300..=399 => return Err(480),
                status => return Err(status),
            }
        }
        Err(482)
    }

    /// Takes the line that leads there.
    async fn turn_to(&mut self, uri: &str, target: SocketAddr) -> io::Result<()> {
        if uri.to_ascii_lowercase().contains(";transport=tcp") {
            self.line = Line::connection(target).await?;
        } else if self.line.is_reliable() {
            self.line = Line::datagrams(self.ip).await?;
        }
        Ok(())
    }

    /// One INVITE until its final answer.
    async fn ask(&mut self, uri: &str, target: SocketAddr, ringing: &impl Fn()) -> Result<Message, u16> {
        self.sequence += 1;
        let to = format!("<{uri}>");
        let invite = self.request("INVITE", uri, &to, "INVITE");
        self.parting = Some((target, self.request("CANCEL", uri, &to, "CANCEL")));
        self.line.send(&invite, target).await;
        let given_up = Instant::now() + LOST;
        let mut resend = RESEND;
        let mut heard = false;
        loop {
            let pause = if heard { LOST * 10 } else { resend };
            match tokio::time::timeout(pause, self.line.receive()).await {
                Ok(Ok((answer, _))) => {
                    let ours = answer.get("CSeq") == format!("{} INVITE", self.sequence);
                    match answer.status() {
                        Some(status) if ours && status >= 200 => return Ok(answer),
                        Some(status) if ours => {
                            heard = true;
                            if status >= 180 {
                                ringing();
                            }
                        }
                        _ => {}
                    }
                }
                Ok(Err(_)) => {
                    self.parting = None;
                    return Err(503);
                }
                Err(_) if heard || Instant::now() >= given_up => return Err(408),
                Err(_) => {
                    resend *= 2;
                    if !self.line.is_reliable() {
                        self.line.send(&invite, target).await;
                    }
                }
            }
        }
    }

    /// Stays in the answered call until either side ends it.
    pub(crate) async fn talk(mut self, ended: &CancellationToken) {
        loop {
            tokio::select! {
                () = ended.cancelled() => return,
                received = self.line.receive() => {
                    let Ok((message, from)) = received else { return };
                    if message.method() == "BYE" {
                        self.parting = None;
                        self.line.send(&message.answer(200, "", None), from).await;
                        return;
                    }
                }
            }
        }
    }

    fn request(&self, method: &str, uri: &str, to: &str, sequence_of: &str) -> String {
        let Self {
            line,
            call_id,
            from,
            sequence,
            ..
        } = self;
        let local = line.local().unwrap_or_else(|_| SocketAddr::new(self.ip, 0));
        let transport = line.transport();
        // ACK of a refusal and CANCEL belong to their INVITE's transaction.
        format!(
            "{method} {uri} SIP/2.0\r\nVia: SIP/2.0/{transport} {local};branch=z9hG4bK{call_id}-{sequence}\r\nMax-Forwards: 70\r\nFrom: {from}\r\n\
             To: {to}\r\nCall-ID: {call_id}\r\nCSeq: {sequence} {sequence_of}\r\nContact: <sip:{local}>\r\nContent-Length: 0\r\n\r\n"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn uris_lead_to_addresses() {
        for (uri, expected) in [
            ("sip:alice@127.0.0.1:5070", "127.0.0.1:5070"),
            ("sip:alice~t@127.0.0.1;transport=udp", "127.0.0.1:5060"),
            ("sip:[::1]:5080", "[::1]:5080"),
            ("sip:a@[::1]", "[::1]:5060"),
        ] {
            assert_eq!(
                resolve(uri).await.map(|a| a.to_string()).as_deref(),
                Some(expected),
                "{uri}"
            );
        }
    }
}
