//! The command line: what can be asked, as clap types.

mod operations;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use fed_ari::client::AsteriskVersion;

use super::access::Access;
use super::commands::{Noted, Ttl};
use crate::backup::BackupCommand;
use crate::config::ConfigFlags;
use crate::membership::PlanCommand;

pub use operations::{
    BundleArgs, CheckCommand, DebugCommand, DoctorArgs, EventsArgs, ExplainArgs, LogsArgs, PerfArgs, TopArgs,
};

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
            operator   also changes users, devices and settings that are not secret; drift; the audit log\n\
            admin      also tokens, secret settings, digests (export, import), leadership, taking nodes out"
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

/// `init`
#[derive(Debug, Args)]
pub struct InitArgs {
    /// SIP realm of all passwords; for good
    #[arg(long, default_value = fed_core::records::setting::DEFAULT_REALM)]
    pub realm: String,
    /// The configuration.
    #[command(flatten)]
    pub flags: ConfigFlags,
}

/// `join`
#[derive(Debug, Args)]
pub struct JoinArgs {
    /// What `fed-node token join` printed on a running node; `-` reads it from stdin, where no other user of this machine sees it (with security.plaintext: the peer address of a running node)
    #[arg(value_name = "TOKEN")]
    pub with: String,
    /// The configuration.
    #[command(flatten)]
    pub flags: ConfigFlags,
}

/// `run`
#[derive(Debug, Args)]
pub struct RunArgs {
    /// The configuration.
    #[command(flatten)]
    pub flags: ConfigFlags,
}

/// `leave`
#[derive(Debug, Args)]
pub struct LeaveArgs {
    /// Name or id of another node that is gone for good [default: the node asked, which then stops]
    pub node: Option<String>,
    /// Take NODE out although the rest has no majority up; name it again here
    #[arg(long, value_name = "NODE", requires = "node")]
    pub force_lose_quorum: Option<String>,
    /// Take NODE out although it runs: it is cut off at once, with the calls it is needed for. For a node that somebody else controls
    #[arg(long, requires = "node")]
    pub cut_off: bool,
}

/// `recover`
#[derive(Debug, Args)]
pub struct RecoverArgs {
    /// The configuration.
    #[command(flatten)]
    pub flags: ConfigFlags,
}

/// `user ...`
#[derive(Debug, Subcommand)]
pub enum UserCommand {
    /// Add a user, and a device of the same name unless told otherwise
    Add(UserAddArgs),
    /// Change fields of a user; what is not named stays
    Set(UserSetArgs),
    /// Show a user with its devices and where they are
    Show {
        /// User id
        id: String,
    },
    /// List all users
    List,
    /// Remove a user with its devices
    Remove {
        /// User id
        id: String,
    },
    /// Add or change users from a CSV file; the whole file is checked before the first write
    Import(ImportArgs),
    /// Print all users as CSV, as `import` takes it (digests, never passwords)
    Export,
}

/// `user add`
#[derive(Debug, Args)]
pub struct UserAddArgs {
    /// User id
    pub id: String,
    /// The user's fields.
    #[command(flatten)]
    pub fields: UserFields,
    /// Id of the device to add with it [default: the user's id]
    #[arg(long, value_name = "DEVICE", conflicts_with = "no_device")]
    pub device: Option<String>,
    /// Add no device
    #[arg(long)]
    pub no_device: bool,
    /// The device's fields.
    #[command(flatten)]
    pub device_fields: DeviceFields,
    /// Where the device's password comes from.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// `user set`
#[derive(Debug, Args)]
pub struct UserSetArgs {
    /// User id
    pub id: String,
    /// What to change.
    #[command(flatten)]
    pub fields: UserFields,
}

/// Fields of a user. An empty text clears an optional one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct UserFields {
    /// Name shown to people
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Number or alias; repeat for several. Replaces all there were
    #[arg(long = "number", value_name = "NUMBER")]
    pub numbers: Vec<String>,
    /// How several devices ring: all or sequential
    #[arg(long)]
    pub ring: Option<String>,
    /// Seconds a device rings, 1 to 300
    #[arg(long, value_name = "SECONDS")]
    pub ring_timeout: Option<u32>,
    /// Number for every call; empty clears
    #[arg(long, value_name = "NUMBER")]
    pub forward_always: Option<String>,
    /// Number when busy; empty clears
    #[arg(long, value_name = "NUMBER")]
    pub forward_busy: Option<String>,
    /// Number when nobody answers; empty clears
    #[arg(long, value_name = "NUMBER")]
    pub forward_no_answer: Option<String>,
    /// Number when registered nowhere; empty clears
    #[arg(long, value_name = "NUMBER")]
    pub forward_offline: Option<String>,
    /// Refuse calls as busy
    #[arg(long, value_name = "true|false", num_args = 0..=1, default_missing_value = "true")]
    pub do_not_disturb: Option<bool>,
    /// Voice mailbox, box@context; empty clears
    #[arg(long)]
    pub mailbox: Option<String>,
    /// Service class; empty clears
    #[arg(long, value_name = "CLASS")]
    pub service_class: Option<String>,
    /// Node id whose devices ring first; repeat for several. Replaces all there were
    #[arg(long = "preferred-node", value_name = "ID")]
    pub preferred_nodes: Vec<u64>,
}

/// Where a password comes from; never from an argument, which every user of the machine can read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct PasswordArgs {
    /// Read the device's password from the first line of stdin
    #[arg(long, conflicts_with = "password_file")]
    pub password_stdin: bool,
    /// Read the device's password from the first line of a file that only you can read
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

