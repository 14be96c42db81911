//! Changes asked for over the wire, as commands; and what became of them.

use fed_core::command::{Command, Reply};
use fed_core::ids::{DeviceId, InvalidId, Number, UserId};
use fed_core::records::setting;
use fed_core::sealing::is_sealed;
use fed_proto::client as pb;
use tonic::Status;

use super::convert::{self, BadRequest};
use super::failure::refused;
use super::settings;

/// Most changes in one call.
pub(super) const MOST_CHANGES: usize = 4_096;

/// The command for one change.
pub(super) fn command(change: pb::Change) -> Result<Command, BadRequest> {
    use pb::change::What;
    match change.what.ok_or(BadRequest::Missing("change"))? {
        What::PutUser(request) => put_user(request),
        What::DeleteUser(request) => delete_user(request),
        What::PutDevice(request) => put_device(request),
        What::DeleteDevice(request) => delete_device(request),
        What::PutSetting(request) => put_setting(request),
        What::DeleteSetting(request) => delete_setting(request),
    }
}

/// Several commands as one, that is done whole or not at all.
pub(super) fn together(mut commands: Vec<Command>) -> Command {
    match (commands.len(), commands.pop()) {
        (1, Some(only)) => only,
        (_, last) => {
            commands.extend(last);
            Command::Batch(commands)
        }
    }
}

pub(super) fn put_user(request: pb::PutUserRequest) -> Result<Command, BadRequest> {
    let user = convert::user(request.user.ok_or(BadRequest::Missing("user"))?)?;
    Ok(Command::PutUser {
        user,
        expect: convert::expect(request.expect),
    })
}

pub(super) fn delete_user(request: pb::DeleteRequest) -> Result<Command, BadRequest> {
    let id: UserId = parse("user", &request.id)?;
    Ok(Command::DeleteUser {
        id,
        expect: convert::expect(request.expect),
    })
}

pub(super) fn put_device(request: pb::PutDeviceRequest) -> Result<Command, BadRequest> {
    let device = convert::device(request.device.ok_or(BadRequest::Missing("device"))?)?;
    Ok(Command::PutDevice {
        device,
        expect: convert::expect(request.expect),
    })
}

pub(super) fn delete_device(request: pb::DeleteRequest) -> Result<Command, BadRequest> {
    let id: DeviceId = parse("device", &request.id)?;
    Ok(Command::DeleteDevice {
        id,
        expect: convert::expect(request.expect),
    })
}

/// Keys that the federation does not read are notes of the administrator's, marked as such: a slip of the hand is none.
pub(super) fn put_setting(request: pb::PutSettingRequest) -> Result<Command, BadRequest> {
    own(&request.key)?;
    if is_sealed(&request.value) {
        let why = "a value that looks sealed is sealed by a node, and by nobody else".to_owned();
        return Err(BadRequest::field(
            format!("setting {}", request.key.escape_debug()),
            "value",
            why,
        ));
    }
    if settings::known(&request.key).is_none() && !request.key.starts_with(settings::NOTE) {
        let why = match settings::nearest(&request.key) {
            Some(nearest) => format!("there is no such setting; did you mean {nearest:?}?"),
            None => format!(
                "there is no such setting; there are {}, and notes of your own, which begin with {}",
                settings::names(),
                settings::NOTE
            ),
        };
        return Err(BadRequest::field(
            format!("setting {}", request.key.escape_debug()),
            "key",
            why,
        ));
    }
    if request.key == setting::REALM
        && let Err(why) = settings::check_realm(&request.value)
    {
        return Err(BadRequest::field("setting realm".to_owned(), "value", why));
    }
    // Here and not in the map, which goes on taking what it took: members of different versions must agree on what a command does.
    if request.key == setting::SIP_PEERS
        && let Err(why) = settings::check_sip_peers(&request.value)
    {
        return Err(BadRequest::field("setting sip_peers".to_owned(), "value", why));
    }
    if request.key == setting::DIALPLAN_CONTEXT
        && let Err(why) = settings::check_dialplan_context(&request.value)
    {
        return Err(BadRequest::field("setting dialplan_context".to_owned(), "value", why));
    }
    if request.key == setting::LOCATE
        && let Err(why) = settings::check_locate(&request.value)
    {
        return Err(BadRequest::field("setting locate".to_owned(), "value", why));
    }
    // Here, because the map sees it sealed only: with a wrong key every call between two servers would be refused.
    if request.key == setting::CAPABILITY_KEY && !settings::is_capability_key(&request.value) {
        let why = "use 64 lower-case hexadecimal digits, such as those of: openssl rand -hex 32".to_owned();
        return Err(BadRequest::field(format!("setting {}", request.key), "value", why));
    }
    Ok(Command::PutSetting {
        key: request.key,
        value: request.value.into(),
        expect: convert::expect(request.expect),
    })
}

