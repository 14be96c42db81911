//! Users, as clap types.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::device::DeviceFields;

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
    /// Number or alias; repeat for several. Replaces all there were; empty clears
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
    /// Node, by name or id, whose devices ring first; repeat for several. Replaces all there were; empty clears
    #[arg(long = "preferred-node", value_name = "NODE")]
    pub preferred_nodes: Vec<String>,
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
