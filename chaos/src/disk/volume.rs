//! What a disk holds now, and what it would hold after a power cut.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};

use serde::{Deserialize, Serialize};

use super::inode::{Change, Content, Entries, Inode};
use crate::seeded::Seeded;

/// The number of the top folder.
pub(super) const ROOT: u64 = 1;

/// Why something cannot be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There is no such file.
    Missing,
    /// There is one already.
    Exists,
    /// It is a folder, and must not be.
    Folder,
    /// It is no folder, and must be.
    NoFolder,
    /// The folder is not empty.
    NotEmpty,
    /// The disk is full.
    Full,
    /// The disk does not work.
    Failed,
}

/// What is wrong with a disk at the moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Fault {
    /// It holds at most so many bytes; 0 is no limit.
    pub capacity: u64,
    /// Every sync fails, and what was to be synced is not.
    pub sync_fails: bool,
    /// Every sync takes so many milliseconds more.
    pub sync_delay_ms: u64,
    /// Every sync is acknowledged and does nothing: the control that the harness notices lost writes.
    pub sync_lies: bool,
    /// Nothing works: the power is off.
    #[serde(skip)]
    pub off: bool,
}

impl Fault {
    /// Whether a node may end because of it.
    pub(crate) fn may_end_a_node(&self) -> bool {
        self.capacity > 0 || self.sync_fails || self.sync_delay_ms > 0
    }
}

/// Files and folders in memory.
#[derive(Debug, Clone)]
pub struct Volume {
    inodes: HashMap<u64, Inode>,
    next: u64,
    /// What is wrong at the moment.
    pub fault: Fault,
    /// What was wrong so far.
    tally: Tally,
}

/// How often a disk did what is wrong with it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Writes refused because it was full.
    pub full: u64,
    /// Syncs that failed.
    pub failed_syncs: u64,
    /// Changes of files and folders that power cuts took with them.
    pub forgotten: u64,
}

impl Default for Volume {
    fn default() -> Self {
        Volume {
            inodes: HashMap::from([(ROOT, Inode::Folder(Entries::default()))]),
            next: ROOT + 1,
            fault: Fault::default(),
            tally: Tally::default(),
        }
    }
}

impl Volume {
    /// How often it did what is wrong with it.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The power goes: what was not synced is lost. With `torn`, a part of it by chance is not: of every file, some of its
    /// last changes and half of one, in their order. Entries of folders that were not synced are lost either way.
    pub fn power_cut(&mut self, mut torn: Option<&mut Seeded>) {
        let mut order: Vec<u64> = self.inodes.keys().copied().collect();
        order.sort_unstable();
        for number in order {
            match self.inodes.get_mut(&number) {
                Some(Inode::File(content)) => self.tally.forgotten += content.cut(torn.as_deref_mut()),
                Some(Inode::Folder(entries)) => {
                    self.tally.forgotten += u64::from(entries.now != entries.kept);
                    entries.now.clone_from(&entries.kept);
                }
                None => {}
            }
        }
        let reachable = self.reachable();
        self.inodes.retain(|number, _| reachable.contains(number));
        self.fault.off = false;
    }

    /// Flips one bit in the middle of the biggest file whose path contains one of these words and whose name ends so; its path.
    pub fn flip_a_bit(&mut self, words: &[&str], ending: &str, random: &mut Seeded) -> Option<String> {
        let mut files = Vec::new();
        self.walk(ROOT, "", &mut |path, number| files.push((path.to_owned(), number)));
        let wanted = |path: &str| words.iter().any(|word| path.contains(word)) && path.ends_with(ending);
        let (path, number, _) = files
            .into_iter()
            .filter(|(path, _)| wanted(path))
            .filter_map(|(path, number)| Some((path, number, self.length(number).ok()?)))
            .max_by_key(|(path, _, length)| (*length, path.clone()))?;
        let Some(Inode::File(content)) = self.inodes.get_mut(&number) else {
            return None;
        };
        let middle = content.kept.len().min(content.now.len());
        if middle < 8 {
            return None;
        }
        let at = middle / 4 + random.below(middle as u64 / 2) as usize;
        let bit = 1 << random.below(8);
        content.now[at] ^= bit;
        content.kept[at] ^= bit;
        Some(path)
    }

    /// Bytes in all files.
    pub fn used(&self) -> u64 {
        let length = |inode: &Inode| match inode {
            Inode::File(content) => content.now.len() as u64,
            Inode::Folder(_) => 0,
        };
        self.inodes.values().map(length).sum()
    }

