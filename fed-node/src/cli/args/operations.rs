//! What an administrator asks about the nodes themselves, as clap types.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::config::ConfigFlags;
use crate::explain::Code;

/// `explain`
#[derive(Debug, Args)]
pub struct ExplainArgs {
    /// Code, such as FED-0080 [default: all of them]
    pub code: Option<Code>,
}

/// `doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// The configuration.
    #[command(flatten)]
    pub flags: ConfigFlags,
}

/// `check ...`
#[derive(Debug, Subcommand)]
pub enum CheckCommand {
    /// Measure disks and commits, and hold them against the election timeout: pass or fail
    #[command(
        long_about = "Measures at every node how long a synced write and a commit take, and holds that against the times after which \
            nodes elect another leader. Writes a small file, and commits commands that change nothing."
    )]
    Perf(PerfArgs),
    /// Compare the state of all nodes by its hash at one revision, worked out from every row
    #[command(
        long_about = "Compares the state of all nodes by its hash at one revision. Each node also works the hash out from every row it \
            has, so that rows that were damaged where they lie are found."
    )]
    Replicas,
}

/// `check perf`
#[derive(Debug, Args)]
pub struct PerfArgs {
    /// Only the node asked
    #[arg(long)]
    pub here: bool,
}

/// `events`
#[derive(Debug, Args)]
pub struct EventsArgs {
    /// Name or id of the node whose memory is read [default: the node asked]
    #[arg(long)]
    pub node: Option<String>,
    /// Go on with what happens from now
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub last: Option<u32>,
    /// End after this many, at least 1
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
}

/// `logs`
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Name or id of the node whose log is read [default: the node asked]
    #[arg(long)]
    pub node: Option<String>,
    /// Go on with the lines to come
    #[arg(short, long)]
    pub follow: bool,
    /// Only the last so many
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u32).range(1..))]
    pub last: Option<u32>,
    /// Lines of this level and worse
    #[arg(long, value_name = "LEVEL", default_value = "trace")]
    pub level: Level,
}

/// How bad a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Something failed.
    Error,
    /// Something may fail.
    Warn,
    /// Something happened.
    Info,
    /// For developers.
    Debug,
    /// For developers, all of it.
    Trace,
}

impl Level {
    /// As the protocol writes it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// `debug ...`
#[derive(Debug, Subcommand)]
pub enum DebugCommand {
    /// Pack status, configuration, doctor, events, logs and metrics into one file for a support request; no secret is in it
    Bundle(BundleArgs),
}

/// `debug bundle`
#[derive(Debug, Args)]
pub struct BundleArgs {
    /// File to make [default: fed-node-bundle-TIME.tar.gz, here]
    #[arg(long, value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// The configuration.
    #[command(flatten)]
    pub flags: ConfigFlags,
}

/// `top`
#[derive(Debug, Args)]
pub struct TopArgs {
    /// Seconds between two looks
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=60))]
    pub every: u64,
    /// Print one page and end, as where there is no terminal
    #[arg(long)]
    pub once: bool,
}
