//! Applying commands to the map: check first, then write, so that a refused command has written nothing.

use super::keys::{self, Counted};
use super::rows;
use super::view::MapView;
use crate::command::{Command, Expect, Object, Refusal, Reply};
use crate::event::Change;
use crate::ids::Revision;
use crate::kv::{Overlay, StoreError, WriteStore};
use crate::records::Record;
use crate::stored::Count;

mod audit;
mod binding;
mod device;
mod node;
mod placement;
mod setting;
mod token;
mod user;

/// One command on its way into the map.
pub(super) struct Applier<'s> {
    pub(super) revision: Revision,
    pub(super) store: &'s mut dyn WriteStore,
    pub(super) events: &'s mut Vec<Change>,
}

/// Why a command went no further.
enum Stop {
    Refused(Refusal),
    Failed(StoreError),
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Failed(error)
    }
}

type Applied = Result<Reply, Stop>;

impl Applier<'_> {
    pub(super) fn apply(&mut self, command: Command) -> Result<Reply, StoreError> {
        match self.dispatch(command) {
            Ok(reply) => Ok(reply),
            Err(Stop::Refused(refusal)) => Ok(Reply::Refused(refusal)),
            Err(Stop::Failed(error)) => Err(error),
        }
    }

    fn dispatch(&mut self, command: Command) -> Applied {
        match command {
            Command::PutUser { user, expect } => self.put_user(user, expect),
            Command::DeleteUser { id, expect } => self.delete_user(&id, expect),
            Command::PutDevice { device, expect } => self.put_device(device, expect),
            Command::DeleteDevice { id, expect } => self.delete_device(&id, expect),
            Command::Bind {
                device,
                contact,
                node,
                session,
                basis,
                user_agent,
                path,
            } => {
                let binding = crate::records::Binding {
                    device,
                    contact,
                    node,
                    session,
                    user_agent,
                    path,
                };
                self.bind(binding, basis)
            }
            Command::Unbind { device, contact, node } => self.unbind(&device, &contact, node),
            Command::PutNode { node, expect } => self.put_node(node, expect),
            Command::DeleteNode { id } => self.delete_node(id),
            Command::OpenSession { node } => self.open_session(node),
            Command::EndSession { session } => self.end_session(session),
            Command::PutSetting { key, value, expect } => self.put_setting(key, value, expect),
            Command::DeleteSetting { key, expect } => self.delete_setting(key, expect),
            Command::Batch(commands) => self.batch(commands),
            Command::PutToken { token, expect } => self.put_token(token, expect),
            Command::RevokeToken { id } => self.revoke_token(id),
            Command::UseToken { id, expect } => self.use_token(id, expect),
            Command::By { origin, command } => self.by(origin, *command),
            Command::Note { .. } => Err(in_nobodys_name().into()),
        }
    }

    fn batch(&mut self, commands: Vec<Command>) -> Applied {
        let mut replies = Vec::with_capacity(commands.len());
        let mut events = Vec::new();
        let mut buffer = Overlay::new(self.store);
        let mut inner = Applier {
            revision: self.revision,
            store: &mut buffer,
            events: &mut events,
        };
        for (index, command) in commands.into_iter().enumerate() {
            let why = match command {
                Command::Batch(_) | Command::By { .. } => nested_batch(),
                command => match inner.apply(command)? {
                    Reply::Refused(refusal) => refusal,
                    Reply::BindingRefused { by } => Refusal::BoundElsewhere {
                        device: by.device,
                        node: by.node,
                    },
                    reply => {
                        replies.push(reply);
                        continue;
                    }
                },
            };
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            return Err(Refusal::InBatch {
                index,
                why: Box::new(why),
            }
            .into());
        }
        for change in buffer.into_changes() {
            self.store.change(change);
        }
        self.events.append(&mut events);
        Ok(Reply::Batch(replies))
    }

    /// The map as it is now, with what this command has written.
    fn view(&self) -> MapView<'_> {
        MapView::new(self.store)
    }

    fn done(&self) -> Applied {
        Ok(Reply::Done {
            revision: self.revision,
        })
    }

    /// There was nothing to do: the map stays at the revision it has.
    fn nothing_to_do(&self) -> Applied {
        Ok(Reply::Done {
            revision: self.revision.previous(),
        })
    }

    /// The record for `value`, made or changed by this command.
    fn record<T>(&self, before: Option<Revision>, value: T) -> Record<T> {
        Record {
            created: before.unwrap_or(self.revision),
            modified: self.revision,
            value,
        }
    }

    fn count(&mut self, what: Counted, from: usize, to: usize) -> Result<(), StoreError> {
        if from == to {
            return Ok(());
        }
        let (from, to) = (from as u64, to as u64);
        let count = (self.view().count(what)? + to)
            .checked_sub(from)
            .ok_or_else(|| StoreError::Inconsistent(format!("the count of {what:?} is less than there are")))?;
        rows::write(self.store, keys::COUNTS, what.key().to_vec(), &Count(count))
    }
}

impl Expect {
    /// Whether an object at revision `actual` (`None`: not there) may be put.
    fn check(self, object: Object, actual: Option<Revision>) -> Result<(), Refusal> {
        let met = match self {
            Self::Any => true,
            Self::Absent => actual.is_none(),
            Self::Revision(expected) => actual == Some(expected),
        };
        if met {
            Ok(())
        } else {
            Err(Refusal::Conflict {
                object,
                expected: self,
                actual,
            })
        }
    }

    /// Whether an object at revision `actual` (`None`: not there) may be deleted.
    fn check_delete(self, object: Object, actual: Option<Revision>) -> Result<(), Refusal> {
        match (self, actual) {
            (Self::Any | Self::Absent, None) => Err(Refusal::NotFound { object }),
            _ => self.check(object, actual),
        }
    }
}

fn in_nobodys_name() -> Refusal {
    Refusal::Invalid {
        object: Object::Batch,
        field: "note".to_owned(),
        why: "a note is made by itself, in somebody's name".to_owned(),
    }
}

fn nested_batch() -> Refusal {
    Refusal::Invalid {
        object: Object::Batch,
        field: "commands".to_owned(),
        why: "a batch holds no batch: put its commands side by side".to_owned(),
    }
}
