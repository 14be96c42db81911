//! What happened in a run beside the clients' operations: the faults, and what every node said of itself. One JSON line for each,
//! on the clock of the history.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::plan::Cover;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum Entry {
    /// A step of the plan was carried out.
    Fault {
        /// When, in nanoseconds on the clock of the history.
        at_ns: i64,
        /// What was done to whom.
        words: String,
        /// The leader that a majority had to replace because of it, if any.
        lost_leader: Option<LostLeader>,
        /// What is thereby known to have happened.
        cover: Vec<Cover>,
    },
    /// A node said how it is.
    Sample(Sample),
    /// A node without a quorum was asked to write.
    Probe {
        /// When it was asked.
        at_ns: i64,
        /// Which node, from 1.
        node: usize,
        /// How long the answer took, in seconds.
        seconds: f64,
        /// The code of the answer, or why there was none.
        answer: String,
        /// It was refused with a typed error.
        refused: bool,
        /// The node was without a quorum all the while.
        cut_off: bool,
    },
    /// A storm of changes is over.
    Storm {
        /// When it began.
        at_ns: i64,
        /// When the last answer was there.
        end_ns: i64,
        /// Changes acknowledged.
        acknowledged: Vec<String>,
        /// Changes refused as too many at once.
        overloaded: usize,
        /// Changes refused for another reason.
        refused: usize,
        /// Changes of unknown outcome.
        unknown: usize,
    },
    /// What storms were acknowledged was looked for when all was over.
    Missing {
        /// How many changes.
        looked_for: usize,
        /// Those that are not there.
        missing: Vec<String>,
    },
    /// What the watchers were told, judged.
    Watched {
        /// Changes told, over all watchers.
        changes: usize,
        /// What was wrong.
        faults: Vec<String>,
    },
    /// A process ended though nobody ended it, or a command that must work did not.
    Broken {
        /// When it was seen.
        at_ns: i64,
        /// What, in words.
        words: String,
    },
    /// A process ended because its disk did not work, as it should.
    Ended {
        /// When it was seen.
        at_ns: i64,
        /// What, in words.
        words: String,
    },
    /// A node was started on damaged data.
    Damaged {
        /// When.
        at_ns: i64,
        /// Which node, from 1.
        node: usize,
        /// The file of its disk in which a bit was flipped.
        file: String,
        /// It noticed, and did not serve.
        noticed: bool,
        /// The last that it said.
        said: String,
    },
    /// What is known to have happened, and was not known when the step was carried out.
    Seen {
        /// When that was known.
        at_ns: i64,
        /// What, in words.
        words: String,
        /// What is thereby known to have happened.
        cover: Vec<Cover>,
    },
    /// Every key was read when all was over, or it was tried to.
    FinalScan {
        /// How many keys.
        keys: usize,
        /// Those that could not be read.
        unread: Vec<String>,
    },
    /// What nodes refused the clients: each code and how often; `none: ..` is a refusal without one, with its words.
    Refused {
        /// By code.
        codes: BTreeMap<String, usize>,
    },
    /// What is in the log of a node when all is over.
    Log {
        /// Which node, from 1.
        node: usize,
        /// How many snapshots of others it installed.
        installed: usize,
        /// Lines that tell of a panic.
        panics: Vec<String>,
    },
    /// The clients have stopped and all faults are over.
    Healed {
        /// When.
        at_ns: i64,
    },
    /// All nodes hold the same.
    Equal {
        /// When.
        at_ns: i64,
    },
    /// The most memory a node ever used of its own, in bytes.
    Memory {
        /// Which node, from 1.
        node: usize,
        /// How much.
        bytes: u64,
    },
}

/// A leader that was taken away from a majority.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct LostLeader {
    /// Which node, from 1.
    pub node: usize,
    /// The term in which it led.
    pub term: u64,
    /// For how long it stays away, in seconds.
    pub seconds: f64,
}

/// How a node said it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When the answer was there.
    pub at_ns: i64,
    /// Which node, from 1.
    pub node: usize,
    /// Its id in the cluster.
    pub id: u64,
    /// It says that it leads.
    pub leads: bool,
    /// It says that there is a quorum.
    pub quorum: bool,
    /// Its term.
    pub term: u64,
    /// The last entry of the log that it has applied.
    pub applied: u64,
    /// The revision of its state.
    pub revision: u64,
    /// The hash of its state.
    pub hash: String,
    /// How many vote, as far as it knows.
    pub voters: usize,
}

/// Collects the entries of a run, and writes them down at once. Clones are the same journal.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

struct Shared {
    origin: Instant,
    kept: Mutex<Kept>,
}

struct Kept {
    file: File,
    entries: Vec<Entry>,
    failed: Option<String>,
}

impl Journal {
    /// Makes the file. `origin` is the zero of the clock of the history.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(path: &Path, origin: Instant) -> std::io::Result<Self> {
        let kept = Kept {
            file: File::create(path)?,
            entries: Vec::new(),
            failed: None,
        };
        Ok(Journal(Arc::new(Shared {
            origin,
            kept: Mutex::new(kept),
        })))
    }

    /// Now, in nanoseconds on the clock of the history.
    pub fn now_ns(&self) -> i64 {
        i64::try_from(self.0.origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
    }

    /// Writes an entry. A failure is kept for [`Journal::entries`].
    pub fn write(&self, entry: Entry) {
        let mut kept = self.lock();
        let line = serde_json::to_string(&entry).expect("a struct of strings and numbers is always JSON");
        if let Err(error) = kept.file.write_all(format!("{line}\n").as_bytes()) {
            kept.failed.get_or_insert(error.to_string());
        }
        kept.entries.push(entry);
    }

    /// The last sample of each node that is not older than `age_ns`.
    pub fn recent(&self, age_ns: i64) -> Vec<Sample> {
        let since = self.now_ns() - age_ns;
        let kept = self.lock();
        let mut recent: Vec<Sample> = Vec::new();
        // Probes and storms are written when they end, so the order is not quite that of time; samples are.
        let samples = kept.entries.iter().rev().filter_map(|entry| match entry {
            Entry::Sample(sample) => Some(sample),
            _ => None,
        });
        for sample in samples.take_while(|sample| sample.at_ns >= since) {
            if recent.iter().all(|newer| newer.node != sample.node) {
                recent.push(sample.clone());
            }
        }
        recent
    }

    /// Everything so far.
    ///
    /// # Errors
    /// When something could not be written down.
    pub fn entries(&self) -> Result<Vec<Entry>, String> {
        let kept = self.lock();
        match &kept.failed {
            None => Ok(kept.entries.clone()),
            Some(why) => Err(format!("the journal cannot be written: {why}")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads a journal.
///
/// # Errors
/// In words, with the line.
pub fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
    let line = |(number, line): (usize, &str)| {
        serde_json::from_str(line).map_err(|error| format!("{} line {}: {error}", path.display(), number + 1))
    };
    text.lines().enumerate().map(line).collect()
}