/// The key of the capabilities may be changed, never taken away: without it every call between two servers is refused.
pub(super) fn delete_setting(request: pb::DeleteRequest) -> Result<Command, BadRequest> {
    own(&request.id)?;
    if request.id == setting::CAPABILITY_KEY {
        return Err(BadRequest::field(
            format!("setting {}", request.id),
            "key",
            "without it every call between two servers is refused; to change it, set another of 64 hexadecimal digits"
                .to_owned(),
        ));
    }
    Ok(Command::DeleteSetting {
        key: request.id,
        expect: convert::expect(request.expect),
    })
}

/// Refuses a setting that the nodes keep themselves: with another key's id in it nothing could be opened any more.
fn own(key: &str) -> Result<(), BadRequest> {
    if key != setting::SEAL_KEY {
        return Ok(());
    }
    let why = "the nodes set it themselves, from the key they have".to_owned();
    Err(BadRequest::field(format!("setting {key}"), "key", why))
}

pub(super) fn parse<T: std::str::FromStr<Err = InvalidId>>(what: &str, id: &str) -> Result<T, BadRequest> {
    id.parse().map_err(|why| BadRequest::field(what, "id", why))
}

/// Checks a text that may name a user, a device or a number: those of numbers are the widest names there are.
pub(super) fn name(asked: &str) -> Result<(), BadRequest> {
    let checked = asked.parse::<Number>();
    checked
        .map(drop)
        .map_err(|InvalidId { value, rule, .. }| BadRequest::Name {
            value,
            what: "user, device or number",
            rule,
        })
}

/// Checks a text that may name a node.
pub(super) fn node_name(asked: &str) -> Result<(), BadRequest> {
    let fine =
        (1..=40).contains(&asked.len()) && asked.bytes().all(|c| c.is_ascii_alphanumeric() || b"._-".contains(&c));
    if fine {
        return Ok(());
    }
    Err(BadRequest::Name {
        value: asked.chars().take(40).flat_map(char::escape_default).collect(),
        what: "node",
        rule: "use its name, of 1 to 40 of A-Z a-z 0-9 . _ -, or its id; `fed-node node list` shows both",
    })
}

/// The reply to one command, or its refusal as an error.
pub(super) fn reply(reply: &Reply, revision: u64) -> Result<pb::WriteReply, Status> {
    match reply {
        Reply::Refused(refusal) => Err(refused(refusal)),
        Reply::BindingRefused { .. } => Err(Status::internal("a change of the directory was answered as a binding")),
        Reply::Done { .. } | Reply::SessionOpened { .. } | Reply::Bound { .. } | Reply::Batch(_) => {
            Ok(pb::WriteReply { revision })
        }
    }
}

