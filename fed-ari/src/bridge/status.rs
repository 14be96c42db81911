//! What the bridge tells of itself: how its Asterisk is, and every fault with its remedy.

use fed_core::ids::{NodeId, SessionId};

use crate::{
    client::{AriError, AsteriskVersion},
    render::Key,
};

/// The state of the bridge and of its Asterisk.
#[derive(Clone, Debug, PartialEq)]
pub struct BridgeStatus {
    /// How far the bridge is.
    pub phase: Phase,
    /// The version of Asterisk, once it told.
    pub version: Option<AsteriskVersion>,
    /// This node's open session; calls are sent here while there is one.
    pub session: Option<SessionId>,
    /// Objects that Asterisk should hold.
    pub desired: usize,
    /// Objects that Asterisk held as wanted when last written or read.
    pub verified: usize,
    /// Aors that must change but wait for a registration to end.
    pub postponed: Vec<Key>,
    /// What is wrong now; empty where all is well.
    pub faults: Vec<BridgeFault>,
    /// Registrations seen, moved and ended since the start.
    pub counts: BridgeCounts,
}

/// How far the bridge is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No connection to Asterisk.
    Down,
    /// Connected; objects are pushed and registrations read.
    Reconciling,
    /// Asterisk and map agree, and changes are followed.
    Up,
    /// Stopped for good.
    Stopped,
}

/// What the bridge has done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BridgeCounts {
    /// Registrations bound.
    pub bound: u64,
    /// Registrations unbound.
    pub unbound: u64,
    /// Stale contacts deleted from Asterisk.
    pub stale_deleted: u64,
    /// Objects written.
    pub written: u64,
    /// Objects deleted.
    pub deleted: u64,
    /// Times the link to Asterisk was lost.
    pub link_losses: u64,
}

/// Something that keeps the bridge from its work; every text names the object and the remedy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BridgeFault {
    /// Nobody answers, or nobody that speaks ARI.
    #[error("{0}")]
    NoAri(String),
    /// The ARI user is not accepted.
    #[error("{0}")]
    Refused(String),
    /// An object type cannot be pushed.
    #[error(
        "Asterisk takes no PJSIP {object} over ARI: sorcery.conf lacks a line `{object}=memory` after the one of pjsip.conf; run `fed-node asterisk-config --write` and restart Asterisk"
    )]
    MissingMapping {
        /// The object type.
        object: &'static str,
    },
    /// An object of the same name stands in a file.
    #[error(
        "PJSIP {object} {id:?} stands in Asterisk's own configuration files and cannot be replaced; remove it there, or give the device another id"
    )]
    NameTaken {
        /// The object type.
        object: &'static str,
        /// The object.
        id: String,
    },
    /// Asterisk refused an object.
    #[error("PJSIP {object} {id:?} could not be written: {why}")]
    Object {
        /// The object type.
        object: &'static str,
        /// The object.
        id: String,
        /// What Asterisk said.
        why: String,
    },
    /// Another fed-node serves this Asterisk.
    #[error(
        "another fed-node ({owner}) serves this Asterisk already; stop it, or give this node an Asterisk of its own (it takes over by itself {after_s} s after the other one has stopped)"
    )]
    SecondFedNode {
        /// The other one, as it calls itself.
        owner: String,
        /// Seconds after which a silent owner counts as gone.
        after_s: u64,
    },
    /// Some other program uses the same Stasis application.
    #[error(
        "another program took over the Stasis application {app:?}; give that program, or this node, an application name of its own"
    )]
    ApplicationTaken {
        /// The application.
        app: String,
    },
    /// This node is not in the map.
    #[error(
        "node {node} is not in the map, so it can have no session; add it (fed-node join), or wait until it has been added"
    )]
    UnknownNode {
        /// The node.
        node: NodeId,
    },
    /// The map takes no changes now.
    #[error("{0}")]
    Map(String),
    /// Asterisk does not answer in time.
    #[error("Asterisk has not answered a sign of life for {seconds} s; look at its load and its log")]
    Unresponsive {
        /// For how long.
        seconds: u64,
    },
}

impl BridgeFault {
    /// Kind and id of the one object that the fault is about.
    pub(super) fn object(&self) -> Option<(&str, &str)> {
        match self {
            Self::NameTaken { object, id } | Self::Object { object, id, .. } => Some((object, id)),
            _ => None,
        }
    }

    /// The fault that an ARI error which stands in the way of everything shows.
    pub(super) fn of_error(error: &AriError) -> Self {
        match error {
            AriError::Unauthorized { .. } => Self::Refused(error.to_string()),
            _ => Self::NoAri(error.to_string()),
        }
    }

    /// The fault that a refused write of an object shows.
    pub(super) fn of_write(key: &Key, error: &AriError) -> Self {
        let (object, id) = (key.0.as_str(), key.1.clone());
        match error {
            AriError::Refused { status: 403, body, .. } if body.contains("Cannot create") => {
                Self::MissingMapping { object }
            }
            AriError::Refused { status: 403, .. } => Self::NameTaken { object, id },
            _ => Self::Object {
                object,
                id,
                why: error.to_string(),
            },
        }
    }
}

impl BridgeStatus {
    /// Adds a fault that is not known yet.
    pub(super) fn add_fault(&mut self, fault: BridgeFault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }
}

impl Default for BridgeStatus {
    fn default() -> Self {
        Self {
            phase: Phase::Down,
            version: None,
            session: None,
            desired: 0,
            verified: 0,
            postponed: Vec::new(),
            faults: Vec::new(),
            counts: BridgeCounts::default(),
        }
    }
}
