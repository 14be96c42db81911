//! The files: read with what they include, changed whole or not at all, with a copy of what was.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::staged::{self, Staged};
use fed_ari::stanzas::{ConfigFile, Stanza, StanzaError, StanzaOptions, install, stanzas};

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
    read: BTreeMap<&'static str, ConfigFile>,
}

/// What is to be done to a file.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) path: PathBuf,
    pub(super) stanza: Stanza,
    pub(super) before: Option<String>,
    pub(super) after: String,
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
        parsed.insert(name, with_included(folder, text.as_deref().unwrap_or_default())?);
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
    Ok(Plan { files, read: parsed })
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
    with_included(folder, &text)
}

/// A file's meaning, with what it includes.
///
/// # Errors
/// When an included file is there and cannot be read: what it says would be overlooked.
fn with_included(folder: &Path, text: &str) -> Result<ConfigFile, InstallError> {
    let mut unread = None;
    let all = ConfigFile::parse(text, |name| {
        included(folder, name).unwrap_or_else(|error| {
            unread.get_or_insert(error);
            Vec::new()
        })
    });
    unread.map_or(Ok(all), Err)
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
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => match std::fs::read_link(path) {
            // A file in its place would leave the one that it is to be without the change.
            Ok(target) => Err(failed(format!(
                "is a symbolic link to {}, which is not there; make that file, or remove the link",
                target.display()
            ))),
            Err(_) => Ok(None),
        },
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The texts of the files that an `#include` line names, by name or pattern; Asterisk goes on without one that is not there.
///
/// They are read and never written, so that bytes which are no UTF-8 (an old comment, somebody's name) do no harm: what matters is ASCII.
fn included(folder: &Path, name: &str) -> Result<Vec<String>, InstallError> {
    let pattern = if name.starts_with('/') {
        name.to_owned()
    } else {
        format!("{}/{name}", glob::Pattern::escape(&folder.to_string_lossy()))
    };
    let options = glob::MatchOptions {
        require_literal_separator: true,
        require_literal_leading_dot: true,
        ..glob::MatchOptions::new()
    };
    let Ok(paths) = glob::glob_with(&pattern, options) else {
        return Ok(Vec::new());
    };
    let mut texts = Vec::new();
    for path in paths {
        let (path, read) = match path {
            Ok(path) => {
                let read = std::fs::read(&path);
                (path, read)
            }
            Err(error) => (error.path().to_owned(), Err(error.into())),
        };
        match read {
            Ok(bytes) => texts.push(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                return Err(InstallError::File {
                    path: path.display().to_string(),
                    why: format!("which `#include {name}` names, cannot be read: {error}"),
                });
            }
        }
    }
    Ok(texts)
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

    /// Each file, and whether installing would change it.
    pub(super) fn missing(&self) -> Vec<(String, bool)> {
        let differs = |file: &Change| file.before.as_deref().unwrap_or_default() != file.after;
        let all = self.files.iter();
        all.map(|file| (file.stanza.file.to_owned(), differs(file))).collect()
    }

    /// The file as its administrator wrote it, with what it includes.
    pub(super) fn read(&self, name: &str) -> Option<&ConfigFile> {
        self.read.get(name)
    }

    /// Prepares everything that differs beside the files, which stay as they are until [`Staged::commit`].
    ///
    /// # Errors
    /// When a file cannot be written; nothing has been changed then.
    pub(super) fn stage(self) -> Result<Staged, InstallError> {
        let mut staged = Staged::default();
        for file in self.files {
            let change = staged::prepare(&file.path, file.before.as_deref(), &file.after)?;
            staged.add(file, change);
        }
        Ok(staged)
    }
}

#[cfg(test)]
#[path = "files_tests.rs"]
mod tests;
