//! The list of used capabilities in a file: a process that is killed and started again takes none of them a second time.
//!
//! A call waits until its capability is in the file, which is then the kernel's to keep: a kill loses nothing. A thread of its own writes, so that
//! a disk that hangs holds up a call for [`PATIENCE`] and no longer; the guard in memory knows of the capability all the same. Against a power cut the file is
//! synced once a second while calls come. Records are of one size and each has a checksum; what is over is left out whenever the file is written anew.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

use fed_core::capability::{ReplayGuard, Spent};
use tokio::sync::oneshot;

use super::unix_s;

/// Begins the file.
const MAGIC: &[u8; 8] = b"fedused1";

/// Records after which the file is written anew. At most half of them are of capabilities still good.
const MOST_RECORDS: usize = 2 * ReplayGuard::CAPACITY;

/// How long a call waits for its record.
const PATIENCE: Duration = Duration::from_millis(100);

/// What was used in this time before a power cut may be forgotten.
const BETWEEN_SYNCS: Duration = Duration::from_secs(1);

/// Seconds for which what was given out before the start may still be good: the life of a capability, and clocks that differ.
const DOUBT_S: u32 = 40;

/// Records waiting for the writer; more than calls may ask at the same time.
const QUEUE: usize = 4_096;

type Note = (Spent, oneshot::Sender<()>);

/// The open list.
pub(super) struct UsedFile {
    notes: SyncSender<Note>,
}

impl UsedFile {
    /// Opens the list, and tells the guard what is on it. Calls matter more than the list: where it cannot be read the guard doubts what may have
    /// been on it, where it cannot be written it lives in memory, and the log says so.
    pub(super) fn open(path: PathBuf, guard: &mut ReplayGuard) -> Self {
        let now = unix_s();
        let there = read(&path, now);
        if let Some(damage) = &there.damage {
            tracing::error!(
                "{}: {damage}; calls from other nodes with a capability that may have been on the list are refused for {DOUBT_S} s. The list is written anew: nothing is to be done, unless it happens again (then look at the disk)",
                path.display()
            );
            guard.doubt(now.saturating_add(DOUBT_S));
        }
        for spent in &there.spent {
            guard.remember(*spent);
        }
        let mut writer = Writer::new(path);
        writer.attempt(|writer| writer.write_anew(&there.spent));
        let (notes, noted) = sync_channel(QUEUE);
        // Ends with the last sender.
        thread::spawn(move || writer.run(&noted));
        Self { notes }
    }

    /// Notes one that was used. What comes back resolves once it is in the file.
    pub(super) fn note(&self, spent: Spent) -> Noting {
        let (done, written) = oneshot::channel();
        // A full queue is a disk that hangs: the guard in memory has to do.
        Noting(self.notes.try_send((spent, done)).is_ok().then_some(written))
    }
}

/// A record on its way into the file.
pub(super) struct Noting(Option<oneshot::Receiver<()>>);

impl Noting {
    /// Waits until it is there, for [`PATIENCE`] at most.
    pub(super) async fn done(self) {
        let Some(written) = self.0 else { return };
        if tokio::time::timeout(PATIENCE, written).await.is_err() {
            tracing::warn!("the list of used capabilities is not written in time: is the disk slow?");
        }
    }
}

/// What a file holds.
#[derive(Debug, Default, PartialEq, Eq)]
struct There {
    /// Those still good.
    spent: Vec<Spent>,
    /// Why there may have been more.
    damage: Option<String>,
}

fn read(path: &Path, now_unix_s: u32) -> There {
    let most = MAGIC.len() + (MOST_RECORDS + QUEUE) * Spent::BYTES;
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(most as u64 + 1).read_to_end(&mut bytes));
    match read {
        Ok(_) if bytes.len() > most => There {
            damage: Some(format!("larger than a list of used capabilities gets ({most} bytes)")),
            ..There::default()
        },
        Ok(_) => decode(&bytes, now_unix_s),
        Err(error) if error.kind() == io::ErrorKind::NotFound => There::default(),
        Err(error) => There {
            damage: Some(format!("the list of used capabilities cannot be read: {error}")),
            ..There::default()
        },
    }
}

/// Reads the list. The end of a record that was being written when the process was killed is left out: its call was told nothing yet.
fn decode(bytes: &[u8], now_unix_s: u32) -> There {
    let Some(records) = bytes.strip_prefix(MAGIC) else {
        return There {
            damage: Some("not a list of used capabilities".to_owned()),
            ..There::default()
        };
    };
    let (records, _) = records.as_chunks::<{ Spent::BYTES }>();
    let mut there = There::default();
    let mut damaged = 0;
    for record in records {
        match Spent::from_bytes(record) {
            Some(spent) if spent.expires_unix_s > now_unix_s => there.spent.push(spent),
            Some(_) => {}
            None => damaged += 1,
        }
    }
    if damaged > 0 {
        there.damage = Some(format!(
            "{damaged} of {} records of the list of used capabilities are damaged",
            records.len()
        ));
    }
    there
}

/// The thread that writes.
struct Writer {
    path: PathBuf,
    /// None: to be opened again.
    file: Option<File>,
    records: usize,
    /// Something was written since the last sync.
    unsynced: bool,
    synced: Instant,
    /// The last attempt failed, and the log knows.
    failing: bool,
}

