//! Which attributes an object may have in a version, what values they take, and how they read back.

use std::{collections::BTreeMap, sync::LazyLock};

use super::{
    SimVersion,
    notation::{address, codecs, contacts},
};

/// Recorded from real Asterisks.
const ATTRIBUTES: &str = include_str!("attributes.txt");

/// Words that a field takes, where it takes only some; the second list is for 22.
const WORDS: &[(&str, &str, &[&str], &[&str])] = &[
    (
        "auth",
        "auth_type",
        &["md5", "userpass", "google_oauth"],
        &["md5", "userpass", "digest", "google_oauth"],
    ),
    (
        "endpoint",
        "100rel",
        &["no", "yes", "required"],
        &["no", "yes", "required", "peer_supported"],
    ),
    (
        "endpoint",
        "timers",
        &["no", "yes", "required", "always", "forced"],
        &["no", "yes", "required", "always", "forced"],
    ),
    (
        "endpoint",
        "redirect_method",
        &["user", "uri_core", "uri_pjsip"],
        &["user", "uri_core", "uri_pjsip"],
    ),
    (
        "endpoint",
        "media_encryption",
        &["no", "sdes", "dtls"],
        &["no", "sdes", "dtls"],
    ),
    (
        "endpoint",
        "dtmf_mode",
        &["rfc4733", "inband", "info", "auto", "auto_info", "none"],
        &["rfc4733", "inband", "info", "auto", "auto_info", "none"],
    ),
];

/// When a field is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shown {
    Always,
    OnceSet,
    Never,
}

/// What a field's value may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Flag,
    Count,
    Seconds,
    Codecs,
    Contacts,
    Addresses,
    Variables,
    Text,
}

/// One attribute of one type in one version.
#[derive(Clone, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) default: &'static str,
    needed: bool,
    shown: Shown,
    kind: Kind,
    words: Option<&'static [&'static str]>,
}

/// The attributes of one type in one version, by name.
pub(crate) type TypeSchema = BTreeMap<&'static str, Attribute>;

static SCHEMAS: LazyLock<BTreeMap<(u16, &'static str), TypeSchema>> = LazyLock::new(|| {
    let mut schemas: BTreeMap<(u16, &'static str), TypeSchema> = BTreeMap::new();
    for line in ATTRIBUTES.lines().filter(|l| !l.starts_with('#')) {
        let mut parts = line.splitn(4, ' ');
        let (Some(type_), Some(name), Some(branches)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        let default = parts.next().unwrap_or_default();
        for branch in branches.split(',').filter_map(|b| b.parse::<u16>().ok()) {
            let attribute = Attribute::new(branch, type_, name, default);
            schemas.entry((branch, type_)).or_default().insert(name, attribute);
        }
    }
    schemas
});

/// The schema of a type, or `None` where there is no such type.
pub(crate) fn of(version: SimVersion, type_: &str) -> Option<&'static TypeSchema> {
    SCHEMAS
        .iter()
        .find(|((branch, name), _)| *branch == version.branch() && *name == type_)
        .map(|(_, schema)| schema)
}

impl Attribute {
    fn new(branch: u16, type_: &str, name: &'static str, default: &'static str) -> Self {
        let words = WORDS
            .iter()
            .find(|(t, n, ..)| *t == type_ && *n == name)
            .map(|(_, _, old, new)| if branch < 22 { *old } else { *new });
        let kind = match (name, default) {
            ("allow" | "disallow", _) => Kind::Codecs,
            ("contact", _) => Kind::Contacts,
            ("match", _) => Kind::Addresses,
            ("set_var", _) => Kind::Variables,
            (_, "true" | "false") => Kind::Flag,
            (_, d) if d.contains('.') && d.parse::<f64>().is_ok() => Kind::Seconds,
            (_, d) if d.parse::<u32>().is_ok() => Kind::Count,
            _ => Kind::Text,
        };
        let (shown, needed, default) = match default {
            "-" => (Shown::Never, false, ""),
            "?" => (Shown::OnceSet, false, ""),
            "!" => (Shown::Always, true, ""),
            default => (Shown::Always, false, default),
        };
        Self {
            name,
            default,
            needed,
            shown,
            kind,
            words,
        }
    }