    pub(super) fn lookup(&self, folder: u64, name: &OsStr) -> Result<u64, Trouble> {
        self.entries(folder)?.now.get(name).copied().ok_or(Trouble::Missing)
    }

    pub(super) fn is_folder(&self, number: u64) -> Result<bool, Trouble> {
        match self.inodes.get(&number) {
            Some(inode) => Ok(matches!(inode, Inode::Folder(_))),
            None => Err(Trouble::Missing),
        }
    }

    pub(super) fn length(&self, number: u64) -> Result<u64, Trouble> {
        match self.inodes.get(&number) {
            Some(Inode::File(content)) => Ok(content.now.len() as u64),
            Some(Inode::Folder(_)) => Ok(0),
            None => Err(Trouble::Missing),
        }
    }

    /// How many names a file has.
    pub(super) fn links(&self, number: u64) -> u32 {
        let names = |inode: &Inode| match inode {
            Inode::Folder(entries) => entries.now.values().filter(|entry| **entry == number).count(),
            Inode::File(_) => 0,
        };
        u32::try_from(self.inodes.values().map(names).sum::<usize>()).unwrap_or(u32::MAX)
    }

    pub(super) fn list(&self, folder: u64) -> Result<Vec<(OsString, u64)>, Trouble> {
        let entries = &self.entries(folder)?.now;
        Ok(entries.iter().map(|(name, number)| (name.clone(), *number)).collect())
    }

    /// Makes a file, or a folder.
    pub(super) fn make(&mut self, folder: u64, name: &OsStr, is_folder: bool) -> Result<u64, Trouble> {
        if self.lookup(folder, name).is_ok() {
            return Err(Trouble::Exists);
        }
        self.room_for(1)?;
        let number = self.next;
        self.entries_mut(folder)?.now.insert(name.to_owned(), number);
        self.next += 1;
        let inode = if is_folder {
            Inode::Folder(Entries::default())
        } else {
            Inode::File(Content::default())
        };
        self.inodes.insert(number, inode);
        Ok(number)
    }

    /// One more name for a file.
    pub(super) fn link(&mut self, number: u64, folder: u64, name: &OsStr) -> Result<(), Trouble> {
        if self.is_folder(number)? {
            return Err(Trouble::Folder);
        }
        if self.lookup(folder, name).is_ok() {
            return Err(Trouble::Exists);
        }
        self.entries_mut(folder)?.now.insert(name.to_owned(), number);
        Ok(())
    }

    /// Takes a name away. What has no name any more is gone at the next power cut: somebody may still have it open.
    pub(super) fn unlink(&mut self, folder: u64, name: &OsStr, is_folder: bool) -> Result<(), Trouble> {
        let number = self.lookup(folder, name)?;
        match (self.is_folder(number)?, is_folder) {
            (true, false) => return Err(Trouble::Folder),
            (false, true) => return Err(Trouble::NoFolder),
            (true, true) if !self.entries(number)?.now.is_empty() => return Err(Trouble::NotEmpty),
            _ => {}
        }
        self.entries_mut(folder)?.now.remove(name);
        Ok(())
    }

    pub(super) fn rename(&mut self, from: u64, name: &OsStr, to: u64, new_name: &OsStr) -> Result<(), Trouble> {
        let number = self.lookup(from, name)?;
        if let Ok(replaced) = self.lookup(to, new_name)
            && self.is_folder(replaced)?
            && !self.entries(replaced)?.now.is_empty()
        {
            return Err(Trouble::NotEmpty);
        }
        self.entries_mut(to)?.now.insert(new_name.to_owned(), number);
        if (from, name) != (to, new_name) {
            self.entries_mut(from)?.now.remove(name);
        }
        Ok(())
    }

    pub(super) fn read(&self, number: u64, at: u64, length: usize) -> Result<&[u8], Trouble> {
        match self.inodes.get(&number) {
            Some(Inode::File(content)) => {
                let from = usize::try_from(at).unwrap_or(usize::MAX).min(content.now.len());
                Ok(&content.now[from..from.saturating_add(length).min(content.now.len())])
            }
            Some(Inode::Folder(_)) => Err(Trouble::Folder),
            None => Err(Trouble::Missing),
        }
    }

