//! A database in a folder: ordered keys in a few spaces, changed in batches.

use std::ops::{Bound, ControlFlow};
use std::path::Path;
use std::sync::Arc;

/// A part of a database with keys of its own; on disk a column family of this name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Space(pub(crate) &'static str);

/// The log's entries.
pub(crate) const ENTRIES: Space = Space("entries");
/// What the log knows besides its entries.
pub(crate) const META: Space = Space("meta");
/// The state's tables.
pub(crate) const TABLES: Space = Space("default");

/// What a database is for; decides its options.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Has [`ENTRIES`] and [`META`]; written often, read rarely.
    Log,
    /// Has [`TABLES`].
    State,
}

/// Why a database could not be opened or used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DatabaseError {
    /// Another process has it open. Simulated nodes are not processes.
    #[error("{0}")]
    #[cfg_attr(feature = "simulation", expect(dead_code))]
    InUse(String),
    /// The disk or the file system refused.
    #[error("{0}")]
    Io(String),
    /// What is there is not what was written.
    #[error("{0}")]
    Damaged(String),
}

type Result<T> = std::result::Result<T, DatabaseError>;

/// A key and its value.
pub(crate) type Row = (Vec<u8>, Vec<u8>);

/// What a scan calls with each key and value.
pub(crate) type Visit<'v> = &'v mut dyn FnMut(&[u8], &[u8]) -> ControlFlow<()>;

/// Something that can be read: a database, or a view of one.
pub(crate) trait Reads {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// Visits the keys between the bounds in byte order until `visit` breaks.
    fn scan(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<()>;
}

/// Changes that are made together or not at all.
pub(crate) trait Changes {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]);
    fn delete(&mut self, space: Space, key: &[u8]);
    /// Deletes the keys from `from` to before `to`.
    fn delete_range(&mut self, space: Space, from: &[u8], to: &[u8]);
}

/// An open database. Writes are seen at once; they are on disk after [`Database::sync`], and a crash keeps those
/// before it and of the later ones a part from the first on, never a part of a batch.
pub(crate) trait Database: Reads + Sized + Send + Sync + 'static {
    /// What it held at one moment.
    type Pinned: Reads + Send + Sync;

    /// Opens it, making it when it is not there.
    fn create(folder: &Path, kind: Kind) -> Result<Self>;

    /// Opens one that is there.
    fn open(folder: &Path, kind: Kind) -> Result<Self>;

    /// Opens one that is there for reading, changing nothing in its folder.
    fn peek(folder: &Path, kind: Kind) -> Result<Self>;

    /// The last key and its value.
    fn last(&self, space: Space) -> Result<Option<Row>>;

    /// Makes the changes that `fill` puts in.
    fn write(&self, fill: impl FnOnce(&mut dyn Changes)) -> Result<()>;

    /// Makes everything written before this call durable.
    fn sync(&self) -> Result<()>;

    /// Whether a write in the background failed: it keeps that, and takes no more.
    fn has_failed(&self) -> bool;

    /// Reads [`TABLES`], all of it or until `over`, and compares it with the checksums that it was written with; keeps nothing of it in
    /// memory.
    fn check(&self, over: &dyn Fn() -> bool) -> Result<()>;

    /// Copies it, as it is now, into a new folder. The files there are not synced yet.
    fn checkpoint(&self, folder: &Path) -> Result<()>;

    /// About how many bytes the keys from `from` to before `to` take on disk.
    fn bytes_between(&self, space: Space, from: &[u8], to: &[u8]) -> u64;

    /// What it holds now, for as long as it is wanted.
    fn pin(this: &Arc<Self>) -> Self::Pinned;
}
