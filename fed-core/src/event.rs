//! What happened to the map, for watchers: one event for each object that changed.
//!
//! Events name objects; who needs more reads the map at the event's revision or later. Bindings are whole,
//! because the bridge must delete the very contact that was superseded.

use serde::{Deserialize, Serialize};

use crate::ids::{DeviceId, NodeId, SessionId, TokenId, UserId};
use crate::records::Binding;

/// One change that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A user was made or changed.
    UserPut {
        /// The user.
        id: UserId,
    },
    /// A user was deleted.
    UserDeleted {
        /// The user.
        id: UserId,
    },
    /// A device was made or changed.
    DevicePut {
        /// The device.
        id: DeviceId,
    },
    /// A device was deleted.
    DeviceDeleted {
        /// The device.
        id: DeviceId,
    },
    /// A binding was made, refreshed with new details, or taken into a new session.
    Bound {
        /// The binding as it is now.
        binding: Binding,
    },
    /// A binding is gone.
    Unbound {
        /// The binding as it was.
        binding: Binding,
        /// Why.
        why: UnboundWhy,
    },
    /// A node was made or changed.
    NodePut {
        /// The node.
        id: NodeId,
    },
    /// A node was deleted.
    NodeDeleted {
        /// The node.
        id: NodeId,
    },
    /// A node is alive: bindings made in this session count from now on.
    SessionOpened {
        /// The session.
        session: SessionId,
        /// The node.
        node: NodeId,
    },
    /// A node's session ended: its bindings count no more.
    SessionEnded {
        /// The session.
        session: SessionId,
        /// The node.
        node: NodeId,
    },
    /// A setting was made or changed.
    SettingPut {
        /// Its key.
        key: String,
    },
    /// A setting was deleted.
    SettingDeleted {
        /// Its key.
        key: String,
    },
    /// A token was made or changed.
    TokenPut {
        /// The token.
        id: TokenId,
    },
    /// A token was revoked, or used up.
    TokenDeleted {
        /// The token.
        id: TokenId,
    },
}

impl Change {
    /// What happened, as it is called on the wire and in the audit log.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::UserPut { .. } => "user_put",
            Self::UserDeleted { .. } => "user_deleted",
            Self::DevicePut { .. } => "device_put",
            Self::DeviceDeleted { .. } => "device_deleted",
            Self::Bound { .. } => "bound",
            Self::Unbound { .. } => "unbound",
            Self::NodePut { .. } => "node_put",
            Self::NodeDeleted { .. } => "node_deleted",
            Self::SessionOpened { .. } => "session_opened",
            Self::SessionEnded { .. } => "session_ended",
            Self::SettingPut { .. } => "setting_put",
            Self::SettingDeleted { .. } => "setting_deleted",
            Self::TokenPut { .. } => "token_put",
            Self::TokenDeleted { .. } => "token_deleted",
        }
    }

    /// The object it happened to.
    #[must_use]
    pub fn object(&self) -> String {
        match self {
            Self::UserPut { id } | Self::UserDeleted { id } => id.to_string(),
            Self::DevicePut { id } | Self::DeviceDeleted { id } => id.to_string(),
            Self::Bound { binding } | Self::Unbound { binding, .. } => binding.device.to_string(),
            Self::NodePut { id } | Self::NodeDeleted { id } => id.to_string(),
            Self::SessionOpened { node, .. } | Self::SessionEnded { node, .. } => node.to_string(),
            Self::SettingPut { key } | Self::SettingDeleted { key } => key.clone(),
            Self::TokenPut { id } | Self::TokenDeleted { id } => id.to_string(),
        }
    }
}

/// Why a binding is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnboundWhy {
    /// The device unregistered, or its registration expired.
    Unregistered,
    /// A newer binding of the device took its place while it was live.
    Superseded,
    /// Its device, or the device's user, was deleted.
    DeviceDeleted,
    /// Its node was deleted.
    NodeDeleted,
    /// Its session had ended, and a newer binding of the device needed its place.
    Dead,
}
