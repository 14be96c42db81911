//! Disks that forget: bytes that were not synced, and names in folders that were not synced, are lost when the power
//! goes, all or from some moment on, and the last write that survives may be torn.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Component, Path};
use std::time::Duration;

use super::chance;

thread_local! {
    static DISK: RefCell<Disk> = RefCell::new(Disk::new());
}

pub(super) type Id = usize;

/// Everything on all disks.
pub(super) struct Disk {
    things: Vec<Thing>,
    off: BTreeSet<String>,
    pub(super) locked: BTreeSet<Id>,
    sync_time: BTreeMap<String, Duration>,
}

enum Thing {
    File(File),
    Folder(Folder),
}

#[derive(Default)]
struct File {
    bytes: Vec<u8>,
    /// As many of the first bytes are durable, if nothing was overwritten.
    synced: usize,
    /// What is durable, when something of it was overwritten.
    before: Option<Vec<u8>>,
}

#[derive(Default)]
struct Folder {
    names: BTreeMap<String, Id>,
    durable: BTreeMap<String, Id>,
    /// Since the last sync, in order.
    pending: Vec<Change>,
}

enum Change {
    Set(String, Id),
    Remove(String),
    Move(String, String),
}

impl Change {
    fn make(&self, names: &mut BTreeMap<String, Id>) {
        match self {
            Self::Set(name, id) => {
                names.insert(name.clone(), *id);
            }
            Self::Remove(name) => {
                names.remove(name);
            }
            Self::Move(from, to) => {
                if let Some(id) = names.remove(from) {
                    names.insert(to.clone(), id);
                }
            }
        }
    }
}

impl Folder {
    fn change(&mut self, change: Change) {
        change.make(&mut self.names);
        self.pending.push(change);
    }
}

impl File {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        if offset < self.synced && self.before.is_none() {
            self.before = Some(self.bytes[..self.synced].to_vec());
        }
        let end = offset + bytes.len();
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes[offset..end].copy_from_slice(bytes);
    }

    fn empty(&mut self) {
        if self.before.is_none() && self.synced > 0 {
            self.before = Some(self.bytes[..self.synced].to_vec());
        }
        self.bytes.clear();
        self.synced = 0;
    }

    fn sync(&mut self) {
        self.synced = self.bytes.len();
        self.before = None;
    }

    fn lose_power(&mut self) {
        let (keep, torn) = match chance::below(4) {
            0 => (0, false),
            1 => (usize::MAX, false),
            _ => (chance::below(self.bytes.len() + 1), true),
        };
        if let Some(before) = self.before.take() {
            // An overwritten file is as before, or as it was made, up to some byte.
            self.bytes.truncate(keep);
            if keep < before.len() {
                self.bytes = before;
            }
        } else {
            let unsynced = self.bytes.len() - self.synced;
            let kept = self.synced + keep.min(chance::below(unsynced + 1));
            self.bytes
                .truncate(if keep == usize::MAX { self.bytes.len() } else { kept });
            if torn && self.bytes.len() > self.synced && chance::one_in(3) {
                let from = self.bytes.len() - (self.bytes.len() - self.synced).min(1 + chance::below(64));
                self.bytes[from..].fill(0);
            }
        }
        self.sync();
    }
}

fn not_found(path: &Path) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{} is not there", path.display()))
}

fn names(path: &Path) -> Vec<String> {
    path.components()
        .filter_map(|part| match part {
            Component::Normal(name) => Some(name.to_string_lossy().into_owned()),
            _ => None,
        })
        .collect()
}

const TOP: Id = 0;

impl Disk {
    fn new() -> Self {
        Self {
            things: vec![Thing::Folder(Folder::default())],
            off: BTreeSet::new(),
            locked: BTreeSet::new(),
            sync_time: BTreeMap::new(),
        }
    }

    fn folder(&mut self, id: Id, path: &Path) -> io::Result<&mut Folder> {
        match &mut self.things[id] {
            Thing::Folder(folder) => Ok(folder),
            Thing::File(_) => Err(io::Error::new(
                io::ErrorKind::NotADirectory,
                format!("{} is a file", path.display()),
            )),
        }
    }

    fn file(&mut self, id: Id, path: &Path) -> io::Result<&mut File> {
        match &mut self.things[id] {
            Thing::File(file) => Ok(file),
            Thing::Folder(_) => Err(io::Error::new(
                io::ErrorKind::IsADirectory,
                format!("{} is a folder", path.display()),
            )),
        }
    }

