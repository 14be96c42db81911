//! The Asterisk versions that can be simulated, and how they differ.

use std::time::Duration;

/// A version to behave like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimVersion {
    /// 16.28.0, as in Debian bullseye.
    V16,
    /// 22.10.1, as in Debian forky.
    V22,
}

impl SimVersion {
    /// Its branch number.
    pub const fn branch(self) -> u16 {
        match self {
            Self::V16 => 16,
            Self::V22 => 22,
        }
    }

    /// What it says of itself in `/asterisk/info`.
    pub const fn text(self) -> &'static str {
        match self {
            Self::V16 => "16.28.0~dfsg-0+deb11u4",
            Self::V22 => "22.10.1+dfsg+~cs6.17.60671434-1",
        }
    }

    /// How long an unanswered channel in Stasis sleeps before it sees a command.
    pub const fn stasis_poll(self) -> Duration {
        match self {
            Self::V16 => Duration::from_millis(200),
            Self::V22 => Duration::from_millis(1),
        }
    }
}
