//! Gathers the facts: each probe looks at one thing and judges nothing. All have a deadline.

mod asterisk;
mod host;
mod node;
mod ports;

use std::path::Path;

use super::{Asked, Facts};
use crate::address::Address;
use crate::cli::default_server;
use crate::config::{self, ConfigFlags};

/// Looks at everything that can be looked at.
pub(super) async fn gather(config: Option<&Path>, flags: &ConfigFlags, asked: Asked<'_>) -> Facts {
    let config = config::load(config, flags).map_err(|errors| errors.to_string());
    let address = match (asked.server, &config) {
        (Some(server), _) => server.clone(),
        (None, Ok(config)) => default_server(config.client.listen.clone()),
        (None, Err(_)) => Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 7400))),
    };
    let node = node::look(&address, asked.token_file, config.as_ref().ok()).await;
    let (host, asterisk) = match &config {
        Ok(config) => tokio::join!(host::look(config), asterisk::look(config)),
        Err(_) => (host::nothing_but_the_host().await, None),
    };
    Facts {
        config,
        host,
        node,
        asterisk,
    }
}
