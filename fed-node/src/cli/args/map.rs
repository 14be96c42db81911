//! What is asked of the map: nodes, routes, changes, settings, as clap types.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// `node ...`
#[derive(Debug, Subcommand)]
pub enum NodeCommand {
    /// List all nodes
    List,
    /// Show one
    Show {
        /// Name or id
        node: String,
    },
    /// Hand the leadership of the cluster to a node
    Lead {
        /// Name or id of a voter
        node: String,
    },
}

/// `route`
#[derive(Debug, Args)]
pub struct RouteArgs {
    /// Number, alias, user id or device id that is dialled
    pub number: String,
    /// Device that calls
    #[arg(long, value_name = "DEVICE", default_value = "")]
    pub from: String,
    /// Say why, step by step
    #[arg(long)]
    pub explain: bool,
}

/// `watch`
#[derive(Debug, Args)]
pub struct WatchArgs {
    /// Begin after this revision instead of now; the map must have reached it
    #[arg(long, value_name = "REVISION")]
    pub after: Option<u64>,
    /// End after this many changes, at least 1, and the rest of the last one's revision: going on with --after it misses none
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// `drift`
#[derive(Debug, Args)]
pub struct DriftArgs {
    /// Only the node asked; otherwise every node whose client API can be reached from here
    #[arg(long)]
    pub here: bool,
}

/// `setting ...`
#[derive(Debug, Subcommand)]
pub enum SettingCommand {
    /// List all settings
    List,
    /// Print one value
    Get {
        /// Key
        key: String,
    },
    /// Set one
    Set {
        /// Key
        key: String,
        /// Value; `-`: the first line of stdin. A secret one is never taken from here, where every user of the machine can read it
        #[arg(required_unless_present = "value_file")]
        value: Option<String>,
        /// Read the value from the first line of a file that only you can read
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        value_file: Option<PathBuf>,
    },
    /// Return one to its default
    Unset {
        /// Key
        key: String,
    },
}
