//! What the stanzas have to know, from the configuration; and a password where there is none yet.

use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use fed_ari::stanzas::StanzaOptions;

use super::version;
use crate::address::Address;
use crate::cli::{AsteriskConfigArgs, Failure, Outcome};
use crate::config::{Config, GENERATED_PASSWORD};
use crate::owner;
use crate::talk;

/// The options, and the password file that is still to be written.
pub(super) struct Options {
    pub(super) stanzas: StanzaOptions,
    new_password: Option<(PathBuf, String)>,
    /// How the dialplan asks and why, for a person.
    pub(super) asking_because: String,
}

/// From the configuration. Without a password, one is made up; it is kept only by [`Options::keep_password`].
pub(super) async fn options(config: &Config, args: &AsteriskConfigArgs) -> Outcome<Options> {
    let asterisk = &config.asterisk;
    let mut new_password = None;
    let password = if asterisk.password.is_empty() {
        let password = data_encoding::HEXLOWER.encode(&rand::random::<[u8; 16]>());
        new_password = Some((config.data_dir.join(GENERATED_PASSWORD), password.clone()));
        if args.write {
            password
        } else {
            "MADE-UP-WHEN-INSTALLED".to_owned()
        }
    } else {
        asterisk.password.reveal().to_owned()
    };
    let version::Chosen {
        asking,
        because: asking_because,
        refresh_events,
    } = version::choose(config, args).await?;
    Ok(Options {
        stanzas: StanzaOptions {
            ari_user: asterisk.username.clone(),
            ari_password: password,
            http: http_address(&asterisk.url).await?,
            http_prefix: http_prefix(&asterisk.url).to_owned(),
            app: asterisk.app.clone(),
            agi: config.agi.listen.to_string(),
            asking,
            refresh_events,
        },
        asking_because,
        new_password,
    })
}

impl Options {
    /// Writes the password that was made up where `run` finds it, for its owner alone.
    pub(super) fn keep_password(&self) -> Outcome {
        let Some((path, password)) = &self.new_password else {
            return Ok(());
        };
        let write = || -> std::io::Result<()> {
            if let Some(folder) = path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut file = std::fs::OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .open(path)?;
            writeln!(file, "{password}")?;
            if let Some(folder) = path.parent() {
                owner::give_to_owner(folder, path)?;
            }
            file.sync_all()
        };
        write().map_err(|error| {
            Failure::failed(format!(
                "{}: {error}; the ARI password could not be kept",
                path.display()
            ))
        })?;
        talk!("made up a password for ARI and kept it in {}", path.display());
        Ok(())
    }
}

/// Where Asterisk's HTTP server is to listen.
async fn http_address(url: &str) -> Outcome<SocketAddr> {
    let bad = |why: String| Failure::usage(format!("asterisk.url {url}: {why}"));
    let rest = url.strip_prefix("http://").unwrap_or(url);
    let authority = rest.split('/').next().unwrap_or_default();
    let has_port = authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let authority = if has_port {
        authority.to_owned()
    } else {
        format!("{authority}:8088")
    };
    let address: Address = authority.parse().map_err(|error| bad(format!("{error}")))?;
    address.resolve_one().await.map_err(|error| bad(error.to_string()))
}

/// What stands between the address and `/ari`.
fn http_prefix(url: &str) -> &str {
    let rest = url.strip_prefix("http://").unwrap_or(url).trim_end_matches('/');
    let path = rest.split_once('/').map_or("", |(_, path)| path);
    if path == "ari" {
        ""
    } else {
        path.strip_suffix("/ari").unwrap_or(path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_stands_between_the_address_and_ari() {
        for (url, expected) in [
            ("http://127.0.0.1:8088", ""),
            ("http://127.0.0.1:8088/ari/", ""),
            ("http://[::1]:8088/asterisk", "asterisk"),
            ("http://pbx/a/b/ari", "a/b"),
        ] {
            assert_eq!(http_prefix(url), expected, "{url}");
        }
    }
}
