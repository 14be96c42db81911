//! Names that Asterisk's dialplan keeps for itself: nobody gets one. Who has one from before this rule keeps it, and is changed like
//! everybody else: an operator must be able to set a forward or a password there. `doctor` names them.

use fed_core::command::Command;
use fed_core::ids::Number;
use fed_core::map::MapView;
use tonic::Status;

use super::convert::BadRequest;
use super::failure::damaged;

/// Extensions that Asterisk goes to by itself (hangup, invalid, start, timeouts, the exits of a voice mailbox, exceptions, a fax tone,
/// a call file that failed): calls to one of that name would be taken for that, or the other way about.
///
/// Where calls are forwarded is not looked at: the router looks it up in the map and dials devices, and no dialplan goes there.
pub(crate) const RESERVED: [&str; 10] = ["a", "e", "failed", "fax", "h", "i", "o", "s", "t", "T"];

/// Checks the id and the numbers of a user; `had` are the numbers of the one that is there.
///
/// # Errors
/// [`BadRequest`] for the first name that the dialplan keeps for itself and the user does not have yet.
pub(crate) fn user<'n>(
    id: &str,
    numbers: impl IntoIterator<Item = &'n str>,
    had: Option<&[&str]>,
) -> Result<(), BadRequest> {
    let bad = |field, name: &str| BadRequest::field(format!("user {}", id.escape_debug()), field, why(name));
    if had.is_none() && RESERVED.contains(&id) {
        return Err(bad("id", id));
    }
    let had = had.unwrap_or_default();
    let mut numbers = numbers.into_iter();
    match numbers.find(|number| RESERVED.contains(number) && !had.contains(number)) {
        Some(number) => Err(bad("numbers", number)),
        None => Ok(()),
    }
}

/// Checks the id of a device that is not there yet.
///
/// # Errors
/// [`BadRequest`] when the dialplan keeps it for itself.
pub(crate) fn new_device(id: &str) -> Result<(), BadRequest> {
    if !RESERVED.contains(&id) {
        return Ok(());
    }
    let object = format!("device {}", id.escape_debug());
    Err(BadRequest::field(object, "id", why(id)))
}

fn why(name: &str) -> String {
    format!("{name:?} is an extension that Asterisk's dialplan keeps for itself: choose another")
}

/// Whether it depends on the map if the command may be done.
pub(super) fn concerns(command: &Command) -> bool {
    match command {
        Command::PutUser { user, .. } => {
            let mut names = user.numbers.iter().map(Number::as_str).chain([user.id.as_str()]);
            names.any(|name| RESERVED.contains(&name))
        }
        Command::PutDevice { device, .. } => RESERVED.contains(&device.id.as_str()),
        _ => false,
    }
}

/// Refuses a command that would give somebody such a name.
pub(super) fn check(command: &Command, view: &MapView<'_>) -> Result<(), Status> {
    if !concerns(command) {
        return Ok(());
    }
    let checked = match command {
        Command::PutUser { user, .. } => {
            let there = view.user(&user.id).map_err(|error| damaged(&error))?;
            let had: Option<Vec<&str>> = there
                .as_ref()
                .map(|there| there.value.numbers.iter().map(Number::as_str).collect());
            self::user(
                user.id.as_str(),
                user.numbers.iter().map(Number::as_str),
                had.as_deref(),
            )
        }
        Command::PutDevice { device, .. } => match view.device(&device.id).map_err(|error| damaged(&error))? {
            Some(_) => Ok(()),
            None => new_device(device.id.as_str()),
        },
        _ => Ok(()),
    };
    Ok(checked?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_the_dialplan_keeps_for_itself_go_to_nobody() {
        for taken in ["a", "e", "failed", "fax", "h", "i", "o", "s", "t", "T"] {
            for refused in [
                user(taken, [], None),
                user("alice", ["1001", taken], None),
                user("alice", ["1001", taken], Some(&["1001"])),
                new_device(taken),
            ] {
                let error = refused.unwrap_err().to_string();
                assert!(error.contains(&format!("{taken:?} is an extension")), "{error}");
            }
        }
        for free in ["A", "aa", "fax1", "Failed"] {
            user(free, [free], None).unwrap();
            new_device(free).unwrap();
        }
    }

    #[test]
    fn who_has_such_a_name_keeps_it_and_gets_no_second_one() {
        user("fax", ["1001", "o"], Some(&["o", "1001"])).unwrap();
        user("fax", ["1001"], Some(&["o"])).unwrap();
        let second = user("fax", ["o", "t"], Some(&["o"])).unwrap_err().to_string();
        assert!(
            second.starts_with("numbers of user fax: \"t\" is an extension"),
            "{second}"
        );
    }
}
