//! Where a call goes: a pure function of the map, the node that asks, the caller and what was dialled.

use std::fmt;

use crate::ids::{DeviceId, NodeId};

mod decide;
mod locate;
mod resolve;

pub use decide::{MOST_FORWARDS, route, route_alone};
pub use locate::{locate, places};
pub use resolve::{Dialled, resolve};

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Caller {
    /// The calling device, where it is one of the federation's.
    pub device: Option<DeviceId>,
    /// The caller's number, as shown.
    pub number: Option<String>,
    /// How many nodes the call has crossed already; 0 where it was made.
    pub hops: u8,
}

/// What to do with a call, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoutePlan {
    /// What to do.
    pub outcome: Outcome,
    /// Each step of the decision, in words, in order.
    pub explanation: Vec<String>,
}

/// What to do with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Ring.
    ///
    /// The first stage comes first. When a stage ends unanswered, the next one is the first later stage whose
    /// `after` is the stage that ended and whose `on` fits how it ended; where there is none, the call ends
    /// with what the last stage said, or `otherwise` where it said nothing useful.
    Ring {
        /// The stages; never empty, and none without a target.
        stages: Vec<Stage>,
        /// How the call ends when nobody answers.
        otherwise: Cause,
    },
    /// Refuse the call.
    Refuse(Cause),
}

/// Targets that ring together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// Who rings; never empty.
    pub targets: Vec<Target>,
    /// Seconds until this stage counts as not answered, 1 to 300.
    pub timeout_s: u16,
    /// How the stage named by `after` must have ended.
    pub on: StageCondition,
    /// The stage, counted from 0, that this one follows; the first stage names itself.
    pub after: usize,
}

/// How the stage before must have ended for a stage to be tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StageCondition {
    /// In any way but an answer.
    Always,
    /// All targets were busy.
    Busy,
    /// Nobody answered in time, or could be reached.
    NoAnswer,
}

/// A device to ring, and where.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The device.
    pub device: DeviceId,
    /// Where it is registered.
    pub place: Place,
}

/// Where a device is registered, seen from the node that asks.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// At the Asterisk of the node that asks.
    Here,
    /// At another node.
    There {
        /// The node.
        node: NodeId,
        /// Where its Asterisk takes SIP, `host:port`.
        sip_address: String,
    },
}

/// Why a call is not put through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Cause {
    /// Nobody has that number or name.
    UnknownUser,
    /// Registered nowhere, or only at nodes that are down.
    Offline,
    /// Busy.
    Busy,
    /// The user does not want to be disturbed.
    DoNotDisturb,
    /// Nobody answered.
    NoAnswer,
    /// Forwards lead in a circle, or too far.
    Loop,
    /// The call has crossed too many nodes.
    TooManyHops,
    /// The map cannot say now.
    Unavailable,
}

impl Cause {
    /// The status that the caller's own server answers with: what chan_pjsip makes of [`Cause::q850`]. It has no cause for 482 and 483, so
    /// a loop and too many hops are a 603 there.
    #[must_use]
    pub fn sip_status(self) -> u16 {
        match self {
            Self::UnknownUser => 404,
            Self::Offline | Self::NoAnswer => 480,
            Self::Busy | Self::DoNotDisturb => 486,
            Self::Loop | Self::TooManyHops => 603,
            Self::Unavailable => 503,
        }
    }

    /// The cause in Q.850, what Asterisk's `Hangup()` takes; chosen so that chan_pjsip answers with a status of the same
    /// meaning.
    #[must_use]
    pub fn q850(self) -> u8 {
        match self {
            Self::UnknownUser => 1,
            Self::Busy | Self::DoNotDisturb => 17,
            Self::NoAnswer => 19,
            Self::Offline => 20,
            Self::Loop | Self::TooManyHops => 25,
            Self::Unavailable => 34,
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnknownUser => "unknown user",
            Self::Offline => "offline",
            Self::Busy => "busy",
            Self::DoNotDisturb => "do not disturb",
            Self::NoAnswer => "no answer",
            Self::Loop => "forwards lead in a circle",
            Self::TooManyHops => "too many hops",
            Self::Unavailable => "unavailable",
        })
    }
}

impl Place {
    /// The node, where `here` is the one that asked.
    #[must_use]
    pub fn node(&self, here: NodeId) -> NodeId {
        match self {
            Self::Here => here,
            Self::There { node, .. } => *node,
        }
    }
}

/// Where one device is, for the redirect server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Located {
    /// Registered at the node that asks.
    Here,
    /// Registered at another node.
    There {
        /// The node.
        node: NodeId,
        /// Where its Asterisk takes SIP, `host:port`.
        sip_address: String,
    },
    /// Known, but registered at no live node.
    Offline,
    /// There is no such device.
    Unknown,
}
