//! What a change makes different in an object, field by field, in the map's terms. Digests are never shown.

use fed_proto::client as pb;

/// A field as text; empty: not set.
struct Field {
    name: &'static str,
    value: String,
    secret: bool,
}

fn field(name: &'static str, value: impl Into<String>) -> Field {
    Field {
        name,
        value: value.into(),
        secret: false,
    }
}

/// What becomes of a user.
pub(crate) fn user(before: Option<&pb::User>, after: Option<&pb::User>) -> pb::WouldChange {
    let id = after.or(before).map(|user| user.id.as_str()).unwrap_or_default();
    change(format!("user {id}"), before.map(user_fields), after.map(user_fields))
}

/// What becomes of a device.
pub(crate) fn device(before: Option<&pb::Device>, after: Option<&pb::Device>) -> pb::WouldChange {
    let id = after.or(before).map(|device| device.id.as_str()).unwrap_or_default();
    change(
        format!("device {id}"),
        before.map(device_fields),
        after.map(device_fields),
    )
}

/// What becomes of a setting.
pub(crate) fn setting(key: &str, secret: bool, before: Option<&str>, after: Option<&str>) -> pb::WouldChange {
    let fields = |value: &str| {
        vec![Field {
            secret,
            ..field("value", value)
        }]
    };
    change(format!("setting {key}"), before.map(fields), after.map(fields))
}

/// Something that ends or begins along with what was asked for.
pub(crate) fn other(object: String, kind: &str) -> pb::WouldChange {
    pb::WouldChange {
        object,
        kind: kind.to_owned(),
        fields: Vec::new(),
    }
}

/// Whether it is anything at all: an object may be written as it was.
pub(crate) fn is_one(change: &pb::WouldChange) -> bool {
    change.kind != "changed" || !change.fields.is_empty()
}

fn change(object: String, before: Option<Vec<Field>>, after: Option<Vec<Field>>) -> pb::WouldChange {
    let kind = match (&before, &after) {
        (None, _) => "made",
        (Some(_), None) => "deleted",
        (Some(_), Some(_)) => "changed",
    };
    let before = before.unwrap_or_default();
    let fields = after.into_iter().flatten().filter_map(|after| {
        let was = before.iter().find(|field| field.name == after.name);
        let was = was.map(|field| field.value.as_str()).unwrap_or_default();
        let shown = |value: &str, new: &str| match (after.secret, value.is_empty()) {
            (true, false) => new.to_owned(),
            _ => value.to_owned(),
        };
        (was != after.value).then(|| pb::FieldChange {
            field: after.name.to_owned(),
            before: shown(was, "***"),
            after: shown(&after.value, "*** (new)"),
        })
    });
    pb::WouldChange {
        object,
        kind: kind.to_owned(),
        fields: fields.collect(),
    }
}

fn user_fields(user: &pb::User) -> Vec<Field> {
    let optional = |text: &Option<String>| text.clone().unwrap_or_default();
    let nodes: Vec<String> = user.preferred_nodes.iter().map(u64::to_string).collect();
    vec![
        field("name", &user.display_name),
        field("numbers", user.numbers.join(" ")),
        field("ring", &user.ring),
        field("ring timeout", format!("{} s", user.ring_timeout_s)),
        field("forward always", optional(&user.forward_always)),
        field("forward busy", optional(&user.forward_busy)),
        field("forward no answer", optional(&user.forward_no_answer)),
        field("forward offline", optional(&user.forward_offline)),
        field("do not disturb", if user.do_not_disturb { "yes" } else { "no" }),
        field("mailbox", optional(&user.mailbox)),
        field("service class", optional(&user.service_class)),
        field("preferred nodes", nodes.join(" ")),
    ]
}

fn device_fields(device: &pb::Device) -> Vec<Field> {
    vec![
        field("user", &device.user),
        field("technology", &device.technology),
        field("transport", &device.transport),
        field("codecs", device.codecs.join(" ")),
        field("max contacts", device.max_contacts.to_string()),
        field("realm", &device.realm),
        Field {
            secret: true,
            ..field("password", &device.md5_ha1)
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alice(numbers: &[&str]) -> pb::User {
        pb::User {
            id: "alice".to_owned(),
            numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
            ..pb::User::default()
        }
    }

    #[test]
    fn only_fields_that_differ_are_named_with_what_they_were() {
        let (before, after) = (alice(&["1001"]), alice(&["1001", "1002"]));
        let change = user(Some(&before), Some(&after));
        assert_eq!(
            (change.object.as_str(), change.kind.as_str()),
            ("user alice", "changed")
        );
        let fields: Vec<_> = change
            .fields
            .iter()
            .map(|f| (f.field.as_str(), f.before.as_str(), f.after.as_str()))
            .collect();
        assert_eq!(fields, [("numbers", "1001", "1001 1002")]);
        assert!(!is_one(&user(Some(&before), Some(&before))));
        assert_eq!(user(Some(&before), None).kind, "deleted");
        assert_eq!(user(None, Some(&before)).kind, "made");
    }

    #[test]
    fn a_digest_is_said_to_be_another_but_not_shown() {
        let phone = |digest: &str| pb::Device {
            id: "alice".to_owned(),
            md5_ha1: digest.to_owned(),
            ..pb::Device::default()
        };
        let change = device(Some(&phone("canary1")), Some(&phone("canary2")));
        assert!(!format!("{change:?}").contains("canary"), "{change:?}");
        assert_eq!(change.fields.len(), 1);
        let made = device(None, Some(&phone("canary2")));
        assert!(!format!("{made:?}").contains("canary"), "{made:?}");
    }
}
