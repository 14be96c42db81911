//! Changes that stand ready beside the files, and take their places together: all of them, or none.

use std::io::Write;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::files::{Change, InstallError};

/// What was done to a file.
#[derive(Debug, Serialize)]
pub struct Installed {
    /// The file.
    pub path: String,
    /// False: it was right already, and was not touched.
    pub changed: bool,
    /// The copy of what was.
    pub backup: Option<String>,
    /// The module to reload.
    pub reload: Option<String>,
    /// Asterisk must be restarted.
    pub restart: bool,
    /// What the administrator has to look after.
    pub warning: Option<String>,
}

/// Everything is written, but beside the files. Dropped before [`Staged::commit`], it leaves nothing behind.
#[derive(Debug, Default)]
pub(super) struct Staged {
    files: Vec<(Change, Option<Prepared>)>,
}

/// A file's new text, in the folder where the file is.
#[derive(Debug)]
pub(super) struct Prepared {
    new: PathBuf,
    /// Where it goes: the file, or what a symbolic link in its place names.
    target: PathBuf,
    backup: Option<PathBuf>,
    /// The copy was made now.
    backup_is_new: bool,
    committed: bool,
}

impl Drop for Prepared {
    fn drop(&mut self) {
        if self.committed {
            return;
        }
        let _ = std::fs::remove_file(&self.new);
        if let Some(backup) = self.backup.as_ref().filter(|_| self.backup_is_new) {
            let _ = std::fs::remove_file(backup);
        }
    }
}

/// Writes the new text beside the file, and a copy of what was; `None` where nothing differs.
///
/// # Errors
/// When that cannot be done; nothing is left behind then.
pub(super) fn prepare(path: &Path, before: Option<&str>, after: &str) -> Result<Option<Prepared>, InstallError> {
    if before.unwrap_or_default() == after {
        return Ok(None);
    }
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let mut prepared = Prepared {
        new: folder_of(&target).join(format!(".{name}.fed-node-new")),
        target: target.clone(),
        backup: None,
        backup_is_new: false,
        committed: false,
    };
    let failed = |error: std::io::Error| failed(path, &target, &error);
    let secret = holds_password(path);
    if secret {
        refuse_open(path, &target)?;
    }
    write_new(&prepared.new, &prepared.target, after, secret).map_err(failed)?;
    if let Some(before) = before {
        let (backup, is_new) = keep_copy(path, before, secret).map_err(failed)?;
        (prepared.backup, prepared.backup_is_new) = (Some(backup), is_new);
    }
    Ok(Some(prepared))
}

fn failed(path: &Path, target: &Path, error: &std::io::Error) -> InstallError {
    let link = if path == target {
        String::new()
    } else {
        format!(" (a link to {})", target.display())
    };
    InstallError::File {
        path: path.display().to_string(),
        why: format!(
            "{error}{link}; no file was changed. Run this as a user who may write there, or add by hand what asterisk-config prints \
             without --write"
        ),
    }
}

impl Staged {
    pub(super) fn add(&mut self, file: Change, change: Option<Prepared>) {
        self.files.push((file, change));
    }

    /// Puts every file in its place.
    ///
    /// # Errors
    /// When one cannot be; those before it are then put back as they were.
    pub(super) fn commit(mut self) -> Result<Vec<Installed>, InstallError> {
        for at in 0..self.files.len() {
            let (file, Some(change)) = &self.files[at] else {
                continue;
            };
            if let Err(error) = put(&change.new, &change.target) {
                let error = failed(&file.path, &change.target, &error);
                self.take_back(at);
                return Err(error);
            }
        }
        let mut installed = Vec::new();
        for (file, change) in &mut self.files {
            if let Some(change) = change {
                change.committed = true;
            }
            installed.push(Installed {
                path: file.path.display().to_string(),
                changed: change.is_some(),
                backup: change
                    .as_ref()
                    .and_then(|change| Some(change.backup.as_ref()?.display().to_string())),
                reload: file.stanza.reload.map(str::to_owned),
                restart: file.stanza.reload.is_none(),
                warning: holds_password(&file.path).then(|| open_to_all(&file.path)).flatten(),
            });
        }
        Ok(installed)
    }

