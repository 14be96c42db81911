//! The command line: what can be asked, as clap types.

mod device;
mod map;
mod member;
mod operations;
mod rights;
mod user;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::access::Access;
use crate::backup::BackupCommand;
use crate::membership::PlanCommand;

pub(super) use device::{DeviceAddArgs, DeviceCommand, DeviceFields, DeviceSetArgs};
pub(super) use map::{DriftArgs, NodeCommand, RouteArgs, SettingCommand, WatchArgs};
pub(super) use member::LeaveArgs;
pub use member::{AsteriskConfigArgs, DevArgs, InitArgs, JoinArgs, RecoverArgs, RunArgs};
pub use operations::{
    BundleArgs, CheckCommand, DebugCommand, DoctorArgs, EventsArgs, ExplainArgs, LogsArgs, PerfArgs, TopArgs,
};
pub(super) use rights::{AuditCommand, TokenCommand, TokenCreateArgs};
pub use user::ImportArgs;
pub(super) use user::{PasswordArgs, UserAddArgs, UserCommand, UserFields, UserSetArgs};

/// One telephone system out of many Asterisk servers: the node beside each of them, and the command line to all.
#[derive(Debug, Parser)]
#[command(name = "fed-node", version, after_help = super::exit::EXIT_CODES)]
pub struct Cli {
    /// Configuration file [default: /etc/fed-node/fed-node.toml, where it exists]
    #[arg(long, global = true, env = "FED_CONFIG", hide_env_values = true, value_name = "FILE")]
    pub config: Option<PathBuf>,

    /// The node to talk to.
    #[command(flatten)]
    pub access: Access,

    /// How to print data: a table for people, JSON for scripts
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    pub output: Output,

    /// Say what would change, and change nothing
    #[arg(long, global = true)]
    pub dry_run: bool,

    /// Do not ask before what cannot be undone
    #[arg(long, global = true)]
    pub yes: bool,

    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// How data is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For scripts; one JSON document, or one object a line for `watch`. Errors are text on stderr, with an exit code of their kind.
    Json,
}

/// What to do.
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, parsed once")]
pub enum Command {
    /// Make a new federation: this node's data folder, the realm and the keys
    Init(InitArgs),
    /// Make this node's data folder as a new member of a running federation
    Join(JoinArgs),
    /// Serve: the node beside this Asterisk, until SIGTERM or Ctrl-C
    Run(RunArgs),
    /// Take a node out of the federation for good
    Leave(LeaveArgs),
    /// After most voters are lost for good: make this folder's node a federation of its own
    #[command(
        long_about = "After most voters are lost for good, makes the node in this data folder a federation of its own, with everything it has. \
            Works on the folder while nothing runs in it; says what is given up, and changes nothing without --yes."
    )]
    Recover(RecoverArgs),
    /// How the federation is, in words and as a table; works without a quorum
    Status,
    /// What an error code means, what causes it and what mends it
    Explain(ExplainArgs),
    /// Look this host and its federation over: what was seen, why it matters, what mends it
    #[command(
        long_about = "Looks this host, its Asterisk, its fed-node and the federation over. Works with this host's configuration, also \
            while the node is down: then it checks what can be checked. The exit code is 0, 9 (something should be mended) or 10 \
            (something is broken). Nothing secret is printed."
    )]
    Doctor(DoctorArgs),
    /// Measure or compare the nodes: perf, replicas
    #[command(subcommand)]
    Check(CheckCommand),
    /// What a node saw happen: elections, nodes and Asterisks coming and going, moves
    Events(EventsArgs),
    /// A node's own last log lines, from any node
    Logs(LogsArgs),
    /// For support requests: bundle
    #[command(subcommand)]
    Debug(DebugCommand),
    /// The federation live on one page; `q` ends it
    Top(TopArgs),
    /// Users: add, set, show, list, remove, import, export
    #[command(subcommand)]
    User(UserCommand),
    /// Devices (telephones): add, set, show, list, remove
    #[command(subcommand)]
    Device(DeviceCommand),
    /// Where a user, device or number is registered now
    Where {
        /// User id, device id, number or alias
        who: String,
    },
    /// Nodes: list, show, lead
    #[command(subcommand)]
    Node(NodeCommand),
    /// Show what a change of the members would do: before and after, and what can still be lost
    #[command(subcommand)]
    Plan(PlanCommand),
    /// Make the change of a plan, if nothing has changed since it was shown
    Apply {
        /// Name of the plan, as `plan` printed it
        plan: String,
    },
    /// What a call would do, without calling
    Route(RouteArgs),
    /// Print changes of the map as they happen
    Watch(WatchArgs),
    /// Compare the map with the Asterisks: every binding, contact and object
    Drift(DriftArgs),
    /// Settings of the federation: list, get, set, unset
    #[command(subcommand)]
    Setting(SettingCommand),
    /// Backups of the whole map, encrypted, in one file: create, verify, inspect, restore
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Tokens, which let programs and other machines in: create, join, list, revoke
    #[command(
        subcommand,
        long_about = "Tokens, which let programs and other machines in: create, list, revoke; and new nodes: join.\n\n\
            reader     looks: users, devices without their digests, where they are, nodes, settings that are not secret, changes\n\
            registrar  also tells which devices are registered at one node, which has no Asterisk of its own\n\
            operator   also changes users, devices and notes (settings that begin with x-); drift; the audit log\n\
            admin      also tokens, settings that the federation reads, digests (export), backups, leadership, taking nodes out"
    )]
    Token(TokenCommand),
    /// Who changed what: list, verify
    #[command(subcommand)]
    Audit(AuditCommand),
    /// Print, or install, the few stanzas that an existing Asterisk needs
    AsteriskConfig(AsteriskConfigArgs),
    /// Print a configuration file with every key, its help and default
    ExampleConfig,
    /// Write what packages and the book are made of: completions, man pages, reference pages
    #[command(hide = true)]
    Generate(super::reference::GenerateArgs),
    /// A whole federation of three nodes on this machine, with simulated Asterisks, to try things out
    ///
    /// Lines on stdin play phones, kill nodes and start them again (`help` lists them). A line that fails is said on stderr and
    /// the next one is taken. It runs until `quit`, Ctrl-C or SIGTERM; the end of stdin alone does not end it. Where stdin is no
    /// terminal the exit code is 1 if a line failed.
    Dev(DevArgs),
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;
