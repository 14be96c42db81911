//! What can be asked of backups.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::config::ConfigFlags;

/// `backup ...`
#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one, parsed once")]
pub enum BackupCommand {
    /// Save the map of a running node into FILE, then read it again and check it
    Create(BackupArgs),
    /// Read all of FILE, open the state in it, and compare its hash and counts with what it says of itself
    Verify(BackupArgs),
    /// Show what FILE says that is in it
    Inspect(BackupArgs),
    /// Make a new federation, in this node's empty data folder, with the users, devices and settings of FILE
    #[command(
        long_about = "Makes a new federation, in this node's empty data folder, with the users, devices and settings of FILE. The nodes of the old \
            federation, their sessions, what was registered at them and all tokens are left out; ids of nodes are not given again. The old federation \
            and the new one cannot speak to each other."
    )]
    Restore(RestoreArgs),
}

/// `backup create|verify|inspect`
#[derive(Debug, Args)]
pub struct BackupArgs {
    /// The backup
    pub file: PathBuf,
    /// File whose first line is the key [default: backup.key_file of the configuration, else it is asked for]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
}

/// `backup restore`
#[derive(Debug, Args)]
pub struct RestoreArgs {
    /// The backup
    pub file: PathBuf,
    /// File whose first line is the key [default: backup.key_file of the configuration, else it is asked for]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// The configuration.
    #[command(flatten)]
    pub flags: ConfigFlags,
}
