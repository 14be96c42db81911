//! `backup verify` and `backup inspect`: what is in a file, and whether all of it is.

use std::path::Path;

use serde::Serialize;

use super::file::{Opened, head_of};
use super::head::Head;
use crate::cli::{Outcome, Output, Show, print};
use crate::config::Secret;
use crate::talk;

#[derive(Debug, Serialize)]
struct Verified {
    file: String,
    verified: bool,
    #[serde(flatten)]
    head: Head,
}

impl Show for Verified {
    fn text(&self) -> String {
        format!("{}: verified to {}", self.file, self.head.summary())
    }
}

/// Reads all of the file, opens the state in it, and compares its hash and counts with what the file says of itself.
///
/// # Errors
/// What is wrong with it, and the remedy.
pub fn verify(path: &Path, key: &Secret, output: Output) -> Outcome {
    let opened = Opened::unpack(path, key, &std::env::temp_dir())?;
    opened.verify(path)?;
    let file = path.display().to_string();
    let head = opened.head.clone();
    print(
        output,
        &Verified {
            file,
            verified: true,
            head,
        },
    )
}

/// Shows what the file says that is in it. Only its head is read.
///
/// # Errors
/// When that cannot be read.
pub fn inspect(path: &Path, key: &Secret, output: Output) -> Outcome {
    let head = head_of(path, key)?;
    print(output, &head)?;
    talk!(
        "this is what the file says of itself; `fed-node backup verify {}` checks it",
        path.display()
    );
    Ok(())
}
