//! What commands print: JSON with stable names, tables in the same order. No digest is in any of it.

use fed_proto::client as pb;
use serde::Serialize;

use super::output::{Show, fields, table};

/// A user.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct UserView {
    id: String,
    name: String,
    numbers: Vec<String>,
    ring: String,
    ring_timeout_s: u32,
    forward_always: Option<String>,
    forward_busy: Option<String>,
    forward_no_answer: Option<String>,
    forward_offline: Option<String>,
    do_not_disturb: bool,
    mailbox: Option<String>,
    service_class: Option<String>,
    preferred_nodes: Vec<u64>,
    revision: u64,
}

impl From<pb::UserRecord> for UserView {
    fn from(record: pb::UserRecord) -> Self {
        let user = record.user.unwrap_or_default();
        Self {
            id: user.id,
            name: user.display_name,
            numbers: user.numbers,
            ring: user.ring,
            ring_timeout_s: user.ring_timeout_s,
            forward_always: user.forward_always,
            forward_busy: user.forward_busy,
            forward_no_answer: user.forward_no_answer,
            forward_offline: user.forward_offline,
            do_not_disturb: user.do_not_disturb,
            mailbox: user.mailbox,
            service_class: user.service_class,
            preferred_nodes: user.preferred_nodes,
            revision: record.stamp.unwrap_or_default().modified,
        }
    }
}

/// Users as a list.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Users(pub(crate) Vec<UserView>);

impl Show for Users {
    fn text(&self) -> String {
        table(
            ["USER", "NAME", "NUMBERS", "RING", "DO NOT DISTURB"],
            self.0.iter().map(|user| {
                let ring = format!("{} {} s", user.ring, user.ring_timeout_s);
                let busy = if user.do_not_disturb { "yes" } else { "" };
                [
                    user.id.clone(),
                    user.name.clone(),
                    user.numbers.join(" "),
                    ring,
                    busy.to_owned(),
                ]
            }),
        )
    }
}

/// A device with its bindings.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DeviceView {
    id: String,
    user: String,
    technology: String,
    transport: String,
    codecs: Vec<String>,
    max_contacts: u32,
    realm: String,
    bindings: Vec<BindingView>,
    revision: u64,
}

impl From<pb::DeviceRecord> for DeviceView {
    fn from(record: pb::DeviceRecord) -> Self {
        let device = record.device.unwrap_or_default();
        Self {
            id: device.id,
            user: device.user,
            technology: device.technology,
            transport: device.transport,
            codecs: device.codecs,
            max_contacts: device.max_contacts,
            realm: device.realm,
            bindings: record.bindings.into_iter().map(Into::into).collect(),
            revision: record.stamp.unwrap_or_default().modified,
        }
    }
}

impl Show for DeviceView {
    const STATES: bool = true;

    fn text(&self) -> String {
        let head = fields(&[
            ("device", self.id.clone()),
            ("user", self.user.clone()),
            ("technology", self.technology.clone()),
            ("transport", self.transport.clone()),
            ("codecs", self.codecs.join(" ")),
            ("max contacts", self.max_contacts.to_string()),
            ("realm", self.realm.clone()),
            ("revision", self.revision.to_string()),
        ]);
        format!("{head}\n{}", places(std::slice::from_ref(self)))
    }
}

/// Devices as a list.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Devices(pub(crate) Vec<DeviceView>);

impl Show for Devices {
    fn text(&self) -> String {
        table(
            ["DEVICE", "USER", "TECHNOLOGY", "TRANSPORT", "REGISTERED AT"],
            self.0.iter().map(|device| {
                let places = device.bindings.iter().map(|binding| match binding.live {
                    true => binding.place(),
                    false => format!("{} (down)", binding.place()),
                });
                [
                    device.id.clone(),
                    device.user.clone(),
                    device.technology.clone(),
                    device.transport.clone(),
                    places.collect::<Vec<_>>().join(" "),
                ]
            }),
        )
    }
}

/// Where a device is registered.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct BindingView {
    device: String,
    node: u64,
    node_name: String,
    contact: String,
    live: bool,
    user_agent: String,
    path: String,
    revision: u64,
}

impl From<pb::Binding> for BindingView {
    fn from(binding: pb::Binding) -> Self {
        Self {
            device: binding.device,
            node: binding.node,
            node_name: binding.node_name,
            contact: binding.contact,
            live: binding.live,
            user_agent: binding.user_agent,
            path: binding.path,
            revision: binding.revision,
        }
    }
}

impl BindingView {
    /// The node by its name, or its id where there is none.
    pub(crate) fn place(&self) -> String {
        if self.node_name.is_empty() {
            format!("node {}", self.node)
        } else {
            self.node_name.clone()
        }
    }

    /// What was registered, for one line.
    pub(crate) fn line(&self) -> String {
        format!("{} at {} as {}", self.device, self.place(), self.contact)
    }
}

fn places(devices: &[DeviceView]) -> String {
    if devices.iter().all(|device| device.bindings.is_empty()) {
        return "registered nowhere".to_owned();
    }
    table(
        ["DEVICE", "NODE", "CONTACT", "STATE", "USER AGENT"],
        devices.iter().flat_map(|device| &device.bindings).map(|binding| {
            let state = if binding.live { "reachable" } else { "node down" };
            let texts = [
                &binding.device,
                &binding.place(),
                &binding.contact,
                state,
                &binding.user_agent,
            ];
            texts.map(|text: &str| text.to_owned())
        }),
    )
}

/// A user with its devices: `user show` and `where`.
#[derive(Debug, Serialize)]
pub(crate) struct WhereView {
    /// The user.
    pub(crate) user: String,
    /// Its devices.
    pub(crate) devices: Vec<DeviceView>,
    /// The map's revision.
    pub(crate) revision: u64,
    /// It may be old.
    pub(crate) stale: bool,
}

