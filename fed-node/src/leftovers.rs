//! What a command puts somewhere for a while, and takes away again also when it is interrupted: folders with a backup's contents,
//! which are not encrypted, and files that are not whole yet.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is there now.
static THERE: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());
/// Somebody interrupts: what a command comes to from now on, with what it works on taken away, is no answer.
static INTERRUPTED: AtomicBool = AtomicBool::new(false);
/// A folder in which a file is being made at that moment cannot be removed at the first try.
const TRIES: usize = 100;

/// Has a file or folder taken away when the command is interrupted.
pub(crate) fn note(path: &Path) {
    THERE.lock().insert(path.to_owned());
}

/// It is gone, or has become what it was to be.
pub(crate) fn forget(path: &Path) {
    THERE.lock().remove(path);
}

/// From now on an interruption (Ctrl-C, SIGTERM, a terminal that is closed) takes everything away that was noted, and ends the program
/// with 128 and the signal's number, as shells say it.
///
/// # Errors
/// When the system lets nobody wait for signals.
pub(crate) fn clear_when_interrupted() -> io::Result<()> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminates = signal(SignalKind::terminate())?;
    let mut hangs_up = signal(SignalKind::hangup())?;
    // On a thread of its own: what it interrupts blocks the one that it was asked from.
    tokio::spawn(async move {
        let number = tokio::select! {
            () = came(&mut interrupts) => 2,
            () = came(&mut terminates) => 15,
            () = came(&mut hangs_up) => 1,
        };
        INTERRUPTED.store(true, Ordering::SeqCst);
        clear();
        std::process::exit(128 + number);
    });
    Ok(())
}

/// Returns at once, unless the command was interrupted: then the program ends as [`clear_when_interrupted`] says, and this does not return.
pub fn give_way_to_an_interruption() {
    while INTERRUPTED.load(Ordering::SeqCst) {
        std::thread::park();
    }
}

async fn came(signals: &mut Signal) {
    if signals.recv().await.is_none() {
        std::future::pending().await
    }
}

/// Takes away what is there.
fn clear() {
    for path in std::mem::take(&mut *THERE.lock()) {
        for _ in 0..TRIES {
            let gone = if path.is_dir() {
                std::fs::remove_dir_all(&path)
            } else {
                std::fs::remove_file(&path)
            };
            match gone {
                Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
                // What cannot be removed stays; there is nobody left to do anything about it.
                _ => break,
            }
        }
    }
}
