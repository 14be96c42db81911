//! Up to where this Asterisk had no registration that the map did not.
//!
//! A registration that is found standing later, and was not bound here, began after that: it is newer than all that the map had of its device by
//! then, although nobody saw it begin. Kept in a file, since it is the next process of this node that needs it: a phone may have come here
//! while none ran.

use std::{fs, io, mem, path::PathBuf};

use fed_core::ids::Revision;
use futures::FutureExt;
use parking_lot::Mutex;
use tokio::task::JoinHandle;

/// Begins the file.
const TITLE: &str = "federated-asterisk settled 1";

/// What is in the file, and what is on its way there with whether it got there.
#[derive(Default)]
struct FileState {
    written: Option<Revision>,
    writing: Option<(Revision, JoinHandle<bool>)>,
}

/// Up to where this node's Asterisk and the map agreed.
pub(super) struct Settled {
    file: Option<PathBuf>,
    identity: String,
    at: Mutex<Option<Revision>>,
    file_state: Mutex<FileState>,
}

impl Settled {
    /// What the file says, if it was written under this identity. One that cannot be read is as good as none: what is found standing gives way then.
    pub(super) fn open(file: Option<PathBuf>, identity: &str) -> Self {
        let at = file.as_ref().and_then(|path| match fs::read_to_string(path) {
            Ok(text) => {
                let at = parse(&text, identity);
                if at.is_none() {
                    tracing::warn!(file = %path.display(), "not written by this node of this federation, or damaged: phones that came here while fed-node was down are found at their next REGISTER; the file is written anew");
                }
                at
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => {
                tracing::warn!(file = %path.display(), %error, "cannot be read: phones that came here while fed-node was down are found at their next REGISTER");
                None
            }
        });
        Self {
            file,
            identity: identity.to_owned(),
            at: Mutex::new(at),
            file_state: Mutex::default(),
        }
    }

    /// Up to where they agreed, of what a copy of the map with this revision can know: the map may have been set up anew from less.
    pub(super) fn at(&self, newest: Revision) -> Option<Revision> {
        self.at.lock().filter(|at| *at <= newest)
    }

    /// They agreed here too. An older file, or none after a power cut, is right as well: nobody waits for the disk.
    pub(super) fn agreed(&self, at: Revision) {
        *self.at.lock() = Some(at);
        let Some(file) = self.file.clone() else { return };
        let mut state = self.file_state.lock();
        if let Some((revision, task)) = state.writing.take() {
            // A disk that hangs has one writer waiting, not one for each round.
            if !task.is_finished() {
                state.writing = Some((revision, task));
                return;
            }
            if matches!(task.now_or_never(), Some(Ok(true))) {
                state.written = Some(revision);
            }
        }
        if state.written == Some(at) {
            return;
        }
        let text = format!("{TITLE}\n{}\n{at}\n", self.identity);
        let task = tokio::task::spawn_blocking(move || {
            let beside = file.with_extension("new");
            let written = fs::write(&beside, text).and_then(|()| fs::rename(&beside, &file));
            if let Err(error) = &written {
                tracing::warn!(file = %file.display(), %error, "cannot be written: should fed-node be killed, phones that come here before it is back are found at their next REGISTER");
            }
            written.is_ok()
        });
        state.writing = Some((at, task));
    }
}

fn parse(text: &str, identity: &str) -> Option<Revision> {
    let mut lines = text.lines();
    let ours = lines.next() == Some(TITLE) && lines.next() == Some(identity);
    lines.next().filter(|_| ours)?.parse().ok().map(Revision)
}

/// A revision at which nothing was left to do, during one link to Asterisk. It counts a round later: Asterisk writes its database once a second, and would have a registration
/// back that was deleted just before it is killed.
#[derive(Default)]
pub(super) struct Candidate(Option<Revision>);

impl Candidate {
    /// A round is over, and at its end nothing is left to do up to here (`None`: something is). Answers what counts from now on.
    pub(super) fn round(&mut self, now: Option<Revision>) -> Option<Revision> {
        mem::replace(&mut self.0, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_counts_a_round_later() {
        let mut candidate = Candidate::default();
        assert_eq!(candidate.round(Some(Revision(5))), None);
        assert_eq!(candidate.round(Some(Revision(7))), Some(Revision(5)));
        assert_eq!(candidate.round(None), Some(Revision(7)));
        assert_eq!(candidate.round(Some(Revision(9))), None);
    }

    #[tokio::test]
    async fn the_next_process_knows_it_and_nobody_elses() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("settled");
        let open = |identity: &str| Settled::open(Some(file.clone()), identity);
        let first = open("one/1");
        assert_eq!(first.at(Revision(9)), None);
        first.agreed(Revision(7));
        let (_, task) = first.file_state.lock().writing.take().expect("it is being written");
        assert!(task.await.expect("no panic"), "written");
        assert_eq!(open("one/1").at(Revision(9)), Some(Revision(7)));
        assert_eq!(open("one/1").at(Revision(6)), None, "a map that was set up anew");
        assert_eq!(open("one/2").at(Revision(9)), None, "another node's");
        for damaged in ["", TITLE, "x\none/1\n7\n", &format!("{TITLE}\none/1\n7x\n")] {
            fs::write(&file, damaged).expect("written");
            assert_eq!(open("one/1").at(Revision(9)), None, "{damaged:?}");
        }
        fs::remove_file(&file).expect("removed");
        fs::create_dir(&file).expect("a folder");
        assert_eq!(open("one/1").at(Revision(9)), None);
    }
}
