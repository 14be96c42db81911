//! A call that a phone placed.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::sdp::{media_address, sdp};
use super::{Arrived, Inner, Message, RESEND, Rtp, Transport, token};

/// How a call that was placed ended before it was answered.
#[derive(Debug, Clone)]
pub struct Ended {
    /// The final status.
    pub status: u16,
    /// When it was there.
    pub at: Instant,
    /// The whole response.
    pub response: Message,
}

impl Ended {
    /// The Q.850 cause in the Reason header, when there is one.
    pub fn cause(&self) -> Option<u16> {
        cause_of(&self.response)
    }
}

/// A call this phone placed.
#[derive(Debug)]
pub struct Call {
    phone: Arc<Inner>,
    server: SocketAddr,
    invite: Message,
    events: Receiver<Arrived>,
    rtp: Arc<Rtp>,
    answer: Option<Message>,
    over: bool,
    /// When the INVITE that was not challenged left the phone.
    pub invited: Instant,
    /// When the first 180 or 183 was there.
    pub ringing: Option<Instant>,
    /// When the 200 OK was there.
    pub answered: Option<Instant>,
}

impl Call {
    pub(super) fn place(
        phone: Arc<Inner>,
        server: SocketAddr,
        dialled: &str,
        headers: &[(&str, &str)],
    ) -> Result<Self> {
        let rtp = Arc::new(Rtp::open(&phone.namespace, phone.wire.local().ip(), phone.voice)?);
        let uri = format!("sip:{dialled}@{server}");
        let call_id = token();
        let events = phone.listen_to(&call_id, Some(rtp.clone()));
        let mut invite = phone
            .request("INVITE", &uri, &call_id)
            .with("To", format!("<sip:{dialled}@{}>", server.ip()))
            .with("Contact", format!("<{}>", phone.contact()))
            .with("Allow", "INVITE, ACK, CANCEL, BYE, OPTIONS");
        for (name, value) in headers {
            invite = invite.with(name, *value);
        }
        invite = invite.with_body("application/sdp", sdp(&phone, &rtp)?);
        let invited = Instant::now();
        phone.wire.send(&invite, server)?;
        let mut call = Self {
            phone,
            server,
            invite,
            events,
            rtp,
            answer: None,
            over: false,
            invited,
            ringing: None,
            answered: None,
        };
        let (at, first) = call
            .next(Instant::now() + Duration::from_secs(5))
            .context("the INVITE was not answered at all")?;
        if let Some((name, value)) = call.phone.answer_challenge(&first, "INVITE", &uri) {
            call.acknowledge(&first)?;
            let sequence = call.invite.cseq().map_or(1, |(n, _)| n) + 1;
            for (header, text) in &mut call.invite.headers {
                match header.as_str() {
                    "Via" => *text = call.phone.via(),
                    "CSeq" => *text = format!("{sequence} INVITE"),
                    _ => {}
                }
            }
            call.phone
                .sequence
                .fetch_max(sequence + 1, std::sync::atomic::Ordering::Relaxed);
            call.invite.headers.push((name, value));
            call.invited = Instant::now();
            call.phone.wire.send(&call.invite, server)?;
        } else {
            call.note(at, first)?;
        }
        Ok(call)
    }

    /// Waits for the first ringing.
    ///
    /// # Errors
    /// When the call ends first or the patience does.
    pub fn wait_ringing(&mut self, patience: Duration) -> Result<Instant> {
        let deadline = Instant::now() + patience;
        loop {
            if let Some(at) = self.ringing {
                return Ok(at);
            }
            if let Some(answer) = &self.answer {
                bail!("the call ended before it rang: {}", answer.start);
            }
            self.step(deadline).context("waiting for ringing")?;
        }
    }

