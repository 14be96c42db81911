//! What an existing Asterisk needs in its own files, as text: the ARI user, the sorcery mappings, events of refreshes and the dialplan contexts.
//!
//! Pure: [`stanzas`] looks at the files as they are and says what our block in each has to hold; [`install`] puts a block in
//! place of the one written before. A line that the block does not hold is never touched, so everything outside stays as the
//! administrator wrote it, byte by byte.

mod block;
mod comment;
mod dialplan;
mod file;
mod refreshes;

use std::net::SocketAddr;

pub use block::{BEGIN, END, install, remove};
pub use file::{ConfigFile, ConfigObject};
pub use refreshes::{REFRESH_OPTION, Refreshes};

use crate::client::{Capabilities, Feature};

/// How the dialplan asks fed-node where a call goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Asking {
    /// `AGI(agi://..)`: exists in every Asterisk, works while the ARI link is down, and is the quicker way in all that were measured.
    #[default]
    FastAgi,
    /// `Stasis()`: no second port; see [`Asking::suits`].
    Stasis,
}

impl Asking {
    /// False where every call would wait: an unanswered channel in Stasis is polled every 200 ms before Asterisk 18.
    pub fn suits(self, capabilities: &Capabilities) -> bool {
        self == Self::FastAgi || capabilities.has(Feature::QuickStasis)
    }
}

/// What the stanzas have to know.
#[derive(Clone, Debug)]
pub struct StanzaOptions {
    /// User for fed-node in `ari.conf`; letters, digits, `-`, `_`.
    pub ari_user: String,
    /// Its password; letters, digits, `-`, `_`, so that it means nothing to the file's syntax.
    pub ari_password: String,
    /// Where Asterisk's HTTP server listens, if nothing is said of it yet.
    pub http: SocketAddr,
    /// The prefix of its paths that fed-node asks for (`prefix` of `http.conf`); empty for none.
    pub http_prefix: String,
    /// Name of the Stasis application.
    pub app: String,
    /// Where fed-node's FastAGI server listens.
    pub agi: String,
    /// How the dialplan asks.
    pub asking: Asking,
    /// Asterisk is known to have [`Feature::RefreshEvents`]: one that has not would drop the whole `global` object with the option in it.
    pub refresh_events: bool,
}

/// The files that stanzas go into.
pub const FILES: [&str; 5] = ["http.conf", "ari.conf", "pjsip.conf", "sorcery.conf", "extensions.conf"];

/// What one file needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stanza {
    /// The file's name in Asterisk's configuration folder.
    pub file: &'static str,
    /// Our block, without its markers; empty where the file has all that is needed.
    pub text: String,
    /// The module to reload for it to take effect, or `None` where Asterisk must be restarted.
    pub reload: Option<&'static str>,
}

/// A file that cannot be extended as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StanzaError {
    /// A section of ours is there already, written by somebody else.
    #[error(
        "{file} already has a section [{section}] that fed-node did not write; rename or remove it, then run this command again"
    )]
    SectionTaken {
        /// The file.
        file: &'static str,
        /// The section.
        section: String,
    },
    /// What is added at the end would be part of a comment.
    #[error("{file} ends inside a comment that a `;--` opens: close it with `--;`, then run this command again")]
    OpenComment {
        /// The file.
        file: &'static str,
    },
    /// Objects of this type go to a database first.
    #[error(
        "{file} maps {object} to {wizard}, which would take what fed-node pushes into its database; put a line `{object}=memory` before that one, or take the database out; then run this command again"
    )]
    MappedElsewhere {
        /// The file.
        file: &'static str,
        /// The object type.
        object: &'static str,
        /// The mapping there is.
        wizard: String,
    },
    /// A name or password that could change the meaning of the file.
    #[error("{what} {value:?} cannot stand in a configuration file; use letters, digits, - and _ only")]
    Unsafe {
        /// What it is.
        what: &'static str,
        /// Its value; a password is not shown.
        value: String,
    },
    /// An end without a begin, or the other way round.
    #[error(
        "{what} in the file has no partner; remove both marker lines and what stands between them, then run this command again"
    )]
    BrokenMarkers {
        /// The marker.
        what: &'static str,
    },
}

