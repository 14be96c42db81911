//! Devices, as clap types.

use clap::{Args, Subcommand};

use super::user::PasswordArgs;

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
