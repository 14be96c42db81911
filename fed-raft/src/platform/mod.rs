//! What a node stands on: files, databases, sockets, tasks and chance.
//!
//! Two of each: those of the machine, and, with the feature `simulation`, simulated ones that are driven by a seed and
//! forget at a power cut what was not synced. Everything else in this crate is the same code over both.

mod database;

#[cfg(not(any(feature = "rocksdb", feature = "simulation")))]
compile_error!("fed-raft keeps its data in RocksDB: the feature `rocksdb` is needed");

#[cfg(not(feature = "simulation"))]
mod machine;
#[cfg(not(feature = "simulation"))]
pub(crate) use machine::{Db, Runtime, chance, fs, net, tasks};

#[cfg(feature = "simulation")]
pub(crate) mod simulated;
#[cfg(feature = "simulation")]
pub(crate) use simulated::{Db, Runtime, chance, fs, net, tasks};

pub(crate) use database::{Changes, Database, DatabaseError, ENTRIES, Kind, META, Reads, Row, Space, TABLES, Visit};
