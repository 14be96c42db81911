//! What the map holds: users, devices, bindings, nodes, sessions.
//!
//! These are the types of the program; how they are stored is frozen apart from them, in `stored`. What may
//! stand in a field is checked in `records::check`, when a command is applied.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{ContactUri, DeviceId, NodeId, Number, Revision, SessionId, UserId};
use crate::sealing::{Place, SealKey, is_sealed};

mod check;
mod token;

pub(crate) use check::{check_note, check_setting, check_setting_key};
pub use token::{Role, SecretHash, Token};

/// Something in the map, with the revisions that made and last changed it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record<T> {
    /// The revision that made it.
    pub created: Revision,
    /// The revision that last changed it: the operand of a compare-and-set.
    pub modified: Revision,
    /// The thing itself.
    pub value: T,
}

/// Somebody who can be called.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Its id; dialled, it reaches the user like a number.
    pub id: UserId,
    /// The name shown to people; up to 80 characters, may be empty.
    pub display_name: String,
    /// Numbers and aliases, at most 100, each leading to this user alone.
    pub numbers: Vec<Number>,
    /// The service class, for rules about what may be dialled; up to 40 characters.
    pub service_class: Option<String>,
    /// How several devices ring.
    pub ring: RingStrategy,
    /// Seconds until a ringing device counts as not answering, 1 to 300.
    pub ring_timeout_s: u16,
    /// Where calls go instead.
    pub forwards: Forwards,
    /// Refuse calls as busy.
    pub do_not_disturb: bool,
    /// The voice mailbox, `box@context`; up to 80 characters.
    pub mailbox: Option<String>,
    /// Nodes whose devices ring first in a sequential ring, at most 16.
    pub preferred_nodes: Vec<NodeId>,
}

impl User {
    /// A user with the defaults: no numbers, all devices ring at once for 30 seconds, no forwards.
    #[must_use]
    pub fn new(id: UserId) -> Self {
        Self {
            id,
            display_name: String::new(),
            numbers: Vec::new(),
            service_class: None,
            ring: RingStrategy::All,
            ring_timeout_s: 30,
            forwards: Forwards::default(),
            do_not_disturb: false,
            mailbox: None,
            preferred_nodes: Vec::new(),
        }
    }
}

/// How the devices of a user ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RingStrategy {
    /// All at once; the first to answer wins.
    #[default]
    All,
    /// One after another: on preferred nodes first, then by device id.
    Sequential,
}

/// Where calls to a user go instead.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Forwards {
    /// Every call.
    pub always: Option<Number>,
    /// When the user is busy or does not want to be disturbed.
    pub busy: Option<Number>,
    /// When nobody answers in time.
    pub no_answer: Option<Number>,
    /// When no device of the user is registered at a live node.
    pub offline: Option<Number>,
}

/// A telephone, in hardware or software.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Its id, the SIP authentication user and the name of its objects in Asterisk.
    pub id: DeviceId,
    /// Whose it is.
    pub user: UserId,
    /// What it speaks.
    pub technology: Technology,
    /// What proves that it is this device.
    pub credentials: DigestCredentials,
    /// Codecs in order of preference, in Asterisk's names, at most 16; empty = the server's choice.
    pub codecs: Vec<String>,
    /// How it connects.
    pub transport: TransportProfile,
    /// How many contacts may be bound at a time, 1 to 10.
    pub max_contacts: u8,
}

impl Device {
    /// A PJSIP device with the defaults: any transport, the server's codecs, one contact.
    #[must_use]
    pub fn new(id: DeviceId, user: UserId, credentials: DigestCredentials) -> Self {
        Self {
            id,
            user,
            technology: Technology::default(),
            credentials,
            codecs: Vec::new(),
            transport: TransportProfile::default(),
            max_contacts: 1,
        }
    }
}

/// The channel technology of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Technology {
    /// chan_pjsip.
    #[default]
    Pjsip,
    /// chan_sip, where it still exists.
    Sip,
    /// chan_iax2.
    Iax2,
}

/// How a device connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum TransportProfile {
    /// As it likes.
    #[default]
    Any,
    /// UDP only.
    Udp,
    /// TCP only.
    Tcp,
    /// TLS with SRTP.
    Tls,
    /// Secure WebSocket with DTLS-SRTP.
    WebRtc,
}

/// A SIP digest: `MD5(user:realm:password)`. As good as the password for SIP, so it is never printed.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DigestCredentials {
    /// The realm it was made for; one for the whole federation.
    pub realm: String,
    /// 32 lower-case hexadecimal digits, or what [`crate::sealing`] made of them. [`crate::map::MapView::ha1`] opens it.
    pub md5_ha1: String,
}

