//! A [`Volume`] as a mounted file system.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, OpenFlags, RenameFlags, ReplyAttr, ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use super::volume::{Fault, Tally, Trouble, Volume};
use crate::seeded::Seeded;

/// How long the kernel may believe what it was told. Nothing but this mount changes the volume.
const BELIEVED: Duration = Duration::from_secs(1);
/// Threads that answer the kernel, so that a slow sync holds nothing else up.
const THREADS: usize = 4;
/// The size that a disk without a limit says it has.
const ENDLESS: u64 = 1 << 40;

/// How long the files of a process that was killed may still be open.
const UNMOUNT: Duration = Duration::from_secs(10);

/// The disk itself could not be mounted or unmounted; a failure of the harness.
#[derive(Debug, thiserror::Error)]
#[error("{}: {what}: {source}; a file system in user space needs /dev/fuse, and root or Debian's package fuse3", path.display())]
pub struct DiskError {
    path: PathBuf,
    what: &'static str,
    source: std::io::Error,
}

/// A disk of its own for one node, mounted on a folder. Dropping it unmounts it, and what it held is gone.
pub struct Disk {
    path: PathBuf,
    volume: Arc<Mutex<Volume>>,
    session: Option<BackgroundSession>,
}

impl Disk {
    /// Mounts a new, empty disk on a folder, which is made if it is not there.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn mount(path: &Path) -> Result<Self, DiskError> {
        std::fs::create_dir_all(path).map_err(|source| DiskError {
            path: path.to_owned(),
            what: "the mount point cannot be made",
            source,
        })?;
        let mut disk = Disk {
            path: path.to_owned(),
            volume: Arc::default(),
            session: None,
        };
        disk.attach()?;
        Ok(disk)
    }

    /// From now on this is wrong with the disk.
    pub fn set_fault(&self, fault: Fault) {
        self.lock().fault = fault;
    }

    /// What is wrong with it.
    pub fn fault(&self) -> Fault {
        self.lock().fault
    }

    /// How often it did what is wrong with it.
    pub fn tally(&self) -> Tally {
        self.lock().tally()
    }

    /// Bytes in its files.
    pub fn used(&self) -> u64 {
        self.lock().used_by_names()
    }

    /// The power goes at this moment: nothing is done from now on. End the process, then call [`Disk::power_on`].
    pub fn power_off(&self) {
        self.lock().fault.off = true;
    }

    /// What was not synced when the power went is forgotten, but for a `torn` part of it, and the disk is mounted anew. Nobody may
    /// have a file of it open.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn power_on(&mut self, torn: Option<&mut Seeded>) -> Result<(), DiskError> {
        self.detach()?;
        self.lock().power_cut(torn);
        self.attach()
    }

    /// Flips one bit, as [`Volume::flip_a_bit`] says, while nobody has a file of it open.
    ///
    /// # Errors
    /// [`DiskError`].
    pub fn flip_a_bit(
        &mut self,
        words: &[&str],
        ending: &str,
        random: &mut Seeded,
    ) -> Result<Option<String>, DiskError> {
        self.detach()?;
        let flipped = self.lock().flip_a_bit(words, ending, random);
        self.attach()?;
        Ok(flipped)
    }

    fn attach(&mut self) -> Result<(), DiskError> {
        let mut config = Config::default();
        config.n_threads = Some(THREADS);
        let shell = Shell(self.volume.clone());
        let session = fuser::spawn_mount(shell, &self.path, &config).map_err(|source| DiskError {
            path: self.path.clone(),
            what: "the disk cannot be mounted",
            source,
        })?;
        self.session = Some(session);
        Ok(())
    }

    fn detach(&mut self) -> Result<(), DiskError> {
        let Some(session) = self.session.take() else {
            return Ok(());
        };
        let unmounted = self.unmount();
        match session.umount_and_join() {
            Err(source) if !unmounted => Err(DiskError {
                path: self.path.clone(),
                what: "the disk cannot be unmounted",
                source,
            }),
            // There is nothing left to unmount, which is said as an error.
            _ => Ok(()),
        }
    }

    /// On a busy machine the kernel still closes files of a process that is gone: tries again for a while. False when `umount` does
    /// not do it, which not everybody may use.
    fn unmount(&self) -> bool {
        let deadline = Instant::now() + UNMOUNT;
        loop {
            let Ok(tried) = Command::new("umount").arg(&self.path).output() else {
                return false;
            };
            let busy = String::from_utf8_lossy(&tried.stderr).contains("busy");
            if tried.status.success() || !busy || Instant::now() > deadline {
                return tried.status.success();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Volume> {
        self.volume.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // A mount that is still in use is taken away by the kernel with this process.
        let _ = self.detach();
    }
}

/// What the kernel talks to.
struct Shell(Arc<Mutex<Volume>>);

impl From<Trouble> for Errno {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Missing => Errno::ENOENT,
            Trouble::Exists => Errno::EEXIST,
            Trouble::Folder => Errno::EISDIR,
            Trouble::NoFolder => Errno::ENOTDIR,
            Trouble::NotEmpty => Errno::ENOTEMPTY,
            Trouble::Full => Errno::ENOSPC,
            Trouble::Failed => Errno::EIO,
        }
    }
}

