//! Asterisk's version, parsed from what it says of itself.

use std::{fmt, str::FromStr};

/// A version such as 16.28.0 or 22.10.1; what follows the numbers is ignored for ordering.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AsteriskVersion {
    /// The branch: 16, 18, 20, 22.
    pub major: u16,
    /// Release within the branch.
    pub minor: u16,
    /// Fix within the release.
    pub patch: u16,
}

/// A text that holds no version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an Asterisk version; expected something like 22.10.1")]
pub struct InvalidVersion(pub String);

impl AsteriskVersion {
    /// The oldest that the federation is tried with is of this branch.
    pub const OLDEST: Self = Self::new(16, 0, 0);

    /// A version from its three numbers.
    pub const fn new(major: u16, minor: u16, patch: u16) -> Self {
        Self { major, minor, patch }
    }
}

impl FromStr for AsteriskVersion {
    type Err = InvalidVersion;

    /// Accepts `16.28.0~dfsg-0+deb11u4`, `Asterisk 22.10.1`, `certified/18.9-cert5`, `GIT-master-..` is refused.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let start = text
            .find(|c: char| c.is_ascii_digit())
            .filter(|_| !text.starts_with("GIT-"))
            .ok_or_else(|| InvalidVersion(text.to_owned()))?;
        let numbers = &text[start..];
        let end = numbers
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(numbers.len());
        let mut parts = numbers[..end].split('.').filter(|p| !p.is_empty());
        let mut next = || -> Result<Option<u16>, InvalidVersion> {
            parts
                .next()
                .map(|p| p.parse().map_err(|_| InvalidVersion(text.to_owned())))
                .transpose()
        };
        let major = next()?.ok_or_else(|| InvalidVersion(text.to_owned()))?;
        Ok(Self::new(major, next()?.unwrap_or(0), next()?.unwrap_or(0)))
    }
}

impl fmt::Display for AsteriskVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_packages_and_builds_are_understood() {
        for (text, expected) in [
            ("16.28.0~dfsg-0+deb11u4", (16, 28, 0)),
            ("22.10.1~dfsg+~cs6.15.60671435-1", (22, 10, 1)),
            ("Asterisk 20.12.0", (20, 12, 0)),
            ("certified/18.9-cert5", (18, 9, 0)),
            ("21", (21, 0, 0)),
        ] {
            let (major, minor, patch) = expected;
            assert_eq!(text.parse(), Ok(AsteriskVersion::new(major, minor, patch)), "{text}");
        }
    }

    #[test]
    fn texts_without_a_version_are_refused() {
        for text in ["", "unknown", "GIT-master-1a2b3c", "99999999.1"] {
            assert!(text.parse::<AsteriskVersion>().is_err(), "{text}");
        }
    }

    #[test]
    fn versions_order_by_number_not_by_text() {
        assert!(AsteriskVersion::new(16, 3, 0) < AsteriskVersion::new(16, 28, 0));
        assert!(AsteriskVersion::new(20, 12, 0) < AsteriskVersion::new(22, 2, 0));
    }
}
