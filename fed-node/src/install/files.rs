//! The files: read with what they include, changed whole or not at all, with a copy of what was.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use fed_ari::stanzas::{ConfigFile, Stanza, StanzaError, StanzaOptions, install, stanzas};
use serde::Serialize;

/// Includes of includes that are followed.
const INCLUDE_DEPTH: usize = 5;

/// Why the stanzas cannot be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A file cannot be extended as it is.
    #[error("{0}")]
    Stanza(#[from] StanzaError),
    /// A file cannot be extended as it is.
    #[error("{path}: {why}")]
    File {
        /// The file.
        path: String,
        /// Why.
        why: String,
    },
}

/// What is to be done, all of it known before anything is written.
#[derive(Debug)]
pub struct Plan {
    files: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    path: PathBuf,
    stanza: Stanza,
    before: Option<String>,
    after: String,
}

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
}

/// Reads the files of Asterisk's configuration folder and works out what to do.
///
/// # Errors
/// When a file cannot be read, or not be extended without changing what it means.
pub fn plan(folder: &Path, options: &StanzaOptions) -> Result<Plan, InstallError> {
    if !folder.is_dir() {
        return Err(InstallError::File {
            path: folder.display().to_string(),
            why: "is no folder; name Asterisk's configuration folder with asterisk.config_dir".to_owned(),
        });
    }
    let mut texts = BTreeMap::new();
    let mut parsed = BTreeMap::new();
    for name in fed_ari::stanzas::FILES {
        let text = read(&folder.join(name))?;
        let mut included = Vec::new();
        if let Some(text) = &text {
            include(folder, text, INCLUDE_DEPTH, &mut included)?;
        }
        parsed.insert(name, ConfigFile::parse(text.as_deref().unwrap_or_default(), &included));
        texts.insert(name, text);
    }
    let needed = stanzas(options, |name| parsed.get(name).cloned().unwrap_or_default())?;
    let mut files = Vec::new();
    for stanza in needed {
        let before = texts.remove(stanza.file).flatten();
        let path = folder.join(stanza.file);
        let after = install(before.as_deref().unwrap_or_default(), &stanza.text).map_err(|why| InstallError::File {
            path: path.display().to_string(),
            why: why.to_string(),
        })?;
        files.push(Change {
            path,
            stanza,
            before,
            after,
        });
    }
    Ok(Plan { files })
}

/// One file of the folder with what it includes.
///
/// # Errors
/// When it is not there or cannot be read.
pub(super) fn parsed(folder: &Path, name: &str) -> Result<ConfigFile, InstallError> {
    let path = folder.join(name);
    let text = read(&path)?.ok_or_else(|| InstallError::File {
        path: path.display().to_string(),
        why: "is not there".to_owned(),
    })?;
    let mut included = Vec::new();
    include(folder, &text, INCLUDE_DEPTH, &mut included)?;
    Ok(ConfigFile::parse(&text, &included))
}

/// A file's text; `None` where there is none. Asterisk's files are bytes: what is no UTF-8 cannot be kept as it is.
fn read(path: &Path) -> Result<Option<String>, InstallError> {
    let failed = |why: String| InstallError::File {
        path: path.display().to_string(),
        why,
    };
    match std::fs::read(path) {
        Ok(bytes) => String::from_utf8(bytes)
            .map(Some)
            .map_err(|_| failed("is no UTF-8 text; convert it, or add the printed stanzas by hand".to_owned())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The texts of included files, those included by them first; a missing one (`#tryinclude`, a pattern) is left out.
fn include(folder: &Path, text: &str, depth: usize, found: &mut Vec<String>) -> Result<(), InstallError> {
    if depth == 0 {
        return Ok(());
    }
    for name in ConfigFile::includes(text) {
        if let Ok(Some(text)) = read(&folder.join(name)) {
            include(folder, &text, depth - 1, found)?;
            found.push(text);
        }
    }
    Ok(())
}

impl Plan {
    /// Each file's block, without its markers; empty where nothing is missing.
    #[must_use]
    pub fn shown(&self) -> BTreeMap<&'static str, String> {
        self.files
            .iter()
            .map(|file| (file.stanza.file, file.stanza.text.clone()))
            .collect()
    }

    /// Writes what differs.
    ///
    /// # Errors
    /// When a file cannot be written; it is then as it was.
    pub fn install(self) -> Result<Vec<Installed>, InstallError> {
        self.files.iter().map(Change::install).collect()
    }
}

impl Change {
    fn install(&self) -> Result<Installed, InstallError> {
        let changed = self.before.as_deref().unwrap_or_default() != self.after;
        let failed = |why: std::io::Error| InstallError::File {
            path: self.path.display().to_string(),
            why: why.to_string(),
        };
        let backup = match &self.before {
            Some(before) if changed => Some(keep_copy(&self.path, before).map_err(failed)?),
            _ => None,
        };
        if changed {
            replace(&self.path, &self.after).map_err(failed)?;
        }
        Ok(Installed {
            path: self.path.display().to_string(),
            changed,
            backup: backup.map(|path| path.display().to_string()),
            reload: self.stanza.reload.map(str::to_owned),
            restart: self.stanza.reload.is_none(),
        })
    }
}

/// Copies the file to `NAME.before-fed-node`, or `.2`, `.3` ... where an earlier copy stands.
fn keep_copy(path: &Path, text: &str) -> std::io::Result<PathBuf> {
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
                return Ok(copy);
            }
            continue;
        }
        std::fs::copy(path, &copy)?;
        return Ok(copy);
    }
    Err(std::io::Error::other("there are 999 copies of it already; remove some"))
}

/// Replaces a file whole, keeping its owner and mode; a symbolic link stays one.
fn replace(path: &Path, text: &str) -> std::io::Result<()> {
    let target = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let folder = target.parent().unwrap_or(Path::new("."));
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    let new = folder.join(format!(".{name}.fed-node-new"));
    let write = || -> std::io::Result<()> {
        use std::os::unix::fs::{MetadataExt, OpenOptionsExt, chown};
        // ari.conf holds a password: a file made here is not for everybody.
        let mut file = std::fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o640)
            .open(&new)?;
        file.write_all(text.as_bytes())?;
        let like = std::fs::metadata(&target).or_else(|_| std::fs::metadata(folder))?;
        if target.exists() {
            file.set_permissions(like.permissions())?;
        }
        // Asterisk often runs as its own user; without the right to give the file away it stays ours.
        let _ = chown(&new, Some(like.uid()), Some(like.gid()));
        file.sync_all()?;
        std::fs::rename(&new, &target)?;
        std::fs::File::open(folder)?.sync_all()
    };
    let written = write();
    if written.is_err() {
        let _ = std::fs::remove_file(&new);
    }
    written
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
