//! A call in progress while something dies.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
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
        let before = self.heard();
        eventually(SOON, || {
            let now = self.heard();
            let more = (now.0 - before.0).min(now.1 - before.1);
            ensure!(more > 50, "only {more} packets {when}");
            Ok(())
        })
        .with_context(|| self.words())?;
        self.is_up(when)
    }

    /// As [`Talk::goes_on`], of all of these at the same time.
    pub(crate) fn all_go_on(talks: &mut [Self], when: &str) -> Result<()> {
        thread::scope(|scope| {
            let running: Vec<_> = talks
                .iter_mut()
                .map(|talk| scope.spawn(|| talk.goes_on(when)))
                .collect();
            running
                .into_iter()
                .try_for_each(|talk| talk.join().map_err(|_| anyhow!("a talk panicked"))?)
        })
    }

    /// Fails unless it is up though neither side hears the other any more.
    pub(crate) fn is_silent(&mut self, when: &str) -> Result<()> {
        let mut before = self.heard();
        eventually(SOON, || {
            thread::sleep(Duration::from_millis(200));
            let now = self.heard();
            let more = (now.0 - before.0, now.1 - before.1);
            before = now;
            ensure!(more == (0, 0), "{more:?} packets were heard {when}");
            Ok(())
        })
        .with_context(|| self.words())?;
        self.is_up(when)
    }

    /// Ended by the caller.
    pub(crate) fn end(mut self) -> Result<()> {
        self.call.hang_up()?;
        self.incoming.wait_hang_up(SOON).map(drop)
    }

    /// Ended by the phone that was called.
    pub(crate) fn end_by_called(mut self) -> Result<()> {
        self.incoming.hang_up()?;
        self.call.wait_hang_up(SOON).map(drop)
    }

    /// The two phones.
    pub(crate) fn phones(&self) -> [&'a Phone; 2] {
        [self.caller, self.callee]
    }

    /// Packets of the other that the caller and the called phone have heard.
    fn heard(&self) -> (u64, u64) {
        (
            self.call.rtp().heard_from(self.callee.voice()),
            self.incoming.rtp().heard_from(self.caller.voice()),
        )
    }

    fn is_up(&mut self, when: &str) -> Result<()> {
        ensure!(
            self.call.is_up(),
            "the call of {} in progress ended {when}",
            self.caller.id()
        );
        Ok(())
    }

    fn words(&self) -> String {
        format!("{} talking to {}", self.caller.id(), self.callee.id())
    }
}