/// The reply to one of many commands.
pub(super) fn result(reply: &Reply, revision: u64) -> pb::WriteResult {
    match reply {
        Reply::Refused(refusal) => pb::WriteResult {
            revision: 0,
            refusal: refusal.to_string(),
        },
        _ => pb::WriteResult {
            revision,
            refusal: String::new(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_setting_is_refused_with_the_right_name() {
        let request = pb::PutSettingRequest {
            key: "relm".to_owned(),
            value: "x".to_owned(),
            expect: None,
        };
        assert!(
            put_setting(request)
                .unwrap_err()
                .to_string()
                .contains("did you mean \"realm\"")
        );
        let note = |key: &str| pb::PutSettingRequest {
            key: key.to_owned(),
            value: "x".to_owned(),
            expect: None,
        };
        assert!(put_setting(note("x-site-contact")).is_ok());
        let unmarked = put_setting(note("site-contact")).unwrap_err().to_string();
        assert!(unmarked.contains("begin with x-"), "{unmarked}");
        let bad_realm = pb::PutSettingRequest {
            key: "realm".to_owned(),
            value: "a;b".to_owned(),
            expect: None,
        };
        assert!(put_setting(bad_realm).unwrap_err().to_string().contains("SIP realm"));
    }

    #[test]
    fn dialplans_find_people_in_one_of_two_ways() {
        let set = |value: &str| {
            put_setting(pb::PutSettingRequest {
                key: "locate".to_owned(),
                value: value.to_owned(),
                expect: None,
            })
        };
        for fine in ["redirect", "ask"] {
            assert!(set(fine).is_ok(), "{fine}");
        }
        for wrong in ["", "asked", "Ask", "no"] {
            let told = set(wrong).unwrap_err().to_string();
            assert!(told.contains("use redirect or ask"), "{wrong}: {told}");
        }
    }

    #[test]
    fn phones_do_not_call_in_the_context_of_calls_between_servers() {
        let set = |value: &str| {
            put_setting(pb::PutSettingRequest {
                key: "dialplan_context".to_owned(),
                value: value.to_owned(),
                expect: None,
            })
        };
        for taken in ["fed-trunk", "fed-ask", "Fed-Trunk"] {
            let told = set(taken).unwrap_err().to_string();
            assert!(told.contains("fed-users"), "{taken}: {told}");
        }
        for fine in ["fed-users", "internal"] {
            assert!(set(fine).is_ok(), "{fine}");
        }
    }

    #[test]
    fn other_sip_software_is_named_by_addresses_networks_and_names_that_are_some() {
        let set = |value: &str| {
            put_setting(pb::PutSettingRequest {
                key: "sip_peers".to_owned(),
                value: value.to_owned(),
                expect: None,
            })
        };
        let list = |first: &str, rest: u32| {
            let networks = (1..=rest).map(|n| format!(",{n}.0.0.0/8"));
            format!("{first}{}", networks.collect::<String>())
        };
        // Everything in pieces, one network too much, and the most there may be, with some of it twice.
        let (halves, seventeen, sixteen) = (list("0.0.0.0/8", 255), list("0.0.0.0/8", 16), list("10.0.0.0/9", 16));
        for fine in [
            "",
            &sixteen,
            "10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,100.64.0.0/10,fd00::/16",
            "192.0.2.7",
            "192.0.2.0/24, 2001:db8::/32",
            "2001:db8::7",
            "pbx.example.com",
            "192.0.2.7:5060",
            "10.0.0.1/8",
        ] {
            assert!(set(fine).is_ok(), "{fine}");
        }
        for (wrong, why) in [
            ("0.0.0.0/0", "0.0.0.0/0 is every address"),
            ("192.0.2.7,::/0", "::/0 is every address"),
            ("0.0.0.0/1,128.0.0.0/1", "0.0.0.0/1 is too wide"),
            ("10.0.0.0/7", "10.0.0.0/7 is too wide"),
            ("2000::/15", "2000::/15 is too wide"),
            ("::ffff:0:0/96", "::ffff:0:0/96 stands for IPv4"),
            (&halves, "together these networks cover so much"),
            (&seventeen, "together these networks cover so much"),
            ("10.0.0.0/99", "10.0.0.0/99 is no network"),
            ("10.0.0.0/", "is no network"),
            ("pbx.example.com/24", "is no network"),
            ("999.1.1.1", "999.1.1.1 is no IPv4 address"),
            ("10.1", "10.1 is no IPv4 address"),
            ("192.0.2.7,,192.0.2.8", "nothing between two commas"),
        ] {
            let told = set(wrong).unwrap_err().to_string();
            assert!(told.contains(why), "{wrong}: {told}");
        }
    }
}