impl Writer {
    fn new(path: PathBuf) -> Self {
        Self {
            path,
            file: None,
            records: 0,
            unsynced: false,
            synced: Instant::now(),
            failing: false,
        }
    }

    fn run(mut self, noted: &Receiver<Note>) {
        loop {
            let first = if self.unsynced {
                noted.recv_timeout(BETWEEN_SYNCS.saturating_sub(self.synced.elapsed()))
            } else {
                noted.recv().map_err(|_| RecvTimeoutError::Disconnected)
            };
            match first {
                Ok(first) => {
                    let group: Vec<Note> = std::iter::once(first).chain(noted.try_iter().take(QUEUE)).collect();
                    let bytes: Vec<u8> = group.iter().flat_map(|(spent, _)| spent.to_bytes()).collect();
                    self.attempt(|writer| writer.append(&bytes));
                    for (_, done) in group {
                        // A call that waits no longer needs no word.
                        let _ = done.send(());
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if self.unsynced && self.synced.elapsed() >= BETWEEN_SYNCS {
                self.attempt(Self::sync);
            }
        }
        if self.unsynced {
            self.attempt(Self::sync);
        }
    }

    /// Tells a failure once, and its end.
    fn attempt(&mut self, step: impl FnOnce(&mut Self) -> io::Result<()>) {
        match step(self) {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!(
                    "{}: the list of used capabilities is written again",
                    self.path.display()
                );
            }
            Ok(()) => {}
            Err(error) => {
                self.file = None;
                self.unsynced = false;
                if !std::mem::replace(&mut self.failing, true) {
                    tracing::error!(
                        "{}: the list of used capabilities cannot be written: {error}; until it can, a restart of this node forgets which were used in the last 30 s",
                        self.path.display()
                    );
                }
            }
        }
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.file.is_none() || self.records >= MOST_RECORDS {
            let there = read(&self.path, unix_s());
            self.write_anew(&there.spent)?;
        }
        if let Some(file) = &mut self.file {
            file.write_all(bytes)?;
            self.records += bytes.len() / Spent::BYTES;
            self.unsynced = true;
        }
        Ok(())
    }

    /// A file of these alone, in the place of the old one once it is whole.
    fn write_anew(&mut self, spent: &[Spent]) -> io::Result<()> {
        let beside = self.path.with_extension("new");
        let mut file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&beside)?;
        let mut bytes = MAGIC.to_vec();
        bytes.extend(spent.iter().flat_map(|spent| spent.to_bytes()));
        file.write_all(&bytes)?;
        file.sync_data()?;
        fs::rename(&beside, &self.path)?;
        self.file = Some(file);
        self.records = spent.len();
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.synced = Instant::now();
        self.unsynced = false;
        self.file.as_ref().map_or(Ok(()), File::sync_data)
    }
}

#[cfg(test)]
mod tests {
    use fed_core::capability::Path;

    use super::*;

    const NOW: u32 = 1_800_000_000;

    fn spent(nonce: u32) -> Spent {
        Spent {
            expires_unix_s: u32::MAX,
            path: Path::default(),
            nonce,
        }
    }

    fn list(spent: &[Spent]) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(spent.iter().flat_map(|spent| spent.to_bytes()));
        bytes
    }

    #[test]
    fn a_list_gives_back_what_is_still_good() {
        let over = Spent {
            expires_unix_s: NOW,
            ..spent(2)
        };
        let there = decode(&list(&[spent(1), over, spent(3)]), NOW);
        assert_eq!((there.spent, there.damage), (vec![spent(1), spent(3)], None));
    }

    #[test]
    fn a_torn_end_is_no_damage_and_everything_else_is() {
        let whole = list(&[spent(1), spent(2)]);
        for length in MAGIC.len()..=whole.len() {
            let there = decode(&whole[..length], NOW);
            let records = (length - MAGIC.len()) / Spent::BYTES;
            assert_eq!((there.spent.len(), there.damage), (records, None), "{length} bytes");
        }
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x20;
            let there = decode(&bytes, NOW);
            assert!(there.damage.is_some(), "byte {at}");
            assert!(
                at < MAGIC.len() || there.spent.len() == 1,
                "byte {at}: the other record counts"
            );
        }
    }

    #[tokio::test]
    async fn the_file_stays_small_and_keeps_what_is_good() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("used");
        let mut writer = Writer::new(path.clone());
        writer.write_anew(&[spent(0)]).expect("writes");
        let over = Spent {
            expires_unix_s: 1,
            ..spent(9)
        };
        let thousand = list(&[over; 1_000]).split_off(MAGIC.len());
        for _ in 0..300 {
            writer.append(&thousand).expect("writes");
        }
        let most = MAGIC.len() + (MOST_RECORDS + 1_000) * Spent::BYTES;
        assert!(fs::metadata(&path).expect("is there").len() <= most as u64);
        assert_eq!(read(&path, NOW).spent, [spent(0)]);
    }

    #[tokio::test]
    async fn a_list_that_cannot_be_written_holds_up_no_call_and_is_taken_up_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("gone").join("used");
        let mut guard = ReplayGuard::default();
        let list = UsedFile::open(path.clone(), &mut guard);
        list.note(spent(1)).done().await;
        assert!(!path.exists());
        fs::create_dir(folder.path().join("gone")).expect("a folder");
        list.note(spent(2)).done().await;
        assert_eq!(read(&path, NOW).spent, [spent(2)]);
    }
}