/// What each file needs, given the files as they are; `read` answers a file's content, empty where there is none.
///
/// # Errors
/// [`StanzaError`] where a file cannot be extended without changing what it means.
pub fn stanzas(options: &StanzaOptions, read: impl Fn(&'static str) -> ConfigFile) -> Result<Vec<Stanza>, StanzaError> {
    safe("the ARI user", &options.ari_user)?;
    safe("the application name", &options.app)?;
    safe("the ARI password", &options.ari_password).map_err(|_| StanzaError::Unsafe {
        what: "the ARI password",
        value: "***".into(),
    })?;
    if let Some(file) = FILES.into_iter().find(|file| read(file).ends_in_comment()) {
        return Err(StanzaError::OpenComment { file });
    }
    Ok(vec![
        Stanza {
            file: "http.conf",
            text: http(options, &read("http.conf")),
            reload: Some("http"),
        },
        Stanza {
            file: "ari.conf",
            text: ari(options, &read("ari.conf"))?,
            reload: Some("res_ari.so"),
        },
        Stanza {
            file: "pjsip.conf",
            text: match options.refresh_events {
                true => Refreshes::of(&read("pjsip.conf")).block(),
                false => String::new(),
            },
            reload: Some("res_pjsip.so"),
        },
        Stanza {
            file: "sorcery.conf",
            text: sorcery(&read("sorcery.conf"))?,
            reload: None,
        },
        Stanza {
            file: "extensions.conf",
            text: dialplan::contexts(options, &read("extensions.conf"))?,
            reload: Some("pbx_config.so"),
        },
    ])
}

/// True for what means nothing to the syntax of Asterisk's files and dialplan: letters, digits, `-` and `_`, at least one.
pub fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c))
}

fn safe(what: &'static str, value: &str) -> Result<(), StanzaError> {
    if is_plain(value) {
        Ok(())
    } else {
        Err(StanzaError::Unsafe {
            what,
            value: value.to_owned(),
        })
    }
}

/// Only what is missing where the server is on: an administrator's own address stays. One that is off is turned on at the address that
/// fed-node uses: what the file says of its address had no effect so far, and may be every interface.
fn http(options: &StanzaOptions, file: &ConfigFile) -> String {
    let wanted = [
        ("enabled", "yes".to_owned()),
        ("bindaddr", options.http.ip().to_string()),
        ("bindport", options.http.port().to_string()),
    ];
    if http_is_on(file) {
        return additions(file, "general", &wanted);
    }
    let differs = |(name, value): &&(&str, String)| file.option("general", name).as_ref() != Some(value);
    let lines: String = wanted
        .iter()
        .filter(differs)
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    format!("{}{lines}\n", header(file, "general"))
}

fn http_is_on(file: &ConfigFile) -> bool {
    let there = file.option("general", "enabled");
    there.is_some_and(|there| crate::render::same_meaning(crate::render::Meaning::Flag, "yes", &there))
}

/// What an administrator has to know of an `http.conf` whose server is on already and stays as it is: that it listens elsewhere than
/// fed-node asks, under a prefix that it does not ask for, or on every interface; `None` where nothing of it is so.
pub fn http_warning(options: &StanzaOptions, file: &ConfigFile) -> Option<String> {
    if !http_is_on(file) {
        return None;
    }
    let address = file
        .option("general", "bindaddr")
        .unwrap_or_else(|| options.http.ip().to_string());
    let port = file
        .option("general", "bindport")
        .unwrap_or_else(|| options.http.port().to_string());
    let every = ["0.0.0.0", "::", "[::]"].contains(&address.as_str());
    let prefix = slashed(&file.option("general", "prefix").unwrap_or_default());
    let elsewhere = port != options.http.port().to_string() || !(every || address == options.http.ip().to_string());
    if elsewhere || prefix != slashed(&options.http_prefix) {
        let bracketed = |host: String| {
            if host.contains(':') && !host.starts_with('[') {
                format!("[{host}]")
            } else {
                host
            }
        };
        let home = options.http.ip().to_string();
        let away = !every && address.parse::<std::net::IpAddr>().is_ok_and(|ip| !ip.is_loopback());
        // fed-node asks on loopback alone.
        let (remedy, asked) = if away {
            (format!("set bindaddr={home} there, and "), home.clone())
        } else {
            (String::new(), if every { home.clone() } else { address.clone() })
        };
        return Some(format!(
            "http.conf has Asterisk's HTTP server at http://{}:{port}{prefix}, but asterisk.url asks http://{}{}: {remedy}set asterisk.url to \
             http://{}:{port}{prefix}",
            bracketed(if every { home } else { address }),
            options.http,
            slashed(&options.http_prefix),
            bracketed(asked),
        ));
    }
    (every && options.http.ip().is_loopback()).then(|| {
        format!(
            "http.conf has Asterisk's HTTP server, and with it ARI, on every interface ({address}); if nothing else needs that, set \
             bindaddr={}",
            options.http.ip()
        )
    })
}