    pub(super) fn write(&mut self, number: u64, at: u64, bytes: &[u8]) -> Result<(), Trouble> {
        self.room_for(bytes.len() as u64)?;
        let at = usize::try_from(at).map_err(|_| Trouble::Full)?;
        self.content(number)?.change(Change::Written {
            at,
            bytes: bytes.to_vec(),
        });
        Ok(())
    }

    pub(super) fn resize(&mut self, number: u64, length: u64) -> Result<(), Trouble> {
        let length = usize::try_from(length).map_err(|_| Trouble::Full)?;
        let content = self.content(number)?;
        if content.now.len() != length {
            content.change(Change::Resized(length));
        }
        Ok(())
    }

    /// What a file or folder holds now survives a power cut from now on. The name of a file belongs to its folder.
    pub(super) fn sync(&mut self, number: u64) -> Result<(), Trouble> {
        if self.fault.sync_fails {
            self.tally.failed_syncs += 1;
            return Err(Trouble::Failed);
        }
        if self.fault.sync_lies {
            return Ok(());
        }
        match self.inodes.get_mut(&number) {
            Some(Inode::File(content)) => content.sync(),
            Some(Inode::Folder(entries)) => entries.kept.clone_from(&entries.now),
            None => return Err(Trouble::Missing),
        }
        Ok(())
    }

    fn room_for(&mut self, bytes: u64) -> Result<(), Trouble> {
        if self.fault.capacity > 0 && self.used_by_names() + bytes > self.fault.capacity {
            self.tally.full += 1;
            Err(Trouble::Full)
        } else {
            Ok(())
        }
    }

    /// As [`Volume::used`], without what is deleted and only kept for a power cut.
    pub(super) fn used_by_names(&self) -> u64 {
        let mut named = BTreeSet::new();
        self.walk(ROOT, "", &mut |_, number| {
            named.insert(number);
        });
        named.iter().filter_map(|number| self.length(*number).ok()).sum()
    }

    fn walk(&self, folder: u64, path: &str, found: &mut dyn FnMut(&str, u64)) {
        let Ok(entries) = self.entries(folder) else { return };
        for (name, number) in &entries.now {
            let path = format!("{path}/{}", name.to_string_lossy());
            match self.inodes.get(number) {
                Some(Inode::Folder(_)) => self.walk(*number, &path, found),
                Some(Inode::File(_)) => found(&path, *number),
                None => {}
            }
        }
    }

    fn reachable(&self) -> BTreeSet<u64> {
        let (mut found, mut open) = (BTreeSet::from([ROOT]), vec![ROOT]);
        while let Some(folder) = open.pop() {
            for number in self
                .entries(folder)
                .into_iter()
                .flat_map(|entries| entries.now.values())
            {
                if found.insert(*number) && self.is_folder(*number).unwrap_or(false) {
                    open.push(*number);
                }
            }
        }
        found
    }

    fn entries(&self, folder: u64) -> Result<&Entries, Trouble> {
        match self.inodes.get(&folder) {
            Some(Inode::Folder(entries)) => Ok(entries),
            Some(Inode::File(_)) => Err(Trouble::NoFolder),
            None => Err(Trouble::Missing),
        }
    }

    fn entries_mut(&mut self, folder: u64) -> Result<&mut Entries, Trouble> {
        match self.inodes.get_mut(&folder) {
            Some(Inode::Folder(entries)) => Ok(entries),
            Some(Inode::File(_)) => Err(Trouble::NoFolder),
            None => Err(Trouble::Missing),
        }
    }

