//! The end of RocksDB's write-ahead log after a crash: a last write that reached the disk in part is cut off and
//! reported; anything else that does not add up refuses the start.
//!
//! RocksDB would drop an incomplete last record without a word, and takes one with a lost sector for damage. A record
//! counts as torn when the file ends inside it, or when it is the last one and a whole sector of it is zeros, which a
//! file system leaves where a write did not arrive. A bit that flipped leaves neither mark: where it makes a record seem longer than its
//! file, the record is whole with that bit flipped back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use crate::platform::DatabaseError;

const BLOCK: usize = 32 << 10;
const HEADER: usize = 7;
/// Records of recycled files also carry the file's number.
const LONG_HEADER: usize = 11;
const SECTOR: usize = 512;

/// How a file ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Whole,
    /// Up to here all is well; what follows never was written completely.
    Torn {
        whole: usize,
    },
    Damaged {
        at: usize,
    },
}

/// Cuts off what a crash left half written; how many bytes, 0 when there was nothing.
///
/// # Errors
/// [`DatabaseError::Damaged`] for anything that no crash can have left.
pub(super) fn cut_torn_tail(folder: &Path) -> Result<u64, DatabaseError> {
    let failed = |path: &Path, error: io::Error| DatabaseError::Io(format!("{}: {error}", path.display()));
    let mut lost = 0;
    let mut last = true;
    for path in files(folder).map_err(|e| failed(folder, e))?.into_iter().rev() {
        let bytes = fs::read(&path).map_err(|e| failed(&path, e))?;
        let damaged = |offset: usize| {
            let (name, length) = (path.display(), bytes.len());
            DatabaseError::Damaged(format!(
                "the write-ahead log {name} is damaged at byte {offset} of {length}"
            ))
        };
        match end_of(&bytes) {
            End::Whole => {}
            End::Torn { whole } if last => {
                let cut = || -> io::Result<()> {
                    let file = File::options().write(true).open(&path)?;
                    file.set_len(whole as u64)?;
                    file.sync_all()
                };
                cut().map_err(|e| failed(&path, e))?;
                lost = (bytes.len() - whole) as u64;
                tracing::warn!(
                    folder = %folder.display(), bytes = lost,
                    "the end of the log was half written when the machine went down: cut off; nothing in it was acknowledged"
                );
            }
            End::Torn { whole } => return Err(damaged(whole)),
            End::Damaged { at } => return Err(damaged(at)),
        }
        // A later file with something in it was begun after the earlier ones had been synced.
        last = last && bytes.is_empty();
    }
    Ok(lost)
}

/// The write-ahead files, oldest first.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut numbered = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let number = path.file_stem().and_then(|stem| stem.to_str()?.parse::<u64>().ok());
        if let (Some(number), Some("log")) = (number, path.extension().and_then(|e| e.to_str())) {
            numbered.push((number, path));
        }
    }
    numbered.sort();
    Ok(numbered.into_iter().map(|(_, path)| path).collect())
}

fn end_of(bytes: &[u8]) -> End {
    let (mut position, mut whole, mut in_parts) = (0, 0, false);
    loop {
        let left = BLOCK - position % BLOCK;
        if left < HEADER {
            position += left;
        }
        if position >= bytes.len() {
            // A record in parts whose last part is missing; or a few bytes that fill up a block.
            return if in_parts { End::Torn { whole } } else { End::Whole };
        }
        let rest = &bytes[position..];
        let [_, _, _, _, l0, l1, kind, ..] = *rest else {
            return End::Torn { whole };
        };
        let length = usize::from(u16::from_le_bytes([l0, l1]));
        if kind == 0 && length == 0 {
            let nothing_follows = rest.iter().all(|byte| *byte == 0);
            return if nothing_follows {
                End::Torn { whole }
            } else {
                End::Damaged { at: position }
            };
        }
        let header = header_of(kind);
        if header + length > BLOCK - position % BLOCK {
            return End::Damaged { at: position };
        }
        let Some(record) = rest.get(..header + length) else {
            return if is_whole_but_for_a_bit(rest) {
                End::Damaged { at: position }
            } else {
                End::Torn { whole }
            };
        };
        if !is_whole(record) {
            let is_last = rest[record.len()..].iter().all(|byte| *byte == 0);
            let torn = is_last && has_lost_sector(record, position);
            return if torn {
                End::Torn { whole }
            } else {
                End::Damaged { at: position }
            };
        }
        position += record.len();
        match kind {
            2 | 6 => in_parts = true,
            3 | 7 => {}
            _ => {
                in_parts = false;
                whole = position;
            }
        }
    }
}

fn header_of(kind: u8) -> usize {
    if matches!(kind, 5..=8 | 11 | 131) {
        LONG_HEADER
    } else {
        HEADER
    }
}

/// Whether the record, header and all, has the checksum that it says.
fn is_whole(record: &[u8]) -> bool {
    let [c0, c1, c2, c3, _, _, body @ ..] = record else {
        return false;
    };
    masked(crc32c::crc32c(body)) == u32::from_le_bytes([*c0, *c1, *c2, *c3])
}

/// Whether what begins here is a record that says a wrong length or kind, by one bit.
fn is_whole_but_for_a_bit(rest: &[u8]) -> bool {
    let mut bytes = rest.to_vec();
    (4..HEADER)
        .flat_map(|at| (0..8).map(move |bit| (at, 1 << bit)))
        .any(|(at, bit)| {
            bytes[at] ^= bit;
            let length = usize::from(u16::from_le_bytes([bytes[4], bytes[5]]));
            let whole = bytes.get(..header_of(bytes[6]) + length).is_some_and(is_whole);
            bytes[at] ^= bit;
            whole
        })
}

