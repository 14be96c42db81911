//! The applier: a batch of requests, in order, each with one effect.

use super::ledger::{FIRST_OF_MACHINE, Ledger};
use super::requests::{self, Known};
use super::{Machine, Outcome, Outcomes, Request};
use crate::ids::Revision;
use crate::kv::{Before, Change, Overlay, StoreError, WriteStore};

/// Applies `requests` in order. Revisions, hash and replies do not depend on how a log is cut into batches.
///
/// A request that was applied before gets its old reply; one too old to be known gets
/// [`Machine::forgotten`] and is not applied.
///
/// # Errors
/// [`StoreError`] when the store fails: `store` may then hold a part of the batch and must be thrown away, so it
/// should be an [`Overlay`] whose changes are written in one piece.
pub fn apply_batch<M: Machine>(
    machine: &M,
    store: &mut dyn WriteStore,
    requests: Vec<Request<M::Command>>,
) -> Result<Outcomes<M>, StoreError> {
    let mut ledger = Ledger::load(store)?;
    let before = ledger;
    let mut outcomes = Vec::with_capacity(requests.len());
    for request in requests {
        outcomes.push(apply_one(machine, store, &mut ledger, request)?);
    }
    if ledger != before {
        ledger.save(store)?;
    }
    Ok(outcomes)
}

fn apply_one<M: Machine>(
    machine: &M,
    store: &mut dyn WriteStore,
    ledger: &mut Ledger,
    request: Request<M::Command>,
) -> Result<Outcome<M::Reply, M::Event>, StoreError> {
    let name = (request.client, request.sequence);
    let slot = match requests::look_up(store, name.0, name.1)? {
        Known::New { slot } => slot,
        Known::Answered { reply, revision } => {
            return Ok(Outcome {
                reply,
                revision,
                events: Vec::new(),
                duplicate: true,
            });
        }
        Known::Forgotten => {
            let revision = Revision(ledger.revision);
            return Ok(Outcome {
                reply: machine.forgotten(),
                revision,
                events: Vec::new(),
                duplicate: false,
            });
        }
    };
    let mut events = Vec::new();
    let mut buffer = Overlay::new(store);
    let next = Revision(ledger.revision).next();
    let reply = machine.apply(next, request.command, &mut buffer, &mut events)?;
    let changes = buffer.into_changes();
    if write(store, ledger, changes)? {
        ledger.revision = next.0;
    } else {
        events.clear();
    }
    requests::remember(store, ledger, name, slot.as_deref(), &reply)?;
    Ok(Outcome {
        reply,
        revision: Revision(ledger.revision),
        events,
        duplicate: false,
    })
}

/// Writes the changes; whether there were any. A row put back as it was counts: the command may have given its
/// revision away as a name.
fn write(store: &mut dyn WriteStore, ledger: &mut Ledger, changes: Vec<Change>) -> Result<bool, StoreError> {
    let wrote = !changes.is_empty();
    for change in changes {
        let Change {
            table,
            key,
            value,
            before,
        } = change;
        if table.0 < FIRST_OF_MACHINE {
            return Err(StoreError::Reserved { table: table.0 });
        }
        match (value, before) {
            (Some(new), Before::Nothing) => ledger.insert(store, table, key, new),
            // Inserted and removed again leaves nothing to write.
            (None, Before::Nothing) => {}
            (None, Before::Was(old)) => ledger.discard(store, table, key, old),
            (Some(new), Before::Was(old)) => ledger.put(store, table, key, Some(&old), new),
            (value, Before::Unknown) => {
                let old = store.get(table, &key)?;
                match value {
                    Some(new) => ledger.put(store, table, key, old.as_deref(), new),
                    None => ledger.delete(store, table, key, old.as_deref()),
                }
            }
        }
    }
    Ok(wrote)
}