impl Shell {
    /// The volume, if its power is on.
    fn volume(&self) -> Result<MutexGuard<'_, Volume>, Trouble> {
        let volume = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if volume.fault.off {
            Err(Trouble::Failed)
        } else {
            Ok(volume)
        }
    }

    /// Does something, and says how the file is afterwards.
    fn then_attributes(&self, what: impl FnOnce(&mut Volume) -> Result<u64, Trouble>) -> Result<FileAttr, Trouble> {
        let mut volume = self.volume()?;
        let number = what(&mut volume)?;
        attributes(&volume, number)
    }

    fn sync(&self, number: u64) -> Result<(), Trouble> {
        let delay = self.volume()?.fault.sync_delay_ms;
        std::thread::sleep(Duration::from_millis(delay));
        self.volume()?.sync(number)
    }
}

fn attributes(volume: &Volume, number: u64) -> Result<FileAttr, Trouble> {
    let is_folder = volume.is_folder(number)?;
    let size = volume.length(number)?;
    Ok(FileAttr {
        ino: INodeNo(number),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: kind(is_folder),
        perm: if is_folder { 0o700 } else { 0o600 },
        nlink: if is_folder { 2 } else { volume.links(number).max(1) },
        uid: rustix::process::getuid().as_raw(),
        gid: rustix::process::getgid().as_raw(),
        rdev: 0,
        blksize: 4_096,
        flags: 0,
    })
}

fn kind(is_folder: bool) -> FileType {
    if is_folder {
        FileType::Directory
    } else {
        FileType::RegularFile
    }
}

fn entry(reply: ReplyEntry, made: Result<FileAttr, Trouble>) {
    match made {
        Ok(attributes) => reply.entry(&BELIEVED, &attributes, Generation(0)),
        Err(trouble) => reply.error(trouble.into()),
    }
}

fn empty(reply: ReplyEmpty, done: Result<(), Trouble>) {
    match done {
        Ok(()) => reply.ok(),
        Err(trouble) => reply.error(trouble.into()),
    }
}

fn attr(reply: ReplyAttr, found: Result<FileAttr, Trouble>) {
    match found {
        Ok(attributes) => reply.attr(&BELIEVED, &attributes),
        Err(trouble) => reply.error(trouble.into()),
    }
}

