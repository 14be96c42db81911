//! Tokens: what a program shows to be let in, and what it may do then.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::ids::{NodeId, TokenId};

/// What somebody may do. The roles of people and programs hold what those before them hold; [`Role::Node`] stands apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Looks: users, devices without their digests, where they are, nodes, settings that are not secret, changes as they happen.
    Reader,
    /// Also says which devices are registered at one node: its own.
    Registrar,
    /// Also changes users, devices and settings that are not secret, and compares nodes with their Asterisks.
    Operator,
    /// Everything a client may do: tokens, secret settings, digests, members.
    Admin,
    /// A member of the federation. On the client API it may do nothing; with it a new node joins.
    Node,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Reader, Self::Registrar, Self::Operator, Self::Admin, Self::Node];

    /// Its name on the wire, on the command line and in the log.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Registrar => "registrar",
            Self::Operator => "operator",
            Self::Admin => "admin",
            Self::Node => "node",
        }
    }

    /// The role of that name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Whether this role holds what `least` holds. A node holds nothing but itself, and nobody else holds that.
    #[must_use]
    pub fn holds(self, least: Self) -> bool {
        match (self, least) {
            (Self::Node, _) | (_, Self::Node) => self == least,
            _ => self >= least,
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// SHA-256 of a token's secret. The secret is 32 random bytes, so nobody finds it by trying: a slow hash, which guards
/// what people choose, would only cost every call its time.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretHash(pub [u8; 32]);

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A token. Whether it has expired is judged by the clock of the node to which it is shown; the map only keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Token {
    /// Its id, which is no secret.
    pub id: TokenId,
    /// What it is for, for people; up to 80 characters.
    pub name: String,
    /// What it lets its bearer do.
    pub role: Role,
    /// What proves that its bearer has the secret.
    pub secret_hash: SecretHash,
    /// Seconds since 1970 after which it is refused.
    pub expires_at_unix: u64,
    /// It is taken away when it is used: [`crate::command::Command::UseToken`].
    pub one_use: bool,
    /// The only node for which it holds; a registrar's token must name one.
    pub node: Option<NodeId>,
}
