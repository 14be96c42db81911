//! Fields named on the command line, written over a record; what is not named stays.

use clap::CommandFactory;
use fed_proto::client as pb;

use crate::cli::args::{Cli, DeviceFields, UserFields};
use crate::cli::exit::Failure;

/// An empty text clears an optional field.
fn optional(place: &mut Option<String>, given: Option<String>) {
    if let Some(text) = given {
        *place = Some(text).filter(|text| !text.is_empty());
    }
}

/// The usage error of a change that names nothing to change.
pub(super) fn nothing_named(command: &[&str]) -> Failure {
    let mut found = Cli::command();
    for name in command {
        if let Some(below) = found.find_subcommand(name) {
            found = below.clone();
        }
    }
    let flags = found
        .get_arguments()
        .filter(|flag| !flag.is_positional() && !flag.is_global_set());
    let flags: Vec<String> = flags
        .filter_map(|flag| flag.get_long())
        .map(|long| format!("--{long}"))
        .collect();
    Failure::usage(format!(
        "nothing to change was named: give at least one of {}",
        flags.join(", ")
    ))
}

/// Writes the fields given over the user; `preferred_nodes` are those named, as ids, where any were.
pub(super) fn user(user: &mut pb::User, fields: UserFields, preferred_nodes: Option<Vec<u64>>) {
    if let Some(name) = fields.name {
        user.display_name = name;
    }
    if !fields.numbers.is_empty() {
        user.numbers = fields.numbers.into_iter().filter(|number| !number.is_empty()).collect();
    }
    if let Some(ring) = fields.ring {
        user.ring = ring;
    }
    if let Some(seconds) = fields.ring_timeout {
        user.ring_timeout_s = seconds;
    }
    optional(&mut user.forward_always, fields.forward_always);
    optional(&mut user.forward_busy, fields.forward_busy);
    optional(&mut user.forward_no_answer, fields.forward_no_answer);
    optional(&mut user.forward_offline, fields.forward_offline);
    optional(&mut user.mailbox, fields.mailbox);
    optional(&mut user.service_class, fields.service_class);
    if let Some(refuse) = fields.do_not_disturb {
        user.do_not_disturb = refuse;
    }
    if let Some(nodes) = preferred_nodes {
        user.preferred_nodes = nodes;
    }
}

/// Writes the fields given over the device.
pub(super) fn device(device: &mut pb::Device, fields: DeviceFields) {
    if let Some(technology) = fields.technology {
        device.technology = technology;
    }
    if !fields.codecs.is_empty() {
        device.codecs = fields.codecs.into_iter().filter(|codec| !codec.is_empty()).collect();
    }
    if let Some(transport) = fields.transport {
        device.transport = transport;
    }
    if let Some(count) = fields.max_contacts {
        device.max_contacts = count;
    }
}

/// A user with the defaults.
pub(super) fn new_user(id: &str) -> pb::User {
    pb::User {
        id: id.to_owned(),
        ring: "all".to_owned(),
        ring_timeout_s: 30,
        ..pb::User::default()
    }
}

/// A device with the defaults, without credentials yet.
pub(super) fn new_device(id: &str, user: &str) -> pb::Device {
    pb::Device {
        id: id.to_owned(),
        user: user.to_owned(),
        technology: "pjsip".to_owned(),
        transport: "any".to_owned(),
        max_contacts: 1,
        ..pb::Device::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_named_stays_and_an_empty_text_clears() {
        let mut alice = new_user("alice");
        alice.numbers = vec!["1001".to_owned()];
        alice.mailbox = Some("1001@default".to_owned());
        let fields = UserFields {
            name: Some("Alice".to_owned()),
            mailbox: Some(String::new()),
            ..UserFields::default()
        };
        user(&mut alice, fields, Some(vec![2]));
        assert_eq!(
            (alice.display_name.as_str(), alice.mailbox.clone(), alice.numbers.len()),
            ("Alice", None, 1)
        );
        let fields = UserFields {
            numbers: vec![String::new()],
            ..UserFields::default()
        };
        user(&mut alice, fields, None);
        assert!(alice.numbers.is_empty());
        assert_eq!(alice.preferred_nodes, [2]);
        user(&mut alice, UserFields::default(), Some(Vec::new()));
        assert!(alice.preferred_nodes.is_empty());
    }
}