/// A prefix as it stands in an address: with a slash before it and none after it; empty for none.
fn slashed(prefix: &str) -> String {
    match prefix.trim_matches('/') {
        "" => String::new(),
        prefix => format!("/{prefix}"),
    }
}

fn ari(options: &StanzaOptions, file: &ConfigFile) -> Result<String, StanzaError> {
    // 100 ms, the default, cuts a reader off that is slow for a moment.
    let wanted = [
        ("enabled", "yes".to_owned()),
        ("websocket_write_timeout", "5000".to_owned()),
    ];
    let general = additions(file, "general", &wanted);
    let user = &options.ari_user;
    if file.has_section(user) {
        return Err(StanzaError::SectionTaken {
            file: "ari.conf",
            section: user.clone(),
        });
    }
    Ok(format!(
        "{general}[{user}]\ntype=user\npassword={}\nread_only=no\n",
        options.ari_password
    ))
}

/// A section with those of the wanted options that the file does not set to the same or, but for `enabled`, at all.
fn additions(file: &ConfigFile, section: &str, wanted: &[(&str, String)]) -> String {
    let missing: Vec<String> = wanted
        .iter()
        .filter(|(name, value)| match file.option(section, name) {
            None => true,
            Some(there) => {
                *name == "enabled" && !crate::render::same_meaning(crate::render::Meaning::Flag, value, &there)
            }
        })
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect();
    if missing.is_empty() {
        return String::new();
    }
    format!("{}{}\n", header(file, section), missing.concat())
}

/// The line that opens a section: adding to it where it is there, for a second section of the same name is not read everywhere.
fn header(file: &ConfigFile, section: &str) -> String {
    if file.is_read(section) {
        format!("[{section}](+)\n")
    } else {
        format!("[{section}]\n")
    }
}

const MAPPINGS: [(&str, &str); 4] = [
    ("res_pjsip", "endpoint"),
    ("res_pjsip", "auth"),
    ("res_pjsip", "aor"),
    ("res_pjsip_endpoint_identifier_ip", "identify"),
];

/// A writable wizard after the one of the files, for each type that is pushed.
fn sorcery(file: &ConfigFile) -> Result<String, StanzaError> {
    let mut text = String::new();
    let mut open = "";
    for (section, object) in MAPPINGS {
        let there = file.options(section, object);
        let is_memory = |wizard: &String| wizard.split(',').next() == Some("memory");
        // Asterisk asks them in turn and writes to the first that can be written to.
        let mut before_memory = there.iter().take_while(|wizard| !is_memory(wizard));
        if let Some(wizard) = before_memory.find(|w| w.starts_with("realtime") || w.starts_with("astdb")) {
            return Err(StanzaError::MappedElsewhere {
                file: "sorcery.conf",
                object,
                wizard: wizard.clone(),
            });
        }
        if there.iter().any(is_memory) {
            continue;
        }
        if open != section {
            text.push_str(&header(file, section));
            open = section;
        }
        if there.is_empty() {
            text.push_str(&format!("{object}=config,pjsip.conf,criteria=type={object}\n"));
        }
        text.push_str(&format!("{object}=memory\n"));
    }
    Ok(text)
}
