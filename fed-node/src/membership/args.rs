//! What can be planned.

use clap::Subcommand;

/// `plan ...`
#[derive(Debug, Subcommand)]
pub enum PlanCommand {
    /// A node leaves for good
    Leave {
        /// Name or id [default: the node asked]
        node: Option<String>,
    },
    /// A voter takes the leadership over
    Lead {
        /// Name or id of a voter
        node: String,
    },
    /// A node that does not vote yet votes in place of a voter, which leaves for good
    Replace {
        /// Name or id of the voter that leaves
        old: String,
        /// Name or id of the node that votes instead
        new: String,
    },
}
