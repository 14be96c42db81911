//! Devices: auth, aors and endpoint of each, and the global variables of its user's numbers.

use fed_core::{
    ids::DeviceId,
    kv::StoreError,
    map::MapView,
    records::{Device, Technology, TransportProfile, User},
};

use super::{Desired, Global, Object, Target, devices_variable, redirect_aor};
use crate::client::ObjectType;

/// Codecs of a device that names none.
const CODECS: &str = "ulaw,alaw,g722";

/// Users read from the map at once.
const PAGE: usize = 1_000;

/// The map's settings that every device depends on.
pub(super) struct Settings {
    context: String,
    /// Whether Asterisk follows a redirect to find a device elsewhere.
    redirected: bool,
}

impl Settings {
    pub(super) fn read(view: &MapView<'_>) -> Result<Self, StoreError> {
        Ok(Self {
            context: view.dialplan_context()?,
            redirected: view.locates_by_redirect()?,
        })
    }
}

/// Every user of the map.
pub(super) fn all(
    view: &MapView<'_>,
    target: &Target,
    settings: &Settings,
    desired: &mut Desired,
) -> Result<(), StoreError> {
    let mut after = None;
    loop {
        let page = view.users(after.as_ref(), PAGE)?;
        for user in &page {
            of_user(view, target, settings, &user.value, desired)?;
        }
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.value.id.clone()),
            _ => return Ok(()),
        }
    }
}

/// A user's devices, and whom its numbers ring while fed-node is down.
pub(super) fn of_user(
    view: &MapView<'_>,
    target: &Target,
    settings: &Settings,
    user: &User,
    desired: &mut Desired,
) -> Result<(), StoreError> {
    for device in view.devices_of(&user.id)? {
        desired.add(objects(view, target, settings, user, &device.value)?);
    }
    desired.globals.extend(globals(view, user)?);
    Ok(())
}

/// What each number of a user rings while fed-node is down: the user's devices that are registered at this server then. A user id that
/// is its only device's id needs none: the dialplan tries the name as a device.
pub(super) fn globals(view: &MapView<'_>, user: &User) -> Result<Vec<(String, Global)>, StoreError> {
    let devices = view.device_ids_of(&user.id)?;
    let list = devices.iter().map(DeviceId::as_str).collect::<Vec<_>>().join("&");
    let plain = matches!(&devices[..], [only] if only.as_str() == user.id.as_str());
    let own = (!plain && !devices.is_empty()).then_some(user.id.as_str());
    let names = user.numbers.iter().map(|n| n.as_str()).chain(own);
    Ok(names
        .map(|name| {
            (
                devices_variable(name),
                Global {
                    user: user.id.clone(),
                    devices: list.clone(),
                },
            )
        })
        .collect())
}

/// The objects of one device; none where its technology cannot be pushed. A digest that does not open is an error: without its objects
/// the device would be taken out of Asterisk.
pub(super) fn objects(
    view: &MapView<'_>,
    target: &Target,
    settings: &Settings,
    user: &User,
    device: &Device,
) -> Result<Vec<Object>, StoreError> {
    if device.technology != Technology::Pjsip {
        return Ok(Vec::new());
    }
    let id = device.id.as_str();
    let credentials = &device.credentials;
    let locate = redirect_aor(id);
    // A leg that is redirected keeps the endpoint's media settings, which a trunk does not speak: such a device is found by asking the route only.
    let web = device.transport == TransportProfile::WebRtc;
    let redirected = settings.redirected && !web;
    // Without a contact it is there all the same: by it an endpoint is known as ours.
    let mut locate_fields = vec![("max_contacts", "0".into()), ("qualify_frequency", "0".into())];
    if redirected {
        locate_fields.push(("contact", format!("sip:{id}@{}", target.redirect)));
    }
    // Asterisk cannot tell the redirect server's answer from a phone's own: with `user` it calls what either names in the dialplan, if anything.
    let redirect_method = if redirected { "uri_pjsip" } else { "user" };
    Ok(vec![
        target.object(
            ObjectType::Auth,
            id,
            vec![
                ("auth_type", "md5".into()),
                ("username", id.into()),
                ("realm", credentials.realm.clone()),
                ("md5_cred", view.ha1(device)?),
            ],
        ),
        target.object(
            ObjectType::Aor,
            id,
            vec![
                ("max_contacts", device.max_contacts.to_string()),
                ("remove_existing", "yes".into()),
                ("support_path", "yes".into()),
                ("qualify_frequency", "0".into()),
            ],
        ),
        target.object(ObjectType::Aor, &locate, locate_fields),
        target.object(
            ObjectType::Endpoint,
            id,
            vec![
                ("context", settings.context.clone()),
                ("aors", format!("{id},{locate}")),
                ("auth", id.into()),
                ("allow", codecs(device)),
                ("redirect_method", redirect_method.into()),
                ("direct_media", "no".into()),
                ("rtp_symmetric", "yes".into()),
                ("force_rport", "yes".into()),
                ("rewrite_contact", "yes".into()),
                ("callerid", caller_id(user)),
                ("mailboxes", user.mailbox.clone().unwrap_or_default()),
                ("webrtc", if web { "yes" } else { "no" }.into()),
                ("identify_by", "username".into()),
                ("trust_id_inbound", "no".into()),
                ("send_pai", "yes".into()),
            ],
        ),
    ])
}

fn codecs(device: &Device) -> String {
    if device.codecs.is_empty() {
        return format!("!all,{CODECS}");
    }
    format!("!all,{}", device.codecs.join(","))
}

/// `"Name" <number>` without anything that means something to a dialplan, a header or a configuration line.
fn caller_id(user: &User) -> String {
    let name: String = user
        .display_name
        .chars()
        .map(|c| {
            if c.is_control() || "\"<>\\${}[];,&|()".contains(c) {
                ' '
            } else {
                c
            }
        })
        .collect();
    let number = user.numbers.first().map_or(user.id.as_str(), |n| n.as_str());
    match name.split_whitespace().collect::<Vec<_>>().join(" ") {
        name if name.is_empty() => format!("<{number}>"),
        name => format!("\"{name}\" <{number}>"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use fed_core::ids::{Number, UserId};

    fn named(name: &str) -> String {
        let mut user = User::new(UserId::new("alice").expect("an id"));
        user.display_name = name.to_owned();
        user.numbers = vec![Number::new("1001").expect("a number")];
        caller_id(&user)
    }

    #[test]
    fn a_display_name_says_nothing_to_a_dialplan_a_header_or_a_line() {
        // Every character, printable or not, of the first planes that phones show.
        for c in (0..=0x2fff).filter_map(char::from_u32) {
            let shown = named(&format!("A{c}{c}B"));
            let name = shown.strip_suffix(" <1001>").expect("the number is last");
            let name = name.strip_prefix('"').and_then(|name| name.strip_suffix('"'));
            let name = name.expect("the name is quoted");
            let harmless = !name.chars().any(|c| c.is_control() || "\"<>\\${}[];,&|()".contains(c));
            assert!(
                harmless && name.starts_with('A') && name.ends_with('B'),
                "{c:?}: {shown}"
            );
        }
    }

    #[test]
    fn a_name_of_nothing_else_leaves_the_number() {
        for name in ["", "  ", "${}", "\n\t"] {
            assert_eq!(named(name), "<1001>", "{name:?}");
        }
    }
}
