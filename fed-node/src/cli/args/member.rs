//! How a node comes into a federation, serves and goes, as clap types.

use clap::{Args, ValueEnum};
use fed_ari::client::AsteriskVersion;

use crate::config::ConfigFlags;

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
