//! The text of a token, `fed1.<id>.<secret>`: its id is no secret and names it in lists and in the audit log.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use fed_core::ids::TokenId;
use fed_core::records::SecretHash;
use sha2::{Digest, Sha256};

const MARK: &str = "fed1.";

/// The secret of a token: 32 random bytes.
#[derive(Clone, PartialEq, Eq)]
pub struct TokenSecret([u8; 32]);

impl TokenSecret {
    /// A new one.
    #[must_use]
    pub fn random() -> Self {
        Self(rand::random())
    }

    /// What the map keeps of it.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        hash_of(&self.0)
    }
}

impl fmt::Debug for TokenSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// SHA-256 of a secret. The secrets are random and long: nobody guesses them, however fast the hash is.
#[must_use]
pub fn hash_of(secret: &[u8]) -> SecretHash {
    SecretHash(Sha256::digest(secret).into())
}

/// A token as its bearer has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenText {
    /// What names it.
    pub id: TokenId,
    /// What proves it.
    pub secret: TokenSecret,
}

impl TokenText {
    /// A new token of this id.
    #[must_use]
    pub fn new(id: TokenId) -> Self {
        let secret = TokenSecret::random();
        Self { id, secret }
    }

    /// A new token with an id of its own.
    #[must_use]
    pub fn random() -> Self {
        let id = HEXLOWER.encode(&rand::random::<[u8; 6]>());
        Self::new(TokenId::new(id).expect("hexadecimal digits make an id"))
    }

    /// The token in this text. `None`: it is not one; why is not said, for there is nothing to learn from it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix(MARK)?.split_once('.')?;
        let id = TokenId::new(id).ok()?;
        let secret = BASE64URL_NOPAD.decode(secret.as_bytes()).ok()?;
        let secret = TokenSecret(secret.try_into().ok()?);
        Some(Self { id, secret })
    }

    /// The text, for its bearer alone.
    #[must_use]
    pub fn reveal(&self) -> String {
        format!("{MARK}{}.{}", self.id, BASE64URL_NOPAD.encode(&self.secret.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_its_text_and_is_never_printed() {
        let token = TokenText::random();
        let text = token.reveal();
        assert_eq!(TokenText::parse(&text), Some(token.clone()));
        let secret = text.rsplit('.').next().unwrap();
        assert!(!format!("{token:?}").contains(secret));
        assert_ne!(TokenText::random(), token);
    }

    #[test]
    fn what_is_no_token_is_none() {
        let good = TokenText::random().reveal();
        for bad in [
            "",
            "fed1.",
            "fed1..",
            "fed1.a.b",
            "fed1.A.",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}A"),
        ] {
            assert_eq!(TokenText::parse(bad), None, "{bad}");
        }
    }
}