impl Filesystem for Shell {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        entry(reply, self.then_attributes(|volume| volume.lookup(parent.0, name)));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        attr(reply, self.then_attributes(|_| Ok(ino.0)));
    }

    #[allow(clippy::too_many_arguments, reason = "the trait's")]
    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        _mode: Option<u32>,
        _uid: Option<u32>,
        _gid: Option<u32>,
        size: Option<u64>,
        _atime: Option<TimeOrNow>,
        _mtime: Option<TimeOrNow>,
        _ctime: Option<std::time::SystemTime>,
        _fh: Option<FileHandle>,
        _crtime: Option<std::time::SystemTime>,
        _chgtime: Option<std::time::SystemTime>,
        _bkuptime: Option<std::time::SystemTime>,
        _flags: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let resized = self.then_attributes(|volume| {
            if let Some(size) = size {
                volume.resize(ino.0, size)?;
            }
            Ok(ino.0)
        });
        attr(reply, resized);
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, _mode: u32, _umask: u32, reply: ReplyEntry) {
        entry(reply, self.then_attributes(|volume| volume.make(parent.0, name, true)));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(
            reply,
            self.volume()
                .and_then(|mut volume| volume.unlink(parent.0, name, false)),
        );
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(
            reply,
            self.volume().and_then(|mut volume| volume.unlink(parent.0, name, true)),
        );
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        if !flags.is_empty() {
            return reply.error(Errno::EINVAL);
        }
        let renamed = self
            .volume()
            .and_then(|mut volume| volume.rename(parent.0, name, newparent.0, newname));
        empty(reply, renamed);
    }

    fn link(&self, _: &Request, ino: INodeNo, newparent: INodeNo, newname: &OsStr, reply: ReplyEntry) {
        let linked = self.then_attributes(|volume| volume.link(ino.0, newparent.0, newname).map(|()| ino.0));
        entry(reply, linked);
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        match self.volume() {
            Ok(_) => reply.opened(FileHandle(0), FopenFlags::empty()),
            Err(trouble) => reply.error(trouble.into()),
        }
    }

    fn create(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        _mode: u32,
        _umask: u32,
        _flags: i32,
        reply: ReplyCreate,
    ) {
        match self.then_attributes(|volume| volume.make(parent.0, name, false)) {
            Ok(made) => reply.created(&BELIEVED, &made, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(trouble) => reply.error(trouble.into()),
        }
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let read = self
            .volume()
            .and_then(|volume| volume.read(ino.0, offset, size as usize).map(<[u8]>::to_vec));
        match read {
            Ok(bytes) => reply.data(&bytes),
            Err(trouble) => reply.error(trouble.into()),
        }
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        let written = self.volume().and_then(|mut volume| volume.write(ino.0, offset, data));
        match written {
            Ok(()) => reply.written(u32::try_from(data.len()).unwrap_or(u32::MAX)),
            Err(trouble) => reply.error(trouble.into()),
        }
    }

    /// Closing a file syncs nothing.
    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        empty(reply, self.sync(ino.0));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _datasync: bool, reply: ReplyEmpty) {
        empty(reply, self.sync(ino.0));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let listed = self.volume().and_then(|volume| {
            let names = volume.list(ino.0)?;
            let with_kind = |(name, number)| (name, number, volume.is_folder(number).unwrap_or(false));
            Ok(names.into_iter().map(with_kind).collect::<Vec<_>>())
        });
        let entries = match listed {
            Ok(entries) => entries,
            Err(trouble) => return reply.error(trouble.into()),
        };
        let skipped = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (name, number, is_folder)) in entries.into_iter().enumerate().skip(skipped) {
            if reply.add(INodeNo(number), place as u64 + 1, kind(is_folder), name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        match self.volume() {
            Ok(volume) => {
                let capacity = if volume.fault.capacity > 0 {
                    volume.fault.capacity
                } else {
                    ENDLESS
                };
                let free = capacity.saturating_sub(volume.used_by_names()) / 4_096;
                reply.statfs(capacity / 4_096, free, free, 1 << 20, 1 << 20, 4_096, 255, 4_096);
            }
            Err(trouble) => reply.error(trouble.into()),
        }
    }
}
