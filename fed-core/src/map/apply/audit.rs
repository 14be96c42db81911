//! Changes in somebody's name, and their entries in the audit log.

use super::{Applied, Applier, Stop};
use crate::audit::{Entry, MOST_ENTRIES, Origin, named};
use crate::command::{Command, Object, Refusal};
use crate::kv::StoreError;
use crate::map::keys;
use crate::map::rows;
use crate::records::check_note;

impl Applier<'_> {
    /// Does `command`, and writes down what it changed. What was refused, or changed nothing, leaves no entry: the log can
    /// only be filled by those who may change the map.
    pub(super) fn by(&mut self, origin: Origin, command: Command) -> Applied {
        if matches!(command, Command::By { .. }) {
            return Err(Refusal::Invalid {
                object: Object::Batch,
                field: "origin".to_owned(),
                why: "a change has one origin".to_owned(),
            }
            .into());
        }
        if let Command::Note { text } = command {
            check_note(&text)?;
            self.write_down(origin, vec![text])?;
            return self.done();
        }
        let before = self.events.len();
        let reply = self.dispatch(command)?;
        let what = named(&self.events[before..]);
        if !what.is_empty() {
            self.write_down(origin, what)?;
        }
        Ok(reply)
    }

    fn write_down(&mut self, origin: Origin, what: Vec<String>) -> Result<(), Stop> {
        let mut head = self.view().audit_head()?;
        let entry = Entry::new(&head, self.revision, origin, what);
        rows::insert(self.store, keys::AUDIT, entry.sequence.to_be_bytes().to_vec(), &entry)?;
        (head.next, head.last) = (entry.sequence + 1, entry.hash);
        while head.next - head.first > MOST_ENTRIES {
            let key = head.first.to_be_bytes();
            let oldest = self.store.get_in_turn(keys::AUDIT, &key)?;
            let oldest = oldest
                .ok_or_else(|| StoreError::Inconsistent(format!("entry {} of the audit log is missing", head.first)))?;
            let hash = rows::decode::<Entry>(keys::AUDIT, &key, &oldest)?.hash;
            self.store.discard(keys::AUDIT, key.to_vec(), oldest);
            (head.first, head.before_first) = (head.first + 1, hash);
        }
        rows::write(self.store, keys::AUDIT_HEAD, Vec::new(), &head)?;
        Ok(())
    }
}