    /// Waits for the 200 OK; from then on RTP flows.
    ///
    /// # Errors
    /// When the call is refused or the patience ends.
    pub fn wait_answer(&mut self, patience: Duration) -> Result<Instant> {
        let deadline = Instant::now() + patience;
        loop {
            match (&self.answer, self.answered) {
                (_, Some(at)) => return Ok(at),
                (Some(answer), None) => bail!(
                    "the call was not answered but ended: {} {:?}",
                    answer.start,
                    answer.header("Reason")
                ),
                (None, None) => self.step(deadline).context("waiting for an answer")?,
            }
        }
    }

    /// Waits for a final refusal.
    ///
    /// # Errors
    /// When the call is answered instead or the patience ends.
    pub fn wait_refusal(&mut self, patience: Duration) -> Result<Ended> {
        let deadline = Instant::now() + patience;
        loop {
            if self.answered.is_some() {
                bail!("the call was answered instead of refused");
            }
            if let Some(response) = self.answer.clone() {
                let status = response.status().unwrap_or_default();
                return Ok(Ended {
                    status,
                    at: Instant::now(),
                    response,
                });
            }
            self.step(deadline).context("waiting for a refusal")?;
        }
    }

    /// Gives up a call that is not answered yet and waits for the 487.
    ///
    /// # Errors
    /// When the server does not end the call.
    pub fn cancel(&mut self) -> Result<Ended> {
        let mut cancel = Message::new(self.invite.start.replacen("INVITE", "CANCEL", 1));
        for name in ["Via", "Max-Forwards", "From", "To", "Call-ID"] {
            cancel = cancel.with(name, self.invite.header(name).unwrap_or_default());
        }
        let sequence = self.invite.cseq().map_or(1, |(n, _)| n);
        self.phone
            .wire
            .send(&cancel.with("CSeq", format!("{sequence} CANCEL")), self.server)?;
        self.wait_refusal(Duration::from_secs(5))
    }

    /// Ends an answered call and waits until the server has said so.
    ///
    /// # Errors
    /// When the call was never answered or the server does not confirm.
    pub fn hang_up(&mut self) -> Result<()> {
        let answer = self
            .answer
            .clone()
            .filter(|_| self.answered.is_some())
            .context("the call was never answered")?;
        let bye = self.within("BYE", &answer);
        self.phone.wire.send(&bye, self.server)?;
        let mut deadline = Instant::now() + RESEND;
        let last = Instant::now() + Duration::from_secs(5);
        loop {
            match self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            {
                Ok((_, message)) if message.cseq() == bye.cseq() && message.status().is_some() => break,
                Ok((_, message)) if message.method() == Some("BYE") => break,
                Ok(_) => {}
                Err(_) if Instant::now() < last => {
                    if self.phone.wire.transport() == Transport::Udp {
                        self.phone.wire.send(&bye, self.server)?;
                    }
                    deadline = Instant::now() + RESEND;
                }
                Err(_) => bail!("the server did not confirm the end of the call"),
            }
        }
        self.over = true;
        Ok(())
    }

