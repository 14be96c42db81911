//! Reading the map.

use super::keys::{self, Counted};
use super::rows;
use crate::audit::{Entry, Head};
use crate::ids::{DeviceId, NodeId, Number, SessionId, TokenId, UserId};
use crate::kv::{ReadStore, StoreError};
use crate::records::{Binding, Device, Node, Record, Session, SettingValue, Token, User, setting};
use crate::sealing::{Place, SealError, SealKey, open};
use crate::stored::{Bindings, Count};

/// The map in a store, as typed reads. Every error is a failure of the store: what is not there is `None`.
#[derive(Clone, Copy)]
pub struct MapView<'a> {
    store: &'a dyn ReadStore,
    key: Option<&'a SealKey>,
}

/// How many of each there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Users.
    pub users: u64,
    /// Devices.
    pub devices: u64,
    /// Bindings, those of ended sessions included.
    pub bindings: u64,
    /// Nodes.
    pub nodes: u64,
    /// Open sessions, which is nodes up.
    pub sessions: u64,
    /// Numbers and aliases.
    pub numbers: u64,
    /// Tokens, those that have expired included.
    pub tokens: u64,
}

/// Reads of users, devices and numbers.
impl<'a> MapView<'a> {
    /// Reads the map in `store`.
    #[must_use]
    pub fn new(store: &'a dyn ReadStore) -> Self {
        Self { store, key: None }
    }

    /// The same, able to open what this key sealed.
    #[must_use]
    pub fn with_key(self, key: Option<&'a SealKey>) -> Self {
        Self { key, ..self }
    }

    /// A user.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails; so for every read below.
    pub fn user(&self, id: &UserId) -> Result<Option<Record<User>>, StoreError> {
        rows::read(self.store, keys::USERS, id.as_str().as_bytes())
    }

    /// The users after `after` in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn users(&self, after: Option<&UserId>, limit: usize) -> Result<Vec<Record<User>>, StoreError> {
        rows::page(self.store, keys::USERS, after.map(|id| id.as_str().as_bytes()), limit)
    }

    /// The user that a number or alias leads to.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn number(&self, number: &Number) -> Result<Option<UserId>, StoreError> {
        rows::read(self.store, keys::NUMBERS, number.as_str().as_bytes())
    }

    /// A device.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn device(&self, id: &DeviceId) -> Result<Option<Record<Device>>, StoreError> {
        rows::read(self.store, keys::DEVICES, id.as_str().as_bytes())
    }

    /// The devices after `after` in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn devices(&self, after: Option<&DeviceId>, limit: usize) -> Result<Vec<Record<Device>>, StoreError> {
        rows::page(self.store, keys::DEVICES, after.map(|id| id.as_str().as_bytes()), limit)
    }

    /// The HA1 digest of a device, opened: 32 lower-case hexadecimal digits.
    ///
    /// # Errors
    /// [`StoreError::Sealed`] where it does not open with the key of this view.
    pub fn ha1(&self, device: &Device) -> Result<String, StoreError> {
        let what = || format!("device {}", device.id);
        self.opened(Place::Digest(&device.id), &device.credentials.md5_ha1, what)
    }

    fn opened(&self, place: Place<'_>, text: &str, what: impl Fn() -> String) -> Result<String, StoreError> {
        let failed = |why| StoreError::Sealed { what: what(), why };
        let bytes = open(self.key, place, text).map_err(failed)?;
        String::from_utf8(bytes).map_err(|_| failed(SealError::Damaged))
    }

    /// The ids of a user's devices, in order.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn device_ids_of(&self, user: &UserId) -> Result<Vec<DeviceId>, StoreError> {
        rows::listed(self.store, keys::DEVICES_OF_USER, &keys::of_user(user))
    }

    /// A user's devices, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn devices_of(&self, user: &UserId) -> Result<Vec<Record<Device>>, StoreError> {
        let device = |id: DeviceId| {
            let key = keys::device_of_user(user, &id);
            self.device(&id)?
                .ok_or_else(|| rows::inconsistent(keys::DEVICES_OF_USER, &key))
        };
        self.device_ids_of(user)?.into_iter().map(device).collect()
    }
}