    fn content(&mut self, number: u64) -> Result<&mut Content, Trouble> {
        match self.inodes.get_mut(&number) {
            Some(Inode::File(content)) => Ok(content),
            Some(Inode::Folder(_)) => Err(Trouble::Folder),
            None => Err(Trouble::Missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> &OsStr {
        OsStr::new(name)
    }

    fn content(volume: &Volume, name: &str) -> Option<Vec<u8>> {
        let number = volume.lookup(ROOT, named(name)).ok()?;
        volume.read(number, 0, 1_000).ok().map(<[u8]>::to_vec)
    }

    /// A file with its name and the content "synced" on the disk.
    fn with_a_file() -> (Volume, u64) {
        let mut volume = Volume::default();
        let file = volume.make(ROOT, named("a"), false).unwrap();
        volume.write(file, 0, b"synced").unwrap();
        volume.sync(file).unwrap();
        volume.sync(ROOT).unwrap();
        (volume, file)
    }

    #[test]
    fn what_was_not_synced_is_forgotten_and_what_was_is_not() {
        let (mut volume, file) = with_a_file();
        volume.write(file, 3, b"ABCDEF").unwrap();
        assert_eq!(content(&volume, "a").unwrap(), b"synABCDEF");
        volume.power_cut(None);
        assert_eq!(content(&volume, "a").unwrap(), b"synced");
    }

    #[test]
    fn a_synced_file_whose_folder_was_not_synced_has_no_name_any_more() {
        let (mut volume, _) = with_a_file();
        let second = volume.make(ROOT, named("b"), false).unwrap();
        volume.sync(second).unwrap();
        volume.power_cut(None);
        assert_eq!(content(&volume, "b"), None);
    }

    #[test]
    fn a_rename_and_a_deletion_happen_when_their_folder_is_synced() {
        let (mut volume, _) = with_a_file();
        volume.rename(ROOT, named("a"), ROOT, named("b")).unwrap();
        volume.power_cut(None);
        assert_eq!((content(&volume, "a").is_some(), content(&volume, "b")), (true, None));
        volume.rename(ROOT, named("a"), ROOT, named("b")).unwrap();
        volume.sync(ROOT).unwrap();
        volume.unlink(ROOT, named("b"), false).unwrap();
        volume.power_cut(None);
        assert_eq!(
            (content(&volume, "a"), content(&volume, "b").unwrap()),
            (None, b"synced".to_vec())
        );
    }

    #[test]
    fn a_torn_write_keeps_a_beginning_of_what_was_written() {
        let mut lengths = BTreeSet::new();
        for seed in 0..200 {
            let (mut volume, file) = with_a_file();
            for (number, byte) in (b'0'..=b'9').enumerate() {
                volume.write(file, 6 + number as u64 * 4, &[byte; 4]).unwrap();
            }
            volume.power_cut(Some(&mut Seeded::new(seed)));
            let left = content(&volume, "a").unwrap();
            let whole = b"synced0000111122223333444455556666777788889999";
            assert_eq!(left, whole[..left.len()]);
            lengths.insert(left.len());
        }
        assert!(lengths.len() > 20, "{lengths:?}");
    }

    #[test]
    fn a_link_survives_its_first_name() {
        let (mut volume, file) = with_a_file();
        volume.link(file, ROOT, named("b")).unwrap();
        assert_eq!(volume.links(file), 2);
        volume.unlink(ROOT, named("a"), false).unwrap();
        volume.sync(ROOT).unwrap();
        volume.power_cut(None);
        assert_eq!(content(&volume, "b").unwrap(), b"synced");
    }

    #[test]
    fn a_disk_that_lies_about_syncs_loses_what_it_acknowledged() {
        let (mut volume, file) = with_a_file();
        volume.fault.sync_lies = true;
        volume.write(file, 0, b"newer!").unwrap();
        volume.sync(file).unwrap();
        volume.power_cut(None);
        assert_eq!(content(&volume, "a").unwrap(), b"synced");
    }

    #[test]
    fn a_failed_sync_keeps_nothing_and_a_full_disk_takes_nothing() {
        let (mut volume, file) = with_a_file();
        volume.write(file, 0, b"newer!").unwrap();
        volume.fault.sync_fails = true;
        assert_eq!(volume.sync(file), Err(Trouble::Failed));
        volume.power_cut(None);
        assert_eq!(content(&volume, "a").unwrap(), b"synced");
        volume.fault.capacity = 8;
        assert_eq!(volume.write(file, 6, b"more"), Err(Trouble::Full));
    }

    #[test]
    fn one_bit_is_flipped_and_stays_flipped() {
        let mut volume = Volume::default();
        let folder = volume.make(ROOT, named("log"), true).unwrap();
        let file = volume.make(folder, named("1.sst"), false).unwrap();
        volume.write(file, 0, &[0; 100]).unwrap();
        for number in [file, folder, ROOT] {
            volume.sync(number).unwrap();
        }
        let mut random = Seeded::new(1);
        assert_eq!(
            volume.flip_a_bit(&["/log/"], ".sst", &mut random).as_deref(),
            Some("/log/1.sst")
        );
        assert_eq!(volume.flip_a_bit(&["/state/"], ".sst", &mut random), None);
        volume.power_cut(None);
        let ones: u32 = volume
            .read(file, 0, 100)
            .unwrap()
            .iter()
            .map(|byte| byte.count_ones())
            .sum();
        assert_eq!(ones, 1);
    }
}
