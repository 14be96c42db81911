//! How the map changes: commands, the replies to them, and why one is refused.
//!
//! These types travel in the Raft log and in the store of replies: variants are only ever added at the end.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::audit::Origin;
use crate::ids::{ContactUri, DeviceId, NodeId, Revision, SessionId, TokenId, UserId};
use crate::records::{Binding, Device, Node, SettingValue, Token, User};

/// A change to the map.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Creates a user or replaces it whole.
    PutUser {
        /// The user as it shall be.
        user: User,
        /// What must be there before.
        expect: Expect,
    },
    /// Deletes a user with its devices and their bindings.
    DeleteUser {
        /// The user.
        id: UserId,
        /// What must be there before.
        expect: Expect,
    },
    /// Creates a device or replaces it whole. Its user must exist.
    PutDevice {
        /// The device as it shall be.
        device: Device,
        /// What must be there before.
        expect: Expect,
    },
    /// Deletes a device and its bindings.
    DeleteDevice {
        /// The device.
        id: DeviceId,
        /// What must be there before.
        expect: Expect,
    },
    /// A device is registered at a node.
    ///
    /// `session` must be open and the node's own. The same device, contact and node again is a refresh, and no
    /// change at all when nothing in it differs. One contact of a device has one place: bound at another node, it
    /// moves. Beyond the device's limit, its dead bindings go first, then the live ones that changed longest ago.
    Bind {
        /// The device.
        device: DeviceId,
        /// Where it said it can be reached.
        contact: ContactUri,
        /// The node at which it registered.
        node: NodeId,
        /// That node's open session.
        session: SessionId,
        /// `Some`: the registration was seen happening, by a node that had applied this revision; it
        /// supersedes others, the last in the log wins. `None`: it was found without having been seen; it gives way to
        /// a live binding at another node ([`Reply::BindingRefused`]).
        basis: Option<Revision>,
        /// What the device calls itself.
        user_agent: Option<String>,
        /// The path over which it registered.
        path: Option<String>,
    },
    /// A registration has ended. No change when that node has no such binding.
    Unbind {
        /// The device.
        device: DeviceId,
        /// The contact.
        contact: ContactUri,
        /// The node: a binding at another one is not touched.
        node: NodeId,
    },
    /// Creates a node or replaces it whole. Its session goes on.
    PutNode {
        /// The node as it shall be.
        node: Node,
        /// What must be there before.
        expect: Expect,
    },
    /// Deletes a node, its session and the bindings at it.
    DeleteNode {
        /// The node.
        id: NodeId,
    },
    /// Opens a session of a node, ending the one before. The session's id is the command's revision.
    OpenSession {
        /// The node.
        node: NodeId,
    },
    /// Ends a session: the bindings made in it stay, but count no more. No change when it has ended already.
    EndSession {
        /// The session.
        session: SessionId,
    },
    /// Sets a setting.
    PutSetting {
        /// Its key, 1 to 64 of `a-z 0-9 . _ -`; the known ones are in [`crate::records::setting`].
        key: String,
        /// Its value, up to 4096 printable characters.
        value: SettingValue,
        /// What must be there before.
        expect: Expect,
    },
    /// Deletes a setting.
    DeleteSetting {
        /// Its key.
        key: String,
        /// What must be there before.
        expect: Expect,
    },
    /// All of these at one revision, in order, each seeing those before it; or none of them.
    Batch(Vec<Command>),
    /// Creates a token or replaces it whole. From feature level 2 on, as the other commands about tokens.
    PutToken {
        /// The token as it shall be.
        token: Token,
        /// What must be there before.
        expect: Expect,
    },
    /// Takes a token away.
    RevokeToken {
        /// The token.
        id: TokenId,
    },
    /// Takes a one-use token away because it is used, if it is still as `expect` left it: so it works once.
    UseToken {
        /// The token.
        id: TokenId,
        /// The revision that last changed it, as its user saw it.
        expect: Revision,
    },
    /// A change in somebody's name: what it does is written into the audit log with it. From feature level 2 on.
    By {
        /// Who asked for it, and where.
        origin: Origin,
        /// The change; neither [`Command::By`] itself, nor in a batch.
        command: Box<Command>,
    },
    /// Something that is no change of the map and belongs into the audit log: only inside [`Command::By`]. From feature level 3 on.
    Note {
        /// What, in 1 to 200 printable characters.
        text: String,
    },
}