/// Reads of bindings.
impl MapView<'_> {
    /// The bindings of a device, live or not, in the order of their contacts. One read.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn bindings_of(&self, device: &DeviceId) -> Result<Vec<Record<Binding>>, StoreError> {
        let row: Option<Bindings> = rows::read(self.store, keys::BINDINGS, device.as_str().as_bytes())?;
        Ok(row.unwrap_or_default())
    }

    /// The bindings of a device whose session is open.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn live_bindings_of(&self, device: &DeviceId) -> Result<Vec<Record<Binding>>, StoreError> {
        let mut live = Vec::new();
        for binding in self.bindings_of(device)? {
            if self.session(binding.value.session)?.is_some() {
                live.push(binding);
            }
        }
        Ok(live)
    }

    /// The bindings at a node, live or not, by device and contact.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn bindings_at(&self, node: NodeId) -> Result<Vec<Record<Binding>>, StoreError> {
        let mut bindings = Vec::new();
        for device in self.devices_bound_at(node)? {
            let all = self.bindings_of(&device)?;
            let before = bindings.len();
            bindings.extend(all.into_iter().filter(|binding| binding.value.node == node));
            if bindings.len() == before {
                let key = keys::binding_at_node(node, &device);
                return Err(rows::inconsistent(keys::BINDINGS_AT_NODE, &key));
            }
        }
        Ok(bindings)
    }

    /// The devices with a binding at a node, in order.
    pub(super) fn devices_bound_at(&self, node: NodeId) -> Result<Vec<DeviceId>, StoreError> {
        rows::listed(self.store, keys::BINDINGS_AT_NODE, &keys::node(node))
    }
}

/// Reads of nodes and sessions.
impl MapView<'_> {
    /// A node.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn node(&self, id: NodeId) -> Result<Option<Record<Node>>, StoreError> {
        rows::read(self.store, keys::NODES, &keys::node(id))
    }

    /// All nodes, in the order of their ids.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn nodes(&self) -> Result<Vec<Record<Node>>, StoreError> {
        rows::page(self.store, keys::NODES, None, usize::MAX)
    }

    /// The node of that name.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn node_by_name(&self, name: &str) -> Result<Option<Record<Node>>, StoreError> {
        let id: Option<NodeId> = rows::read(self.store, keys::NODE_NAMES, name.as_bytes())?;
        id.map_or(Ok(None), |id| self.node(id))
    }

    /// The open session of a node; `None`: the node is down.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn session_of(&self, node: NodeId) -> Result<Option<SessionId>, StoreError> {
        rows::read(self.store, keys::SESSION_OF_NODE, &keys::node(node))
    }

    /// A session, if it is open.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn session(&self, id: SessionId) -> Result<Option<Session>, StoreError> {
        rows::read(self.store, keys::SESSIONS, &keys::session(id))
    }

    /// All open sessions, oldest first.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn sessions(&self) -> Result<Vec<Session>, StoreError> {
        rows::page(self.store, keys::SESSIONS, None, usize::MAX)
    }
}

/// Reads of tokens.
impl MapView<'_> {
    /// A token.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn token(&self, id: &TokenId) -> Result<Option<Record<Token>>, StoreError> {
        rows::read(self.store, keys::TOKENS, id.as_str().as_bytes())
    }

    /// The tokens after `after` in the order of their ids, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn tokens(&self, after: Option<&TokenId>, limit: usize) -> Result<Vec<Record<Token>>, StoreError> {
        rows::page(self.store, keys::TOKENS, after.map(|id| id.as_str().as_bytes()), limit)
    }
}

/// Reads of the audit log.
impl MapView<'_> {
    /// The entries of the audit log after the sequence `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn audit(&self, after: u64, limit: usize) -> Result<Vec<Entry>, StoreError> {
        rows::page(self.store, keys::AUDIT, Some(&after.to_be_bytes()), limit)
    }

    /// Where the audit log begins and ends.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn audit_head(&self) -> Result<Head, StoreError> {
        let head = rows::read(self.store, keys::AUDIT_HEAD, &[])?;
        Ok(head.unwrap_or_default())
    }
}