    fn take_back(&mut self, failed: usize) {
        for (file, change) in self.files.iter_mut().take(failed) {
            let Some(change) = change else { continue };
            let back = match &file.before {
                None => std::fs::remove_file(&change.target),
                Some(before) => write_new(&change.new, &change.target, before, false)
                    .and_then(|()| put(&change.new, &change.target)),
            };
            // Where even that fails, the copy is what the administrator has.
            change.committed = back.is_err();
        }
    }
}

/// Copies the file to `NAME.before-fed-node`, or `.2`, `.3` ... where an earlier copy stands; true where the copy was made now.
fn keep_copy(path: &Path, text: &str, secret: bool) -> std::io::Result<(PathBuf, bool)> {
    for number in 1..1_000 {
        let mut name = path.as_os_str().to_owned();
        name.push(".before-fed-node");
        if number > 1 {
            name.push(format!(".{number}"));
        }
        let copy = PathBuf::from(name);
        if copy.exists() {
            // The same text again needs no second copy.
            if std::fs::read(&copy)? == text.as_bytes() {
                return Ok((copy, false));
            }
            continue;
        }
        std::fs::copy(path, &copy)?;
        if secret {
            let mode = std::fs::metadata(&copy)?.permissions().mode();
            std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(mode & 0o770))?;
        }
        return Ok((copy, true));
    }
    Err(std::io::Error::other("there are 999 copies of it already; remove some"))
}

/// Writes the text to `new` with the owner and mode of `target`, synced. Nothing is left behind where it fails.
fn write_new(new: &Path, target: &Path, text: &str, secret: bool) -> std::io::Result<()> {
    let write = || -> std::io::Result<()> {
        // ari.conf holds a password: a file made here is not for everybody.
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(new)?;
        file.write_all(text.as_bytes())?;
        let like = match std::fs::metadata(target) {
            Ok(like) => {
                let closed = secret && is_somebodys(&like);
                let mode = like.permissions().mode() & if closed { 0o770 } else { 0o7777 };
                file.set_permissions(std::fs::Permissions::from_mode(mode))?;
                like
            }
            Err(_) => std::fs::metadata(folder_of(target))?,
        };
        // Asterisk often runs as its own user; without the right to give the file away it stays ours.
        let _ = chown(new, Some(like.uid()), Some(like.gid()));
        file.sync_all()
    };
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(new);
    }
    written
}

fn put(new: &Path, target: &Path) -> std::io::Result<()> {
    std::fs::rename(new, target)?;
    std::fs::File::open(folder_of(target))?.sync_all()
}

fn folder_of(path: &Path) -> &Path {
    path.parent().unwrap_or(Path::new("."))
}

fn holds_password(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "ari.conf")
}

/// Root's own file may be read by an Asterisk of another user only because everybody may; any other one is Asterisk's.
fn is_somebodys(file: &std::fs::Metadata) -> bool {
    file.uid() != 0 || file.gid() != 0
}

/// No password is written into a file that everybody may read and that cannot be closed here.
fn refuse_open(path: &Path, target: &Path) -> Result<(), InstallError> {
    let Ok(there) = std::fs::metadata(target) else {
        return Ok(());
    };
    if is_somebodys(&there) || there.permissions().mode() & 0o007 == 0 {
        return Ok(());
    }
    Err(InstallError::File {
        path: path.display().to_string(),
        why: format!(
            "everybody on this machine may read it, and it is to hold the ARI password; no file was changed. Give it to the group that \
             Asterisk runs as (chgrp asterisk {target}; not needed where Asterisk runs as root), then: chmod 640 {target}",
            target = target.display()
        ),
    })
}

fn open_to_all(path: &Path) -> Option<String> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode();
    (mode & 0o004 != 0).then(|| {
        format!(
            "everybody on this machine may read {path}, which holds the ARI password: give it to the user that Asterisk runs as \
             (chown), then chmod 640 {path}",
            path = path.display()
        )
    })
}

#[cfg(test)]
#[path = "staged_tests.rs"]
mod tests;
