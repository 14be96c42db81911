//! Asterisk for the federation: the ARI client, the bridge, rendering, the call router and a simulated Asterisk.

pub mod bridge;
pub mod client;
pub mod plan;
pub mod port;
pub mod render;
pub mod router;
pub mod sim;
pub mod stanzas;