    /// True where a new object must name it.
    pub(crate) fn is_needed(&self) -> bool {
        self.needed
    }

    /// True for lists to which a PUT adds instead of replacing.
    pub(crate) fn adds_up(&self) -> bool {
        matches!(self.kind, Kind::Contacts | Kind::Addresses | Kind::Variables)
    }

    /// True where a PUT that does not name it resets it: what cannot be read cannot be copied.
    pub(crate) fn is_lost_in_a_copy(&self) -> bool {
        self.shown == Shown::Never
    }

    /// True where a read answers this value.
    pub(crate) fn shows(&self, value: &str) -> bool {
        match self.shown {
            Shown::Always => self.kind != Kind::Variables || value.is_empty(),
            Shown::OnceSet => !value.is_empty(),
            Shown::Never => false,
        }
    }

    /// The value as Asterisk stores it, or `None` where it refuses it. For a list, one value a member.
    pub(crate) fn normalise(&self, value: &str) -> Option<Vec<String>> {
        if self.words.is_some_and(|words| !words.contains(&value)) {
            return None;
        }
        let one = match self.kind {
            // Asterisk takes any other word for no.
            Kind::Flag => matches!(
                value.to_ascii_lowercase().as_str(),
                "yes" | "true" | "on" | "y" | "t" | "1"
            )
            .to_string(),
            Kind::Count => value.parse::<u32>().ok()?.to_string(),
            Kind::Seconds => format!("{:.6}", value.parse::<f64>().ok().filter(|s| *s >= 0.0)?),
            Kind::Codecs => codecs(value)?,
            Kind::Contacts => return contacts(value),
            Kind::Addresses => return value.split(',').map(|a| address(a.trim())).collect(),
            Kind::Variables | Kind::Text => value.to_owned(),
        };
        Some(vec![one])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalised(type_: &str, name: &str, value: &str) -> Option<Vec<String>> {
        of(SimVersion::V22, type_)?.get(name)?.normalise(value)
    }

    #[test]
    fn values_read_back_as_asterisk_writes_them() {
        for (type_, name, value, expected) in [
            ("aor", "remove_existing", "yes", "true"),
            ("aor", "qualify_timeout", "3", "3.000000"),
            ("endpoint", "allow", "!all,ulaw,opus", "(ulaw|opus)"),
            ("endpoint", "fax_detect", "enabled", "false"),
            ("endpoint", "webrtc", "yes", "yes"),
            ("identify", "match", "10.0.0.3/24", "10.0.0.0/255.255.255.0"),
            ("identify", "match", "10.0.0.1", "10.0.0.1/255.255.255.255"),
        ] {
            assert_eq!(
                normalised(type_, name, value),
                Some(vec![expected.to_owned()]),
                "{name}={value}"
            );
        }
    }

    #[test]
    fn values_that_asterisk_refuses_are_refused() {
        for (type_, name, value) in [
            ("aor", "max_contacts", "-1"),
            ("aor", "contact", "tel:1"),
            ("aor", "default_expiration", ""),
            ("endpoint", "allow", "nonsense"),
            ("endpoint", "dtmf_mode", "x"),
            ("endpoint", "redirect_method", "nonsense"),
        ] {
            assert_eq!(normalised(type_, name, value), None, "{name}={value}");
        }
    }

    #[test]
    fn versions_differ_in_their_attributes() {
        assert!(of(SimVersion::V22, "aor").is_some_and(|s| s.contains_key("qualify_2xx_only")));
        assert!(of(SimVersion::V16, "aor").is_some_and(|s| !s.contains_key("qualify_2xx_only")));
        let shown = |version| {
            of(version, "endpoint")
                .and_then(|s| s.get("redirect_method"))
                .map(|a| a.shows("uri_pjsip"))
        };
        assert_eq!(
            (shown(SimVersion::V16), shown(SimVersion::V22)),
            (Some(false), Some(true))
        );
    }
}
