//! Writes a history while the clients run, so that a kill of the harness at any moment leaves a history that can be judged.
//!
//! Each operation is announced in the file before it is sent, and written when it is over, each with one `write` of a whole
//! line and nothing kept back in memory. So what a killed harness leaves is complete up to the last moment, and operations that were
//! on their way are known to be. Nothing is synced before [`Recorder::finish`]: this guards against the death of the harness,
//! not of the machine it runs on.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::history::{BEGIN, announcement};
use crate::operation::{Call, Operation, Outcome};

/// The history cannot be written; a failure of the harness.
#[derive(Debug, thiserror::Error)]
pub enum RecorderError {
    /// The file could not be made. An existing file is never overwritten.
    #[error("{}: the history cannot be made: {source}", path.display())]
    Create {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A write failed, now or earlier. The history ends before it, and is still readable.
    #[error("the history cannot be written on: {0}")]
    Write(String),
}

type Clock = Box<dyn Fn() -> i64 + Send + Sync>;

/// Writes one history. Clones write to the same file.
#[derive(Clone)]
pub struct Recorder(Arc<Shared>);

struct Shared {
    file: Mutex<Result<File, String>>,
    clock: Clock,
}

impl Recorder {
    /// Makes the file, with a clock that starts now and never goes back.
    ///
    /// # Errors
    /// [`RecorderError::Create`], also if the file exists.
    pub fn create(path: &Path) -> Result<Self, RecorderError> {
        let origin = Instant::now();
        Self::with_clock(path, move || {
            i64::try_from(origin.elapsed().as_nanos()).unwrap_or(i64::MAX)
        })
    }

    /// The same with a clock of the caller's, in nanoseconds, such as the clock of a simulation. It must never go back, and must be
    /// one clock for all clients.
    ///
    /// # Errors
    /// [`RecorderError::Create`], also if the file exists.
    pub fn with_clock(path: &Path, clock: impl Fn() -> i64 + Send + Sync + 'static) -> Result<Self, RecorderError> {
        let file = File::options()
            .append(true)
            .create_new(true)
            .open(path)
            .map_err(|source| RecorderError::Create {
                path: path.to_path_buf(),
                source,
            })?;
        Ok(Recorder(Arc::new(Shared {
            file: Mutex::new(Ok(file)),
            clock: Box::new(clock),
        })))
    }

    /// Announces an operation. Send the request after this returns, and not if it fails.
    ///
    /// # Errors
    /// [`RecorderError::Write`].
    pub fn begin(&self, process: i64, key: impl Into<String>, call: Call) -> Result<Pending, RecorderError> {
        let start_ns = (self.0.clock)();
        let operation = Operation {
            process,
            node: None,
            key: key.into(),
            call,
            outcome: Outcome::Unknown,
            start_ns,
            end_ns: start_ns,
        };
        self.0.write(&format!("{BEGIN}{}\n", announcement(&operation)))?;
        Ok(Pending {
            recorder: self.clone(),
            operation: Some(operation),
        })
    }

    /// Ends the history: everything is on the disk when this returns.
    ///
    /// # Errors
    /// [`RecorderError::Write`], also if an earlier write failed and nobody looked.
    pub fn finish(&self) -> Result<(), RecorderError> {
        let file = self.0.file.lock().unwrap_or_else(PoisonError::into_inner);
        match &*file {
            Ok(file) => file.sync_all().map_err(|error| RecorderError::Write(error.to_string())),
            Err(why) => Err(RecorderError::Write(why.clone())),
        }
    }
}

impl Shared {
    fn write(&self, line: &str) -> Result<(), RecorderError> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let written = match &mut *file {
            Ok(file) => file.write_all(line.as_bytes()).map_err(|error| error.to_string()),
            Err(why) => Err(why.clone()),
        };
        // After half a line nothing more may follow, or the line would be garbage in the middle and not a torn end.
        written.map_err(|why| {
            *file = Err(why.clone());
            RecorderError::Write(why)
        })
    }
}

/// An operation on its way. Dropped without an outcome, it is recorded as unknown: a cancelled request may have had effect.
#[must_use = "an operation that is over has an outcome"]
pub struct Pending {
    recorder: Recorder,
    operation: Option<Operation>,
}

impl Pending {
    /// Names the node that was asked, for clearer explanations.
    pub fn at_node(mut self, node: i64) -> Self {
        if let Some(operation) = &mut self.operation {
            operation.node = Some(node);
        }
        self
    }

    /// The operation is over. Call it when the answer is there, not before.
    ///
    /// # Errors
    /// [`RecorderError::Write`].
    pub fn end(mut self, outcome: Outcome) -> Result<(), RecorderError> {
        self.operation
            .take()
            .map_or(Ok(()), |operation| self.write(operation, outcome))
    }

    fn write(&self, operation: Operation, outcome: Outcome) -> Result<(), RecorderError> {
        let end_ns = (self.recorder.0.clock)();
        let line = Operation {
            outcome,
            end_ns,
            ..operation
        }
        .to_line();
        self.recorder.0.write(&format!("{line}\n"))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if let Some(operation) = self.operation.take() {
            // A failure is kept by the recorder, and comes out of the next write or of `finish`.
            let _ = self.write(operation, Outcome::Unknown);
        }
    }
}
