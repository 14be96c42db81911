//! Backups: the whole map at one revision in one file, compressed and encrypted, and a new federation made from it.
//!
//! [`source`] makes one at a running node, [`archive`] packs it, [`seal`] encrypts, [`file`] brings it to the disk and back,
//! [`create`], [`read`] and [`restore`] are the commands, [`schedule`] is the node that makes them by itself. What is in the
//! state's files is fed-raft's affair ([`fed_raft::Backup`]).

mod archive;
mod args;
mod create;
mod file;
#[cfg(test)]
mod fuzz;
mod head;
mod key;
mod read;
mod restore;
mod schedule;
mod scratch;
mod seal;
mod source;

pub use args::{BackupArgs, BackupCommand, RestoreArgs};
pub use create::create;
pub use head::Head;
pub use key::key_of;
pub use read::{inspect, verify};
pub use restore::restore;
pub use schedule::{Schedule, Scheduled};
pub use source::{Making, Source};
