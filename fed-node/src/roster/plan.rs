//! From a checked file and what the map has to the changes, or to everything that the map would refuse. Pure.

use std::collections::HashMap;

use fed_proto::client as pb;
use pb::change::What;

use super::check::{LineError, Roster};
use crate::api::{BadRequest, difference, reserved};

/// What must be written.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Plan {
    /// Before all else: users without the numbers that go from them to others of the file.
    pub(super) releases: Vec<pb::PutUserRequest>,
    /// Users first: a device needs its user.
    pub(super) changes: Vec<pb::Change>,
    /// How many of the changes make something new.
    pub(super) added: usize,
}

/// A name of the file that leads to somebody else in the map, or that the dialplan keeps for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Taken {
    user: String,
    why: String,
}

impl Taken {
    pub(super) fn on_its_line(self, roster: &Roster) -> LineError {
        LineError {
            line: roster.lines.get(&self.user).copied().unwrap_or(0),
            user: self.user,
            why: self.why,
        }
    }
}

/// What the map has, by id.
#[derive(Debug, Default)]
pub(super) struct Present {
    pub(super) users: HashMap<String, pb::UserRecord>,
    pub(super) devices: HashMap<String, pb::DeviceRecord>,
}

impl Present {
    pub(super) fn new(users: Vec<pb::UserRecord>, devices: Vec<pb::DeviceRecord>) -> Self {
        let users = users.into_iter().filter_map(|r| Some((r.user.as_ref()?.id.clone(), r)));
        let devices = devices
            .into_iter()
            .filter_map(|r| Some((r.device.as_ref()?.id.clone(), r)));
        Self {
            users: users.collect(),
            devices: devices.collect(),
        }
    }

    fn user(&self, id: &str) -> Option<&pb::User> {
        self.users.get(id)?.user.as_ref()
    }

    fn device(&self, id: &str) -> Option<&pb::Device> {
        self.devices.get(id)?.device.as_ref()
    }
}

impl Plan {
    /// The changes that make the map say what the file says; nobody outside the file is touched, nor what the file has no column for.
    ///
    /// # Errors
    /// Every name of the file that leads to somebody else in the map, who keeps it, and every new one that the dialplan keeps for itself.
    pub(super) fn new(mut roster: Roster, present: &Present) -> Result<Self, Vec<Taken>> {
        fill_in(&mut roster, present);
        let mut taken = taken(&roster, present);
        taken.extend(kept_by_the_dialplan(&roster, present));
        if !taken.is_empty() {
            return Err(taken);
        }
        let mut plan = Self {
            releases: releases(&roster, present),
            ..Self::default()
        };
        for user in roster.users {
            let there = present.users.get(&user.id);
            if there.and_then(|record| record.user.as_ref()) != Some(&user) {
                let expect = plan.expect(there.and_then(|record| record.stamp));
                plan.push(What::PutUser(pb::PutUserRequest {
                    user: Some(user),
                    expect,
                }));
            }
        }
        for device in roster.devices {
            let there = present.devices.get(&device.id);
            if there.and_then(|record| record.device.as_ref()) != Some(&device) {
                let expect = plan.expect(there.and_then(|record| record.stamp));
                plan.push(What::PutDevice(pb::PutDeviceRequest {
                    device: Some(device),
                    expect,
                }));
            }
        }
        Ok(plan)
    }

    /// What would be made and changed, in the map's terms.
    pub(super) fn differences(&self, present: &Present) -> Vec<pb::WouldChange> {
        let change = |change: &pb::Change| match &change.what {
            Some(What::PutUser(put)) => {
                let id = put.user.as_ref()?.id.as_str();
                Some(difference::user(present.user(id), put.user.as_ref()))
            }
            Some(What::PutDevice(put)) => {
                let id = put.device.as_ref()?.id.as_str();
                Some(difference::device(present.device(id), put.device.as_ref()))
            }
            _ => None,
        };
        self.changes.iter().filter_map(change).collect()
    }

