//! Work that takes time: a simulated node has one thread, so it waits and then does it at once.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::chance;

/// The longest that work on files takes, in microseconds.
const WORK: usize = 2_000;

/// Does it a little later; everything else goes on until then.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let micros = chance::below(WORK);
    tokio::time::sleep(Duration::from_micros(micros as u64)).await;
    work()
}

/// A task of its own for one kind of work.
pub(crate) struct Worker {
    task: JoinHandle<()>,
}

impl Worker {
    pub(crate) fn start(work: impl Future<Output = ()> + Send + 'static) -> Self {
        Self {
            task: tokio::spawn(work),
        }
    }

    /// Nobody can wait for a task on its own thread: the work ends here.
    pub(crate) fn join(self) {
        self.task.abort();
    }
}
