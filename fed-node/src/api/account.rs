//! Changes on their way into the map in somebody's name, and what the audit log is to say of them that the map does not write there by itself.
//!
//! The map's entry names the first [`MOST_NAMED`] objects that a command changed. Before one that may change more there are notes that name
//! everything it is asked for, and the devices that go with a user, in the same group: whatever ends this node, the change is not in the
//! map without them. Such a command is tried first, on a state no older than the question: one that would be refused there, or change
//! nothing, has its answer from that and leaves no notes, by which older entries could be pushed out for nothing. What the map refused
//! leaves no entry of its own; it is told to [`super::refusals`], which has so much of it written down and no more.

use fed_core::audit::MOST_NAMED;
use fed_core::command::{Command, Reply};
use fed_core::ids::{DeviceId, Revision, UserId};
use fed_core::kv::ReadStore;
use fed_core::map::MapView;
use fed_proto::client as pb;
use fed_raft::{ProposeError, Proposed};

use super::caller::Caller;
use super::service::ApiService;
use super::would;
use crate::security::NOTES_FROM_LEVEL;

/// What can go with a device: as many bindings as it may have, and itself.
const OF_A_DEVICE: usize = 11;
/// Characters of names in one note, which the map bounds to 200 in all.
const NAMES: usize = 160;

/// What comes before a command.
#[derive(Debug, PartialEq, Eq)]
enum Before {
    /// These notes, or none.
    Notes(Vec<String>),
    /// The answer: it would change nothing.
    Answered(Proposed<Reply>),
}

/// Where the answer to a command is.
enum Answer {
    Known(Proposed<Reply>),
    /// After those to so many notes.
    After(usize),
}

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
        let before = self.before(&commands).await;
        let mut answers = Vec::with_capacity(commands.len());
        let mut all = Vec::with_capacity(commands.len());
        for (command, before) in commands.into_iter().zip(before) {
            let kind = kind(&command);
            match before {
                Before::Answered(known) => answers.push((kind, Answer::Known(known))),
                Before::Notes(notes) => {
                    answers.push((kind, Answer::After(notes.len())));
                    let notes = notes.into_iter().map(|text| Command::Note { text });
                    all.extend(notes.chain([command]).map(|command| self.named(caller, command)));
                }
            }
        }
        let proposed = if all.is_empty() {
            Vec::new()
        } else {
            self.0.cluster.propose_many(all).await?
        };
        let mut proposed = proposed.into_iter();
        let mut done = Vec::with_capacity(answers.len());
        for (kind, answer) in answers {
            let answer = match answer {
                Answer::Known(known) => Some(known),
                Answer::After(notes) => proposed.nth(notes),
            };
            let Some(answer) = answer else { break };
            if let Reply::Refused(why) = &answer.reply {
                self.0.door.refused_by_map(&caller.who, told(kind, &why.to_string()));
            }
            done.push(answer);
        }
        Ok(done)
    }

    /// What comes before each of the commands.
    async fn before(&self, commands: &[Command]) -> Vec<Before> {
        let local = self.0.cluster.local();
        let large = commands
            .iter()
            .any(|command| may_change_more(command, &MapView::new(&local)));
        if !large || self.0.cluster.status().feature_level < NOTES_FROM_LEVEL {
            return commands.iter().map(|_| Before::Notes(Vec::new())).collect();
        }
        match self.snapshot(pb::Consistency::Linearizable as i32).await {
            Ok((fresh, _)) => before(&fresh, Some(fresh.revision()), commands),
            // What becomes of the change is for the leader to say.
            Err(_) => before(&local, None, commands),
        }
    }
}

/// What comes before each of the commands, with the map in `store`. They are tried only where that is of the revision `fresh` and no older
/// than the question.
fn before(store: &dyn ReadStore, fresh: Option<Revision>, commands: &[Command]) -> Vec<Before> {
    let view = MapView::new(store);
    // A store that fails is told of by the change itself.
    let tried = fresh.map(|at| would::in_vain(store, at, commands).unwrap_or_default());
    let mut tried = tried.unwrap_or_default().into_iter();
    let before = commands.iter().map(|command| {
        let in_vain = tried.next().flatten();
        if !may_change_more(command, &view) {
            return Before::Notes(Vec::new());
        }
        match (in_vain, fresh) {
            (Some(reply), Some(revision)) => Before::Answered(Proposed {
                reply,
                revision,
                duplicate: false,
            }),
            _ => Before::Notes(spelt(&objects(command, &view))),
        }
    });
    before.collect()
}

/// Whether a command may change more than the map's entry names.
fn may_change_more(command: &Command, view: &MapView<'_>) -> bool {
    let parts = parts(command);
    let changes: usize = parts.iter().map(|part| most_changes(part, view)).sum();
    // What a batch does first may give a user that it deletes later any number of devices.
    let unclear = parts.len() > 1 && parts.iter().any(|part| matches!(part, Command::DeleteUser { .. }));
    changes > MOST_NAMED || unclear
}

fn parts(command: &Command) -> &[Command] {
    match command {
        Command::Batch(commands) => commands.as_slice(),
        one => std::slice::from_ref(one),
    }
}

/// How much one command can change.
fn most_changes(command: &Command, view: &MapView<'_>) -> usize {
    match command {
        Command::DeleteUser { id, .. } => 1 + devices_of(id, view).len() * OF_A_DEVICE,
        Command::DeleteDevice { .. } => OF_A_DEVICE,
        _ => 1,
    }
}

/// A store that fails is told of by the change itself.
fn devices_of(user: &UserId, view: &MapView<'_>) -> Vec<DeviceId> {
    view.device_ids_of(user).unwrap_or_default()
}

/// What a command is asked for, each by its kind and its object.
fn objects(command: &Command, view: &MapView<'_>) -> Vec<(&'static str, String)> {
    let mut objects = Vec::new();
    for part in parts(command) {
        objects.push((kind(part), object(part)));
        if let Command::DeleteUser { id, .. } = part {
            let devices = devices_of(id, view).into_iter();
            objects.extend(devices.map(|device| ("device_deleted", device.to_string())));
        }
    }
    objects
}

/// Their names, in as many notes as it takes.
fn spelt(objects: &[(&'static str, String)]) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    let mut before = "";
    for (kind, object) in objects {
        let room = NAMES.saturating_sub(kind.len() + object.chars().count() + 3);
        match notes.last_mut().filter(|note| note.chars().count() <= room) {
            Some(note) if *kind == before => note.extend([" ", object]),
            Some(note) => note.extend(["; ", *kind, " ", object]),
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
#[path = "account_tests.rs"]
mod tests;
