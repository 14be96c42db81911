//! A simulated machine for every node of a simulation, all in one thread and all driven by one seed.
//!
//! A node's disk is the folder at the top of its paths (`/n1`): that is what loses power.

pub(crate) mod chance;
mod database;
mod disk;
pub(crate) mod fs;
pub(crate) mod net;
mod runtime;
pub(crate) mod tasks;

pub(crate) use database::Simulated as Db;
pub(crate) use disk::{erase, power_cut, power_on, set_sync_time};
pub(crate) use runtime::Seeded as Runtime;
