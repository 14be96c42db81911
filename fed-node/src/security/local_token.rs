//! The token of whoever may read this node's data folder: made anew at each start, accepted by this node alone.

use std::path::{Path, PathBuf};

use fed_core::ids::TokenId;
use fed_core::records::SecretHash;

use super::files::{folder, write_private};
use super::text::{TokenSecret, TokenText};

/// Its file in the folder of secrets.
pub const LOCAL_TOKEN: &str = "local-token";

/// Its id, which no other token has: those made by `token create` are hexadecimal.
const ID: &str = "local";

/// What the node keeps of it.
#[derive(Debug, Clone, Copy)]
pub struct LocalToken(SecretHash);

impl LocalToken {
    /// Where it is in a data folder.
    #[must_use]
    pub fn file(data_dir: &Path) -> PathBuf {
        data_dir.join("security").join(LOCAL_TOKEN)
    }

    /// Makes one and writes it.
    ///
    /// # Errors
    /// When it cannot be written, or others may look into the folder.
    pub fn make(data_dir: &Path) -> Result<Self, String> {
        folder(data_dir)?;
        let token = TokenText::new(TokenId::new(ID).expect("letters make an id"));
        let file = Self::file(data_dir);
        write_private(&file, &format!("{}\n", token.reveal())).map_err(|why| format!("{}: {why}", file.display()))?;
        Ok(Self(token.secret.hash()))
    }

    /// One that nobody has: where none can be written, nobody comes in by it.
    #[must_use]
    pub fn nobodys() -> Self {
        Self(TokenSecret::random().hash())
    }

    /// Whether a token's id says that it is one of these.
    #[must_use]
    pub fn is_named(id: &TokenId) -> bool {
        id.as_str() == ID
    }

    /// Whether this is its secret. Takes the same time whatever was guessed.
    #[must_use]
    pub fn is(&self, secret: &TokenSecret) -> bool {
        same(&self.0, &secret.hash())
    }
}

/// Compares without telling by the time it takes how much was right.
pub(crate) fn same(a: &SecretHash, b: &SecretHash) -> bool {
    use subtle::ConstantTimeEq;
    a.0.ct_eq(&b.0).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::security::read_private;

    #[test]
    fn it_is_new_at_each_start_and_the_old_one_opens_nothing() {
        let data = tempfile::tempdir().unwrap();
        let read = || {
            let text = read_private(&LocalToken::file(data.path())).unwrap().unwrap();
            TokenText::parse(&text).unwrap()
        };
        let first = LocalToken::make(data.path()).unwrap();
        let old = read();
        assert!(first.is(&old.secret) && LocalToken::is_named(&old.id));
        let second = LocalToken::make(data.path()).unwrap();
        assert!(!second.is(&old.secret) && second.is(&read().secret));
    }
}
