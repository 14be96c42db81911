//! Changes on their way into the map in somebody's name, and what the audit log is to say of them that the map does not write there by itself.
//!
//! The map's entry names the first [`MOST_NAMED`] objects that a command changed. Before one that may change more there are notes that name
//! everything it is asked for, in the same group: whatever ends this node, the change is not in the map without them. What the map refused
//! leaves no entry of its own; it is told to [`super::refusals`], which has so much of it written down and no more.

use fed_core::audit::MOST_NAMED;
use fed_core::command::{Command, Reply};
use fed_core::map::MapView;
use fed_raft::{ProposeError, Proposed};

use super::caller::Caller;
use super::service::ApiService;
use crate::security::NOTES_FROM_LEVEL;

/// What can go with a device: as many bindings as it may have, and itself.
const OF_A_DEVICE: usize = 11;
/// Characters of names in one note, which the map bounds to 200 in all.
const NAMES: usize = 160;

impl ApiService {
    /// Has each command done in the caller's name, in order; what became of each.
    ///
    /// # Errors
    /// As [`fed_raft::Cluster::propose_many`].
    pub(super) async fn propose_named(
        &self,
        caller: &Caller,
        commands: Vec<Command>,
    ) -> Result<Vec<Proposed<Reply>>, ProposeError> {
        let mut kinds = Vec::with_capacity(commands.len());
        let mut all = Vec::with_capacity(commands.len());
        for command in commands {
            for text in self.names_before(&command) {
                kinds.push(None);
                all.push(self.named(caller, Command::Note { text }));
            }
            kinds.push(Some(kind(&command)));
            all.push(self.named(caller, command));
        }
        let proposed = self.0.cluster.propose_many(all).await?;
        let mut done = Vec::with_capacity(proposed.len());
        for (proposed, kind) in proposed.into_iter().zip(kinds) {
            let Some(kind) = kind else { continue };
            if let Reply::Refused(why) = &proposed.reply {
                self.0.door.refused_by_map(&caller.who, told(kind, &why.to_string()));
            }
            done.push(proposed);
        }
        Ok(done)
    }

    /// Notes with everything a command is asked for, where the map's own entry may not name it all.
    fn names_before(&self, command: &Command) -> Vec<String> {
        let parts = match command {
            Command::Batch(commands) => commands.as_slice(),
            one => std::slice::from_ref(one),
        };
        let devices = |command: &Command| match command {
            // A store that fails is told of by the change itself.
            Command::DeleteUser { id, .. } => MapView::new(&self.0.cluster.local())
                .device_ids_of(id)
                .map_or(0, |devices| devices.len()),
            _ => 0,
        };
        let changes: usize = parts
            .iter()
            .map(|command| most_changes(command, devices(command)))
            .sum();
        // What a batch does first may give a user that it deletes later any number of devices.
        let unclear = parts.len() > 1 && parts.iter().any(|part| matches!(part, Command::DeleteUser { .. }));
        if (changes <= MOST_NAMED && !unclear) || self.0.cluster.status().feature_level < NOTES_FROM_LEVEL {
            return Vec::new();
        }
        spelt(parts)
    }
}

/// How much one command can change, where the user it deletes has so many devices.
fn most_changes(command: &Command, devices: usize) -> usize {
    match command {
        Command::DeleteUser { .. } => 1 + devices * OF_A_DEVICE,
        Command::DeleteDevice { .. } => OF_A_DEVICE,
        _ => 1,
    }
}

/// The names of all that is asked for, in as many notes as it takes.
fn spelt(parts: &[Command]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut before = "";
    for command in parts {
        let (kind, object) = (kind(command), object(command));
        let room = NAMES.saturating_sub(kind.len() + object.chars().count() + 3);
        match notes.last_mut().filter(|note| note.chars().count() <= room) {
            Some(note) if kind == before => note.extend([" ", &object]),
            Some(note) => note.extend(["; ", kind, " ", &object]),
            None => notes.push(format!("{kind} {object}")),
        }
        before = kind;
    }
    let count = notes.len();
    let numbered = notes.into_iter().zip(1..);
    numbered
        .map(|(names, number)| format!("asked for together, {number} of {count}: {names}"))
        .collect()
}

/// A refusal in the words of a note.
fn told(kind: &str, why: &str) -> String {
    let plain: String = why.chars().map(|c| if c.is_control() { '?' } else { c }).collect();
    format!("refused {kind}: {plain}")
}

