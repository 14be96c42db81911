//! The map as a machine and as something to read.
//!
//! [`FederationMap`] applies commands; [`MapView`] reads. Both work on any [`crate::kv`] store. Keys are
//! written by hand, big-endian, in `map::keys`; values go through `stored`.

use crate::command::{Command, Refusal, Reply};
use crate::event::Change;
use crate::ids::{NodeId, Revision, SessionId};
use crate::kv::{ReadStore, StoreError, WriteStore};
use crate::machine::Machine;

mod apply;
mod keys;
mod powers;
mod rows;
mod view;

pub use view::{Counts, MapView};

/// The federation's map as a replicated machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct FederationMap;

impl Machine for FederationMap {
    type Command = Command;
    type Reply = Reply;
    type Event = Change;

    fn apply(
        &self,
        revision: Revision,
        command: Command,
        store: &mut dyn WriteStore,
        events: &mut Vec<Change>,
    ) -> Result<Reply, StoreError> {
        apply::Applier {
            revision,
            store,
            events,
        }
        .apply(command)
    }

    fn shrinks(&self, command: &Command) -> bool {
        match command {
            Command::DeleteUser { .. }
            | Command::DeleteDevice { .. }
            | Command::Unbind { .. }
            | Command::DeleteNode { .. }
            | Command::EndSession { .. }
            | Command::DeleteSetting { .. }
            | Command::RevokeToken { .. }
            | Command::UseToken { .. } => true,
            // Of the audit log, whose length is bounded: what is deleted to make room is told of in notes beside it.
            Command::Note { .. } => true,
            // One a node, in place of the one before: without it a whole server would be unreachable.
            Command::OpenSession { .. } => true,
            Command::PutUser { .. }
            | Command::PutDevice { .. }
            | Command::Bind { .. }
            | Command::PutNode { .. }
            | Command::PutSetting { .. }
            | Command::PutToken { .. } => false,
            Command::Batch(commands) => commands.iter().all(|command| self.shrinks(command)),
            // Its entry in the audit log is small, and in the end takes the place of another.
            Command::By { command, .. } => self.shrinks(command),
        }
    }

    fn level_of(&self, command: &Command) -> u32 {
        match command {
            Command::Note { .. } => 3,
            Command::By { command, .. } => self.level_of(command).max(2),
            Command::PutToken { .. } | Command::RevokeToken { .. } | Command::UseToken { .. } => 2,
            Command::PutDevice { device, .. } if device.credentials.is_sealed() => 2,
            Command::PutSetting { value, .. } if value.is_sealed() => 2,
            Command::Batch(commands) => commands.iter().map(|command| self.level_of(command)).max().unwrap_or(1),
            _ => 1,
        }
    }

    fn newest_level(&self) -> u32 {
        3
    }

    fn may_propose(&self, from: NodeId, level: u32, store: &dyn ReadStore, command: &Command) -> Result<(), String> {
        let powers = powers::Powers {
            member: from,
            level,
            store,
        };
        powers.judge(command)
    }

    fn forgotten(&self) -> Reply {
        Reply::Refused(Refusal::Forgotten)
    }

    fn open_sessions(&self, store: &dyn ReadStore) -> Result<Vec<SessionId>, StoreError> {
        Ok(MapView::new(store)
            .sessions()?
            .into_iter()
            .map(|session| session.id)
            .collect())
    }

    fn end_session(&self, session: SessionId) -> Command {
        Command::EndSession { session }
    }
}