    /// Takes note of the revisions that the users have now that their numbers were taken away.
    pub(super) fn released(&mut self, revisions: &HashMap<String, u64>) {
        for change in &mut self.changes {
            if let Some(What::PutUser(put)) = &mut change.what
                && let Some(revision) = put.user.as_ref().and_then(|user| revisions.get(&user.id))
            {
                put.expect = Some(at(*revision));
            }
        }
    }

    /// Somebody else's change since the map was read is not overwritten.
    fn expect(&mut self, there: Option<pb::Stamp>) -> Option<pb::Expect> {
        Some(match there {
            Some(stamp) => at(stamp.modified),
            None => {
                self.added += 1;
                pb::Expect {
                    what: Some(pb::expect::What::Absent(true)),
                }
            }
        })
    }

    fn push(&mut self, what: What) {
        self.changes.push(pb::Change { what: Some(what) });
    }
}

/// Takes over what is there already where the file has no column for it.
fn fill_in(roster: &mut Roster, present: &Present) {
    let Some(columns) = &roster.columns else { return };
    let lacks = |column: &str| !columns.contains(column);
    macro_rules! keep {
        ($new:expr, $there:expr, $($column:literal => $field:ident),+) => {
            $(if lacks($column) { $new.$field.clone_from(&$there.$field); })+
        };
    }
    for user in &mut roster.users {
        if let Some(there) = present.user(&user.id) {
            keep!(user, there, "name" => display_name, "numbers" => numbers, "ring" => ring, "ring_timeout_s" => ring_timeout_s,
                "forward_always" => forward_always, "forward_busy" => forward_busy, "forward_no_answer" => forward_no_answer,
                "forward_offline" => forward_offline, "do_not_disturb" => do_not_disturb, "mailbox" => mailbox,
                "service_class" => service_class, "preferred_nodes" => preferred_nodes);
        }
    }
    for device in &mut roster.devices {
        if let Some(there) = present.device(&device.id) {
            keep!(device, there, "technology" => technology, "transport" => transport, "codecs" => codecs,
                "max_contacts" => max_contacts);
        }
    }
}

fn at(revision: u64) -> pb::Expect {
    pb::Expect {
        what: Some(pb::expect::What::Revision(revision)),
    }
}

/// Names of the file that lead to somebody else: to a user outside the file, or as the id of a device that is there. The file
/// itself has been checked.
fn taken(roster: &Roster, present: &Present) -> Vec<Taken> {
    let inside: HashMap<&str, &pb::User> = roster.users.iter().map(|user| (user.id.as_str(), user)).collect();
    let mut outside: HashMap<&str, &str> = HashMap::new();
    for user in present.users.values().filter_map(|record| record.user.as_ref()) {
        if !inside.contains_key(user.id.as_str()) {
            let names = std::iter::once(&user.id).chain(&user.numbers);
            outside.extend(names.map(|name| (name.as_str(), user.id.as_str())));
        }
    }
    let mut taken = Vec::new();
    let mut look = |name: &str, user: &str, holder: Option<&str>| {
        if let Some(holder) = holder.filter(|holder| *holder != user) {
            taken.push(Taken {
                user: user.to_owned(),
                why: format!(
                    "user {user}: {name} already leads to user {holder}: choose another, or take it from {holder} first"
                ),
            });
        }
    };
    for user in &roster.users {
        for name in std::iter::once(&user.id).chain(&user.numbers) {
            let device = present.device(name).map(|device| device.user.as_str());
            look(name, &user.id, outside.get(name.as_str()).copied().or(device));
        }
    }
    for device in &roster.devices {
        look(&device.id, &device.user, outside.get(device.id.as_str()).copied());
        // Between users of the file a device may change hands.
        let owner = present.device(&device.id).map(|device| device.user.as_str());
        look(
            &device.id,
            &device.user,
            owner.filter(|owner| !inside.contains_key(owner)),
        );
    }
    taken
}