    fn check_power(&self, path: &Path) -> io::Result<()> {
        match names(path).first() {
            Some(top) if self.off.contains(top) => Err(io::Error::other("the power is off")),
            _ => Ok(()),
        }
    }

    pub(super) fn find(&mut self, path: &Path) -> io::Result<Id> {
        self.check_power(path)?;
        let mut at = TOP;
        for name in names(path) {
            let folder = self.folder(at, path)?;
            at = *folder.names.get(&name).ok_or_else(|| not_found(path))?;
        }
        Ok(at)
    }

    fn parent(&mut self, path: &Path) -> io::Result<(Id, String)> {
        let parent = path.parent().ok_or_else(|| not_found(path))?;
        let name = path.file_name().ok_or_else(|| not_found(path))?;
        Ok((self.find(parent)?, name.to_string_lossy().into_owned()))
    }

    fn make(&mut self, parent: Id, name: String, thing: Thing, path: &Path) -> io::Result<Id> {
        let id = self.things.len();
        self.things.push(thing);
        self.folder(parent, path)?.change(Change::Set(name, id));
        Ok(id)
    }

    pub(super) fn find_or_make(&mut self, path: &Path) -> io::Result<Id> {
        match self.find(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let (parent, name) = self.parent(path)?;
                self.make(parent, name, Thing::File(File::default()), path)
            }
            found => found,
        }
    }

    pub(super) fn make_folders(&mut self, path: &Path) -> io::Result<()> {
        self.check_power(path)?;
        let mut at = TOP;
        for name in names(path) {
            let found = self.folder(at, path)?.names.get(&name).copied();
            let next = match found {
                Some(id) => id,
                None => self.make(at, name, Thing::Folder(Folder::default()), path)?,
            };
            if at == TOP {
                // A whole disk does not go.
                let top = self.folder(TOP, path)?;
                top.durable = top.names.clone();
                top.pending.clear();
            }
            at = next;
        }
        Ok(())
    }

    pub(super) fn bytes(&mut self, path: &Path) -> io::Result<&[u8]> {
        let id = self.find(path)?;
        Ok(&self.file(id, path)?.bytes)
    }

    pub(super) fn write(&mut self, path: &Path, offset: usize, bytes: &[u8]) -> io::Result<()> {
        let id = self.find_or_make(path)?;
        self.file(id, path)?.write(offset, bytes);
        Ok(())
    }

    pub(super) fn replace(&mut self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let id = self.find_or_make(path)?;
        let file = self.file(id, path)?;
        file.empty();
        file.write(0, bytes);
        Ok(())
    }

    pub(super) fn sync(&mut self, path: &Path) -> io::Result<()> {
        let id = self.find(path)?;
        match &mut self.things[id] {
            Thing::File(file) => file.sync(),
            Thing::Folder(folder) => {
                folder.durable = folder.names.clone();
                folder.pending.clear();
            }
        }
        Ok(())
    }

    pub(super) fn list(&mut self, path: &Path) -> io::Result<Vec<(String, bool)>> {
        let id = self.find(path)?;
        let found: Vec<(String, Id)> = self.folder(id, path)?.names.clone().into_iter().collect();
        Ok(found
            .into_iter()
            .map(|(name, id)| (name, matches!(self.things[id], Thing::Folder(_))))
            .collect())
    }

    pub(super) fn remove(&mut self, path: &Path) -> io::Result<()> {
        self.find(path)?;
        let (parent, name) = self.parent(path)?;
        self.folder(parent, path)?.change(Change::Remove(name));
        Ok(())
    }

    pub(super) fn link(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.find(from)?;
        let (parent, name) = self.parent(to)?;
        self.folder(parent, to)?.change(Change::Set(name, id));
        Ok(())
    }

    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let id = self.find(from)?;
        let (old_parent, old_name) = self.parent(from)?;
        let (new_parent, new_name) = self.parent(to)?;
        if old_parent == new_parent {
            let moved = Change::Move(old_name, new_name);
            self.folder(old_parent, from)?.change(moved);
        } else {
            self.folder(new_parent, to)?.change(Change::Set(new_name, id));
            self.folder(old_parent, from)?.change(Change::Remove(old_name));
        }
        Ok(())
    }

    fn lose_power(&mut self, at: Id, seen: &mut BTreeSet<Id>) {
        if !seen.insert(at) {
            return;
        }
        self.locked.remove(&at);
        let within = match &mut self.things[at] {
            Thing::File(file) => return file.lose_power(),
            Thing::Folder(folder) => {
                let pending = std::mem::take(&mut folder.pending);
                let kept = if chance::one_in(2) {
                    0
                } else {
                    chance::below(pending.len() + 1)
                };
                folder.names = std::mem::take(&mut folder.durable);
                for change in &pending[..kept] {
                    change.make(&mut folder.names);
                }
                folder.durable = folder.names.clone();
                folder.names.values().copied().collect::<Vec<_>>()
            }
        };
        for id in within {
            self.lose_power(id, seen);
        }
    }
}

