//! Disk trouble to order, for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// Trouble that a test makes for a running node. Does nothing unless the crate is built with the feature `testing`.
/// Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    stalled: AtomicBool,
    failing: AtomicBool,
    latched: AtomicBool,
    /// One more than the bytes that seem free; 0 = as they are.
    free: AtomicU64,
}

/// How often a stalled probe looks whether it may go on.
const LOOK: Duration = Duration::from_millis(10);

impl Faults {
    /// While `true`, the disk takes the probe's write and does not answer.
    pub fn stall(&self, stalled: bool) {
        self.inner.stalled.store(stalled, Ordering::Release);
    }

    /// While `true`, syncing the probe's file fails.
    pub fn fail_sync(&self, failing: bool) {
        self.inner.failing.store(failing, Ordering::Release);
    }

    /// While `true`, a database seems to have given up.
    pub fn latch_error(&self, latched: bool) {
        self.inner.latched.store(latched, Ordering::Release);
    }

    /// So much seems to be free; `None` = what really is.
    pub fn pretend_free(&self, bytes: Option<u64>) {
        let stored = bytes.map_or(0, |bytes| bytes.saturating_add(1));
        self.inner.free.store(stored, Ordering::Release);
    }

    /// Blocks while stalled, or until `over` says that nobody waits any more.
    pub(super) fn wait_while_stalled(&self, over: impl Fn() -> bool) {
        while cfg!(feature = "testing") && self.inner.stalled.load(Ordering::Acquire) && !over() {
            std::thread::sleep(LOOK);
        }
    }

    pub(super) fn sync_fails(&self) -> bool {
        cfg!(feature = "testing") && self.inner.failing.load(Ordering::Acquire)
    }

    pub(super) fn error_is_latched(&self) -> bool {
        cfg!(feature = "testing") && self.inner.latched.load(Ordering::Acquire)
    }

    pub(super) fn free_bytes(&self) -> Option<u64> {
        let stored = self.inner.free.load(Ordering::Acquire);
        (cfg!(feature = "testing") && stored > 0).then(|| stored - 1)
    }
}