/// Names of the file that nobody gets any more, where nobody has them.
fn kept_by_the_dialplan(roster: &Roster, present: &Present) -> Vec<Taken> {
    let users = roster.users.iter().map(|user| {
        let had = present.user(&user.id).map(|there| names(&there.numbers));
        (&user.id, reserved::user(&user.id, names(&user.numbers), had.as_deref()))
    });
    let new = |device: &&pb::Device| present.device(&device.id).is_none();
    let devices = roster.devices.iter().filter(new);
    let devices = devices.map(|device| (&device.user, reserved::new_device(&device.id)));
    let refused = |(user, checked): (&String, Result<(), BadRequest>)| {
        let why = checked.err()?.to_string();
        let user = user.clone();
        Some(Taken { user, why })
    };
    users.chain(devices).filter_map(refused).collect()
}

fn names(numbers: &[String]) -> Vec<&str> {
    numbers.iter().map(String::as_str).collect()
}

/// Users of the file without the numbers that it gives to others.
fn releases(roster: &Roster, present: &Present) -> Vec<pb::PutUserRequest> {
    let mut leads: HashMap<&str, &str> = HashMap::new();
    for user in &roster.users {
        let names = std::iter::once(&user.id).chain(&user.numbers);
        leads.extend(names.map(|name| (name.as_str(), user.id.as_str())));
    }
    for device in &roster.devices {
        leads.insert(&device.id, &device.user);
    }
    let mut releases = Vec::new();
    for user in &roster.users {
        let (Some(there), Some(record)) = (present.user(&user.id), present.users.get(&user.id)) else {
            continue;
        };
        let goes = |number: &String| leads.get(number.as_str()).is_some_and(|to| *to != user.id);
        if there.numbers.iter().any(goes) {
            let mut without = there.clone();
            without.numbers.retain(|number| !goes(number));
            releases.push(pb::PutUserRequest {
                user: Some(without),
                expect: record.stamp.map(|stamp| at(stamp.modified)),
            });
        }
    }
    releases
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: &str, numbers: &[&str]) -> pb::User {
        pb::User {
            id: id.to_owned(),
            numbers: numbers.iter().map(|number| (*number).to_owned()).collect(),
            ..pb::User::default()
        }
    }

    fn present(users: Vec<pb::User>) -> Present {
        let record = |user: pb::User| pb::UserRecord {
            user: Some(user),
            stamp: Some(pb::Stamp {
                modified: 7,
                ..pb::Stamp::default()
            }),
            ..pb::UserRecord::default()
        };
        let device = pb::DeviceRecord {
            device: Some(pb::Device {
                id: "phone".to_owned(),
                user: "carol".to_owned(),
                ..pb::Device::default()
            }),
            ..pb::DeviceRecord::default()
        };
        Present::new(users.into_iter().map(record).collect(), vec![device])
    }

    fn file(users: Vec<pb::User>) -> Roster {
        Roster {
            users,
            ..Roster::default()
        }
    }

    #[test]
    fn a_number_of_somebody_outside_the_file_is_said_before_anything_is_written() {
        let there = present(vec![user("carol", &["1003"])]);
        let taken = Plan::new(
            file(vec![user("alice", &["1003", "phone"]), user("bob", &["1002"])]),
            &there,
        );
        let taken = taken.unwrap_err();
        assert_eq!(taken.len(), 2, "{taken:?}");
        assert!(taken[0].why.contains("1003 already leads to user carol"), "{taken:?}");
        assert!(taken[1].why.contains("phone already leads to user carol"), "{taken:?}");
    }

    #[test]
    fn numbers_that_change_places_are_taken_away_first() {
        let there = present(vec![user("alice", &["1001", "1"]), user("bob", &["1002"])]);
        let mut plan = Plan::new(
            file(vec![user("alice", &["1002", "1"]), user("bob", &["1001"])]),
            &there,
        )
        .unwrap();
        let released: Vec<_> = plan.releases.iter().filter_map(|put| put.user.clone()).collect();
        assert_eq!(released, [user("alice", &["1"]), user("bob", &[])]);
        assert_eq!((plan.changes.len(), plan.added), (2, 0));
        plan.released(&HashMap::from([("alice".to_owned(), 9)]));
        let expects: Vec<_> = plan
            .changes
            .iter()
            .map(|change| match &change.what {
                Some(What::PutUser(put)) => put.expect,
                _ => None,
            })
            .collect();
        assert_eq!(expects, [Some(at(9)), Some(at(7))]);
    }

    #[test]
    fn a_device_of_somebody_outside_the_file_stays_with_her() {
        let there = present(vec![user("carol", &["1003"])]);
        let file = |user: &str| Roster {
            devices: vec![pb::Device {
                id: "phone".to_owned(),
                user: user.to_owned(),
                ..pb::Device::default()
            }],
            ..file(vec![self::user(user, &[])])
        };
        let taken = Plan::new(file("mallory"), &there).unwrap_err();
        assert_eq!(taken.len(), 1, "{taken:?}");
        assert!(taken[0].why.contains("phone already leads to user carol"), "{taken:?}");
        assert!(Plan::new(file("carol"), &there).is_ok());
    }

    #[test]
    fn a_name_of_the_dialplans_is_nobodys_but_whose_it_was() {
        let device = |id: &str, user: &str| pb::Device {
            id: id.to_owned(),
            user: user.to_owned(),
            ..pb::Device::default()
        };
        let mut there = present(vec![user("fax", &["o"])]);
        let record = pb::DeviceRecord {
            device: Some(device("fax", "fax")),
            ..pb::DeviceRecord::default()
        };
        there.devices.insert("fax".to_owned(), record);
        let mut changed = device("fax", "fax");
        changed.max_contacts = 3;
        let again = Roster {
            devices: vec![changed],
            ..file(vec![user("fax", &["o", "1001"])])
        };
        assert_eq!(Plan::new(again, &there).unwrap().changes.len(), 2);
        let new = Roster {
            devices: vec![device("s", "alice")],
            ..file(vec![user("t", &[]), user("alice", &["1002", "failed"])])
        };
        let told: Vec<String> = Plan::new(new, &there)
            .unwrap_err()
            .into_iter()
            .map(|taken| format!("{}: {}", taken.user, taken.why))
            .collect();
        let starts = [
            "t: id of user t: \"t\" is an extension",
            "alice: numbers of user alice: \"failed\" is an extension",
            "alice: id of device s: \"s\" is an extension",
        ];
        assert_eq!(told.len(), starts.len(), "{told:?}");
        for (told, start) in told.iter().zip(starts) {
            assert!(told.starts_with(start), "{told}");
        }
    }

    #[test]
    fn what_the_file_has_no_column_for_stays_as_it_is() {
        let mut alice = user("alice", &["1001"]);
        alice.display_name = "Alice A".to_owned();
        alice.forward_busy = Some("1002".to_owned());
        let there = present(vec![alice.clone()]);
        let with = |columns: &[&str]| Roster {
            columns: Some(columns.iter().map(|column| (*column).to_owned()).collect()),
            ..file(vec![user("alice", &["1001"])])
        };
        assert_eq!(Plan::new(with(&["user", "numbers"]), &there).unwrap(), Plan::default());
        let cleared = Plan::new(with(&["user", "numbers", "name"]), &there).unwrap();
        let Some(What::PutUser(put)) = &cleared.changes[0].what else {
            panic!("{cleared:?}")
        };
        alice.display_name.clear();
        assert_eq!(put.user.as_ref(), Some(&alice), "the column is there and empty");
    }

    #[test]
    fn what_the_file_leaves_as_it_is_is_not_written() {
        let there = present(vec![user("alice", &["1001"])]);
        let plan = Plan::new(file(vec![user("alice", &["1001"])]), &there).unwrap();
        assert_eq!(plan, Plan::default());
    }
}
