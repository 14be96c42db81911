//! The machine itself.

pub(crate) mod chance;
pub(crate) mod fs;
mod names;
pub(crate) mod net;
mod rocks;
pub(crate) mod tasks;
mod torn;

pub(crate) use rocks::Rocks as Db;

/// What openraft runs on.
pub(crate) type Runtime = openraft::impls::TokioRuntime;
