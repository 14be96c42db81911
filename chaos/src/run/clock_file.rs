//! A clock that can be set while its process runs: a small library of our own (`clock.c`), loaded before all others, told by a file.
//!
//! Not libfaketime: it allocates before a process with an allocator of its own is ready, and such a process dies of it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{RunFailure, at};
use crate::plan::Clock;

/// The library's source; the C compiler that Rust links with makes it.
const SOURCE: &str = include_str!("clock.c");

/// The clock of one node.
#[derive(Debug)]
pub(super) struct ClockFile {
    path: PathBuf,
    library: PathBuf,
    clocks: Clock,
    orders: AtomicU64,
}

impl ClockFile {
    /// Makes the file, with the true time in it, and the library beside it.
    pub(super) fn make(path: &Path, clocks: Clock) -> Result<Self, RunFailure> {
        let (source, library) = (path.with_extension("c"), path.with_extension("so"));
        std::fs::write(&source, SOURCE).map_err(|error| at(&source, error))?;
        let made = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-o"])
            .args([&library, &source])
            .output();
        match made {
            Ok(made) if made.status.success() => {}
            Ok(made) => return Err(RunFailure::Missing(String::from_utf8_lossy(&made.stderr).into_owned())),
            Err(error) => return Err(RunFailure::Missing(format!("cc, the C compiler: {error}"))),
        }
        let clock = ClockFile {
            path: path.to_owned(),
            library,
            clocks,
            orders: AtomicU64::new(1),
        };
        std::fs::write(path, [0; 32]).map_err(|error| at(path, error))?;
        clock.set(0, 1.0)?;
        Ok(clock)
    }

    /// From now on the wall clock is so many seconds off, and the clocks that may be changed are so many times as fast.
    pub(super) fn set(&self, offset_s: i64, rate: f64) -> Result<(), RunFailure> {
        let monotonic_rate = if self.clocks == Clock::All { rate } else { 1.0 };
        let mut order = Vec::with_capacity(24);
        order.extend((offset_s * 1_000_000_000).to_ne_bytes());
        order.extend(rate.to_ne_bytes());
        order.extend(monotonic_rate.to_ne_bytes());
        let number = self.orders.fetch_add(1, Ordering::Relaxed);
        // The number last: who sees it sees the rest. Never a new file: the old one is mapped.
        let file = File::options().write(true).open(&self.path);
        file.and_then(|file| {
            file.write_all_at(&order, 8)?;
            file.write_all_at(&number.to_ne_bytes(), 0)
        })
        .map_err(|error| at(&self.path, error))
    }

    /// Words before a command that give it this clock.
    pub(super) fn through(&self) -> Vec<String> {
        vec![
            "env".to_owned(),
            format!("LD_PRELOAD={}", self.library.display()),
            format!("FEDCHAOS_CLOCK={}", self.path.display()),
        ]
    }
}