impl From<pb::WhereReply> for WhereView {
    fn from(reply: pb::WhereReply) -> Self {
        let freshness = reply.freshness.unwrap_or_default();
        Self {
            user: reply.user,
            devices: reply.devices.into_iter().map(Into::into).collect(),
            revision: freshness.revision,
            stale: freshness.stale,
        }
    }
}

impl Show for WhereView {
    const STATES: bool = true;

    fn text(&self) -> String {
        if self.devices.is_empty() {
            return format!("user {} has no device", self.user);
        }
        format!("user {}\n{}", self.user, places(&self.devices))
    }
}

/// `user show`.
#[derive(Debug, Serialize)]
pub(crate) struct UserDetail {
    /// The user's fields.
    #[serde(flatten)]
    pub(crate) user: UserView,
    /// Its devices.
    pub(crate) devices: Vec<DeviceView>,
}

impl Show for UserDetail {
    const STATES: bool = true;

    fn text(&self) -> String {
        let user = &self.user;
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let head = fields(&[
            ("user", user.id.clone()),
            ("name", user.name.clone()),
            ("numbers", user.numbers.join(" ")),
            ("ring", format!("{}, {} s", user.ring, user.ring_timeout_s)),
            ("forward always", optional(&user.forward_always)),
            ("forward busy", optional(&user.forward_busy)),
            ("forward no answer", optional(&user.forward_no_answer)),
            ("forward offline", optional(&user.forward_offline)),
            (
                "do not disturb",
                if user.do_not_disturb {
                    "yes".to_owned()
                } else {
                    String::new()
                },
            ),
            ("mailbox", optional(&user.mailbox)),
            ("service class", optional(&user.service_class)),
            (
                "preferred nodes",
                user.preferred_nodes
                    .iter()
                    .map(u64::to_string)
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            (
                "devices",
                self.devices
                    .iter()
                    .map(|device| device.id.as_str())
                    .collect::<Vec<_>>()
                    .join(" "),
            ),
            ("revision", user.revision.to_string()),
        ]);
        format!("{head}\n{}", places(&self.devices))
    }
}

/// A node.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct NodeView {
    id: u64,
    name: String,
    state: String,
    asterisk_version: String,
    peer_address: String,
    client_address: String,
    sip_address: String,
    weight: u32,
    zone: String,
    capabilities: Vec<String>,
    registrations: u64,
    session: u64,
    revision: u64,
}

impl From<pb::NodeRecord> for NodeView {
    fn from(record: pb::NodeRecord) -> Self {
        let node = record.node.unwrap_or_default();
        Self {
            id: node.id,
            name: node.name,
            state: node.state,
            asterisk_version: node.asterisk_version,
            peer_address: node.peer_address,
            client_address: node.client_address,
            sip_address: node.sip_address,
            weight: node.weight,
            zone: node.zone,
            capabilities: node.capabilities,
            registrations: node.bindings,
            session: node.session,
            revision: record.stamp.unwrap_or_default().modified,
        }
    }
}

impl Show for NodeView {
    const STATES: bool = true;

    fn text(&self) -> String {
        fields(&[
            ("node", format!("{} (id {})", self.name, self.id)),
            ("state", self.state.clone()),
            ("asterisk", self.asterisk_version.clone()),
            ("peer address", self.peer_address.clone()),
            ("client address", self.client_address.clone()),
            ("sip address", self.sip_address.clone()),
            ("weight", self.weight.to_string()),
            ("zone", self.zone.clone()),
            ("capabilities", self.capabilities.join(" ")),
            ("registrations", self.registrations.to_string()),
            ("revision", self.revision.to_string()),
        ])
    }
}

/// Nodes as a list.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Nodes(pub(crate) Vec<NodeView>);

impl Show for Nodes {
    const STATES: bool = true;

    fn text(&self) -> String {
        table(
            ["ID", "NODE", "STATE", "ASTERISK", "SIP", "PEER", "REGISTRATIONS"],
            self.0.iter().map(|node| {
                [
                    node.id.to_string(),
                    node.name.clone(),
                    node.state.clone(),
                    node.asterisk_version.clone(),
                    node.sip_address.clone(),
                    node.peer_address.clone(),
                    node.registrations.to_string(),
                ]
            }),
        )
    }
}

/// A setting.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SettingView {
    key: String,
    /// Its value, or the default.
    pub(crate) value: String,
    set: bool,
    help: String,
    revision: u64,
}

impl From<pb::SettingRecord> for SettingView {
    fn from(record: pb::SettingRecord) -> Self {
        let revision = record.stamp.unwrap_or_default().modified;
        Self {
            key: record.key,
            value: record.value,
            set: record.set,
            help: record.help,
            revision,
        }
    }
}

impl Show for SettingView {
    fn text(&self) -> String {
        self.value.clone()
    }
}

/// Settings as a list.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(crate) struct Settings(pub(crate) Vec<SettingView>);

impl Show for Settings {
    fn text(&self) -> String {
        table(
            ["KEY", "VALUE", "", "MEANING"],
            self.0.iter().map(|setting| {
                let from = if setting.set { "" } else { "default" };
                [
                    setting.key.clone(),
                    setting.value.clone(),
                    from.to_owned(),
                    setting.help.clone(),
                ]
            }),
        )
    }
}

/// What a change did.
#[derive(Debug, Serialize)]
pub(crate) struct Done {
    /// In words.
    #[serde(skip)]
    pub(crate) text: String,
    /// The map's revision that holds it.
    pub(crate) revision: u64,
}

impl Show for Done {
    fn text(&self) -> String {
        format!("{} (revision {})", self.text, self.revision)
    }
}
