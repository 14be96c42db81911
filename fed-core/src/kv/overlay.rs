//! Changes held over a store that stays as it is.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};

use super::{Change, ReadStore, StoreError, Table, Visit, WriteStore, is_empty_range};

type Rows = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

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
        let mut changes = Vec::new();
        for (table, rows) in self.tables {
            changes.extend(rows.into_iter().map(|(key, value)| Change { table, key, value }));
        }
        changes
    }
}

impl ReadStore for Overlay<'_> {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        match self.tables.get(&table).and_then(|rows| rows.get(key)) {
            Some(buffered) => Ok(buffered.clone()),
            None => self.base.get(table, key),
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
                if let Some(new) = change {
                    flow = visit(ours, new);
                    if flow.is_break() {
                        return flow;
                    }
                }
            }
            flow = match buffered.next_if(|(ours, _)| ours.as_slice() == key) {
                Some((_, Some(new))) => visit(key, new),
                Some((_, None)) => ControlFlow::Continue(()),
                None => visit(key, value),
            };
            flow
        })?;
        if flow.is_continue() {
            for (key, change) in buffered {
                if let Some(new) = change
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
        self.tables.entry(table).or_default().insert(key, Some(value));
    }

    fn delete(&mut self, table: Table, key: Vec<u8>) {
        self.tables.entry(table).or_default().insert(key, None);
    }
}