impl DigestCredentials {
    /// Whether the digest is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        is_sealed(&self.md5_ha1)
    }

    /// The same credentials with a plain digest sealed for its device; `nonce` is random, and used for nothing else.
    #[must_use]
    pub fn sealed(&self, key: &SealKey, device: &DeviceId, nonce: [u8; 24]) -> Self {
        Self {
            realm: self.realm.clone(),
            md5_ha1: key.seal(Place::Digest(device), self.md5_ha1.as_bytes(), nonce),
        }
    }
}

impl fmt::Debug for DigestCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DigestCredentials")
            .field("realm", &self.realm)
            .field("md5_ha1", &"***")
            .finish()
    }
}

/// A device is registered at a node. It counts only while its session is open.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// The device.
    pub device: DeviceId,
    /// Where the device said it can be reached.
    pub contact: ContactUri,
    /// The node at whose Asterisk it registered.
    pub node: NodeId,
    /// The session of that node in which it was seen.
    pub session: SessionId,
    /// What the device calls itself; cut at 255 characters, control characters removed.
    pub user_agent: Option<String>,
    /// The path over which it registered (RFC 3327); cut at 255 characters, control characters removed.
    pub path: Option<String>,
}

/// A server of the federation: an Asterisk with its fed-node. It is *down* when it has no open session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its id, given by the cluster.
    pub id: NodeId,
    /// Its name, one of a kind; 1 to 63 of `A-Z a-z 0-9 . _ -`.
    pub name: String,
    /// Where other fed-nodes reach it, `host:port`.
    pub peer_address: String,
    /// Where clients reach it, `host:port`.
    pub client_address: String,
    /// Where its Asterisk takes SIP from other nodes, `host:port`.
    pub sip_address: String,
    /// The version of its Asterisk, as that tells it.
    pub asterisk_version: Option<String>,
    /// What its Asterisk can do, as names; at most 64 of up to 64 characters.
    pub capabilities: Vec<String>,
    /// Whether it takes new work.
    pub state: NodeState,
    /// Its share when load is spread.
    pub weight: u16,
    /// Where it stands; up to 40 characters.
    pub zone: Option<String>,
}

/// Whether a node takes new work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum NodeState {
    /// In service.
    #[default]
    Up,
    /// Being emptied: what is registered there is still reached.
    Draining,
}

/// An open session: the node is alive and so is its Asterisk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The revision that opened it.
    pub id: SessionId,
    /// Whose it is.
    pub node: NodeId,
}

/// The keys of settings that the federation itself reads.
pub mod setting {
    /// The SIP realm of all digests; see [`DEFAULT_REALM`].
    pub const REALM: &str = "realm";
    /// The dialplan context from which devices call; see [`DEFAULT_DIALPLAN_CONTEXT`].
    pub const DIALPLAN_CONTEXT: &str = "dialplan_context";
    /// Addresses of other SIP software that may bring capabilities, separated by commas.
    pub const SIP_PEERS: &str = "sip_peers";
    /// How a dialplan finds somebody who is registered elsewhere: [`LOCATE_BY_REDIRECT`] or [`LOCATE_BY_ASKING`].
    pub const LOCATE: &str = "locate";
    /// The key of the capabilities, 64 hexadecimal digits.
    pub const CAPABILITY_KEY: &str = "capability_key";
    /// How many nodes a call may cross, 1 to 70; see [`DEFAULT_HOP_LIMIT`].
    pub const HOP_LIMIT: &str = "hop_limit";
    /// Which key seals the secrets of the map: its id, not the key.
    pub const SEAL_KEY: &str = "seal_key";

    /// Also by a plain `Dial(PJSIP/alice)`, which the redirect server sends on; the default.
    pub const LOCATE_BY_REDIRECT: &str = "redirect";
    /// By the federation's context alone, which asks fed-node; Asterisk then follows no redirect to a SIP address.
    pub const LOCATE_BY_ASKING: &str = "ask";
    /// The realm where none is set.
    pub const DEFAULT_REALM: &str = "federated";
    /// The context where none is set.
    pub const DEFAULT_DIALPLAN_CONTEXT: &str = "fed-users";
    /// The hop limit where none is set.
    pub const DEFAULT_HOP_LIMIT: u8 = 4;
}

/// The value of a setting. Some are secret, so none is printed by `Debug`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SettingValue(String);

impl SettingValue {
    /// The text of the value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        is_sealed(&self.0)
    }
}

impl<T: Into<String>> From<T> for SettingValue {
    fn from(text: T) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for SettingValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
