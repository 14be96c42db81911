//! A small machine for the tests: values, counters, sessions.

use std::ops::{Bound, ControlFlow};

use fed_core::ids::{NodeId, Revision, SessionId};
use fed_core::kv::{ReadStore, StoreError, Table, WriteStore};
use fed_core::machine::Machine;
use serde::{Deserialize, Serialize};

const VALUES: Table = Table(16);
const SESSIONS: Table = Table(17);

/// Knows feature levels up to 1 + `more`.
#[derive(Debug, Clone, Copy, Default)]
pub struct Values {
    pub more: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    Put {
        key: String,
        value: String,
    },
    /// Adds one to a counter.
    Count {
        key: String,
    },
    Open,
    End {
        session: u64,
    },
    Delete {
        key: String,
    },
    /// A kind of command that came with feature level 2.
    Append {
        key: String,
        value: String,
    },
    /// Takes its time, as a bulk of changes would.
    Slow {
        millis: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reply {
    Done,
    Counted(u64),
    Opened(u64),
    Forgotten,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    Put { key: String, value: String },
    Opened(u64),
    Ended(u64),
}

impl Machine for Values {
    type Command = Command;
    type Reply = Reply;
    type Event = Event;

    fn apply(
        &self,
        revision: Revision,
        command: Command,
        store: &mut dyn WriteStore,
        events: &mut Vec<Event>,
    ) -> Result<Reply, StoreError> {
        Ok(match command {
            Command::Put { key, value } => {
                put(store, events, key, value);
                Reply::Done
            }
            Command::Count { key } => {
                let counted = value(store, &key)?.map_or(0, |text| text.parse().unwrap_or(0)) + 1;
                put(store, events, key, counted.to_string());
                Reply::Counted(counted)
            }
            Command::Append { key, value: more } => {
                let all = value(store, &key)?.unwrap_or_default() + &more;
                put(store, events, key, all);
                Reply::Done
            }
            Command::Delete { key } => {
                store.delete(VALUES, key.into_bytes());
                Reply::Done
            }
            Command::Slow { millis } => {
                std::thread::sleep(std::time::Duration::from_millis(millis));
                Reply::Done
            }
            Command::Open => {
                store.put(SESSIONS, revision.0.to_be_bytes().to_vec(), Vec::new());
                events.push(Event::Opened(revision.0));
                Reply::Opened(revision.0)
            }
            Command::End { session } => {
                store.delete(SESSIONS, session.to_be_bytes().to_vec());
                events.push(Event::Ended(session));
                Reply::Done
            }
        })
    }

    fn shrinks(&self, command: &Command) -> bool {
        matches!(command, Command::Delete { .. } | Command::End { .. })
    }

    fn level_of(&self, command: &Command) -> u32 {
        1 + u32::from(matches!(command, Command::Append { .. }))
    }

    fn newest_level(&self) -> u32 {
        1 + self.more
    }

    /// A key `of-7` is node 7's.
    fn may_propose(&self, from: NodeId, _: u32, _: &dyn ReadStore, command: &Command) -> Result<(), String> {
        match command {
            Command::Put { key, .. } if key.strip_prefix("of-").is_some_and(|of| of != from.to_string()) => {
                Err(format!("{key} is not node {from}'s"))
            }
            _ => Ok(()),
        }
    }

    fn forgotten(&self) -> Reply {
        Reply::Forgotten
    }

    fn open_sessions(&self, store: &dyn ReadStore) -> Result<Vec<SessionId>, StoreError> {
        let mut open = Vec::new();
        store.scan(SESSIONS, Bound::Unbounded, Bound::Unbounded, &mut |key, _| {
            if let Ok(bytes) = key.try_into() {
                open.push(SessionId(u64::from_be_bytes(bytes)));
            }
            ControlFlow::Continue(())
        })?;
        Ok(open)
    }

    fn end_session(&self, session: SessionId) -> Command {
        Command::End { session: session.0 }
    }
}

fn put(store: &mut dyn WriteStore, events: &mut Vec<Event>, key: String, value: String) {
    store.put(VALUES, key.clone().into_bytes(), value.clone().into_bytes());
    events.push(Event::Put { key, value });
}

pub fn value(store: &dyn ReadStore, key: &str) -> Result<Option<String>, StoreError> {
    let bytes = store.get(VALUES, key.as_bytes())?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

pub fn is_open(store: &dyn ReadStore, session: u64) -> bool {
    let row = store.get(SESSIONS, &session.to_be_bytes());
    row.expect("the store works").is_some()
}
