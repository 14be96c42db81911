//! Secrets sealed at rest: what the map holds of passwords and keys is ciphertext, and only the nodes have the key.
//!
//! A sealed text is `sealed1.<id of the key>.<nonce and ciphertext, base64url>`: XChaCha20-Poly1305 under the cluster's key, with a
//! nonce of 24 random bytes. What is sealed is tied to its place: the digest of one device opens as that of no other.
//! Sealing happens before a command is proposed, never while it is applied, so this module draws no nonce itself.

use std::fmt;

use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};

use crate::ids::DeviceId;

const MARK: &str = "sealed1.";
const NONCE: usize = 24;
/// Hexadecimal digits of a key's id.
const KEY_ID: usize = 8;

/// The cluster's key. Neither printed nor compared: ask for its id.
#[derive(Clone)]
pub struct SealKey {
    key: [u8; 32],
    id: String,
}

/// What is sealed, and so where alone it opens.
#[derive(Debug, Clone, Copy)]
pub enum Place<'a> {
    /// The HA1 digest of a device.
    Digest(&'a DeviceId),
    /// The value of a setting, by its key.
    Setting(&'a str),
}

/// Why a sealed text does not open.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// There is no key here.
    #[error("it is sealed with key {0}, and this node has no key: bring security/cluster.key from another node")]
    NoKey(String),
    /// Another key than the one here.
    #[error(
        "it is sealed with key {sealed}, and this node has key {here}: bring security/cluster.key from another node"
    )]
    OtherKey {
        /// The id of the key it was sealed with.
        sealed: String,
        /// The id of the key here.
        here: String,
    },
    /// It was changed, cut, or belongs elsewhere.
    #[error("it was changed, or sealed for another place: set it anew")]
    Damaged,
}

impl SealKey {
    /// The key of these bytes.
    #[must_use]
    pub fn new(key: [u8; 32]) -> Self {
        let mut hasher = Sha256::new();
        hasher.update(b"federated asterisk, id of a seal key\0");
        hasher.update(key);
        let id = HEXLOWER.encode(&hasher.finalize()[..KEY_ID / 2]);
        Self { key, id }
    }

    /// The key written as 64 hexadecimal digits.
    #[must_use]
    pub fn from_hex(text: &str) -> Option<Self> {
        let key = HEXLOWER_PERMISSIVE.decode(text.trim().as_bytes()).ok()?;
        key.try_into().ok().map(Self::new)
    }

    /// The key as 64 hexadecimal digits, for its file.
    #[must_use]
    pub fn to_hex(&self) -> String {
        HEXLOWER.encode(&self.key)
    }

    /// What names this key, and tells nothing of it: 8 hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Seals `secret` for `place`. `nonce` is random, and used for nothing else.
    #[must_use]
    pub fn seal(&self, place: Place<'_>, secret: &[u8], nonce: [u8; NONCE]) -> String {
        let payload = Payload {
            msg: secret,
            aad: &place.bytes(),
        };
        // The only failure is a text of 256 GiB.
        let sealed = self.cipher().encrypt(XNonce::from_slice(&nonce), payload);
        let mut bytes = nonce.to_vec();
        bytes.extend(sealed.unwrap_or_default());
        format!("{MARK}{}.{}", self.id, BASE64URL_NOPAD.encode(&bytes))
    }

    fn open(&self, place: Place<'_>, sealed: &str) -> Result<Vec<u8>, SealError> {
        let (id, bytes) = parts(sealed).ok_or(SealError::Damaged)?;
        if id != self.id {
            return Err(SealError::OtherKey {
                sealed: id.to_owned(),
                here: self.id.clone(),
            });
        }
        let bytes = BASE64URL_NOPAD
            .decode(bytes.as_bytes())
            .map_err(|_| SealError::Damaged)?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE).ok_or(SealError::Damaged)?;
        let payload = Payload {
            msg: sealed,
            aad: &place.bytes(),
        };
        self.cipher()
            .decrypt(XNonce::from_slice(nonce), payload)
            .map_err(|_| SealError::Damaged)
    }

    fn cipher(&self) -> XChaCha20Poly1305 {
        XChaCha20Poly1305::new(Key::from_slice(&self.key))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SealKey").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Place<'_> {
    fn bytes(self) -> Vec<u8> {
        let (kind, name) = match self {
            Self::Digest(device) => ("digest", device.as_str()),
            Self::Setting(key) => ("setting", key),
        };
        format!("federated asterisk\0{kind}\0{name}").into_bytes()
    }
}

/// Whether a text is sealed, or looks so. What comes from outside never does: it is refused at the edge.
#[must_use]
pub fn is_sealed(text: &str) -> bool {
    text.starts_with(MARK)
}

/// The text at `place`: as it is where it is not sealed, opened with `key` where it is.
///
/// # Errors
/// [`SealError`] when there is no key, another one, or the text is damaged.
pub fn open(key: Option<&SealKey>, place: Place<'_>, text: &str) -> Result<Vec<u8>, SealError> {
    match (is_sealed(text), key) {
        (false, _) => Ok(text.as_bytes().to_vec()),
        (true, Some(key)) => key.open(place, text),
        (true, None) => Err(parts(text).map_or(SealError::Damaged, |(id, _)| SealError::NoKey(id.to_owned()))),
    }
}

/// Whether a sealed text has the right form and at most `longest` bytes; whether it opens, only a node can tell.
pub(crate) fn is_well_formed(text: &str, longest: usize) -> bool {
    let digits = |c: u8| c.is_ascii_alphanumeric() || b"-_".contains(&c);
    text.len() <= longest
        && parts(text).is_some_and(|(id, bytes)| {
            id.len() == KEY_ID
                && id.bytes().all(|c| c.is_ascii_hexdigit())
                && !bytes.is_empty()
                && bytes.bytes().all(digits)
        })
}

fn parts(sealed: &str) -> Option<(&str, &str)> {
    sealed.strip_prefix(MARK)?.split_once('.')
}
