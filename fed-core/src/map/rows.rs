//! Rows read and written as what they are.

use std::ops::{Bound, ControlFlow};

use super::keys;
use crate::codec::CodecError;
use crate::ids::DeviceId;
use crate::kv::{ReadStore, StoreError, Table, WriteStore, scan_prefix};
use crate::stored::Stored;

pub(super) fn read<T: Stored>(store: &dyn ReadStore, table: Table, key: &[u8]) -> Result<Option<T>, StoreError> {
    let Some(bytes) = store.get(table, key)? else {
        return Ok(None);
    };
    decode(table, key, &bytes).map(Some)
}

/// The value of a row that was read.
pub(super) fn decode<T: Stored>(table: Table, key: &[u8], bytes: &[u8]) -> Result<T, StoreError> {
    T::decode(bytes).map_err(|source| damaged(table, key, source))
}

pub(super) fn write<T: Stored>(
    store: &mut dyn WriteStore,
    table: Table,
    key: Vec<u8>,
    value: &T,
) -> Result<(), StoreError> {
    store.put(table, key, value.encode().map_err(StoreError::Encode)?);
    Ok(())
}

/// As [`write`], where there is no such row yet.
pub(super) fn insert<T: Stored>(
    store: &mut dyn WriteStore,
    table: Table,
    key: Vec<u8>,
    value: &T,
) -> Result<(), StoreError> {
    store.insert(table, key, value.encode().map_err(StoreError::Encode)?);
    Ok(())
}

/// The values of a table whose keys come after `after`, at most `limit`.
pub(super) fn page<T: Stored>(
    store: &dyn ReadStore,
    table: Table,
    after: Option<&[u8]>,
    limit: usize,
) -> Result<Vec<T>, StoreError> {
    let mut values = Vec::new();
    let mut failed = None;
    if limit == 0 {
        return Ok(values);
    }
    let start = after.map_or(Bound::Unbounded, Bound::Excluded);
    store.scan(
        table,
        start,
        Bound::Unbounded,
        &mut |key, bytes| match T::decode(bytes) {
            Ok(value) => {
                values.push(value);
                if values.len() < limit {
                    ControlFlow::Continue(())
                } else {
                    ControlFlow::Break(())
                }
            }
            Err(source) => {
                failed = Some(damaged(table, key, source));
                ControlFlow::Break(())
            }
        },
    )?;
    failed.map_or(Ok(values), Err)
}

/// The devices that an index lists under `prefix`, in order.
pub(super) fn listed(store: &dyn ReadStore, index: Table, prefix: &[u8]) -> Result<Vec<DeviceId>, StoreError> {
    let mut devices = Vec::new();
    let mut odd = None;
    scan_prefix(
        store,
        index,
        prefix,
        &mut |key, _| match keys::device_after(prefix.len(), key) {
            Some(device) => {
                devices.push(device);
                ControlFlow::Continue(())
            }
            None => {
                odd = Some(inconsistent(index, key));
                ControlFlow::Break(())
            }
        },
    )?;
    odd.map_or(Ok(devices), Err)
}

/// An index points at what is not there.
pub(super) fn inconsistent(index: Table, key: &[u8]) -> StoreError {
    let key = key.escape_ascii();
    StoreError::Inconsistent(format!("index table {} has {key}, which does not exist", index.0))
}

fn damaged(table: Table, key: &[u8], source: CodecError) -> StoreError {
    StoreError::Damaged {
        table: table.0,
        key: key.escape_ascii().to_string(),
        source,
    }
}
