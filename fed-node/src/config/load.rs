//! Puts the sources together and checks the whole.

use std::path::{Path, PathBuf};

use super::file::{self, Found};
use super::types::{
    AgiConfig, AsteriskConfig, BackupConfig, ClientConfig, DiskConfig, LogConfig, LogFormat, MetricsConfig, NodeConfig,
    PeerConfig, RaftConfig, RedirectConfig, RedirectTransport, SecurityConfig, SipConfig, TlsConfig,
};
use super::{Config, ConfigError, ConfigErrors, ConfigFlags, KEYS, Origin, Secret, whole};
use crate::address::Address;

/// Read when it exists and no other file is named.
pub const DEFAULT_FILE: &str = "/etc/fed-node/fed-node.toml";

/// Name of the file in the data folder into which `asterisk-config --write` puts an ARI password that it made.
pub const GENERATED_PASSWORD: &str = "ari-password";

/// Variables of the command line that are no keys.
const OTHER_VARIABLES: [&str; 5] = [
    "FED_CA",
    "FED_CONFIG",
    "FED_SERVER",
    "FED_SERVER_NAME",
    "FED_TOKEN_FILE",
];

/// The configuration from file, environment and flags.
///
/// `file` must exist when given; without it [`DEFAULT_FILE`] is read if there is one.
///
/// # Errors
/// Everything that is wrong, at once, each with its place.
pub fn load(file: Option<&Path>, flags: &ConfigFlags) -> Result<Config, ConfigErrors> {
    let path = match file {
        Some(path) => Some(path.to_owned()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    load_with(
        path.as_deref(),
        std::env::vars_os().filter_map(|(k, v)| Some((k.into_string().ok()?, v.into_string().ok()?))),
        flags,
    )
}

/// The same from given sources, so that it can be tested without touching this process's environment.
///
/// # Errors
/// As [`load`].
pub fn load_with(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &ConfigFlags,
) -> Result<Config, ConfigErrors> {
    let mut errors = Vec::new();
    let mut found = Vec::new();
    if let Some(path) = path {
        match std::fs::read_to_string(path) {
            Ok(text) => {
                let (values, wrong) = file::read(path, &text);
                found.extend(values);
                errors.extend(wrong);
            }
            Err(why) => errors.push(ConfigError::Unreadable {
                path: path.to_owned(),
                why: why.to_string(),
            }),
        }
    }
    read_environment(environment, &mut found, &mut errors);
    for (key, value) in flags.values() {
        found.push(Found {
            key,
            value: value.to_owned(),
            origin: Origin::Flag(format!("--{}", key.flag())),
        });
    }
    let mut config = blank();
    for key in KEYS {
        // The last one wins: file, environment, flag.
        let last = found.iter().rfind(|found| found.key.name == key.name);
        let (value, origin) = last.map_or((key.default, &Origin::Default), |found| (&found.value, &found.origin));
        if let Err(why) = (key.set)(&mut config, value) {
            errors.push(ConfigError::BadValue {
                origin: origin.clone(),
                key: key.name.to_owned(),
                why,
            });
        }
    }
    if errors.is_empty() {
        errors = whole::check(&mut config, &found);
    }
    if errors.is_empty() {
        Ok(config)
    } else {
        Err(ConfigErrors(errors))
    }
}

/// A variable that is nearly a key is an error; other `FED_` variables are left alone, since the environment is shared.
pub(super) fn read_environment(
    environment: impl IntoIterator<Item = (String, String)>,
    found: &mut Vec<Found>,
    errors: &mut Vec<ConfigError>,
) {
    for (name, value) in environment {
        if !name.starts_with("FED_") || OTHER_VARIABLES.contains(&name.as_str()) {
            continue;
        }
        if let Some(key) = KEYS.iter().find(|key| key.env() == name) {
            found.push(Found {
                key,
                value,
                origin: Origin::Environment(name),
            });
            continue;
        }
        let near = KEYS
            .iter()
            .map(|key| (strsim::damerau_levenshtein(&key.env(), &name), key.env()))
            .min();
        if let Some((1..=2, nearest)) = near {
            let origin = Origin::Environment(name.clone());
            errors.push(ConfigError::UnknownKey {
                origin,
                key: name,
                nearest: Some(nearest),
            });
        }
    }
}

/// Every field is overwritten by its key's default before anybody sees it.
fn blank() -> Config {
    let nowhere = Address::from(std::net::SocketAddr::from(([127, 0, 0, 1], 0)));
    Config {
        data_dir: PathBuf::new(),
        node: NodeConfig {
            name: String::new(),
            weight: 0,
            zone: None,
            id: None,
        },
        peer: PeerConfig {
            listen: nowhere.clone(),
            advertise: None,
        },
        client: ClientConfig {
            listen: nowhere.clone(),
            advertise: None,
            calls_per_s: 0,
            calls_at_once: 0,
        },
        sip: SipConfig { advertise: None },
        redirect: RedirectConfig {
            listen: nowhere.clone(),
            transport: RedirectTransport::Auto,
            allow: Vec::new(),
            budget_ms: 0,
        },
        agi: AgiConfig { listen: nowhere },
        metrics: MetricsConfig { listen: None },
        security: SecurityConfig { plaintext: false },
        tls: TlsConfig {
            ca: None,
            cert: None,
            key: None,
        },
        asterisk: AsteriskConfig {
            enabled: true,
            url: String::new(),
            username: String::new(),
            password: Secret::default(),
            password_file: None,
            app: String::new(),
            timeout_ms: 0,
            config_dir: PathBuf::new(),
        },
        backup: BackupConfig {
            every: std::time::Duration::ZERO,
            keep: 0,
            dir: PathBuf::new(),
            key_file: None,
            key: None,
        },
        disk: DiskConfig { min_free_mb: 0 },
        raft: RaftConfig {
            voters: 0,
            replace_dead_after_s: 0,
            heartbeat_ms: 0,
            election_min_ms: 0,
            election_max_ms: 0,
            session_ttl_ms: 0,
            write_timeout_ms: 0,
            snapshot_entries: 0,
            keep_entries: 0,
        },
        log: LogConfig {
            level: String::new(),
            format: LogFormat::Text,
        },
    }
}

#[cfg(test)]
#[path = "load_tests.rs"]
mod tests;
