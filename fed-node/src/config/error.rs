//! What can be wrong with a configuration, and where.

use std::fmt;
use std::path::PathBuf;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A line of the file, counted from 1.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
    },
    /// An environment variable.
    Environment(String),
    /// A flag, with its dashes.
    Flag(String),
    /// The default.
    Default,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Environment(name) => write!(f, "environment variable {name}"),
            Self::Flag(name) => write!(f, "flag {name}"),
            Self::Default => f.write_str("default"),
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("{}: {why}; name another with --config FILE", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        why: String,
    },
    /// The file is no TOML.
    #[error("{origin}: {why}")]
    Syntax {
        /// Where.
        origin: Origin,
        /// What the parser said.
        why: String,
    },
    /// There is no such key.
    #[error("{origin}: there is no key {key:?}{}", nearest.as_ref().map(|n| format!("; did you mean {n:?}?")).unwrap_or_default())]
    UnknownKey {
        /// Where.
        origin: Origin,
        /// As written.
        key: String,
        /// The key that is spelt most like it.
        nearest: Option<String>,
    },
    /// The value does not fit its key.
    #[error("{origin}: {key} {why}")]
    BadValue {
        /// Where.
        origin: Origin,
        /// The key.
        key: String,
        /// What it should be.
        why: String,
    },
    /// Keys contradict each other, or a key what is there.
    #[error("{}: {why}", shown(places))]
    Contradiction {
        /// The keys, and where the value of each came from.
        places: Vec<(&'static str, Origin)>,
        /// What does not fit, with the values.
        why: String,
    },
}

/// Every place once, in the order of the keys.
fn shown(places: &[(&'static str, Origin)]) -> String {
    let mut all: Vec<String> = Vec::new();
    for (key, origin) in places {
        let place = match origin {
            Origin::Default => format!("default of {key}"),
            origin => origin.to_string(),
        };
        if !all.contains(&place) {
            all.push(place);
        }
    }
    all.join(" and ")
}

/// Everything that is wrong, at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
