//! Who may do what, and who did: tokens and the audit log, as clap types.

use clap::{Args, Subcommand};

use crate::cli::commands::{Noted, Ttl};

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
