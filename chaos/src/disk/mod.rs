//! A disk that behaves as badly as disks do: a file system in user space (FUSE) that forgets at a power cut what was not synced,
//! directory entries included, may keep a torn part of it, flips bits, fills up, and fails or slows every sync.
//!
//! [`Volume`] is what is stored, pure and tested without a mount; [`Disk`] mounts one. Everything lives in memory: what a
//! process killed by `kill -9` leaves behind on a real file system is all that it wrote, and so would hide every missing sync.

mod inode;
mod mount;
mod volume;

pub use mount::{Disk, DiskError};
pub use volume::{Fault, Tally, Trouble, Volume};
