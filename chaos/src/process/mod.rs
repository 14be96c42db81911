//! Real processes to test and to measure: started, waited for, killed, paused, started again, each in a folder of its own.
//!
//! [`Program`] is any process in the background; [`FedNode`] a `fed-node` with its ports and its client API; [`Federation`]
//! several of them on loopback, [`Etcd`] what they are measured against. Nothing here outlives its value: what is dropped is killed, by its own process id;
//! nodes are also killed with the thread that started them ([`leash`]).

mod access;
mod bearer;
mod etcd;
mod fed_node;
mod federation;
mod leash;
mod ports;
mod program;

pub use access::Access;
pub use bearer::Bearer;
pub use etcd::{Etcd, EtcdMember};
pub use fed_node::{Addresses, FedNode};
pub use federation::Federation;
pub use leash::leash;
pub use ports::free_ports;
pub use program::{Program, Usage};

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Why a process is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It cannot be started at all.
    #[error("{program} cannot be started: {source}")]
    Start {
        /// The program.
        program: String,
        /// Why.
        source: std::io::Error,
    },
    /// It ended by itself, or a command that should have succeeded failed.
    #[error("{what} ended with {status}: {said}")]
    Ended {
        /// Which process.
        what: String,
        /// How.
        status: String,
        /// The end of what it wrote.
        said: String,
    },
    /// It runs, but did not become what was waited for.
    #[error("not within {within:?}: {what}")]
    Late {
        /// What was waited for, and what was seen instead.
        what: String,
        /// How long.
        within: Duration,
    },
    /// A file or folder of its own.
    #[error("{path}: {source}")]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A signal could not be sent, or `/proc` not be read.
    #[error("{what}: {source}")]
    Signal {
        /// Which process.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is not running, but was asked for something that only a running process can do.
    #[error("{0} is not running")]
    NotRunning(String),
    /// It runs already.
    #[error("{0} runs already")]
    Running(String),
}

fn at(path: &Path, source: std::io::Error) -> ProcessError {
    ProcessError::File {
        path: path.to_owned(),
        source,
    }
}