/// What must be in the map for a change to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Expect {
    /// Anything.
    #[default]
    Any,
    /// Nothing: the object is to be made.
    Absent,
    /// The object as this revision left it.
    Revision(Revision),
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    /// Done, or there was nothing to do. The revision of the map that holds it.
    Done {
        /// The revision.
        revision: Revision,
    },
    /// The session is open.
    SessionOpened {
        /// Its id.
        session: SessionId,
    },
    /// The binding stands.
    Bound {
        /// The revision that last changed it.
        revision: Revision,
        /// The live bindings that it took the place of: their contacts are stale now.
        superseded: Vec<Binding>,
    },
    /// The binding was not made, because the device is bound live elsewhere: the contact that was found is stale.
    BindingRefused {
        /// The binding that stands.
        by: Binding,
    },
    /// All commands of a batch were done; their replies in order.
    Batch(Vec<Reply>),
    /// Nothing was done.
    Refused(Refusal),
}

/// Something a refusal speaks of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Object {
    /// A user.
    User(UserId),
    /// A device.
    Device(DeviceId),
    /// A node.
    Node(NodeId),
    /// A session.
    Session(SessionId),
    /// A setting.
    Setting(String),
    /// A batch of commands.
    Batch,
    /// A token.
    Token(TokenId),
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(id) => write!(f, "user {id}"),
            Self::Device(id) => write!(f, "device {id}"),
            Self::Node(id) => write!(f, "node {id}"),
            Self::Session(id) => write!(f, "session {id}"),
            Self::Setting(key) => write!(f, "setting {}", key.escape_default()),
            Self::Batch => f.write_str("batch"),
            Self::Token(id) => write!(f, "token {id}"),
        }
    }
}

/// Why a command was refused: which object, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Refusal {
    /// The object is not as expected.
    #[error("{}", conflict(object, *expected, *actual))]
    Conflict {
        /// The object.
        object: Object,
        /// What was expected.
        expected: Expect,
        /// The revision it is at; `None`: it does not exist.
        actual: Option<Revision>,
    },
    /// There is no such object.
    #[error("{object} does not exist: check the spelling, or create it first")]
    NotFound {
        /// The object.
        object: Object,
    },
    /// A number, alias, user id or device id would lead to two users.
    #[error("{number} already leads to user {user}: choose another, or take it from {user} first")]
    NumberTaken {
        /// The number or id.
        number: String,
        /// Whose it is.
        user: UserId,
    },
    /// A device for a user that does not exist.
    #[error("device {device} cannot be made: there is no user {user}; create the user first")]
    UserMissing {
        /// The device.
        device: DeviceId,
        /// The user.
        user: UserId,
    },
    /// The session is not open, or not this node's.
    #[error("session {session} of node {node} is not open: the node must open a new session and bind again")]
    SessionEnded {
        /// The session.
        session: SessionId,
        /// The node that named it.
        node: NodeId,
    },
    /// A field holds something it may not.
    #[error("{field} of {object} is not valid: {why}")]
    Invalid {
        /// The object.
        object: Object,
        /// The field.
        field: String,
        /// What would be right.
        why: String,
    },
    /// A name that must be one of a kind belongs to another object.
    #[error("the name {name} is in use by {by}: choose another")]
    InUse {
        /// The name.
        name: String,
        /// What has it.
        by: Object,
    },
    /// In a batch: the device is bound live elsewhere (alone, this is [`Reply::BindingRefused`]).
    #[error("device {device} is registered at node {node} since: drop the stale contact")]
    BoundElsewhere {
        /// The device.
        device: DeviceId,
        /// Where it is.
        node: NodeId,
    },
    /// One command of a batch was refused, so none was done.
    #[error("nothing of the batch was done: command {}: {why}", index + 1)]
    InBatch {
        /// Which one, from 0.
        index: u32,
        /// Why.
        why: Box<Refusal>,
    },
    /// The request is older than what is remembered of its client.
    #[error("this request is too old to tell whether it was done before: read the map, then ask anew")]
    Forgotten,
    /// Another realm would make every stored digest worthless.
    #[error(
        "the realm stays {realm}: the passwords of all devices ({devices}) are bound to it. Keep it, or remove all devices, change it, and add them again with their passwords"
    )]
    RealmBound {
        /// The realm in force.
        realm: String,
        /// How many devices there are.
        devices: u64,
    },
}

fn conflict(object: &Object, expected: Expect, actual: Option<Revision>) -> String {
    match (expected, actual) {
        (Expect::Revision(expected), Some(actual)) => format!(
            "{object} has changed: expected revision {expected}, it is at {actual}; read it again and repeat the change"
        ),
        (Expect::Revision(expected), None) => {
            format!("{object} does not exist any more: expected revision {expected}; create it, or give the change up")
        }
        (_, Some(actual)) => {
            format!("{object} exists already, at revision {actual}: choose another id, or change the one there is")
        }
        (_, None) => format!("{object} does not exist: check the spelling, or create it first"),
    }
}