/// `user import`
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// CSV file with a header line; `user export` shows the columns. Instead of `md5_ha1`, the column `password` holds the device's password: its digest is made here, and it goes no further
    pub file: PathBuf,
    /// Write everything that is wrong into this CSV file too, with the numbers of the lines
    #[arg(long, value_name = "FILE")]
    pub errors: Option<PathBuf>,
    /// Leave out users with a wrong line and import the others; otherwise one wrong line stops all
    #[arg(long)]
    pub keep_going: bool,
}

/// `device ...`
#[derive(Debug, Subcommand)]
pub enum DeviceCommand {
    /// Add a device to a user
    Add(DeviceAddArgs),
    /// Change fields of a device, or its password; what is not named stays
    Set(DeviceSetArgs),
    /// Show a device and where it is registered
    Show {
        /// Device id
        id: String,
    },
    /// List devices
    List {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
    },
    /// Remove a device
    Remove {
        /// Device id
        id: String,
    },
}

/// `device add`
#[derive(Debug, Args)]
pub struct DeviceAddArgs {
    /// Device id: SIP user name, and the name of its endpoint in Asterisk
    pub id: String,
    /// Whose it is
    #[arg(long)]
    pub user: String,
    /// The device's fields.
    #[command(flatten)]
    pub fields: DeviceFields,
    /// Where its password comes from.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// `device set`
#[derive(Debug, Args)]
pub struct DeviceSetArgs {
    /// Device id
    pub id: String,
    /// Give it to this user
    #[arg(long)]
    pub user: Option<String>,
    /// What to change.
    #[command(flatten)]
    pub fields: DeviceFields,
    /// A new password.
    #[command(flatten)]
    pub password: PasswordArgs,
}

/// Fields of a device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Args)]
pub struct DeviceFields {
    /// pjsip
    #[arg(long)]
    pub technology: Option<String>,
    /// Codec in order of preference; repeat for several. Replaces all there were
    #[arg(long = "codec", value_name = "CODEC")]
    pub codecs: Vec<String>,
    /// any, udp, tcp, tls or webrtc
    #[arg(long)]
    pub transport: Option<String>,
    /// Places it may be registered at, 1 to 10
    #[arg(long, value_name = "COUNT")]
    pub max_contacts: Option<u32>,
}

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
    /// End after this many changes, at least 1
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
        /// Value
        value: String,
    },
    /// Return one to its default
    Unset {
        /// Key
        key: String,
    },
}

/// `token ...`
#[derive(Debug, Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it, once
    Create(TokenCreateArgs),
    /// Print a token that lets one further node into the federation, once: `fed-node join TOKEN` there
    Join {
        /// How long it holds: 30m, 2h, 7d; a week at most
        #[arg(long, value_name = "TIME", default_value = "1h")]
        ttl: Ttl,
    },
    /// List all tokens, without their secrets
    List,
    /// Refuse a token from now on, also where it is in use
    Revoke {
        /// Its id, the part between the dots
        id: String,
    },
}

/// `token create`
#[derive(Debug, Args)]
pub struct TokenCreateArgs {
    /// reader, registrar, operator or admin
    #[arg(long)]
    pub role: String,
    /// What it is for
    #[arg(long, default_value = "")]
    pub name: String,
    /// How long it holds: 30m, 12h, 90d
    #[arg(long, value_name = "TIME", default_value = "90d")]
    pub ttl: Ttl,
    /// Only at this node, by name or id; a registrar needs one
    #[arg(long, value_name = "NODE")]
    pub node: Option<String>,
}

/// `audit ...`
#[derive(Debug, Subcommand)]
pub enum AuditCommand {
    /// Print who changed what, oldest first
    List {
        /// Only what changed after this revision
        #[arg(long, value_name = "REVISION")]
        since: Option<u64>,
    },
    /// Check that no entry was changed or taken out
    Verify {
        /// What an earlier verify printed: a log made anew since then is found too
        #[arg(long, value_name = "SEQUENCE:HASH")]
        from: Option<Noted>,
    },
}

/// How a dialplan asks fed-node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Ask {
    /// FastAGI, which every Asterisk has: a connection to agi.listen for each call
    Fastagi,
    /// Stasis, over the ARI connection that is there: Asterisk 18 and later, about 1 ms slower
    Stasis,
}

impl From<Ask> for fed_ari::stanzas::Asking {
    fn from(ask: Ask) -> Self {
        match ask {
            Ask::Fastagi => Self::FastAgi,
            Ask::Stasis => Self::Stasis,
        }
    }
}

/// `asterisk-config`
#[derive(Debug, Default, Args)]
pub struct AsteriskConfigArgs {
    /// Install into asterisk.config_dir, with a backup of each file changed; lines of yours are never changed
    #[arg(long)]
    pub write: bool,
    /// Version of the Asterisk that will read it, such as 22 [default: what ARI says, else the Asterisk installed beside its
    /// configuration folder]
    #[arg(long, value_name = "VERSION")]
    pub asterisk_version: Option<AsteriskVersion>,
    /// How the dialplan asks fed-node about a call [default: fastagi, the quicker way]
    #[arg(long, value_enum, hide_default_value = true)]
    pub ask: Option<Ask>,
    /// The configuration.
    #[command(flatten)]
    pub flags: ConfigFlags,
}

/// `dev`
#[derive(Debug, Args)]
pub struct DevArgs {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u8).range(1..=7))]
    pub nodes: u8,
    /// End at once when everything runs (for scripts)
    #[arg(long)]
    pub no_wait: bool,
}

#[cfg(test)]
#[path = "args/tests.rs"]
mod tests;
