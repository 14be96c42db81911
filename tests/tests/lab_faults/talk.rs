//! A call in progress while something dies.

use anyhow::{Context, Result, ensure};
use fed_tests::lab::Lab;
use fed_tests::phone::{Call, Incoming, Phone};
use fed_tests::{both_hear, eventually};

use crate::SOON;

/// Two phones that talk across hosts.
pub(crate) struct Talk<'a> {
    call: Call,
    caller: &'a Phone,
    incoming: Incoming,
    callee: &'a Phone,
}

impl<'a> Talk<'a> {
    pub(crate) fn begin(lab: &Lab, caller: &'a Phone, from: usize, callee: &'a Phone) -> Result<Self> {
        let mut call = caller.call(lab.hosts[from].sip(), callee.id())?;
        call.wait_answer(SOON)?;
        let incoming = callee.incoming(SOON)?;
        both_hear(&call, caller, &incoming, callee)?;
        Ok(Self {
            call,
            caller,
            incoming,
            callee,
        })
    }

    /// Fails unless it is up and both sides hear more than a second of each other from now on.
    pub(crate) fn goes_on(&mut self, when: &str) -> Result<()> {
        let heard = |talk: &Self| {
            (
                talk.call.rtp().heard_from(talk.callee.voice()),
                talk.incoming.rtp().heard_from(talk.caller.voice()),
            )
        };
        let before = heard(self);
        eventually(SOON, || {
            let now = heard(self);
            let more = (now.0 - before.0).min(now.1 - before.1);
            ensure!(more > 50, "only {more} packets {when}");
            Ok(())
        })
        .with_context(|| format!("{} talking to {}", self.caller.id(), self.callee.id()))?;
        ensure!(
            self.call.is_up(),
            "the call of {} in progress ended {when}",
            self.caller.id()
        );
        Ok(())
    }

    pub(crate) fn end(mut self) -> Result<()> {
        self.call.hang_up()?;
        self.incoming.wait_hang_up(SOON).map(drop)
    }
}
