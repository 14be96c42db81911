//! Rows read ahead: of a table whose rows never change and are asked for in order, each once. A look-up for each of them costs
//! several times as much, and would push rows that are used out of [`Rows`](super::rows::Rows).

use std::collections::VecDeque;

use fed_core::kv::Table;

/// So many rows, or bytes, are read at a time.
pub(super) const ROWS: usize = 256;
pub(super) const BYTES: usize = 256 << 10;

/// Rows of one table, in the order of their keys.
#[derive(Default)]
pub(super) struct Ahead {
    table: Option<Table>,
    rows: VecDeque<(Vec<u8>, Vec<u8>)>,
}

impl Ahead {
    /// The row, when it was read already. Those before it are dropped.
    pub(super) fn take(&mut self, table: Table, key: &[u8]) -> Option<Vec<u8>> {
        if self.table != Some(table) {
            return None;
        }
        while let Some((next, value)) = self.rows.pop_front() {
            match next.as_slice().cmp(key) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(value),
                std::cmp::Ordering::Greater => {
                    self.rows.push_front((next, value));
                    return None;
                }
            }
        }
        None
    }

    /// Keeps rows, in place of what was kept.
    pub(super) fn keep(&mut self, table: Table, rows: VecDeque<(Vec<u8>, Vec<u8>)>) {
        self.table = Some(table);
        self.rows = rows;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: Table = Table(20);

    #[test]
    fn a_row_is_there_once_and_in_turn() {
        let mut ahead = Ahead::default();
        assert_eq!(ahead.take(TABLE, b"a"), None, "nothing was read");
        let row = |key: &str| (key.as_bytes().to_vec(), key.as_bytes().to_vec());
        ahead.keep(TABLE, ["a", "b", "d", "e"].map(row).into());
        assert_eq!(ahead.take(Table(21), b"a"), None, "of another table");
        assert_eq!(ahead.take(TABLE, b"a"), Some(b"a".to_vec()));
        assert_eq!(ahead.take(TABLE, b"a"), None, "once");
        assert_eq!(ahead.take(TABLE, b"c"), None, "not there; what comes later stays");
        assert_eq!(
            ahead.take(TABLE, b"e"),
            Some(b"e".to_vec()),
            "those before it are dropped"
        );
        assert_eq!(ahead.take(TABLE, b"f"), None, "to be read");
    }
}
