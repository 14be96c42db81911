//! What the simulated cluster replicates: keys with values, and sessions.
//!
//! Every change carries the number of the operation that asked for it, so that an effect can be traced to its request,
//! and is noted the moment a node applies it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use fed_core::ids::{Revision, SessionId};
use fed_core::kv::{ReadStore, StoreError, Table, WriteStore};
use fed_core::machine::Machine;
use serde::{Deserialize, Serialize};

const VALUES: Table = Table(16);
const SESSIONS: Table = Table(17);
/// What the planted bug of that name writes.
#[cfg(feature = "planted-bugs")]
const ORDER: Table = Table(18);

/// The machine of one node.
pub(crate) struct Kv {
    pub(crate) node: usize,
}

/// A change asked for by operation `op`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Command {
    Put {
        op: u64,
        key: String,
        value: String,
    },
    Cas {
        op: u64,
        key: String,
        expect: Option<String>,
        value: Option<String>,
    },
    Delete {
        op: u64,
        key: String,
    },
    Open,
    End {
        session: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Reply {
    Done,
    /// A compare-and-set found something else.
    Different,
    Opened(u64),
    Forgotten,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Event {
    Set {
        op: u64,
        key: String,
        value: Option<String>,
    },
    Opened(u64),
    Ended(u64),
}

/// What all nodes together applied.
#[derive(Default)]
pub(crate) struct Effects {
    /// The events of each revision that has some.
    pub(crate) by_revision: BTreeMap<u64, Vec<Event>>,
    /// The revision in which each operation took effect.
    pub(crate) by_operation: BTreeMap<u64, u64>,
    /// What cannot be, in words.
    pub(crate) contradictions: Vec<String>,
}

thread_local! {
    static EFFECTS: RefCell<Effects> = RefCell::new(Effects::default());
}

/// Looks at what was applied so far.
pub(crate) fn effects<T>(look: impl FnOnce(&mut Effects) -> T) -> T {
    EFFECTS.with_borrow_mut(look)
}

impl Effects {
    fn add(&mut self, node: usize, revision: u64, events: &[Event]) {
        match self.by_revision.get(&revision) {
            Some(known) if known != events => self.contradictions.push(format!(
                "state-machine safety: node {node} made {events:?} of revision {revision}, another node made {known:?} of it"
            )),
            Some(_) => {}
            None => {
                self.by_revision.insert(revision, events.to_vec());
            }
        }
        for event in events {
            let Event::Set { op, .. } = event else { continue };
            let first = *self.by_operation.entry(*op).or_insert(revision);
            if first != revision {
                self.contradictions.push(format!(
                    "one request, one effect: operation {op} took effect in revision {first} and again in {revision} (node {node})"
                ));
            }
        }
    }
}

impl Machine for Kv {
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
        let before = events.len();
        let reply = match command {
            Command::Put { op, key, value } => {
                #[cfg(feature = "planted-bugs")]
                hash_order(store, &key)?;
                set(store, events, op, key, Some(value))?;
                Reply::Done
            }
            Command::Cas { op, key, expect, value } => {
                if value_of(store, &key)? == expect {
                    set(store, events, op, key, value)?;
                    Reply::Done
                } else {
                    Reply::Different
                }
            }
            Command::Delete { op, key } => {
                set(store, events, op, key, None)?;
                Reply::Done
            }
            Command::Open => {
                store.put(SESSIONS, revision.0.to_be_bytes().to_vec(), Vec::new());
                events.push(Event::Opened(revision.0));
                Reply::Opened(revision.0)
            }
            Command::End { session } => {
                let key = session.to_be_bytes().to_vec();
                if store.get(SESSIONS, &key)?.is_some() {
                    store.delete(SESSIONS, key);
                    events.push(Event::Ended(session));
                }
                Reply::Done
            }
        };
        if events.len() > before {
            effects(|effects| effects.add(self.node, revision.0, &events[before..]));
        }
        Ok(reply)
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

/// Writes nothing, and says so in no event, when a key that is not there is to go.
fn set(
    store: &mut dyn WriteStore,
    events: &mut Vec<Event>,
    op: u64,
    key: String,
    value: Option<String>,
) -> Result<(), StoreError> {
    match &value {
        Some(value) => store.put(VALUES, key.clone().into_bytes(), value.clone().into_bytes()),
        None if store.get(VALUES, key.as_bytes())?.is_none() => return Ok(()),
        None => store.delete(VALUES, key.clone().into_bytes()),
    }
    events.push(Event::Set { op, key, value });
    Ok(())
}

/// What a key holds.
pub(crate) fn value_of(store: &dyn ReadStore, key: &str) -> Result<Option<String>, StoreError> {
    let bytes = store.get(VALUES, key.as_bytes())?;
    Ok(bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()))
}

#[cfg(feature = "planted-bugs")]
fn hash_order(store: &mut dyn WriteStore, key: &str) -> Result<(), StoreError> {
    use std::collections::HashMap;
    if !fed_raft::planted::is("apply-by-hash-order") {
        return Ok(());
    }
    let neighbours: HashMap<String, ()> = (0..8).map(|n| (format!("{key}{n}"), ())).collect();
    let first = neighbours.keys().next().cloned().unwrap_or_default();
    store.put(ORDER, b"first".to_vec(), first.into_bytes());
    Ok(())
}
