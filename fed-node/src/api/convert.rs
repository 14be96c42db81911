//! Between the wire and the domain: everything that comes in is checked here, once; what goes out leaves secrets behind.

use fed_core::command::{Expect, Refusal};
use fed_core::ids::{NodeId, Number, Revision};
use fed_core::records::{Device, DigestCredentials, Forwards, RingStrategy, Technology, TransportProfile, User};
use fed_proto::client as pb;

use super::codecs;

/// What is wrong with a request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRequest {
    /// A field cannot be what it is.
    #[error("{field} of {object}: {why}")]
    Field {
        /// The object, in words.
        object: String,
        /// The field.
        field: &'static str,
        /// What would be right.
        why: String,
    },
    /// A name that no object can have.
    #[error("`{value}` names no {what}: {rule}")]
    Name {
        /// The name, escaped.
        value: String,
        /// What was asked for.
        what: &'static str,
        /// What would be right.
        rule: &'static str,
    },
    /// What the map would refuse.
    #[error(transparent)]
    Invalid(#[from] Refusal),
    /// A part that must be there is not.
    #[error("the request has no {0}")]
    Missing(&'static str),
}

impl BadRequest {
    pub(super) fn field(object: impl Into<String>, field: &'static str, why: impl ToString) -> Self {
        Self::Field {
            object: object.into(),
            field,
            why: why.to_string(),
        }
    }
}

/// A user from the wire.
///
/// # Errors
/// [`BadRequest`] for the first field that is not valid.
pub fn user(user: pb::User) -> Result<User, BadRequest> {
    let object = format!("user {}", user.id.escape_debug());
    let bad = |field, why: String| BadRequest::field(object.clone(), field, why);
    let number = |field: &'static str, text: &str| Number::new(text).map_err(|why| bad(field, why.to_string()));
    let optional = |field, text: Option<&String>| text.map(|text| number(field, text)).transpose();
    let user = User {
        numbers: user
            .numbers
            .iter()
            .map(|text| number("numbers", text))
            .collect::<Result<_, _>>()?,
        forwards: Forwards {
            always: optional("forward_always", user.forward_always.as_ref())?,
            busy: optional("forward_busy", user.forward_busy.as_ref())?,
            no_answer: optional("forward_no_answer", user.forward_no_answer.as_ref())?,
            offline: optional("forward_offline", user.forward_offline.as_ref())?,
        },
        ring: ring(&user.ring).ok_or_else(|| bad("ring", "must be \"all\" or \"sequential\"".to_owned()))?,
        ring_timeout_s: u16::try_from(user.ring_timeout_s)
            .map_err(|_| bad("ring_timeout_s", "must be 1 to 300 seconds".to_owned()))?,
        id: user
            .id
            .parse()
            .map_err(|why: fed_core::ids::InvalidId| bad("id", why.to_string()))?,
        display_name: user.display_name,
        service_class: user.service_class,
        do_not_disturb: user.do_not_disturb,
        mailbox: user.mailbox,
        preferred_nodes: user.preferred_nodes.into_iter().map(NodeId).collect(),
    };
    user.validate()?;
    user.check()?;
    Ok(user)
}

/// A user for the wire.
#[must_use]
pub fn user_out(user: User) -> pb::User {
    pb::User {
        id: user.id.into(),
        display_name: user.display_name,
        numbers: user.numbers.into_iter().map(Into::into).collect(),
        service_class: user.service_class,
        ring: ring_name(user.ring).to_owned(),
        ring_timeout_s: user.ring_timeout_s.into(),
        forward_always: user.forwards.always.map(Into::into),
        forward_busy: user.forwards.busy.map(Into::into),
        forward_no_answer: user.forwards.no_answer.map(Into::into),
        forward_offline: user.forwards.offline.map(Into::into),
        do_not_disturb: user.do_not_disturb,
        mailbox: user.mailbox,
        preferred_nodes: user.preferred_nodes.into_iter().map(|node| node.0).collect(),
    }
}

/// A device from the wire.
///
/// # Errors
/// [`BadRequest`] for the first field that is not valid.
pub fn device(device: pb::Device) -> Result<Device, BadRequest> {
    let object = format!("device {}", device.id.escape_debug());
    let bad = |field, why: String| BadRequest::field(object.clone(), field, why);
    // Empty: the device keeps what it has (`super::changes`).
    let ha1 = &device.md5_ha1;
    let is_digest = ha1.len() == 32
        && ha1
            .bytes()
            .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    let keeps = ha1.is_empty();
    if !keeps && !is_digest {
        return Err(bad(
            "md5_ha1",
            "must be 32 lower-case hex digits: MD5(device:realm:password)".to_owned(),
        ));
    }
    if matches!(device.technology.as_str(), "sip" | "iax2") {
        return Err(bad(
            "technology",
            "no node serves devices of this technology yet: use \"pjsip\"".to_owned(),
        ));
    }
    if device.id == "anonymous" {
        return Err(bad(
            "id",
            "is the endpoint that Asterisk takes for callers it does not know: choose another".to_owned(),
        ));
    }
    if let Some(why) = codecs::unknown(&device.codecs) {
        return Err(bad("codecs", why));
    }
    let mut device = Device {
        technology: technology(&device.technology)
            .ok_or_else(|| bad("technology", "must be \"pjsip\", \"sip\" or \"iax2\"".to_owned()))?,
        transport: transport(&device.transport).ok_or_else(|| {
            bad(
                "transport",
                "must be \"any\", \"udp\", \"tcp\", \"tls\" or \"webrtc\"".to_owned(),
            )
        })?,
        max_contacts: u8::try_from(device.max_contacts)
            .map_err(|_| bad("max_contacts", "must be 1 to 10".to_owned()))?,
        id: device
            .id
            .parse()
            .map_err(|why: fed_core::ids::InvalidId| bad("id", why.to_string()))?,
        user: device
            .user
            .parse()
            .map_err(|why: fed_core::ids::InvalidId| bad("user", why.to_string()))?,
        credentials: DigestCredentials {
            realm: device.realm,
            md5_ha1: device.md5_ha1,
        },
        codecs: device.codecs,
    };
    if keeps {
        device.credentials.md5_ha1 = "0".repeat(32);
    }
    device.validate()?;
    if keeps {
        device.credentials.md5_ha1.clear();
    }
    Ok(device)
}

/// A device for the wire; `ha1` is its digest, opened, when it was asked for.
#[must_use]
pub fn device_out(device: Device, ha1: Option<String>) -> pb::Device {
    pb::Device {
        id: device.id.into(),
        user: device.user.into(),
        technology: technology_name(device.technology).to_owned(),
        realm: device.credentials.realm,
        md5_ha1: ha1.unwrap_or_default(),
        codecs: device.codecs,
        transport: transport_name(device.transport).to_owned(),
        max_contacts: device.max_contacts.into(),
    }
}

/// The compare-and-set operand; none on the wire is [`Expect::Any`].
#[must_use]
pub fn expect(expect: Option<pb::Expect>) -> Expect {
    match expect.and_then(|expect| expect.what) {
        Some(pb::expect::What::Absent(true)) => Expect::Absent,
        Some(pb::expect::What::Revision(revision)) => Expect::Revision(Revision(revision)),
        Some(pb::expect::What::Absent(false)) | None => Expect::Any,
    }
}

/// The compare-and-set operand for the wire.
#[must_use]
pub fn expect_out(expect: Expect) -> Option<pb::Expect> {
    let what = match expect {
        Expect::Any => return None,
        Expect::Absent => pb::expect::What::Absent(true),
        Expect::Revision(revision) => pb::expect::What::Revision(revision.0),
    };
    Some(pb::Expect { what: Some(what) })
}

/// The names of ring strategies on the wire, in CSV and on the command line.
#[must_use]
pub fn ring(name: &str) -> Option<RingStrategy> {
    match name {
        "all" | "" => Some(RingStrategy::All),
        "sequential" => Some(RingStrategy::Sequential),
        _ => None,
    }
}

fn ring_name(ring: RingStrategy) -> &'static str {
    match ring {
        RingStrategy::All => "all",
        RingStrategy::Sequential => "sequential",
    }
}

