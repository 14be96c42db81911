//! Gathers the facts: each probe looks at one thing and judges nothing. All have a deadline.

mod asterisk;
mod host;
mod names;
mod neighbours;
mod node;
mod ports;
mod references;
mod server;

use std::path::Path;

use super::{Facts, Host};
use crate::cli::Access;
use crate::config::{self, ConfigFlags};

/// Looks at everything that can be looked at.
pub(super) async fn gather(config: Option<&Path>, flags: &ConfigFlags, access: &Access) -> Facts {
    let config = config::load(config, flags).map_err(|errors| errors.to_string());
    let node = node::look(access, config.as_ref().ok()).await;
    let own = config.as_ref().ok().and_then(host::identity);
    let elsewhere = server::elsewhere(access, node.as_ref().ok(), own).await;
    let (host, asterisk) = match &config {
        _ if elsewhere.is_some() => (Host::default(), None),
        Ok(config) => tokio::join!(host::look(config), asterisk::look(config)),
        Err(_) => (host::nothing_but_the_host().await, None),
    };
    Facts {
        elsewhere,
        config,
        host,
        node,
        asterisk,
    }
}
