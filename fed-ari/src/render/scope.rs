//! Parts of the map that are rendered and reconciled on their own.

use fed_core::{
    event::Change,
    ids::{DeviceId, NodeId, UserId},
    records::setting,
};

use super::{Key, PEERS, redirect_aor, trunk};
use crate::client::ObjectType;

/// A part of the map that one change can make differ from Asterisk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scope {
    /// The whole map.
    All,
    /// A user, its devices and its numbers.
    User(UserId),
    /// One device.
    Device(DeviceId),
    /// The trunk to one node.
    Node(NodeId),
    /// Other SIP software.
    Peers,
}

impl Scope {
    /// Every object that this part may own, whether or not it does now. Empty for [`Scope::All`] and [`Scope::User`], whose objects the
    /// map itself lists.
    pub fn keys(&self) -> Vec<Key> {
        let keys = |id: &str, kinds: &[ObjectType]| kinds.iter().map(|kind| (*kind, id.to_owned())).collect::<Vec<_>>();
        match self {
            Self::All | Self::User(_) => Vec::new(),
            Self::Device(id) => {
                let mut all = keys(id.as_str(), &[ObjectType::Auth, ObjectType::Aor, ObjectType::Endpoint]);
                all.push((ObjectType::Aor, redirect_aor(id.as_str())));
                all
            }
            Self::Node(id) => keys(
                &trunk(*id),
                &[ObjectType::Aor, ObjectType::Endpoint, ObjectType::Identify],
            ),
            Self::Peers => keys(PEERS, &[ObjectType::Endpoint, ObjectType::Identify]),
        }
    }

    /// Which part a change concerns; `None` where nothing in Asterisk depends on it, as for a binding: nothing is pushed when a device moves.
    pub fn of_change(change: &Change) -> Option<Self> {
        match change {
            Change::UserPut { id } | Change::UserDeleted { id } => Some(Self::User(id.clone())),
            Change::DevicePut { id } | Change::DeviceDeleted { id } => Some(Self::Device(id.clone())),
            Change::NodePut { id } | Change::NodeDeleted { id } => Some(Self::Node(*id)),
            Change::SettingPut { key } | Change::SettingDeleted { key } => match key.as_str() {
                setting::DIALPLAN_CONTEXT | setting::LOCATE => Some(Self::All),
                setting::SIP_PEERS => Some(Self::Peers),
                _ => None,
            },
            _ => None,
        }
    }
}
