//! The health of the disk under the data folder: how long a small synced write takes, how much space is free, and
//! whether a database gave up.
//!
//! - A probe that takes 2 s: leadership is handed over. 10 s: the node stops, so that its supervisor, or a person, acts.
//! - Little free space: commands that let the state grow are refused, those that shrink it are not; it ends by itself.
//! - An error that a database keeps (it refuses all further writes): the node stops; a restart mends what can be mended.

mod faults;
mod threads;
mod watchdog;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

pub use faults::Faults;
pub(crate) use threads::start;

use crate::config::Config;
use crate::error::ProposeError;

/// Once space was low, this much more than the limit must be free, in percent of it, until it no longer is.
const MARGIN_PERCENT: u64 = 10;

/// What the probe found last; shared by all who ask.
#[derive(Debug)]
pub(crate) struct Disk {
    folder: PathBuf,
    min_free: u64,
    low: AtomicBool,
    free: AtomicU64,
    /// The number of the probe under way; 0 between two.
    under_way: AtomicU64,
    faults: Faults,
}

impl Disk {
    pub(crate) fn new(config: &Config) -> Self {
        let disk = Self {
            folder: config.data_dir.clone(),
            min_free: config.min_free_bytes,
            low: AtomicBool::new(false),
            free: AtomicU64::new(0),
            under_way: AtomicU64::new(0),
            faults: config.faults.clone(),
        };
        disk.look_at_space();
        disk
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn is_low(&self) -> bool {
        self.low.load(Ordering::Acquire)
    }

    pub(crate) fn free_bytes(&self) -> u64 {
        self.free.load(Ordering::Relaxed)
    }

    /// What somebody is told who wants the state to grow.
    pub(crate) fn refusal(&self) -> ProposeError {
        ProposeError::LowSpace {
            path: self.folder.clone(),
            free: self.free_bytes(),
            needed: self.min_free,
        }
    }

    /// Measures the free space and decides anew.
    fn look_at_space(&self) {
        if cfg!(feature = "simulation") {
            return;
        }
        let free = match self.faults.free_bytes() {
            Some(free) => free,
            None => match rustix::fs::statvfs(&self.folder) {
                Ok(found) => found.f_bavail.saturating_mul(found.f_frsize),
                // What cannot be measured is not held against anybody; a write that fails will say so.
                Err(error) => {
                    tracing::debug!(%error, "the free space could not be measured");
                    return;
                }
            },
        };
        self.free.store(free, Ordering::Relaxed);
        let was = self.is_low();
        let low = is_low(free, self.min_free, was);
        self.low.store(low, Ordering::Release);
        let folder = self.folder.display();
        if low && !was {
            tracing::error!(%folder, free, needed = self.min_free, "little space is left: only commands that shrink the state are taken until there is more");
        } else if was && !low {
            tracing::info!(%folder, free, "there is enough space again");
        }
    }
}

/// Whether too little is free, given whether it was before.
fn is_low(free: u64, needed: u64, was: bool) -> bool {
    let margin = if was { needed / 100 * MARGIN_PERCENT } else { 0 };
    free < needed.saturating_add(margin)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn space_is_low_below_the_limit_and_until_a_margin_above_it() {
        assert!(is_low(999, 1000, false));
        assert!(!is_low(1000, 1000, false));
        assert!(is_low(1099, 1000, true), "no flapping at the limit");
        assert!(!is_low(1100, 1000, true));
    }

    #[test]
    fn no_limit_is_never_low() {
        assert!(!is_low(0, 0, false));
        assert!(!is_low(0, 0, true));
    }
}
