//! The tables of the map and their keys. Frozen: keys are part of the stored format.
//!
//! | table | key | value |
//! | --- | --- | --- |
//! | 16 users | user | record |
//! | 17 devices | device | record |
//! | 18 bindings | device | the records of all its bindings, by contact |
//! | 19 nodes | node | record |
//! | 20 sessions | session | session; only open ones are there |
//! | 21 settings | key | record |
//! | 22 numbers | number or alias | user |
//! | 23 devices of a user | user, 0, device | - |
//! | 24 bindings at a node | node, device | - |
//! | 25 names of nodes | name | node |
//! | 26 session of a node | node | session |
//! | 27 counts | what is counted | how many |
//! | 28 tokens | token | record |
//! | 29 audit | sequence | entry |
//! | 30 head of the audit log | - | its first and next sequence, and hashes |
//!
//! Numbers are 8 bytes, big-endian. No id holds a 0 byte, so it ends a text inside a key.

use crate::ids::{DeviceId, NodeId, SessionId, UserId};
use crate::kv::Table;

pub(super) const USERS: Table = Table(16);
pub(super) const DEVICES: Table = Table(17);
pub(super) const BINDINGS: Table = Table(18);
pub(super) const NODES: Table = Table(19);
pub(super) const SESSIONS: Table = Table(20);
pub(super) const SETTINGS: Table = Table(21);
pub(super) const NUMBERS: Table = Table(22);
pub(super) const DEVICES_OF_USER: Table = Table(23);
pub(super) const BINDINGS_AT_NODE: Table = Table(24);
pub(super) const NODE_NAMES: Table = Table(25);
pub(super) const SESSION_OF_NODE: Table = Table(26);
pub(super) const COUNTS: Table = Table(27);
pub(super) const TOKENS: Table = Table(28);
pub(super) const AUDIT: Table = Table(29);
pub(super) const AUDIT_HEAD: Table = Table(30);

/// What is counted: its key in [`COUNTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Counted {
    Users = 1,
    Devices = 2,
    Bindings = 3,
    Nodes = 4,
    Sessions = 5,
    Numbers = 6,
    Tokens = 7,
}

impl Counted {
    pub(super) fn key(self) -> [u8; 1] {
        [self as u8]
    }
}

pub(super) fn text(id: &impl AsRef<str>) -> Vec<u8> {
    id.as_ref().as_bytes().to_vec()
}

pub(super) fn node(id: NodeId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

pub(super) fn session(id: SessionId) -> Vec<u8> {
    id.0.to_be_bytes().to_vec()
}

/// What all keys of a user's devices begin with.
pub(super) fn of_user(user: &UserId) -> Vec<u8> {
    let mut key = text(user);
    key.push(0);
    key
}

pub(super) fn device_of_user(user: &UserId, device: &DeviceId) -> Vec<u8> {
    let mut key = of_user(user);
    key.extend_from_slice(device.as_str().as_bytes());
    key
}

pub(super) fn binding_at_node(node: NodeId, device: &DeviceId) -> Vec<u8> {
    let mut key = self::node(node);
    key.extend_from_slice(device.as_str().as_bytes());
    key
}

/// The device that a key of an index ends with, after `prefix` bytes.
pub(super) fn device_after(prefix: usize, key: &[u8]) -> Option<DeviceId> {
    let text = std::str::from_utf8(key.get(prefix..)?).ok()?;
    Some(DeviceId::stored(text.to_owned()))
}
