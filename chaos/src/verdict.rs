//! The three answers of a checker, and what they mean to the shell.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Exit code of a command whose own machinery failed: unreadable or impossible input, wrong arguments. It says nothing
/// about the product under test.
pub const HARNESS_FAILURE: u8 = 3;

/// What a checker found out about the product under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The promise was kept, and enough was seen to say so.
    True,
    /// The promise was broken: there is a witness.
    False,
    /// Nothing was proven: the work was cut short by its limit, or too little was seen. Not a pass.
    Unknown,
}

impl Verdict {
    /// Exit code of a command: 0 for true, 1 for false, 2 for unknown. 3 is [`HARNESS_FAILURE`].
    pub fn exit_code(self) -> u8 {
        match self {
            Verdict::True => 0,
            Verdict::False => 1,
            Verdict::Unknown => 2,
        }
    }

    /// The verdict over two parts: one violation is enough for false, one doubt for unknown.
    pub fn and(self, other: Verdict) -> Verdict {
        match (self, other) {
            (Verdict::False, _) | (_, Verdict::False) => Verdict::False,
            (Verdict::Unknown, _) | (_, Verdict::Unknown) => Verdict::Unknown,
            (Verdict::True, Verdict::True) => Verdict::True,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Verdict::True => "true",
            Verdict::False => "false",
            Verdict::Unknown => "unknown",
        })
    }
}
