//! The command line. [`args`] parses, [`commands`] act through the client API with the token that [`bearer`] found, [`output`] prints, [`exit`] says how it ended.

mod access;
mod args;
mod bearer;
mod change;
mod client;
pub(crate) mod clock;
pub(crate) mod colour;
mod commands;
mod exit;
mod output;
mod pages;
mod password;
mod ready;
mod reference;
mod views;

pub(crate) use access::default_server;
pub use access::{Access, Server};
pub use args::{
    AsteriskConfigArgs, BundleArgs, CheckCommand, Cli, Command, DebugCommand, DevArgs, DoctorArgs, EventsArgs,
    ExplainArgs, ImportArgs, InitArgs, JoinArgs, LogsArgs, Output, PerfArgs, RecoverArgs, RunArgs, TopArgs,
};
pub use bearer::Bearer;
pub use change::Intent;
pub(crate) use change::{ChangeView, change_lines, tell_made};
pub use client::{Api, Client};
#[cfg(test)]
pub(crate) use commands::status_fixture;
pub use commands::{Compared, dispatch};
pub(crate) use commands::{all_devices, all_nodes, all_users, compare, leads_somewhere, realm};
pub use exit::{EXIT_CODES, Exit, Failure, Outcome};
pub(crate) use output::fields;
pub use output::{Show, emit, print};
pub use password::ha1;
pub(crate) use password::prompt;
pub(crate) use ready::wait_for_asterisks;