    /// Waits until the other side hangs up.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_hang_up(&mut self, patience: Duration) -> Result<Instant> {
        let at = wait_for_method(&self.events, "BYE", patience)?;
        self.over = true;
        Ok(at)
    }

    /// Whether the other side has not hung up so far (looks at everything that came in).
    pub fn is_up(&mut self) -> bool {
        while let Ok((_, message)) = self.events.try_recv() {
            self.over |= message.method() == Some("BYE");
        }
        self.answered.is_some() && !self.over
    }

    /// The media of this side.
    pub fn rtp(&self) -> &Rtp {
        &self.rtp
    }

    /// The final response, once there is one.
    pub fn answer(&self) -> Option<&Message> {
        self.answer.as_ref()
    }

    fn next(&self, deadline: Instant) -> Result<Arrived> {
        let started = Instant::now();
        let mut resend = started + RESEND;
        loop {
            let now = Instant::now();
            if now >= deadline {
                bail!("nothing came within {:?}", now - started);
            }
            match self
                .events
                .recv_timeout(resend.min(deadline).saturating_duration_since(now))
            {
                Ok(arrived) => return Ok(arrived),
                Err(RecvTimeoutError::Timeout) => {
                    if self.ringing.is_none() && self.answer.is_none() && self.phone.wire.transport() == Transport::Udp
                    {
                        self.phone.wire.send(&self.invite, self.server)?;
                    }
                    resend = now + RESEND * 4;
                }
                Err(RecvTimeoutError::Disconnected) => bail!("the phone was closed"),
            }
        }
    }

    fn step(&mut self, deadline: Instant) -> Result<()> {
        let (at, message) = self.next(deadline)?;
        self.note(at, message)
    }

    fn note(&mut self, at: Instant, message: Message) -> Result<()> {
        if message.cseq() != self.invite.cseq() {
            self.over |= message.method() == Some("BYE");
            return Ok(());
        }
        match message.status() {
            Some(180 | 183) => {
                self.ringing.get_or_insert(at);
                if let Some(remote) = media_address(&message.body) {
                    self.rtp.talk_to(remote);
                }
            }
            Some(200..=299) => {
                if self.answered.is_none() {
                    self.answered = Some(at);
                    if let Some(remote) = media_address(&message.body) {
                        self.rtp.talk_to(remote);
                    }
                }
                let ack = self.within("ACK", &message);
                self.phone.wire.send(&ack, self.server)?;
                self.answer = Some(message);
            }
            Some(300..) => {
                self.acknowledge(&message)?;
                self.answer = Some(message);
            }
            _ => {}
        }
        Ok(())
    }

    /// The ACK of a refusal belongs to the INVITE's own transaction.
    fn acknowledge(&self, response: &Message) -> Result<()> {
        let mut ack = Message::new(self.invite.start.replacen("INVITE", "ACK", 1));
        for name in ["Via", "Max-Forwards", "From"] {
            ack = ack.with(name, self.invite.header(name).unwrap_or_default());
        }
        ack = ack
            .with("To", response.header("To").unwrap_or_default())
            .with("Call-ID", self.invite.call_id())
            .with("CSeq", format!("{} ACK", self.invite.cseq().map_or(1, |(n, _)| n)));
        self.phone.wire.send(&ack, self.server)
    }

    fn within(&self, method: &str, answer: &Message) -> Message {
        let target = answer
            .uri_in("Contact")
            .unwrap_or_else(|| format!("sip:{}", self.server));
        let invited = self.invite.cseq().map_or(1, |(n, _)| n);
        let sequence = if method == "ACK" { invited } else { invited + 1 };
        Message::new(format!("{method} {target} SIP/2.0"))
            .with("Via", self.phone.via())
            .with("Max-Forwards", "70")
            .with("From", self.invite.header("From").unwrap_or_default())
            .with("To", answer.header("To").unwrap_or_default())
            .with("Call-ID", self.invite.call_id())
            .with("CSeq", format!("{sequence} {method}"))
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        if self.answered.is_some() && !self.over {
            let _ = self.hang_up();
        } else if self.answer.is_none() {
            let _ = self.cancel();
        }
        self.phone.forget(self.invite.call_id());
    }
}

/// Waits for a request of this method.
pub(super) fn wait_for_method(events: &Receiver<Arrived>, method: &str, patience: Duration) -> Result<Instant> {
    let deadline = Instant::now() + patience;
    loop {
        let (at, message) = events
            .recv_timeout(deadline.saturating_duration_since(Instant::now()))
            .with_context(|| format!("no {method} within {patience:?}"))?;
        if message.method() == Some(method) {
            return Ok(at);
        }
    }
}

/// The Q.850 cause of a message's Reason header.
fn cause_of(message: &Message) -> Option<u16> {
    message
        .all("Reason")
        .find(|r| r.starts_with("Q.850"))?
        .split("cause=")
        .nth(1)?
        .split(';')
        .next()?
        .trim()
        .parse()
        .ok()
}
