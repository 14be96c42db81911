//! Files on a simulated disk.

use std::io;
use std::path::Path;

use super::disk::{Id, with};

/// A held lock; free again when dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: Id,
}

impl Drop for Lock {
    fn drop(&mut self) {
        with(|disk| disk.locked.remove(&self.file));
    }
}

/// One name in a folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) name: String,
    pub(crate) is_dir: bool,
}

pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    with(|disk| disk.bytes(path).map(<[u8]>::to_vec))
}

pub(crate) fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(io::Error::other)
}

/// Makes the file, or empties it, and writes the bytes.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    with(|disk| disk.replace(path, bytes))
}

/// Writes the bytes behind the last one.
pub(super) fn append(path: &Path, bytes: &[u8]) -> io::Result<()> {
    with(|disk| {
        let end = disk.bytes(path)?.len();
        disk.write(path, end, bytes)
    })
}

/// Makes a file's bytes, or a folder's names, durable.
pub(crate) fn sync(path: &Path) -> io::Result<()> {
    with(|disk| disk.sync(path))
}

/// What is in a folder, by name.
pub(crate) fn list(folder: &Path) -> io::Result<Vec<Name>> {
    let names = with(|disk| disk.list(folder))?;
    Ok(names.into_iter().map(|(name, is_dir)| Name { name, is_dir }).collect())
}

pub(crate) fn exists(path: &Path) -> bool {
    with(|disk| disk.find(path).is_ok())
}

/// The bytes in a file.
pub(crate) fn length(path: &Path) -> io::Result<u64> {
    with(|disk| Ok(disk.bytes(path)?.len() as u64))
}

/// At most `most` bytes from `offset` on; fewer only at the end of the file.
pub(crate) fn read_at(path: &Path, offset: u64, most: usize) -> io::Result<Vec<u8>> {
    let offset = usize::try_from(offset).map_err(io::Error::other)?;
    with(|disk| {
        let bytes = disk.bytes(path)?;
        let from = offset.min(bytes.len());
        Ok(bytes[from..bytes.len().min(from + most)].to_vec())
    })
}

/// Writes the bytes at `offset`, making the file if it is not there.
pub(crate) fn write_at(path: &Path, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let offset = usize::try_from(offset).map_err(io::Error::other)?;
    with(|disk| disk.write(path, offset, bytes))
}

pub(crate) fn create_dir_all(path: &Path) -> io::Result<()> {
    with(|disk| disk.make_folders(path))
}

pub(crate) fn remove_file(path: &Path) -> io::Result<()> {
    with(|disk| disk.remove(path))
}

pub(crate) fn remove_dir_all(path: &Path) -> io::Result<()> {
    with(|disk| disk.remove(path))
}

pub(crate) fn rename(from: &Path, to: &Path) -> io::Result<()> {
    with(|disk| disk.rename(from, to))
}

pub(crate) fn hard_link(from: &Path, to: &Path) -> io::Result<()> {
    with(|disk| disk.link(from, to))
}

pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let bytes = read(from)?;
    write(to, &bytes)?;
    Ok(bytes.len() as u64)
}

/// Holds the file; `None` when somebody else has it.
pub(crate) fn lock(path: &Path) -> io::Result<Option<Lock>> {
    with(|disk| {
        let file = disk.find_or_make(path)?;
        Ok(disk.locked.insert(file).then(|| Lock { file }))
    })
}