pub(super) fn with<T>(work: impl FnOnce(&mut Disk) -> T) -> T {
    DISK.with_borrow_mut(work)
}

/// Takes the power from a disk: what was not synced is lost, and nothing can be read or written until it is back.
pub(crate) fn power_cut(name: &str) {
    with(|disk| {
        let top = match &disk.things[TOP] {
            Thing::Folder(top) => top.names.get(name).copied(),
            Thing::File(_) => None,
        };
        if let Some(id) = top {
            disk.lose_power(id, &mut BTreeSet::new());
        }
        disk.off.insert(name.to_owned());
    });
}

pub(crate) fn power_on(name: &str) {
    with(|disk| disk.off.remove(name));
}

/// Empties the disk.
pub(crate) fn erase(name: &str) {
    with(|disk| {
        if let Thing::Folder(top) = &mut disk.things[TOP] {
            top.names.remove(name);
            top.durable.remove(name);
        }
    });
}

/// How long a sync of this disk takes at most.
pub(crate) fn set_sync_time(name: &str, most: Duration) {
    with(|disk| disk.sync_time.insert(name.to_owned(), most));
}

/// How long this sync takes.
pub(super) fn draw_sync_time(path: &Path) -> Duration {
    const USUAL: Duration = Duration::from_millis(3);
    let most = with(|disk| {
        let known = names(path).first().and_then(|top| disk.sync_time.get(top).copied());
        known.unwrap_or(USUAL)
    });
    let micros = usize::try_from(most.as_micros()).unwrap_or(0);
    Duration::from_micros(chance::below(micros) as u64)
}

#[cfg(test)]
mod tests {
    use super::super::fs;
    use super::*;

    /// The file's content after a power cut, for many seeds.
    fn after_cuts(prepare: impl Fn(&Path), file: &str) -> BTreeSet<Option<Vec<u8>>> {
        let mut found = BTreeSet::new();
        for seed in 0..200 {
            chance::begin(seed);
            let top = format!("disk{seed}");
            let folder = Path::new("/").join(&top);
            fs::create_dir_all(&folder).expect("made");
            prepare(&folder);
            power_cut(&top);
            assert!(fs::list(&folder).is_err(), "nothing is read without power");
            power_on(&top);
            found.insert(fs::read(&folder.join(file)).ok());
        }
        found
    }

    #[test]
    fn what_was_synced_survives_and_what_was_not_may_go_or_be_torn() {
        let found = after_cuts(
            |folder| {
                let file = folder.join("a");
                fs::write(&file, b"safe").expect("written");
                fs::sync(&file).expect("synced");
                fs::sync(folder).expect("synced");
                fs::append(&file, b"lost?").expect("written");
            },
            "a",
        );
        let has = |bytes: &[u8]| found.contains(&Some(bytes.to_vec()));
        assert!(has(b"safe") && has(b"safelost?") && has(b"safelo"), "{found:?}");
        let safe = |bytes: &Option<Vec<u8>>| bytes.as_ref().is_some_and(|bytes| bytes.starts_with(b"safe"));
        assert!(found.iter().all(safe), "{found:?}");
    }

    #[test]
    fn a_name_may_go_until_its_folder_is_synced() {
        let found = after_cuts(
            |folder| {
                fs::write(&folder.join("a"), b"x").expect("written");
                fs::sync(&folder.join("a")).expect("synced");
            },
            "a",
        );
        assert_eq!(found, BTreeSet::from([None, Some(b"x".to_vec())]));
    }

    #[test]
    fn a_rename_happens_or_does_not() {
        let found = after_cuts(
            |folder| {
                for (name, bytes) in [("a", b"old"), ("a.new", b"new")] {
                    fs::write(&folder.join(name), bytes).expect("written");
                    fs::sync(&folder.join(name)).expect("synced");
                }
                fs::sync(folder).expect("synced");
                fs::rename(&folder.join("a.new"), &folder.join("a")).expect("renamed");
            },
            "a",
        );
        assert_eq!(found, BTreeSet::from([Some(b"old".to_vec()), Some(b"new".to_vec())]));
    }
}
