//! The sync thread: takes everything that waits, syncs once, answers all.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use openraft::storage::IOFlushed;
use parking_lot::Mutex;
use rocksdb::DB;

use super::OnFailure;
use crate::raft::TypeConfig;

/// Something that waits until all that was written before it is on disk.
pub(super) enum Job {
    Appended(IOFlushed<TypeConfig>),
    Wait(tokio::sync::oneshot::Sender<io::Result<()>>),
}

impl Job {
    fn done(self, result: Result<(), &str>) {
        let result = result.map_err(|why| io::Error::other(why.to_owned()));
        match self {
            Self::Appended(callback) => callback.io_completed(result),
            // Whoever waited may have gone; the write is as durable without them.
            Self::Wait(done) => drop(done.send(result)),
        }
    }
}

pub(super) struct Syncer {
    jobs: Mutex<Option<Sender<Job>>>,
    thread: Option<JoinHandle<()>>,
}

impl Syncer {
    pub(super) fn start(db: Arc<DB>, delay: Duration, on_failure: OnFailure) -> io::Result<Self> {
        let (jobs, queue) = channel();
        let thread = std::thread::Builder::new()
            .name("fed-raft-sync".to_owned())
            .spawn(move || run(&db, &queue, delay, &on_failure))?;
        Ok(Self {
            jobs: Mutex::new(Some(jobs)),
            thread: Some(thread),
        })
    }

    pub(super) fn send(&self, job: Job) -> io::Result<()> {
        let stopped = || io::Error::other("the log is closed");
        let jobs = self.jobs.lock();
        jobs.as_ref().ok_or_else(stopped)?.send(job).map_err(|_| stopped())
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.jobs.lock().take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the sync thread panicked");
        }
    }
}

fn run(db: &DB, queue: &Receiver<Job>, delay: Duration, on_failure: &OnFailure) {
    let mut failure: Option<String> = None;
    let mut jobs = Vec::new();
    while let Ok(first) = queue.recv() {
        jobs.push(first);
        jobs.extend(queue.try_iter());
        if failure.is_none()
            && let Err(error) = db.flush_wal(true)
        {
            // After a failed fsync the kernel may have dropped the data: trying again would lie.
            let why = format!("syncing the log failed: {error}");
            on_failure(why.clone());
            failure = Some(why);
        }
        if cfg!(feature = "testing") && !delay.is_zero() {
            std::thread::sleep(delay);
        }
        for job in jobs.drain(..) {
            job.done(failure.as_deref().map_or(Ok(()), Err));
        }
    }
}
