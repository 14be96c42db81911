//! What a simulated phone does when it is called.

use std::time::Duration;

/// A phone's behaviour, the same for each call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PhoneScript {
    /// Rings, then answers after this time.
    Answer {
        /// Ringing time.
        after: Duration,
    },
    /// Rings, answers, and hangs up itself.
    AnswerFor {
        /// Ringing time.
        after: Duration,
        /// Talking time.
        talk: Duration,
    },
    /// Rings until the caller gives up.
    Ring,
    /// Answers 486 at once.
    Busy,
    /// Rings, then refuses with this SIP status.
    Refuse {
        /// 4xx, 5xx or 6xx.
        status: u16,
        /// Ringing time.
        after: Duration,
    },
    /// Does not answer at all, as a phone whose address went stale: 408 after this time.
    Silent {
        /// How long Asterisk keeps trying.
        after: Duration,
    },
}

impl Default for PhoneScript {
    /// Answers after 20 ms of ringing.
    fn default() -> Self {
        Self::Answer {
            after: Duration::from_millis(20),
        }
    }
}

/// What became of one leg of a dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LegEnd {
    /// Answered; where a time is given, the phone hangs up after it.
    Answered(Option<Duration>),
    /// Refused or failed, with its SIP status.
    Failed(u16),
}

impl PhoneScript {
    /// Plays the script; `ringing` is called when the phone rings.
    pub(crate) async fn play(&self, ringing: impl FnOnce()) -> LegEnd {
        match self {
            Self::Answer { after } => {
                ringing();
                tokio::time::sleep(*after).await;
                LegEnd::Answered(None)
            }
            Self::AnswerFor { after, talk } => {
                ringing();
                tokio::time::sleep(*after).await;
                LegEnd::Answered(Some(*talk))
            }
            Self::Ring => {
                ringing();
                std::future::pending().await
            }
            Self::Busy => LegEnd::Failed(486),
            Self::Refuse { status, after } => {
                ringing();
                tokio::time::sleep(*after).await;
                LegEnd::Failed(*status)
            }
            Self::Silent { after } => {
                tokio::time::sleep(*after).await;
                LegEnd::Failed(408)
            }
        }
    }
}
