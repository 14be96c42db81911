//! Files and folders of a volume: as they are now, and as they were synced.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::seeded::Seeded;

/// What a number of the volume stands for.
#[derive(Debug, Clone)]
pub(super) enum Inode {
    File(Content),
    Folder(Entries),
}

/// A file: as it is now, as it was synced, and what was changed in between, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Content {
    pub(super) now: Vec<u8>,
    pub(super) kept: Vec<u8>,
    changes: Vec<Change>,
}

/// A change of a file that was not synced yet.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Written { at: usize, bytes: Vec<u8> },
    Resized(usize),
}

/// A folder: its names as they are now, and as they were synced.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Entries {
    pub(super) now: BTreeMap<OsString, u64>,
    pub(super) kept: BTreeMap<OsString, u64>,
}

impl Content {
    fn apply(bytes: &mut Vec<u8>, change: &Change) {
        match change {
            Change::Written { at, bytes: new } => {
                if bytes.len() < at + new.len() {
                    bytes.resize(at + new.len(), 0);
                }
                bytes[*at..at + new.len()].copy_from_slice(new);
            }
            Change::Resized(length) => bytes.resize(*length, 0),
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        Self::apply(&mut self.now, &change);
        self.changes.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.changes.drain(..) {
            Self::apply(&mut self.kept, &change);
        }
    }

    /// The power goes: of what was not synced, so many changes survive, and a part of the next one. How many are gone, whole or in part.
    pub(super) fn cut(&mut self, random: Option<&mut Seeded>) -> u64 {
        let mut gone = self.changes.len();
        if let Some(random) = random
            && !self.changes.is_empty()
        {
            let whole = random.below(self.changes.len() as u64) as usize;
            gone -= whole;
            for change in &self.changes[..whole] {
                Self::apply(&mut self.kept, change);
            }
            if let Change::Written { at, bytes } = &self.changes[whole] {
                let part = random.below(bytes.len() as u64) as usize;
                let (at, bytes) = (*at, bytes[..part].to_vec());
                Self::apply(&mut self.kept, &Change::Written { at, bytes });
            }
        }
        self.changes.clear();
        self.now.clone_from(&self.kept);
        gone as u64
    }
}
