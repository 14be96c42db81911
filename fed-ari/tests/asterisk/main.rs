//! The ARI client against the simulated Asterisk, and the simulated Asterisk against what real ones do.

mod calls;
mod common;
mod conformance;
mod events;
mod objects;