/// What a command does, in the words of the entries.
fn kind(command: &Command) -> &'static str {
    match command {
        Command::PutUser { .. } => "user_put",
        Command::DeleteUser { .. } => "user_deleted",
        Command::PutDevice { .. } => "device_put",
        Command::DeleteDevice { .. } => "device_deleted",
        Command::Bind { .. } => "bound",
        Command::Unbind { .. } => "unbound",
        Command::PutNode { .. } => "node_put",
        Command::DeleteNode { .. } => "node_deleted",
        Command::OpenSession { .. } => "session_opened",
        Command::EndSession { .. } => "session_ended",
        Command::PutSetting { .. } => "setting_put",
        Command::DeleteSetting { .. } => "setting_deleted",
        Command::PutToken { .. } => "token_put",
        Command::RevokeToken { .. } | Command::UseToken { .. } => "token_deleted",
        Command::Batch(_) => "changes",
        Command::By { command, .. } => kind(command),
        Command::Note { .. } => "note",
    }
}

/// What it does that to.
fn object(command: &Command) -> String {
    match command {
        Command::PutUser { user, .. } => user.id.to_string(),
        Command::DeleteUser { id, .. } => id.to_string(),
        Command::PutDevice { device, .. } => device.id.to_string(),
        Command::DeleteDevice { id, .. } => id.to_string(),
        Command::Bind { device, .. } | Command::Unbind { device, .. } => device.to_string(),
        Command::PutNode { node, .. } => node.id.to_string(),
        Command::DeleteNode { id } | Command::OpenSession { node: id } => id.to_string(),
        Command::EndSession { session } => session.to_string(),
        Command::PutSetting { key, .. } | Command::DeleteSetting { key, .. } => key
            .chars()
            .map(|c| {
                if c.is_ascii_alphanumeric() || "._-".contains(c) {
                    c
                } else {
                    '?'
                }
            })
            .take(64)
            .collect(),
        Command::PutToken { token, .. } => token.id.to_string(),
        Command::RevokeToken { id } | Command::UseToken { id, .. } => id.to_string(),
        Command::Batch(commands) => commands.len().to_string(),
        Command::By { command, .. } => object(command),
        Command::Note { .. } => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use fed_core::command::Expect;
    use fed_core::ids::UserId;
    use fed_core::records::User;

    use super::*;

    fn put_user(id: &str) -> Command {
        Command::PutUser {
            user: User::new(UserId::new(id).unwrap()),
            expect: Expect::Any,
        }
    }

    fn put_setting(key: &str) -> Command {
        Command::PutSetting {
            key: key.to_owned(),
            value: "canary".into(),
            expect: Expect::Any,
        }
    }

    #[test]
    fn every_object_of_a_large_change_is_named_once_in_notes_that_the_map_takes() {
        // Of every length that an id may have.
        let names: Vec<String> = (0..500).map(|n| format!("{n:03}{}", "u".repeat(n % 38))).collect();
        let commands: Vec<Command> = names.iter().map(|name| put_user(name)).collect();
        let notes = spelt(&commands);
        let mut found = Vec::new();
        for (note, number) in notes.iter().zip(1..) {
            assert!(note.chars().count() <= 200, "{note}");
            let head = format!("asked for together, {number} of {}: user_put ", notes.len());
            found.extend(note.strip_prefix(&head).unwrap_or_else(|| panic!("{note}")).split(' '));
        }
        assert_eq!(found, names);
    }

    #[test]
    fn kinds_are_told_apart_and_values_are_not_told() {
        let notes = spelt(&[
            put_user("a"),
            put_user("b"),
            put_setting("x-n\n; user_put c"),
            put_user("d"),
        ]);
        assert_eq!(
            notes,
            ["asked for together, 1 of 1: user_put a b; setting_put x-n???user_put?c; user_put d"]
        );
    }

    #[test]
    fn a_deletion_counts_as_much_as_may_go_with_it() {
        let delete = Command::DeleteUser {
            id: UserId::new("a").unwrap(),
            expect: Expect::Any,
        };
        assert!(most_changes(&delete, 1) <= MOST_NAMED && most_changes(&delete, 2) > MOST_NAMED);
        assert_eq!(most_changes(&put_user("a"), 0), 1);
    }

    #[test]
    fn a_refusal_is_one_line() {
        assert_eq!(told("user_put", "a\nb"), "refused user_put: a?b");
    }
}
