//! The sync thread: takes everything that waits, syncs once, answers all.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use fed_core::ids::NodeId;
use openraft::storage::IOFlushed;
use prometheus_client::metrics::histogram::Histogram;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::OnFailure;
use crate::identity::Identity;
use crate::metrics::timed;
use crate::platform::{Database, Db, tasks};
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

/// The way to the sync thread. The thread ends when this is dropped, and is waited for.
pub(super) struct Syncer {
    jobs: Option<UnboundedSender<Job>>,
    thread: Option<tasks::Worker>,
}

impl Syncer {
    pub(super) fn start(
        db: Arc<Db>,
        identity: &Identity,
        delay: Duration,
        on_failure: OnFailure,
        seconds: Histogram,
    ) -> io::Result<Self> {
        let (jobs, queue) = unbounded_channel();
        let rounds = Rounds {
            db,
            delay,
            on_failure,
            failure: None,
            node: identity.node,
            seconds,
        };
        Ok(Self {
            jobs: Some(jobs),
            thread: Some(start(rounds, queue)?),
        })
    }

    pub(super) fn send(&self, job: Job) -> io::Result<()> {
        let stopped = || io::Error::other("the log is closed");
        let jobs = self.jobs.as_ref().ok_or_else(stopped)?;
        jobs.send(job).map_err(|_| stopped())
    }
}

impl Drop for Syncer {
    fn drop(&mut self) {
        self.jobs.take();
        if let Some(thread) = self.thread.take() {
            thread.join();
        }
    }
}

struct Rounds {
    db: Arc<Db>,
    delay: Duration,
    on_failure: OnFailure,
    failure: Option<String>,
    node: NodeId,
    seconds: Histogram,
}

impl Rounds {
    #[cfg(feature = "planted-bugs")]
    fn answer_too_early(jobs: &mut Vec<Job>) {
        if crate::planted::is("ack-before-fsync") {
            jobs.drain(..).for_each(|job| job.done(Ok(())));
        }
    }

    /// Makes durable what was written before.
    fn sync(&mut self) {
        if self.failure.is_none()
            && let Err(error) = timed(&self.seconds, || self.db.sync())
        {
            // After a failed fsync the kernel may have dropped the data: trying again would lie.
            let why = format!("syncing the log of node {} failed: {error}", self.node);
            (self.on_failure)(why.clone());
            self.failure = Some(why);
        }
        #[cfg(feature = "simulation")]
        if self.failure.is_none() {
            self.tell();
        }
    }

    fn answer(&self, jobs: &mut Vec<Job>) {
        for job in jobs.drain(..) {
            job.done(self.failure.as_deref().map_or(Ok(()), Err));
        }
    }
}

#[cfg(feature = "simulation")]
impl Rounds {
    fn tell(&self) {
        let last = self.db.last(crate::platform::ENTRIES);
        let index = last.ok().flatten().and_then(|(key, _)| <[u8; 8]>::try_from(key).ok());
        if let Some(index) = index {
            let synced = crate::witness::Happened::Synced(u64::from_be_bytes(index));
            crate::witness::saw(self.node.0, synced);
        }
    }
}

#[cfg(not(feature = "simulation"))]
fn start(mut rounds: Rounds, mut queue: UnboundedReceiver<Job>) -> io::Result<tasks::Worker> {
    tasks::Worker::start("fed-raft-sync", move || {
        let mut jobs = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            jobs.push(first);
            while let Ok(next) = queue.try_recv() {
                jobs.push(next);
            }
            #[cfg(feature = "planted-bugs")]
            Rounds::answer_too_early(&mut jobs);
            rounds.sync();
            if cfg!(feature = "testing") && !rounds.delay.is_zero() {
                std::thread::sleep(rounds.delay);
            }
            rounds.answer(&mut jobs);
        }
    })
}

/// A simulated node has one thread: the disk takes its time instead.
#[cfg(feature = "simulation")]
fn start(mut rounds: Rounds, mut queue: UnboundedReceiver<Job>) -> io::Result<tasks::Worker> {
    Ok(tasks::Worker::start(async move {
        let mut jobs = Vec::new();
        while let Some(first) = queue.recv().await {
            jobs.push(first);
            while let Ok(next) = queue.try_recv() {
                jobs.push(next);
            }
            #[cfg(feature = "planted-bugs")]
            Rounds::answer_too_early(&mut jobs);
            tokio::time::sleep(rounds.db.sync_time()).await;
            rounds.sync();
            tokio::time::sleep(rounds.delay).await;
            rounds.answer(&mut jobs);
        }
    }))
}
