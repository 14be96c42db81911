//! The bridge, the router and the stanzas between simulated Asterisks and a map in memory.

mod bare;
mod calls;
mod compared;
mod crowds;
mod faults;
mod followed;
mod moves;
mod objects;
mod refused;
mod settled;
mod site;
mod stanzas;
mod unordered;
