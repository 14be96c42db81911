//! Whose data folder it is. The package's belongs to the user `fed-node`, and an administrator is root: what root makes in it would
//! be closed to the node.

use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::cli::{Failure, Outcome};

/// User and group of a folder that is another's than root's, asked by root; `None` where there is nothing to mind.
fn owner(folder: &Path) -> Option<(u32, u32)> {
    let found = std::fs::metadata(folder).ok()?;
    (rustix::process::geteuid().is_root() && found.uid() != 0).then(|| (found.uid(), found.gid()))
}

/// Starts this very command again as the owner of the folder, where root gave it and the folder is another's.
///
/// # Errors
/// When this program cannot be started as that user.
pub fn act_as_owner(folder: &Path) -> Outcome {
    let Some((uid, gid)) = owner(folder) else {
        return Ok(());
    };
    let program = std::env::current_exe()?;
    let arguments = std::env::args_os().skip(1);
    let error = Command::new(program).args(arguments).uid(uid).gid(gid).exec();
    Err(Failure::failed(format!(
        "{} belongs to user {uid}, and this command cannot be run as that user: {error}",
        folder.display()
    )))
}

/// Root does not serve from another's folder: it would leave files there that the owner cannot read.
///
/// # Errors
/// In that case, with how to start it.
pub fn refuse_root(folder: &Path) -> Outcome {
    match owner(folder) {
        None => Ok(()),
        Some((uid, _)) => Err(Failure::usage(format!(
            "{} belongs to user {uid} and not to root: start the service with `systemctl start fed-node`, or run this as that user",
            folder.display()
        ))),
    }
}

/// Gives a file that root made in the folder to the folder's owner.
///
/// # Errors
/// When that is not allowed.
pub fn give_to_owner(folder: &Path, file: &Path) -> std::io::Result<()> {
    match owner(folder) {
        None => Ok(()),
        Some((uid, gid)) => std::os::unix::fs::chown(file, Some(uid), Some(gid)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ones_own_folder_and_one_that_is_not_there_yet_change_nothing() {
        let folder = tempfile::tempdir().unwrap();
        act_as_owner(folder.path()).unwrap();
        refuse_root(folder.path()).unwrap();
        act_as_owner(&folder.path().join("none")).unwrap();
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        give_to_owner(folder.path(), &file).unwrap();
    }

    #[test]
    fn root_does_not_serve_from_anothers_folder_and_gives_files_away() {
        if !rustix::process::geteuid().is_root() {
            return; // nobody else can make a folder of another's
        }
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::chown(folder.path(), Some(65_534), Some(65_534)).unwrap();
        let refused = refuse_root(folder.path()).unwrap_err();
        assert!(
            refused.message.contains("systemctl start fed-node"),
            "{}",
            refused.message
        );
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        give_to_owner(folder.path(), &file).unwrap();
        assert_eq!(std::fs::metadata(&file).unwrap().uid(), 65_534);
    }
}