/// RocksDB stores checksums changed, so that a checksum of a checksum is no trivial value.
fn masked(crc: u32) -> u32 {
    crc.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// Whether a sector of the file that lies wholly in the record is zeros.
fn has_lost_sector(record: &[u8], position: usize) -> bool {
    let first = position.next_multiple_of(SECTOR) - position;
    let sectors = record.get(first..).unwrap_or_default().chunks_exact(SECTOR);
    sectors.into_iter().any(|sector| sector.iter().all(|byte| *byte == 0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rocksdb::{DB, Options, WriteBatch, WriteOptions};

    /// What RocksDB itself writes: records of many sizes, some over several blocks.
    fn written() -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut options = Options::default();
        options.create_if_missing(true);
        let db = DB::open(&options, folder.path()).expect("opens");
        for n in 0..40_usize {
            let mut batch = WriteBatch::default();
            batch.put(n.to_be_bytes(), vec![7; n * n * 50]);
            db.write_opt(batch, &WriteOptions::default()).expect("written");
        }
        db.flush_wal(true).expect("synced");
        drop(db);
        let files = files(folder.path()).expect("readable");
        let largest = files
            .into_iter()
            .max_by_key(|path| path.metadata().map_or(0, |m| m.len()));
        (folder, largest.expect("a write-ahead log"))
    }

    fn keys(folder: &Path) -> usize {
        let mut options = Options::default();
        options.set_wal_recovery_mode(rocksdb::DBRecoveryMode::TolerateCorruptedTailRecords);
        let db = DB::open(&options, folder).expect("opens");
        (0..40_usize)
            .take_while(|n| matches!(db.get(n.to_be_bytes()), Ok(Some(_))))
            .count()
    }

    #[test]
    fn what_rocksdb_wrote_is_whole() {
        let (folder, path) = written();
        assert_eq!(end_of(&fs::read(path).expect("readable")), End::Whole);
        assert_eq!(cut_torn_tail(folder.path()).expect("whole"), 0);
        assert_eq!(keys(folder.path()), 40);
    }

    #[test]
    fn a_file_that_ends_anywhere_is_cut_after_its_last_whole_record() {
        let (_folder, path) = written();
        let bytes = fs::read(path).expect("readable");
        for end in (0..bytes.len()).step_by(997) {
            match end_of(&bytes[..end]) {
                End::Whole => {}
                End::Torn { whole } => {
                    assert!(whole <= end);
                    assert_eq!(end_of(&bytes[..whole]), End::Whole, "cut at {end}");
                }
                End::Damaged { at } => panic!("cut at {end}: damaged at {at}"),
            }
        }
    }

    #[test]
    fn a_torn_last_record_is_cut_off_and_the_rest_opens() {
        for lost_sector in [false, true] {
            let (folder, path) = written();
            let mut bytes = fs::read(&path).expect("readable");
            let whole = bytes.len();
            if lost_sector {
                let sector = (whole - 2000) / SECTOR * SECTOR;
                bytes[sector..sector + SECTOR].fill(0);
            } else {
                bytes.truncate(whole - 700);
            }
            fs::write(&path, &bytes).expect("written");
            let lost = cut_torn_tail(folder.path()).expect("repaired");
            assert!(lost > 0);
            assert_eq!(cut_torn_tail(folder.path()).expect("whole"), 0, "once");
            assert_eq!(keys(folder.path()), 39);
        }
    }

    #[test]
    fn a_flipped_bit_is_damage_wherever_it_is() {
        let (_folder, path) = written();
        let bytes = fs::read(path).expect("readable");
        let ends = [100, bytes.len() / 3, bytes.len() / 2, bytes.len() - 10];
        for at in ends {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            assert!(matches!(end_of(&flipped), End::Damaged { .. }), "at {at}");
        }
        // Every bit of a file that is all last block: lengths that now reach beyond its end among them.
        let short = &bytes[..5_000];
        let End::Torn { whole } = end_of(short) else {
            panic!("the file is longer")
        };
        let mut flipped = short[..whole].to_vec();
        for (at, bit) in (0..whole).flat_map(|at| (0..8).map(move |bit| (at, 1 << bit))) {
            flipped[at] ^= bit;
            assert!(matches!(end_of(&flipped), End::Damaged { .. }), "at {at}, {bit}");
            flipped[at] ^= bit;
        }
    }

    #[test]
    fn zeros_where_nothing_was_written_are_cut_off() {
        let (folder, path) = written();
        let mut bytes = fs::read(&path).expect("readable");
        bytes.extend([0; 5000]);
        fs::write(&path, &bytes).expect("written");
        assert_eq!(cut_torn_tail(folder.path()).expect("repaired"), 5000);
        assert_eq!(keys(folder.path()), 40);
    }

    #[test]
    fn a_torn_file_before_another_is_damage() {
        let (folder, path) = written();
        let bytes = fs::read(&path).expect("readable");
        fs::write(&path, &bytes[..bytes.len() - 700]).expect("written");
        fs::write(folder.path().join("999999.log"), &bytes).expect("written");
        let refused = cut_torn_tail(folder.path()).expect_err("refused");
        assert!(matches!(refused, DatabaseError::Damaged(_)), "{refused}");
    }
}