/// Reads of settings and counts.
impl MapView<'_> {
    /// A setting.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn setting(&self, key: &str) -> Result<Option<Record<SettingValue>>, StoreError> {
        rows::read(self.store, keys::SETTINGS, key.as_bytes())
    }

    /// The keys of all settings, in order.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn setting_keys(&self) -> Result<Vec<String>, StoreError> {
        let mut found = Vec::new();
        crate::kv::scan_prefix(self.store, keys::SETTINGS, &[], &mut |key, _| {
            found.push(String::from_utf8_lossy(key).into_owned());
            std::ops::ControlFlow::Continue(())
        })?;
        Ok(found)
    }

    /// The realm of all digests.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn realm(&self) -> Result<String, StoreError> {
        self.setting_or(setting::REALM, setting::DEFAULT_REALM)
    }

    /// The dialplan context from which devices call.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn dialplan_context(&self) -> Result<String, StoreError> {
        self.setting_or(setting::DIALPLAN_CONTEXT, setting::DEFAULT_DIALPLAN_CONTEXT)
    }

    /// Whether a plain `Dial(PJSIP/alice)` finds her elsewhere; else the federation's context alone does.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn locates_by_redirect(&self) -> Result<bool, StoreError> {
        let how = self.setting_or(setting::LOCATE, setting::LOCATE_BY_REDIRECT)?;
        Ok(how != setting::LOCATE_BY_ASKING)
    }

    /// How many nodes a call may cross.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn hop_limit(&self) -> Result<u8, StoreError> {
        let limit = self.setting(setting::HOP_LIMIT)?;
        let limit = limit.and_then(|limit| limit.value.as_str().parse().ok());
        Ok(limit.unwrap_or(setting::DEFAULT_HOP_LIMIT))
    }

    /// The id of the key that seals the secrets of the map; `None`: none are sealed yet.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn seal_key(&self) -> Result<Option<String>, StoreError> {
        let stored = self.setting(setting::SEAL_KEY)?;
        Ok(stored.map(|record| record.value.as_str().to_owned()))
    }

    /// The key of the capabilities; `None` before the federation was initialised.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails, or the key is sealed and this view cannot open it.
    pub fn capability_key(&self) -> Result<Option<[u8; 32]>, StoreError> {
        let Some(stored) = self.setting(setting::CAPABILITY_KEY)? else {
            return Ok(None);
        };
        let place = Place::Setting(setting::CAPABILITY_KEY);
        let text = self.opened(place, stored.value.as_str(), || {
            format!("setting {}", setting::CAPABILITY_KEY)
        })?;
        let key = data_encoding::HEXLOWER
            .decode(text.as_bytes())
            .ok()
            .and_then(|key| key.try_into().ok());
        Ok(key)
    }

    /// The addresses of other SIP software that may bring capabilities.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn sip_peers(&self) -> Result<Vec<String>, StoreError> {
        let peers = self.setting_or(setting::SIP_PEERS, "")?;
        let peers = peers.split(',').map(str::trim).filter(|peer| !peer.is_empty());
        Ok(peers.map(str::to_owned).collect())
    }

    /// How many of each there are. A few reads, however many there are.
    ///
    /// # Errors
    /// [`StoreError`] when the store fails.
    pub fn counts(&self) -> Result<Counts, StoreError> {
        Ok(Counts {
            users: self.count(Counted::Users)?,
            devices: self.count(Counted::Devices)?,
            bindings: self.count(Counted::Bindings)?,
            nodes: self.count(Counted::Nodes)?,
            sessions: self.count(Counted::Sessions)?,
            numbers: self.count(Counted::Numbers)?,
            tokens: self.count(Counted::Tokens)?,
        })
    }

    pub(super) fn count(&self, what: Counted) -> Result<u64, StoreError> {
        let count: Option<Count> = rows::read(self.store, keys::COUNTS, &what.key())?;
        Ok(count.map_or(0, |count| count.0))
    }

    fn setting_or(&self, key: &str, default: &str) -> Result<String, StoreError> {
        let stored = self.setting(key)?;
        Ok(stored.map_or_else(|| default.to_owned(), |record| record.value.as_str().to_owned()))
    }
}
