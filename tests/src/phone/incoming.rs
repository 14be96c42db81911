//! A call that came in at a phone.

use std::sync::Arc;
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use parking_lot::Mutex;

use super::call::wait_for_method;
use super::sdp::{media_address, sdp};
use super::{Arrived, Behaviour, Inner, Message, Origin, Rtp, token};

/// A call that came in.
#[derive(Debug)]
pub struct Incoming {
    phone: Arc<Inner>,
    /// The INVITE.
    pub invite: Message,
    origin: Origin,
    /// When it was there.
    pub at: Instant,
    events: Receiver<Arrived>,
    rtp: Arc<Rtp>,
    tag: String,
    answered: Mutex<bool>,
}

impl Incoming {
    pub(super) fn arrive(
        phone: Arc<Inner>,
        invite: Message,
        origin: Origin,
        at: Instant,
        behaviour: Behaviour,
    ) -> Result<Self> {
        // First the answer that the other side's clock waits for, then what is needed for a conversation.
        let tag = token();
        let own = phone.contact();
        let (status, reason, contact) = match behaviour {
            Behaviour::Answer | Behaviour::Ring => (180, "Ringing", own),
            Behaviour::Refuse(status) => (status, "Refused", own),
            Behaviour::Redirect(address) => (302, "Moved Temporarily", format!("sip:moved@{address}")),
        };
        let contact = format!("<{contact}>");
        let mut answer = invite.response(status, reason, &tag).with("Contact", contact);
        if status == 302 {
            // Without it Asterisk's `rewrite_contact` puts this phone's own address in place of the other.
            answer = answer.with("Record-Route", "<sip:unused.invalid;lr>");
        }
        phone.wire.reply(&answer, &origin)?;
        let rtp = Arc::new(Rtp::open(&phone.namespace, phone.wire.local().ip(), phone.voice)?);
        let events = phone.listen_to(invite.call_id(), Some(rtp.clone()));
        let call = Self {
            phone,
            invite,
            origin,
            at,
            events,
            rtp,
            tag,
            answered: Mutex::new(false),
        };
        if behaviour == Behaviour::Answer {
            call.answer()?;
        }
        Ok(call)
    }

    /// Answers; from then on RTP flows.
    ///
    /// # Errors
    /// When the answer cannot be sent.
    pub fn answer(&self) -> Result<()> {
        let answer = self
            .invite
            .response(200, "OK", &self.tag)
            .with("Contact", format!("<{}>", self.phone.contact()))
            .with_body("application/sdp", sdp(&self.phone, &self.rtp)?);
        *self.answered.lock() = true;
        if let Some(remote) = media_address(&self.invite.body) {
            self.rtp.talk_to(remote);
        }
        self.phone.wire.reply(&answer, &self.origin)
    }

    /// Refuses with this status.
    ///
    /// # Errors
    /// When the refusal cannot be sent.
    pub fn refuse(&self, status: u16) -> Result<()> {
        self.reply(status, if status == 486 { "Busy Here" } else { "Refused" })
    }

    /// Waits for the CANCEL of a call that was not answered; gives the CANCEL itself.
    ///
    /// # Errors
    /// When none comes.
    pub fn wait_cancel(&self, patience: Duration) -> Result<Message> {
        let deadline = Instant::now() + patience;
        loop {
            let (_, message) = self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .with_context(|| format!("{} was not cancelled within {patience:?}", self.phone.id))?;
            if message.method() == Some("CANCEL") {
                self.reply(487, "Request Terminated")?;
                return Ok(message);
            }
        }
    }

    /// Hangs up an answered call.
    ///
    /// # Errors
    /// When the other side does not confirm.
    pub fn hang_up(&self) -> Result<()> {
        let target = self.invite.uri_in("Contact").context("the INVITE has no Contact")?;
        let bye = Message::new(format!("BYE {target} SIP/2.0"))
            .with("Via", self.phone.via())
            .with("Max-Forwards", "70")
            .with(
                "From",
                format!("{};tag={}", self.invite.header("To").unwrap_or_default(), self.tag),
            )
            .with("To", self.invite.header("From").unwrap_or_default())
            .with("Call-ID", self.invite.call_id())
            .with("CSeq", "7001 BYE");
        self.phone.wire.reply(&bye, &self.origin)?;
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            let (_, message) = self
                .events
                .recv_timeout(deadline.saturating_duration_since(Instant::now()))
                .context("the end of the call was not confirmed")?;
            if message.status().is_some() && message.cseq() == bye.cseq() {
                *self.answered.lock() = false;
                return Ok(());
            }
        }
    }

    /// Waits until the caller's side has acknowledged the answer.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_acknowledged(&self, patience: Duration) -> Result<Instant> {
        wait_for_method(&self.events, "ACK", patience)
    }

    /// Waits until the caller hangs up.
    ///
    /// # Errors
    /// When it does not.
    pub fn wait_hang_up(&self, patience: Duration) -> Result<Instant> {
        let at = wait_for_method(&self.events, "BYE", patience)?;
        *self.answered.lock() = false;
        Ok(at)
    }

    /// Waits until the caller hangs up or gives up, whichever the call has come to, and answers either as a phone does.
    ///
    /// # Errors
    /// When neither happens.
    pub fn wait_end(&self, patience: Duration) -> Result<()> {
        if *self.answered.lock() {
            self.wait_hang_up(patience).map(drop)
        } else {
            self.wait_cancel(patience).map(drop)
        }
    }

    /// The media of this side.
    pub fn rtp(&self) -> &Rtp {
        &self.rtp
    }

    fn reply(&self, status: u16, reason: &str) -> Result<()> {
        let response = self
            .invite
            .response(status, reason, &self.tag)
            .with("Contact", format!("<{}>", self.phone.contact()));
        self.phone.wire.reply(&response, &self.origin)
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if *self.answered.lock() {
            let _ = self.hang_up();
        }
        self.phone.forget(self.invite.call_id());
    }
}
