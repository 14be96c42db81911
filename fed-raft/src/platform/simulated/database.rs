//! A database on a simulated disk: a copy of everything, and after it a journal of batches.

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use imbl::OrdMap;
use parking_lot::Mutex;

use super::{disk, fs};
use crate::platform::{Changes, Database, DatabaseError, ENTRIES, Kind, META, Reads, Row, Space, TABLES, Visit};

const COPY: &str = "000001.sst";
const JOURNAL: &str = "journal";
const CURRENT: &str = "CURRENT";

type Result<T> = std::result::Result<T, DatabaseError>;
type Rows = OrdMap<(Space, Vec<u8>), Arc<[u8]>>;

/// An open database.
pub(crate) struct Simulated {
    folder: PathBuf,
    rows: Mutex<Rows>,
}

/// What a database held at one moment.
pub(crate) struct Pinned {
    rows: Rows,
}

/// The changes of one batch, as they are made and as they are written down.
struct Batch {
    rows: Rows,
    bytes: Vec<u8>,
}

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_RANGE: u8 = 3;

impl Batch {
    fn note(&mut self, kind: u8, space: Space, first: &[u8], second: &[u8]) {
        let space = [ENTRIES, META, TABLES].iter().position(|known| *known == space);
        self.bytes.push(kind);
        self.bytes.push(space.map_or(u8::MAX, |at| at as u8));
        for part in [first, second] {
            self.bytes.extend_from_slice(&(part.len() as u32).to_be_bytes());
            self.bytes.extend_from_slice(part);
        }
    }
}

impl Changes for Batch {
    fn put(&mut self, space: Space, key: &[u8], value: &[u8]) {
        self.rows.insert((space, key.to_vec()), value.into());
        self.note(PUT, space, key, value);
    }

    fn delete(&mut self, space: Space, key: &[u8]) {
        self.rows.remove(&(space, key.to_vec()));
        self.note(DELETE, space, key, b"");
    }

    fn delete_range(&mut self, space: Space, from: &[u8], to: &[u8]) {
        let doomed = self.rows.range((space, from.to_vec())..(space, to.to_vec()));
        let doomed: Vec<(Space, Vec<u8>)> = doomed.map(|(key, _)| key.clone()).collect();
        for key in doomed {
            self.rows.remove(&key);
        }
        self.note(DELETE_RANGE, space, from, to);
    }
}

/// One batch in a journal: length, checksum, changes.
fn record(changes: &[u8]) -> Vec<u8> {
    let mut record = (changes.len() as u32).to_be_bytes().to_vec();
    record.extend_from_slice(&xxhash_rust::xxh3::xxh3_64(changes).to_be_bytes());
    record.extend_from_slice(changes);
    record
}

fn take<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(taken)
}

fn take_length(bytes: &mut &[u8]) -> Option<usize> {
    let length = <[u8; 4]>::try_from(take(bytes, 4)?).ok()?;
    Some(u32::from_be_bytes(length) as usize)
}

/// The changes of the next whole record.
fn next_record<'a>(bytes: &mut &'a [u8]) -> Option<&'a [u8]> {
    let length = take_length(bytes)?;
    let checksum = take(bytes, 8)?;
    let changes = take(bytes, length)?;
    (length > 0 && checksum == xxhash_rust::xxh3::xxh3_64(changes).to_be_bytes()).then_some(changes)
}

fn replay(rows: &mut Rows, mut changes: &[u8]) -> Option<()> {
    let mut batch = Batch {
        rows: std::mem::take(rows),
        bytes: Vec::new(),
    };
    while !changes.is_empty() {
        let kind = take(&mut changes, 1)?[0];
        let space = take(&mut changes, 1)?[0];
        let space = *[ENTRIES, META, TABLES].get(usize::from(space))?;
        let length = take_length(&mut changes)?;
        let first = take(&mut changes, length)?;
        let length = take_length(&mut changes)?;
        let second = take(&mut changes, length)?;
        match kind {
            PUT => batch.put(space, first, second),
            DELETE => batch.delete(space, first),
            DELETE_RANGE => batch.delete_range(space, first, second),
            _ => return None,
        }
    }
    *rows = batch.rows;
    Some(())
}

fn io(error: std::io::Error) -> DatabaseError {
    DatabaseError::Io(error.to_string())
}

