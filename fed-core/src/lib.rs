//! The federation's map, pure: types, commands, the state machine, routing and stored encoding.
//!
//! Nothing here waits, reads a clock, draws a random number or opens a file: what goes in is a store
//! ([`kv`]) and a command ([`command`]), what comes out is changes to the store, a reply and events. The
//! same log therefore gives the same map on every node.
//!
//! Where to start: [`records`] says what the map holds, [`command`] how it changes, [`map`] applies and
//! reads it, [`route`] decides where a call goes, [`machine`] is the generic applier that gives every
//! command one effect and every change a revision.

pub mod audit;
pub mod capability;
pub mod codec;
pub mod command;
pub mod event;
pub mod ids;
pub mod kv;
pub mod machine;
pub mod map;
pub mod records;
pub mod route;
pub mod sealing;
mod stored;
