//! The names of things, validated once, at the edge.
//!
//! A text id that was made by its constructor is safe to write into a dialplan, a SIP URI or an Asterisk configuration.
//! Deserialising checks too, but by the rule that held when the log was begun: that rule may be loosened later, never
//! tightened, or an old log could not be read any more. What is asked for today goes through the constructors, at the edge
//! and, where another member sends it, at the leader ([`ContactUri::check`], [`Number::check`]).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

mod contact;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
        )]
        pub struct $name(pub $inner);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = std::num::ParseIntError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                text.parse().map(Self)
            }
        }
    };
}

number_id! {
    /// A node of the federation. Given by the cluster, never used a second time.
    NodeId(u64)
}
number_id! {
    /// One span of a node's life: the revision that opened it.
    SessionId(u64)
}
number_id! {
    /// How many changing commands the map has seen. Fencing token, watch position and compare-and-set
    /// operand in one; 0 is the empty map.
    Revision(u64)
}
number_id! {
    /// Who sends requests: drawn at random once in the life of a process, so that its retries are known.
    ClientId(u128)
}

impl Revision {
    /// The revision after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The revision before this one; that of the empty map is itself.
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

/// A text that may not be used as an id: what it was meant to be, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{value}` is no {what}: {rule}")]
pub struct InvalidId {
    /// What the text was meant to be, in words (`user id`).
    pub what: &'static str,
    /// The text, escaped, and cut where it is long.
    pub value: String,
    /// The rule it breaks, as advice.
    pub rule: &'static str,
}

impl InvalidId {
    fn new(what: &'static str, value: &str, rule: &'static str) -> Self {
        let mut shown: String = value.chars().take(60).flat_map(char::escape_default).collect();
        if value.chars().nth(60).is_some() {
            shown.push_str("...");
        }
        Self {
            what,
            value: shown,
            rule,
        }
    }
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr) => {
        text_id! { $(#[$doc])* $name, $what, $rule, $valid, readable: $valid }
    };
    ($(#[$doc:meta])* $name:ident, $what:literal, $rule:literal, $valid:expr, readable: $readable:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String")]
        pub struct $name(String);

        impl $name {
            /// Takes the text if it follows the rule of this type.
            ///
            /// # Errors
            /// [`InvalidId`] with the rule in words.
            pub fn new(text: impl Into<String>) -> Result<Self, InvalidId> {
                let id = Self(text.into());
                id.check()?;
                Ok(id)
            }

            /// Whether one that was read somewhere follows the rule of this type as it is today.
            ///
            /// # Errors
            /// [`InvalidId`] with the rule in words.
            pub fn check(&self) -> Result<(), InvalidId> {
                let valid: fn(&str) -> bool = $valid;
                if valid(&self.0) { Ok(()) } else { Err(InvalidId::new($what, &self.0, $rule)) }
            }

            /// The text of this id.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// An id that was valid when it was stored: what is stored must stay readable.
            #[allow(dead_code, reason = "not every id is stored on its own")]
            pub(crate) fn stored(text: String) -> Self {
                Self(text)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                Self::new(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            /// For deserialising: what could be stored at any time is read.
            fn try_from(text: String) -> Result<Self, InvalidId> {
                let readable: fn(&str) -> bool = $readable;
                if readable(&text) { Ok(Self(text)) } else { Err(InvalidId::new($what, &text, $rule)) }
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0
            }
        }
    };
}

text_id! {
    /// A user: a person or a role that can be called.
    UserId,
    "user id",
    "use 1 to 40 of A-Z a-z 0-9 . _ - beginning with a letter or a digit",
    is_object_name
}
text_id! {
    /// A device: SIP authentication user and the name of its PJSIP endpoint, auth and aor.
    ///
    /// Names beginning with `fed-` or ending in `-fed` belong to objects that fed-node makes in Asterisk.
    DeviceId,
    "device id",
    "use 1 to 40 of A-Z a-z 0-9 . _ - beginning with a letter or a digit, not `fed-...` and not `...-fed`",
    |text| {
        let lower = text.to_ascii_lowercase();
        is_object_name(text) && !lower.starts_with("fed-") && !lower.ends_with("-fed")
    }
}
text_id! {
    /// A telephone number or alias that leads to a user. Not one that begins with `_`, which is a pattern to a dialplan, or with
    /// `.` or `-`, which the generated context does not take for something dialled.
    Number,
    "number",
    "use 1 to 40 of 0-9 A-Z a-z + * # . _ - and none of . _ - at the beginning",
    |text| is_number(text) && !text.starts_with(['.', '_', '-']),
    readable: is_number
}
text_id! {
    /// Where a device said it can be reached: the URI of a SIP `Contact`, or its like, in the part of its grammar that phones
    /// use. It becomes part of a dial string, so nothing in it means anything there.
    ContactUri,
    "contact",
    "use a sip:, sips: or iax2: URI of up to 255 characters, [user@]host[:port][;parameter...], of A-Z a-z 0-9 - _ . ! ~ * + = : # and %XX; no , & | ( ) $ { } ? ^ ', [ ] in pairs alone, and no ; in the user",
    contact::is_contact,
    readable: contact::is_readable
}

text_id! {
    /// A token: the part of its text that is no secret.
    TokenId,
    "token id",
    "use 1 to 40 of a-z 0-9",
    |text| is_made_of(text, 40, |c| c.is_ascii_lowercase() || c.is_ascii_digit())
}

fn is_number(text: &str) -> bool {
    is_made_of(text, 40, |c| c.is_ascii_alphanumeric() || b"+*#._-".contains(&c))
}

fn is_object_name(text: &str) -> bool {
    text.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric)
        && is_made_of(text, 40, |c| c.is_ascii_alphanumeric() || b"._-".contains(&c))
}

fn is_made_of(text: &str, longest: usize, allowed: fn(u8) -> bool) -> bool {
    (1..=longest).contains(&text.len()) && text.bytes().all(allowed)
}