fn damaged(folder: &Path, file: &str) -> DatabaseError {
    DatabaseError::Damaged(format!("{} is damaged", folder.join(file).display()))
}

/// What is in the folder, and how many bytes of its journal are whole.
fn load(folder: &Path) -> Result<(Rows, usize)> {
    if !fs::exists(&folder.join(CURRENT)) {
        return Err(DatabaseError::Io(format!("{} holds no database", folder.display())));
    }
    let mut rows = Rows::new();
    if fs::exists(&folder.join(COPY)) {
        let copy = fs::read(&folder.join(COPY)).map_err(io)?;
        let changes = next_record(&mut &copy[..]).ok_or_else(|| damaged(folder, COPY))?;
        replay(&mut rows, changes).ok_or_else(|| damaged(folder, COPY))?;
    }
    let mut whole = 0;
    if fs::exists(&folder.join(JOURNAL)) {
        let journal = fs::read(&folder.join(JOURNAL)).map_err(io)?;
        let mut rest = &journal[..];
        while let Some(changes) = next_record(&mut rest) {
            replay(&mut rows, changes).ok_or_else(|| damaged(folder, JOURNAL))?;
            whole = journal.len() - rest.len();
        }
    }
    Ok((rows, whole))
}

impl Simulated {
    /// How long the next sync takes.
    pub(crate) fn sync_time(&self) -> Duration {
        disk::draw_sync_time(&self.folder)
    }
}

impl Database for Simulated {
    type Pinned = Pinned;

    fn create(folder: &Path, kind: Kind) -> Result<Self> {
        fs::create_dir_all(folder).map_err(io)?;
        fs::write(&folder.join(CURRENT), b"simulated\n").map_err(io)?;
        fs::sync(&folder.join(CURRENT)).map_err(io)?;
        Self::open(folder, kind)
    }

    fn open(folder: &Path, _: Kind) -> Result<Self> {
        let (rows, whole) = load(folder)?;
        // What is behind a torn record would be taken for more of it.
        let journal = folder.join(JOURNAL);
        let bytes = fs::read(&journal).unwrap_or_default();
        fs::write(&journal, &bytes[..whole]).map_err(io)?;
        fs::sync(&journal).map_err(io)?;
        fs::sync(folder).map_err(io)?;
        Ok(Self {
            folder: folder.to_owned(),
            rows: Mutex::new(rows),
        })
    }

    fn peek(folder: &Path, _: Kind) -> Result<Self> {
        let (rows, _) = load(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            rows: Mutex::new(rows),
        })
    }

    fn last(&self, space: Space) -> Result<Option<Row>> {
        let rows = self.rows.lock();
        let last = rows.iter().rev().find(|((found, _), _)| *found == space);
        Ok(last.map(|((_, key), value)| (key.clone(), value.to_vec())))
    }

    fn write(&self, fill: impl FnOnce(&mut dyn Changes)) -> Result<()> {
        let mut rows = self.rows.lock();
        let mut batch = Batch {
            rows: rows.clone(),
            bytes: Vec::new(),
        };
        fill(&mut batch);
        if !batch.bytes.is_empty() {
            fs::append(&self.folder.join(JOURNAL), &record(&batch.bytes)).map_err(io)?;
        }
        *rows = batch.rows;
        Ok(())
    }

    fn sync(&self) -> Result<()> {
        fs::sync(&self.folder.join(JOURNAL)).map_err(io)
    }

    fn has_failed(&self) -> bool {
        false
    }

    fn check(&self, _: &dyn Fn() -> bool) -> Result<()> {
        // Opening it read all of it.
        Ok(())
    }

    fn checkpoint(&self, folder: &Path) -> Result<()> {
        // As RocksDB does: what is copied is on disk here first.
        self.sync()?;
        let mut copy = Batch {
            rows: Rows::new(),
            bytes: Vec::new(),
        };
        for ((space, key), value) in &self.rows.lock().clone() {
            copy.note(PUT, *space, key, value);
        }
        fs::create_dir_all(folder).map_err(io)?;
        fs::write(&folder.join(COPY), &record(&copy.bytes)).map_err(io)?;
        fs::write(&folder.join(CURRENT), b"simulated\n").map_err(io)
    }

    fn bytes_between(&self, space: Space, from: &[u8], to: &[u8]) -> u64 {
        let rows = self.rows.lock();
        let found = rows.range((space, from.to_vec())..(space, to.to_vec()));
        found.map(|((_, key), value)| (key.len() + value.len()) as u64).sum()
    }

    fn pin(this: &Arc<Self>) -> Pinned {
        Pinned {
            rows: this.rows.lock().clone(),
        }
    }
}