fn technology(name: &str) -> Option<Technology> {
    match name {
        "pjsip" | "" => Some(Technology::Pjsip),
        "sip" => Some(Technology::Sip),
        "iax2" => Some(Technology::Iax2),
        _ => None,
    }
}

fn technology_name(technology: Technology) -> &'static str {
    match technology {
        Technology::Pjsip => "pjsip",
        Technology::Sip => "sip",
        Technology::Iax2 => "iax2",
    }
}

fn transport(name: &str) -> Option<TransportProfile> {
    match name {
        "any" | "" => Some(TransportProfile::Any),
        "udp" => Some(TransportProfile::Udp),
        "tcp" => Some(TransportProfile::Tcp),
        "tls" => Some(TransportProfile::Tls),
        "webrtc" => Some(TransportProfile::WebRtc),
        _ => None,
    }
}

fn transport_name(transport: TransportProfile) -> &'static str {
    match transport {
        TransportProfile::Any => "any",
        TransportProfile::Udp => "udp",
        TransportProfile::Tcp => "tcp",
        TransportProfile::Tls => "tls",
        TransportProfile::WebRtc => "webrtc",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fed_core::ids::{DeviceId, UserId};

    fn full_user() -> User {
        User {
            display_name: "Alice".to_owned(),
            numbers: vec![Number::new("1001").unwrap(), Number::new("+49.30").unwrap()],
            service_class: Some("inland".to_owned()),
            ring: RingStrategy::Sequential,
            ring_timeout_s: 12,
            forwards: Forwards {
                busy: Some(Number::new("1002").unwrap()),
                ..Forwards::default()
            },
            do_not_disturb: true,
            mailbox: Some("1001@default".to_owned()),
            preferred_nodes: vec![NodeId(3)],
            ..User::new(UserId::new("alice").unwrap())
        }
    }

    #[test]
    fn a_user_survives_the_wire() {
        assert_eq!(user(user_out(full_user())).unwrap(), full_user());
    }

    #[test]
    fn a_name_is_read_as_it_stands() {
        let named = |name: &str| {
            user(pb::User {
                display_name: name.to_owned(),
                ..user_out(full_user())
            })
        };
        for turned in ('\u{202a}'..='\u{202e}').chain('\u{2066}'..='\u{2069}') {
            let error = named(&format!("Bank{turned} 1001")).unwrap_err().to_string();
            assert!(
                error.contains("display_name of user alice") && error.contains("U+202A"),
                "{error}"
            );
            assert!(!error.contains(turned), "{error}");
        }
        for fine in ["Zoë", "דוד", "אבג \u{200f}(1)"] {
            named(fine).unwrap();
        }
    }

    #[test]
    fn a_device_survives_the_wire_and_leaves_its_digest_behind_unless_asked() {
        let credentials = DigestCredentials {
            realm: "federated".to_owned(),
            md5_ha1: "0".repeat(32),
        };
        let alice = Device::new(
            DeviceId::new("alice").unwrap(),
            UserId::new("alice").unwrap(),
            credentials,
        );
        let ha1 = alice.credentials.md5_ha1.clone();
        assert_eq!(device(device_out(alice.clone(), Some(ha1))).unwrap(), alice);
        assert_eq!(device_out(alice, None).md5_ha1, "");
    }

    #[test]
    fn what_is_sealed_does_not_come_in_from_outside() {
        let wire = pb::Device {
            id: "alice".to_owned(),
            user: "alice".to_owned(),
            realm: "federated".to_owned(),
            md5_ha1: "sealed1.01234567.AAAA".to_owned(),
            max_contacts: 1,
            ..pb::Device::default()
        };
        let error = device(wire).unwrap_err().to_string();
        assert!(error.contains("md5_ha1") && !error.contains("AAAA"), "{error}");
    }

    #[test]
    fn malformed_ids_are_refused_by_name() {
        for id in ["a&b", "a/b", "a;b", "a\nb", "", &"x".repeat(300)] {
            let mut wire = user_out(full_user());
            wire.id = (*id).to_owned();
            let error = user(wire).unwrap_err().to_string();
            assert!(error.contains("user id") && !error.contains('\n'), "{error}");
        }
        let mut wire = user_out(full_user());
        wire.numbers = vec!["10;01".to_owned()];
        assert!(user(wire).unwrap_err().to_string().starts_with("numbers of user alice"));
    }
}
