//! Where a node's certificate, key and authorities come from, as its configuration says.

use std::path::PathBuf;
use std::time::SystemTime;

use fed_raft::ClusterId;
use fed_raft::security::{Authority, Credentials, Keyring, Security};

use super::SecurityFolder;
use super::folder::{FileError, read, read_foreign_secret, read_secret};
use crate::config::Config;

/// Where certificates come from.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    /// The built-in authority; everything is in this folder.
    BuiltIn(SecurityFolder),
    /// An authority of one's own, which signs elsewhere.
    Own {
        /// Its certificates.
        authority: PathBuf,
        /// This node's certificate.
        certificate: PathBuf,
        /// This node's key.
        key: PathBuf,
    },
}

impl Source {
    /// As configured; none where nothing is encrypted.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        if config.security.plaintext {
            return None;
        }
        let tls = &config.tls;
        Some(match (&tls.ca, &tls.cert, &tls.key) {
            (Some(authority), Some(certificate), Some(key)) => Self::Own {
                authority: authority.clone(),
                certificate: certificate.clone(),
                key: key.clone(),
            },
            _ => Self::BuiltIn(SecurityFolder::of(&config.data_dir)),
        })
    }

    fn files(&self) -> [PathBuf; 3] {
        match self {
            Self::BuiltIn(folder) => [folder.authority(), folder.certificate(), folder.key()],
            Self::Own {
                authority,
                certificate,
                key,
            } => [authority.clone(), certificate.clone(), key.clone()],
        }
    }

    /// Reads everything.
    pub(super) fn load(&self) -> Result<Credentials, FileError> {
        let [authority, certificate, key] = self.files();
        if !certificate.exists() {
            let shown = certificate.display();
            return Err(FileError(match self {
                Self::BuiltIn(_) => format!(
                    "there is no certificate at {shown}: `fed-node init` makes one, `fed-node join TOKEN` brings one. A node that was made with security.plaintext, or by a version that had no certificates, has none: take its map into a new federation with `fed-node backup create` (security.plaintext, or that version) and `backup restore`"
                ),
                Self::Own { .. } => format!(
                    "there is no certificate at {shown} (tls.cert): have your authority sign the request node.csr in the folder security of data_dir, and put the answer there"
                ),
            }));
        }
        let secret = match self {
            Self::BuiltIn(_) => read_secret(&key)?,
            Self::Own { .. } => read_foreign_secret(&key)?,
        };
        if let Self::BuiltIn(folder) = self
            && folder.authority_key().exists()
        {
            // Used only when something is signed; who can read it may be told of before.
            read_secret(&folder.authority_key())?;
        }
        Credentials::from_pem(&read(&authority)?, &read(&certificate)?, &secret)
            .map_err(|error| FileError::at(&certificate, error))
    }

    /// The certificates of the authorities that are believed.
    pub(crate) fn authority_pem(&self) -> Result<String, FileError> {
        let [authority, ..] = self.files();
        read(&authority)
    }

    /// Changes when one of the files does.
    pub(super) fn stamp(&self) -> [Option<SystemTime>; 3] {
        let changed = |path: PathBuf| std::fs::metadata(path).and_then(|file| file.modified()).ok();
        self.files().map(changed)
    }

    /// The built-in authority with its key, where this node has that.
    pub(super) fn signer(&self, cluster: ClusterId) -> Result<Option<Authority>, FileError> {
        let Self::BuiltIn(folder) = self else {
            return Ok(None);
        };
        let path = folder.authority_key();
        if !path.exists() {
            return Ok(None);
        }
        let authority = Authority::from_pem(cluster, &read(&folder.authority())?, &read_secret(&path)?);
        authority
            .map(Some)
            .map_err(|error| FileError(format!("{}: {error}", path.display())))
    }
}

/// When this node's certificate ends; `None` where it needs none.
pub(crate) fn certificate_expires(config: &Config) -> Option<Result<SystemTime, FileError>> {
    let source = Source::of(config)?;
    Some(source.load().map(|credentials| credentials.expires()))
}

/// How this node's connections are protected.
///
/// # Errors
/// When a file is missing, does not fit, or may be read by others; with the remedy.
pub(crate) fn security(config: &Config) -> Result<Security, FileError> {
    match Source::of(config) {
        None => Ok(Security::Plaintext),
        Some(source) => Ok(Security::Tls(Keyring::new(source.load()?))),
    }
}
