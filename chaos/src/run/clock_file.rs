//! A clock that can be set: libfaketime, told by a file what time it is.

use std::path::{Path, PathBuf};

use super::RunFailure;
use crate::plan::Clock;

/// Where Debian's package `faketime` puts the library, for this machine's kind of processor.
const LIBRARY: &str = "faketime/libfaketimeMT.so.1";

/// The clock of one node.
#[derive(Clone, Debug)]
pub(super) struct ClockFile {
    path: PathBuf,
    library: PathBuf,
    clocks: Clock,
}

impl ClockFile {
    /// Makes the file, with the true time in it.
    pub(super) fn make(path: &Path, clocks: Clock) -> Result<Self, RunFailure> {
        let library =
            library().ok_or_else(|| RunFailure::Missing("libfaketime: install Debian's package faketime".into()))?;
        let clock = ClockFile {
            path: path.to_owned(),
            library,
            clocks,
        };
        clock.set(0, 1.0)?;
        Ok(clock)
    }

    /// From now on the clock is so many seconds off, and so many times as fast.
    pub(super) fn set(&self, offset_s: i64, rate: f64) -> Result<(), RunFailure> {
        let text = if (rate - 1.0).abs() < f64::EPSILON {
            format!("{offset_s:+}\n")
        } else {
            format!("{offset_s:+} x{rate}\n")
        };
        // Replaced at one moment: the library reads it at any.
        let new = self.path.with_extension("new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &self.path))
            .map_err(|error| RunFailure::File {
                path: self.path.clone(),
                source: error,
            })
    }

    /// Words before a command that give it this clock.
    pub(super) fn through(&self) -> Vec<String> {
        let mut words = vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FAKETIME_TIMESTAMP_FILE={}", self.path.display()),
            "FAKETIME_CACHE_DURATION=1".to_owned(),
        ];
        if self.clocks == Clock::Wall {
            words.push("FAKETIME_DONT_FAKE_MONOTONIC=1".to_owned());
        }
        words
    }
}

fn library() -> Option<PathBuf> {
    let folders = std::fs::read_dir("/usr/lib")
        .ok()?
        .flatten()
        .map(|folder| folder.path().join(LIBRARY));
    folders.into_iter().find(|file| file.exists())
}
