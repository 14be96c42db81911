//! Whole clusters in one process, over real sockets and folders.
#![allow(missing_docs, unreachable_pub, reason = "a test binary")]

mod backups;
mod basics;
mod damaged_snapshots;
mod disk;
mod engine;
mod faults;
mod features;
mod fixtures;
mod floods;
mod folders;
mod identities;
mod lab;
mod machine;
mod members;
mod metrics;
mod recovery;
mod secured;
mod sessions;
mod signatures;
mod snapshots;
mod tampering;
mod uninvited;
mod watches;