impl Reads for Simulated {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&self.rows.lock(), space, key)
    }

    fn scan(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<()> {
        let rows = self.rows.lock().clone();
        scan(&rows, space, start, end, visit);
        Ok(())
    }
}

impl Reads for Pinned {
    fn get(&self, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
        get(&self.rows, space, key)
    }

    fn scan(&self, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) -> Result<()> {
        scan(&self.rows, space, start, end, visit);
        Ok(())
    }
}

fn get(rows: &Rows, space: Space, key: &[u8]) -> Result<Option<Vec<u8>>> {
    Ok(rows.get(&(space, key.to_vec())).map(|value| value.to_vec()))
}

fn scan(rows: &Rows, space: Space, start: Bound<&[u8]>, end: Bound<&[u8]>, visit: Visit<'_>) {
    let first = match start {
        Bound::Included(key) => Bound::Included((space, key.to_vec())),
        Bound::Excluded(key) => Bound::Excluded((space, key.to_vec())),
        Bound::Unbounded => Bound::Included((space, Vec::new())),
    };
    for ((found, key), value) in rows.range((first, Bound::Unbounded)) {
        let within = match end {
            Bound::Included(end) => key.as_slice() <= end,
            Bound::Excluded(end) => key.as_slice() < end,
            Bound::Unbounded => true,
        };
        if *found != space || !within || visit(key, value).is_break() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{chance, power_cut, power_on};
    use super::*;

    fn rows(db: &Simulated) -> Vec<u8> {
        let mut found = Vec::new();
        let visited = db.scan(TABLES, Bound::Unbounded, Bound::Unbounded, &mut |key, _| {
            found.push(key[0]);
            std::ops::ControlFlow::Continue(())
        });
        visited.expect("readable");
        found
    }

    #[test]
    fn after_a_power_cut_there_are_whole_batches_from_the_first_on() {
        let mut lengths = std::collections::BTreeSet::new();
        for seed in 0..200 {
            chance::begin(seed);
            let top = format!("db{seed}");
            let folder = Path::new("/").join(&top);
            let db = Simulated::create(&folder, Kind::State).expect("made");
            for pair in 0..5_u8 {
                let write = db.write(|batch| {
                    batch.put(TABLES, &[2 * pair], b"first");
                    batch.put(TABLES, &[2 * pair + 1], b"second");
                });
                write.expect("written");
                if pair == 1 {
                    db.sync().expect("synced");
                }
            }
            power_cut(&top);
            assert!(db.write(|batch| batch.put(TABLES, &[99], b"")).is_err());
            power_on(&top);
            let found = rows(&Simulated::open(&folder, Kind::State).expect("opens"));
            assert_eq!(found, (0..found.len() as u8).collect::<Vec<_>>());
            assert!(found.len() >= 4 && found.len() % 2 == 0, "{found:?}");
            lengths.insert(found.len());
        }
        assert_eq!(lengths, [4, 6, 8, 10].into());
    }

    #[test]
    fn a_checkpoint_holds_what_there_was_and_a_view_what_it_saw() {
        let folder = Path::new("/checkpoint");
        let db = Arc::new(Simulated::create(folder, Kind::State).expect("made"));
        db.write(|batch| batch.put(TABLES, b"a", b"1")).expect("written");
        let view = Simulated::pin(&db);
        db.checkpoint(&folder.join("copy")).expect("copied");
        let change = db.write(|batch| {
            batch.delete(TABLES, b"a");
            batch.put(TABLES, b"b", b"2");
        });
        change.expect("written");
        let copy = Simulated::peek(&folder.join("copy"), Kind::State).expect("opens");
        assert_eq!(rows(&db), b"b");
        for held in [&copy as &dyn Reads, &view] {
            assert_eq!(held.get(TABLES, b"a").expect("readable"), Some(b"1".to_vec()));
            assert_eq!(held.get(TABLES, b"b").expect("readable"), None);
        }
    }
}
