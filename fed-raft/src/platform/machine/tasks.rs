//! Work that would hold up others.

use std::io;
use std::thread::JoinHandle;

/// Runs it where it holds up nobody.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// A thread of its own for one kind of work.
pub(crate) struct Worker {
    name: &'static str,
    thread: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(name: &'static str, work: impl FnOnce() + Send + 'static) -> io::Result<Self> {
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(work)?;
        Ok(Self { name, thread })
    }

    /// Returns when the work is done.
    pub(crate) fn join(self) {
        if self.thread.join().is_err() {
            tracing::error!(thread = self.name, "a thread panicked");
        }
    }
}
