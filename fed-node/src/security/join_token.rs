//! The text that brings a node in: where to ask, whom to believe, and the secret that lets it in once.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use fed_core::ids::TokenId;
use fed_core::records::SecretHash;
use fed_raft::security::NodeName;
use serde::{Deserialize, Serialize};

use super::hash_of;
use crate::address::Address;
use crate::config::Secret;

const PREFIX: &str = "fed1j.";

/// A join token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinToken {
    /// The peer address of the node that gave it out.
    pub address: Address,
    /// That node.
    pub node: NodeName,
    /// SHA-256 of the authority that the node's certificate must come from.
    pub authority: [u8; 32],
    /// Which token it is, to the federation.
    pub id: TokenId,
    /// What proves it; 64 hex digits.
    pub secret: Secret,
}

/// A text that is no join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("this is no join token ({0}): `fed-node token join` on a running node prints one, which begins with {PREFIX}")]
pub struct BadToken(&'static str);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    address: String,
    node: String,
    ca_sha256: String,
    id: String,
    secret: String,
}

impl JoinToken {
    /// What the federation keeps of a secret.
    #[must_use]
    pub fn hash(secret: &str) -> SecretHash {
        hash_of(secret.as_bytes())
    }

    /// The whole text, secret included.
    #[must_use]
    pub fn reveal(&self) -> String {
        let wire = Wire {
            address: self.address.to_string(),
            node: self.node.to_string(),
            ca_sha256: HEXLOWER.encode(&self.authority),
            id: self.id.to_string(),
            secret: self.secret.reveal().to_owned(),
        };
        // Five texts make JSON.
        let json = serde_json::to_vec(&wire).unwrap_or_default();
        format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&json))
    }
}

impl FromStr for JoinToken {
    type Err = BadToken;

    fn from_str(text: &str) -> Result<Self, BadToken> {
        let text = text.trim();
        if text.starts_with("fed1.") {
            return Err(BadToken("it is a token of the client API"));
        }
        let coded = text.strip_prefix(PREFIX).ok_or(BadToken("it begins otherwise"))?;
        let broken = BadToken("it is not whole");
        let json = BASE64URL_NOPAD.decode(coded.as_bytes()).map_err(|_| broken.clone())?;
        let wire: Wire = serde_json::from_slice(&json).map_err(|_| broken.clone())?;
        let authority = HEXLOWER.decode(wire.ca_sha256.as_bytes()).map_err(|_| broken.clone())?;
        Ok(Self {
            address: wire.address.parse().map_err(|_| broken.clone())?,
            node: wire.node.parse().map_err(|_| broken.clone())?,
            authority: authority.try_into().map_err(|_| broken.clone())?,
            id: wire.id.parse().map_err(|_| broken.clone())?,
            secret: Secret::new(wire.secret),
        })
    }
}

impl fmt::Display for JoinToken {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "join token {} of {}", self.id, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        JoinToken {
            address: "[2001:db8::1]:7401".parse().unwrap(),
            node: format!("fed://{}/node/3", "a".repeat(32)).parse().unwrap(),
            authority: [7; 32],
            id: "abc123".parse().unwrap(),
            secret: Secret::new("canary"),
        }
    }

    #[test]
    fn a_token_survives_being_printed_and_pasted() {
        let text = token().reveal();
        assert!(text.starts_with("fed1j.") && !text.contains("canary"), "{text}");
        assert_eq!(format!(" {text}\n").parse(), Ok(token()));
    }

    #[test]
    fn what_is_no_token_is_refused_with_the_command_that_makes_one() {
        let whole = token().reveal();
        for bad in [
            "",
            "127.0.0.1:7401",
            "fed1.abc.def",
            "fed1j.",
            "fed1j.!!!",
            &whole[..whole.len() - 4],
        ] {
            let error = bad.parse::<JoinToken>().unwrap_err().to_string();
            assert!(error.contains("fed-node token join"), "{bad}: {error}");
        }
    }

    #[test]
    fn its_secret_is_not_printed_by_accident() {
        assert!(!format!("{:?} {}", token(), token()).contains("canary"));
    }
}
