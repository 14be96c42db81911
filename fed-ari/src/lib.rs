//! Asterisk for the federation: the ARI client, the bridge, rendering, the call router and a simulated Asterisk.

pub mod client;
