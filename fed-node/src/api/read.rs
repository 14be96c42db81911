//! Answers read from one snapshot of the map. Pure: a view in, wire messages out.

use fed_core::ids::{DeviceId, NodeId, Number, Revision, UserId};
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_core::records::{Binding, Device, NodeState, Record, User};
use fed_proto::client as pb;

use super::convert;
use super::settings;

type Read<T> = Result<T, StoreError>;

/// Most records in one page.
pub(super) const PAGE: usize = 1_000;

/// Reads one snapshot.
pub(super) struct Reader<'a> {
    pub(super) view: MapView<'a>,
    pub(super) freshness: pb::Freshness,
    pub(super) with_credentials: bool,
}

impl Reader<'_> {
    pub(super) fn user(&self, id: &UserId) -> Read<Option<pb::UserRecord>> {
        Ok(self.view.user(id)?.map(|record| self.user_record(record)))
    }

    pub(super) fn users(&self, after: Option<&UserId>, limit: usize) -> Read<pb::ListUsersReply> {
        let found = self.view.users(after, limit)?;
        let next = if found.len() == limit {
            found.last().map(|last| last.value.id.to_string())
        } else {
            None
        };
        let users = found.into_iter().map(|record| self.user_record(record)).collect();
        Ok(pb::ListUsersReply {
            users,
            next: next.unwrap_or_default(),
            freshness: Some(self.freshness),
        })
    }

    fn user_record(&self, record: Record<User>) -> pb::UserRecord {
        pb::UserRecord {
            stamp: Some(stamp(&record)),
            user: Some(convert::user_out(record.value)),
            freshness: Some(self.freshness),
        }
    }

    pub(super) fn device(&self, id: &DeviceId) -> Read<Option<pb::DeviceRecord>> {
        self.view
            .device(id)?
            .map(|record| self.device_record(record))
            .transpose()
    }

    pub(super) fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Read<pb::ListDevicesReply> {
        let found = self.view.devices(after, limit)?;
        let next = if found.len() == limit {
            found.last().map(|last| last.value.id.to_string())
        } else {
            None
        };
        self.device_list(found, next.unwrap_or_default())
    }

    pub(super) fn devices_of(&self, user: &UserId) -> Read<pb::ListDevicesReply> {
        self.device_list(self.view.devices_of(user)?, String::new())
    }

    fn device_list(&self, found: Vec<Record<Device>>, next: String) -> Read<pb::ListDevicesReply> {
        let devices = found
            .into_iter()
            .map(|record| self.device_record(record))
            .collect::<Read<_>>()?;
        Ok(pb::ListDevicesReply {
            devices,
            next,
            freshness: Some(self.freshness),
        })
    }

    fn device_record(&self, record: Record<Device>) -> Read<pb::DeviceRecord> {
        let bindings = self.view.bindings_of(&record.value.id)?;
        let bindings = bindings
            .iter()
            .map(|record| self.binding(&record.value, record.modified))
            .collect::<Read<_>>()?;
        let ha1 = if self.with_credentials {
            Some(self.view.ha1(&record.value)?)
        } else {
            None
        };
        Ok(pb::DeviceRecord {
            stamp: Some(stamp(&record)),
            device: Some(convert::device_out(record.value, ha1)),
            bindings,
            freshness: Some(self.freshness),
        })
    }

    pub(super) fn binding(&self, binding: &Binding, revision: Revision) -> Read<pb::Binding> {
        let node = self.view.node(binding.node)?;
        Ok(pb::Binding {
            device: binding.device.to_string(),
            contact: binding.contact.to_string(),
            node: binding.node.0,
            node_name: node.map(|node| node.value.name).unwrap_or_default(),
            session: binding.session.0,
            live: self.view.session(binding.session)?.is_some(),
            user_agent: binding.user_agent.clone().unwrap_or_default(),
            path: binding.path.clone().unwrap_or_default(),
            revision: revision.0,
        })
    }

    /// The user behind a user id, device id, number or alias, with its devices and where they are.
    pub(super) fn whereabouts(&self, asked: &str) -> Read<Option<pb::WhereReply>> {
        let Some(user) = self.user_behind(asked)? else {
            return Ok(None);
        };
        let devices = self.devices_of(&user)?.devices;
        Ok(Some(pb::WhereReply {
            user: user.to_string(),
            devices,
            freshness: Some(self.freshness),
        }))
    }

    fn user_behind(&self, asked: &str) -> Read<Option<UserId>> {
        if let Ok(id) = asked.parse::<UserId>()
            && self.view.user(&id)?.is_some()
        {
            return Ok(Some(id));
        }
        if let Ok(id) = asked.parse::<DeviceId>()
            && let Some(device) = self.view.device(&id)?
        {
            return Ok(Some(device.value.user));
        }
        asked
            .parse::<Number>()
            .map_or(Ok(None), |number| self.view.number(&number))
    }

    pub(super) fn nodes(&self) -> Read<pb::ListNodesReply> {
        let ids: Vec<NodeId> = self.view.nodes()?.into_iter().map(|record| record.value.id).collect();
        let nodes = ids
            .into_iter()
            .filter_map(|id| self.node(id).transpose())
            .collect::<Read<_>>()?;
        Ok(pb::ListNodesReply {
            nodes,
            freshness: Some(self.freshness),
        })
    }

    /// A node by its name or the number of its id.
    pub(super) fn node_named(&self, asked: &str) -> Read<Option<pb::NodeRecord>> {
        if let Some(record) = self.view.node_by_name(asked)? {
            return self.node(record.value.id);
        }
        asked.parse().map_or(Ok(None), |id| self.node(id))
    }

    fn node(&self, id: NodeId) -> Read<Option<pb::NodeRecord>> {
        let Some(record) = self.view.node(id)? else {
            return Ok(None);
        };
        let session = self.view.session_of(id)?;
        let stamp = stamp(&record);
        let node = record.value;
        let state = match (session, node.state) {
            // Without a quorum the sessions in the map are of the past.
            _ if self.freshness.stale => "unknown",
            (None, _) => "down",
            (Some(_), NodeState::Up) => "up",
            (Some(_), NodeState::Draining) => "draining",
        };
        let node = pb::Node {
            id: node.id.0,
            name: node.name,
            peer_address: node.peer_address,
            client_address: node.client_address,
            sip_address: node.sip_address,
            asterisk_version: node.asterisk_version.unwrap_or_default(),
            capabilities: node.capabilities,
            state: state.to_owned(),
            weight: node.weight.into(),
            zone: node.zone.unwrap_or_default(),
            session: session.map_or(0, |session| session.0),
            bindings: self.view.bindings_at(id)?.len() as u64,
        };
        Ok(Some(pb::NodeRecord {
            node: Some(node),
            stamp: Some(stamp),
            freshness: Some(self.freshness),
        }))
    }

    pub(super) fn settings(&self) -> Read<pb::ListSettingsReply> {
        let mut keys = self.view.setting_keys()?;
        keys.extend(settings::KNOWN.iter().map(|known| known.key.to_owned()));
        keys.sort();
        keys.dedup();
        let settings = keys
            .iter()
            .filter_map(|key| self.setting(key).transpose())
            .collect::<Read<_>>()?;
        Ok(pb::ListSettingsReply {
            settings,
            freshness: Some(self.freshness),
        })
    }

    pub(super) fn setting(&self, key: &str) -> Read<Option<pb::SettingRecord>> {
        let known = settings::known(key);
        let record = self.view.setting(key)?;
        if known.is_none() && record.is_none() {
            return Ok(None);
        }
        let default = known.map_or("", |known| known.default);
        let value = match &record {
            Some(_) if known.is_some_and(|known| known.secret) => "***",
            Some(record) => record.value.as_str(),
            None => default,
        };
        Ok(Some(pb::SettingRecord {
            key: key.to_owned(),
            value: value.to_owned(),
            set: record.is_some(),
            help: known.map_or("", |known| known.help).to_owned(),
            stamp: record.as_ref().map(stamp),
        }))
    }
}

pub(super) fn stamp<T>(record: &Record<T>) -> pb::Stamp {
    pb::Stamp {
        created: record.created.0,
        modified: record.modified.0,
    }
}
