//! The secret that a backup is encrypted with.

use std::io::IsTerminal;
use std::path::Path;

use crate::cli::{Failure, Outcome, prompt};
use crate::config::{Secret, read_secret_file};

/// Shorter secrets are guessed too easily.
const SHORTEST: usize = 12;

/// The first line of `named`, or of `configured`, or typed at a terminal; typed twice and not too short for a `new` backup.
///
/// # Errors
/// When there is none, it cannot be read, or everybody may read it.
pub fn key_of(named: Option<&Path>, configured: Option<&Path>, new: bool) -> Outcome<Secret> {
    let secret = match named.or(configured) {
        Some(file) => read_secret_file(file).map_err(Failure::usage)?,
        None if std::io::stdin().is_terminal() => typed(new)?,
        None => {
            return Err(Failure::usage(
                "the key of the backup is missing: name the file with it (its first line) with --key-file FILE, or in the configuration as backup.key_file",
            ));
        }
    };
    if new && secret.reveal().chars().count() < SHORTEST {
        return Err(Failure::usage(format!(
            "the key is too short to keep the credentials of all users: use at least {SHORTEST} characters (`openssl rand -hex 32` makes a good one)"
        )));
    }
    Ok(secret)
}

fn typed(new: bool) -> Outcome<Secret> {
    let secret = prompt("Key of the backup: ")?;
    if new && prompt("Once more: ")? != secret {
        return Err(Failure::usage("the two keys differ; nothing was made"));
    }
    Ok(secret)
}
