//! Changes held over a store that stays as it is.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::{Bound, ControlFlow};

use super::{Before, Change, ReadStore, StoreError, Table, Visit, WriteStore, is_empty_range};

type Rows = BTreeMap<Vec<u8>, Row>;

/// What becomes of one row.
struct Row {
    value: Option<Vec<u8>>,
    /// What the base has.
    before: Before,
}

/// Changes over `base`, visible to this overlay's own reads and scans. Dropping it drops them.
///
/// Overlays nest: one over another makes a part of a batch undoable.
pub struct Overlay<'a> {
    base: &'a dyn ReadStore,
    tables: BTreeMap<Table, Rows>,
}

impl<'a> Overlay<'a> {
    /// No changes yet, over `base`.
    #[must_use]
    pub fn new(base: &'a dyn ReadStore) -> Self {
        Self {
            base,
            tables: BTreeMap::new(),
        }
    }

    /// The changes, by table and key; one for each key, the last.
    #[must_use]
    pub fn into_changes(self) -> Vec<Change> {
        let mut changes = Vec::with_capacity(self.tables.values().map(BTreeMap::len).sum());
        for (table, rows) in self.tables {
            changes.extend(rows.into_iter().map(|(key, row)| Change {
                table,
                key,
                value: row.value,
                before: row.before,
            }));
        }
        changes
    }

    /// What is known of the base stays so, whatever becomes of the row.
    fn set(&mut self, table: Table, key: Vec<u8>, value: Option<Vec<u8>>, before: Before) {
        match self.tables.entry(table).or_default().entry(key) {
            Entry::Occupied(mut row) => row.get_mut().value = value,
            Entry::Vacant(place) => {
                place.insert(Row { value, before });
            }
        }
    }
}

impl ReadStore for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.tables.get(&table).and_then(|rows| rows.get(key)) {
            Some(buffered) => Ok(buffered.value.clone()),
            None => self.base.get(table, key),
        }
    }

    fn get_in_turn(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.tables.get(&table).and_then(|rows| rows.get(key)) {
            Some(buffered) => Ok(buffered.value.clone()),
            None => self.base.get_in_turn(table, key),
        }
    }

    fn scan(&self, table: Table, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<(), StoreError> {
        let Some(rows) = self.tables.get(&table) else {
            return self.base.scan(table, start, end, visit);
        };
        if is_empty_range(start, end) {
            return Ok(());
        }
        let mut buffered = rows.range::<[u8], _>((start, end)).peekable();
        let mut flow = ControlFlow::Continue(());
        self.base.scan(table, start, end, &mut |key, value| {
            while let Some((ours, change)) = buffered.next_if(|(ours, _)| ours.as_slice() < key) {
                if let Some(new) = &change.value {
                    flow = visit(ours, new);
                    if flow.is_break() {
                        return flow;
                    }
                }
            }
            flow = match buffered.next_if(|(ours, _)| ours.as_slice() == key) {
                Some((_, change)) => match &change.value {
                    Some(new) => visit(key, new),
                    None => ControlFlow::Continue(()),
                },
                None => visit(key, value),
            };
            flow
        })?;
        if flow.is_continue() {
            for (key, change) in buffered {
                if let Some(new) = &change.value
                    && visit(key, new).is_break()
                {
                    break;
                }
            }
        }
        Ok(())
    }
}

impl WriteStore for Overlay<'_> {
    fn put(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        self.set(table, key, Some(value), Before::Unknown);
    }

    fn insert(&mut self, table: Table, key: Vec<u8>, value: Vec<u8>) {
        debug_assert!(
            self.get(table, &key).is_ok_and(|there| there.is_none()),
            "{table:?}: an inserted row was there"
        );
        self.set(table, key, Some(value), Before::Nothing);
    }

    fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.set(table, key, None, Before::Unknown);
    }

    fn discard(&mut self, table: Table, key: Vec<u8>, was: Vec<u8>) {
        debug_assert!(
            self.get(table, &key)
                .is_ok_and(|there| there.as_deref() == Some(was.as_slice())),
            "{table:?}: a discarded row was another"
        );
        self.set(table, key, None, Before::Was(was));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemStore;

    #[test]
    fn what_is_known_of_the_base_stays_so_whatever_becomes_of_a_row() {
        const TABLE: Table = Table(20);
        let mut base = MemStore::new();
        base.put(TABLE, b"there".to_vec(), b"1".to_vec());
        base.put(TABLE, b"used".to_vec(), b"1".to_vec());
        let mut overlay = Overlay::new(&base);
        overlay.insert(TABLE, b"changed".to_vec(), b"1".to_vec());
        overlay.put(TABLE, b"changed".to_vec(), b"2".to_vec());
        overlay.insert(TABLE, b"gone".to_vec(), b"1".to_vec());
        overlay.delete(TABLE, b"gone".to_vec());
        overlay.put(TABLE, b"put".to_vec(), b"1".to_vec());
        overlay.delete(TABLE, b"there".to_vec());
        overlay.insert(TABLE, b"there".to_vec(), b"2".to_vec());
        overlay.discard(TABLE, b"used".to_vec(), b"1".to_vec());
        overlay.insert(TABLE, b"written".to_vec(), b"1".to_vec());
        overlay.discard(TABLE, b"written".to_vec(), b"1".to_vec());
        let found: Vec<_> = overlay
            .into_changes()
            .into_iter()
            .map(|change| (change.key, change.value, change.before))
            .collect();
        let row = |key: &str, value: Option<&str>, before| {
            (
                key.as_bytes().to_vec(),
                value.map(|value| value.as_bytes().to_vec()),
                before,
            )
        };
        assert_eq!(
            found,
            [
                row("changed", Some("2"), Before::Nothing),
                row("gone", None, Before::Nothing),
                row("put", Some("1"), Before::Unknown),
                row("there", Some("2"), Before::Unknown),
                row("used", None, Before::Was(b"1".to_vec())),
                row("written", None, Before::Nothing),
            ]
        );
    }
}
