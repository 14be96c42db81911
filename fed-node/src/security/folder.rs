//! `<data_dir>/security/`: which file is what.

use std::fmt;
use std::path::{Path, PathBuf};

use super::files::{self, CLUSTER_KEY};

/// The folder of a node's certificates and keys.
#[derive(Debug, Clone)]
pub struct SecurityFolder(PathBuf);

/// A file that cannot be used: which, and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct FileError(pub(super) String);

impl FileError {
    pub(super) fn at(path: &Path, why: impl fmt::Display) -> Self {
        Self(format!("{}: {why}", path.display()))
    }
}

impl SecurityFolder {
    /// That of the node whose data folder this is.
    #[must_use]
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("security"))
    }

    /// The authority's certificate: what clients believe nodes by.
    #[must_use]
    pub fn authority(&self) -> PathBuf {
        self.0.join("ca.crt")
    }

    /// The authority's key; only voters have it.
    #[must_use]
    pub fn authority_key(&self) -> PathBuf {
        self.0.join("ca.key")
    }

    /// This node's certificate, followed by the authority's.
    #[must_use]
    pub fn certificate(&self) -> PathBuf {
        self.0.join("node.crt")
    }

    /// This node's key.
    #[must_use]
    pub fn key(&self) -> PathBuf {
        self.0.join("node.key")
    }

    /// The request for a certificate, where an authority of one's own has to answer it.
    #[must_use]
    pub fn request(&self) -> PathBuf {
        self.0.join("node.csr")
    }

    /// The key that seals the map's secrets.
    #[must_use]
    pub fn cluster_key(&self) -> PathBuf {
        self.0.join(CLUSTER_KEY)
    }
}

/// Puts a file of this folder there, whole or not at all, also when the power goes; readable by its owner alone.
pub(super) fn write(path: &Path, text: &str) -> Result<(), FileError> {
    files::write_private(path, text).map_err(|error| FileError::at(path, error))
}

/// Gives a file that must not count any more another name, if it is there: `ca.key.old`.
pub(super) fn set_aside(path: &Path) -> Result<(), FileError> {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".old");
    match std::fs::rename(path, aside) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(FileError::at(path, error)),
        _ => Ok(()),
    }
}

/// A text file that is no secret.
pub(super) fn read(path: &Path) -> Result<String, FileError> {
    std::fs::read_to_string(path).map_err(|error| FileError::at(path, error))
}

/// A key in this folder: refused when others than its owner may read or change it.
pub(super) fn read_secret(path: &Path) -> Result<String, FileError> {
    files::refuse_loose(path, 0o077).map_err(FileError)?;
    read(path)
}

/// A key that somebody else's program put somewhere: its group may read it too.
pub(super) fn read_foreign_secret(path: &Path) -> Result<String, FileError> {
    files::refuse_loose(path, 0o027).map_err(FileError)?;
    read(path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_key_that_others_may_read_is_refused_with_the_remedy() {
        let root = tempfile::tempdir().unwrap();
        files::folder(root.path()).unwrap();
        let key = SecurityFolder::of(root.path()).key();
        write(&key, "canary").unwrap();
        for (mode, own, foreign) in [
            (0o600, true, true),
            (0o640, false, true),
            (0o644, false, false),
            (0o660, false, false),
        ] {
            std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
            for (read, good) in [(read_secret(&key), own), (read_foreign_secret(&key), foreign)] {
                assert_eq!(read.is_ok(), good, "{mode:o}");
                if let Err(error) = read {
                    let said = error.to_string();
                    assert!(said.contains("chmod 600") && !said.contains("canary"), "{said}");
                }
            }
        }
    }
}
