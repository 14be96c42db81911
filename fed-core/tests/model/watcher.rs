//! Somebody who knows the map by its events alone.

use std::collections::{BTreeMap, BTreeSet};

use fed_core::event::Change;
use fed_core::ids::{ContactUri, DeviceId, NodeId, SessionId, TokenId, UserId};
use fed_core::records::Binding;

use crate::plain::Plain;

#[derive(Default)]
pub(crate) struct Watcher {
    users: BTreeSet<UserId>,
    devices: BTreeSet<DeviceId>,
    bindings: BTreeMap<(DeviceId, ContactUri), Binding>,
    nodes: BTreeSet<NodeId>,
    sessions: BTreeMap<SessionId, NodeId>,
    settings: BTreeSet<String>,
    tokens: BTreeSet<TokenId>,
}

impl Watcher {
    pub(crate) fn see(&mut self, events: &[Change]) {
        for event in events {
            match event.clone() {
                Change::UserPut { id } => _ = self.users.insert(id),
                Change::UserDeleted { id } => assert!(self.users.remove(&id)),
                Change::DevicePut { id } => _ = self.devices.insert(id),
                Change::DeviceDeleted { id } => assert!(self.devices.remove(&id)),
                Change::Bound { binding } => {
                    let key = (binding.device.clone(), binding.contact.clone());
                    self.bindings.insert(key, binding);
                }
                Change::Unbound { binding, .. } => {
                    let key = (binding.device.clone(), binding.contact.clone());
                    assert_eq!(self.bindings.remove(&key), Some(binding));
                }
                Change::NodePut { id } => _ = self.nodes.insert(id),
                Change::NodeDeleted { id } => assert!(self.nodes.remove(&id)),
                Change::SessionOpened { session, node } => _ = self.sessions.insert(session, node),
                Change::SessionEnded { session, node } => {
                    assert_eq!(self.sessions.remove(&session), Some(node));
                }
                Change::SettingPut { key } => _ = self.settings.insert(key),
                Change::SettingDeleted { key } => assert!(self.settings.remove(&key)),
                Change::TokenPut { id } => _ = self.tokens.insert(id),
                Change::TokenDeleted { id } => assert!(self.tokens.remove(&id)),
            }
        }
    }

    pub(crate) fn assert_knows(&self, map: &Plain) {
        assert_eq!(self.users, map.users.iter().map(|user| user.value.id.clone()).collect());
        assert_eq!(self.devices, map.devices.iter().map(|d| d.value.id.clone()).collect());
        let bindings = map.bindings.iter().map(|binding| {
            let key = (binding.value.device.clone(), binding.value.contact.clone());
            (key, binding.value.clone())
        });
        assert_eq!(self.bindings, bindings.collect());
        assert_eq!(self.nodes, map.nodes.iter().map(|node| node.value.id).collect());
        assert_eq!(self.sessions, map.sessions.iter().copied().collect());
        assert_eq!(self.settings, map.settings.iter().map(|(key, _)| key.clone()).collect());
        assert_eq!(self.tokens, map.tokens.iter().map(|t| t.value.id.clone()).collect());
    }
}
