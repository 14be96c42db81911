//! The columns.

use fed_proto::client as pb;
use serde::{Deserialize, Serialize};

/// One line of the file. Columns may be left out and stand in any order; `user` must be there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Row {
    pub(super) user: String,
    pub(super) name: String,
    /// Separated by blanks.
    pub(super) numbers: String,
    pub(super) device: String,
    /// Only in, never out.
    #[serde(skip_serializing)]
    pub(super) password: String,
    pub(super) realm: String,
    pub(super) md5_ha1: String,
    pub(super) technology: String,
    pub(super) transport: String,
    pub(super) codecs: String,
    pub(super) max_contacts: String,
    pub(super) ring: String,
    pub(super) ring_timeout_s: String,
    pub(super) forward_always: String,
    pub(super) forward_busy: String,
    pub(super) forward_no_answer: String,
    pub(super) forward_offline: String,
    pub(super) do_not_disturb: String,
    pub(super) mailbox: String,
    pub(super) service_class: String,
    pub(super) preferred_nodes: String,
}

/// Every column, for the error about one that does not exist.
pub(super) const COLUMNS: [&str; 21] = [
    "user",
    "name",
    "numbers",
    "device",
    "password",
    "realm",
    "md5_ha1",
    "technology",
    "transport",
    "codecs",
    "max_contacts",
    "ring",
    "ring_timeout_s",
    "forward_always",
    "forward_busy",
    "forward_no_answer",
    "forward_offline",
    "do_not_disturb",
    "mailbox",
    "service_class",
    "preferred_nodes",
];

impl Row {
    /// Without blanks around the values, but for the password: there they count.
    pub(super) fn trimmed(mut self) -> Self {
        for value in [
            &mut self.user,
            &mut self.name,
            &mut self.numbers,
            &mut self.device,
            &mut self.realm,
            &mut self.md5_ha1,
            &mut self.technology,
            &mut self.transport,
            &mut self.codecs,
            &mut self.max_contacts,
            &mut self.ring,
            &mut self.ring_timeout_s,
            &mut self.forward_always,
            &mut self.forward_busy,
            &mut self.forward_no_answer,
            &mut self.forward_offline,
            &mut self.do_not_disturb,
            &mut self.mailbox,
            &mut self.service_class,
            &mut self.preferred_nodes,
        ] {
            if value.trim().len() < value.len() {
                *value = value.trim().to_owned();
            }
        }
        self
    }

    /// True when the line says nothing of its user beyond the id: a further device.
    pub(super) fn user_columns_are_empty(&self) -> bool {
        let columns = [
            &self.name,
            &self.numbers,
            &self.ring,
            &self.ring_timeout_s,
            &self.forward_always,
            &self.forward_busy,
            &self.forward_no_answer,
            &self.forward_offline,
            &self.do_not_disturb,
            &self.mailbox,
            &self.service_class,
            &self.preferred_nodes,
        ];
        columns.iter().all(|column| column.is_empty())
    }

    /// The line of a user and perhaps a device of it.
    pub(super) fn of(user: &pb::User, device: Option<&pb::Device>) -> Self {
        let optional = |text: &Option<String>| text.clone().unwrap_or_default();
        let mut row = Self {
            user: user.id.clone(),
            name: user.display_name.clone(),
            numbers: user.numbers.join(" "),
            ring: user.ring.clone(),
            ring_timeout_s: user.ring_timeout_s.to_string(),
            forward_always: optional(&user.forward_always),
            forward_busy: optional(&user.forward_busy),
            forward_no_answer: optional(&user.forward_no_answer),
            forward_offline: optional(&user.forward_offline),
            do_not_disturb: if user.do_not_disturb {
                "yes".to_owned()
            } else {
                String::new()
            },
            mailbox: optional(&user.mailbox),
            service_class: optional(&user.service_class),
            preferred_nodes: user
                .preferred_nodes
                .iter()
                .map(u64::to_string)
                .collect::<Vec<_>>()
                .join(" "),
            ..Self::default()
        };
        if let Some(device) = device {
            row.device = device.id.clone();
            row.realm = device.realm.clone();
            row.md5_ha1 = device.md5_ha1.clone();
            row.technology = device.technology.clone();
            row.transport = device.transport.clone();
            row.codecs = device.codecs.join(" ");
            row.max_contacts = device.max_contacts.to_string();
        }
        row
    }
}
