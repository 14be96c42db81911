//! Reads the TOML file into (key, value, line) and finds the nearest right name for a wrong one.

use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::{ConfigError, KEYS, Key, Origin};

/// A value that was found, and where.
pub(super) struct Found {
    pub(super) key: &'static Key,
    pub(super) value: String,
    pub(super) origin: Origin,
}

/// Every value of the text, and everything that is wrong with its shape.
pub(super) fn read(path: &Path, text: &str) -> (Vec<Found>, Vec<ConfigError>) {
    let mut reader = Reader {
        path,
        text,
        found: Vec::new(),
        errors: Vec::new(),
    };
    match DeTable::parse(text) {
        Ok(table) => reader.table("", table.get_ref()),
        Err(why) => {
            let origin = reader.origin(why.span().map_or(0, |span| span.start));
            reader.errors.push(ConfigError::Syntax {
                origin,
                why: why.message().to_owned(),
            });
        }
    }
    (reader.found, reader.errors)
}

struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    found: Vec<Found>,
    errors: Vec<ConfigError>,
}

impl Reader<'_> {
    fn origin(&self, offset: usize) -> Origin {
        let before = &self.text.as_bytes()[..offset.min(self.text.len())];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        Origin::File {
            path: self.path.to_owned(),
            line,
        }
    }

    fn table(&mut self, prefix: &str, table: &DeTable<'_>) {
        // The parser's table is sorted by name; errors read better in the order of the file.
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in entries {
            let name = format!("{prefix}{}", key.get_ref());
            match value.get_ref() {
                DeValue::Table(inner) if is_section(&name) => self.table(&format!("{name}."), inner),
                _ => self.value(name, key.span().start, value),
            }
        }
    }

    fn value(&mut self, name: String, offset: usize, value: &Spanned<DeValue<'_>>) {
        let origin = self.origin(offset);
        let Some(key) = KEYS.iter().find(|key| key.name == name) else {
            let nearest = nearest(&name, matches!(value.get_ref(), DeValue::Table(_)));
            self.errors.push(ConfigError::UnknownKey {
                origin,
                key: name,
                nearest,
            });
            return;
        };
        match scalar(value.get_ref()) {
            Some(value) => self.found.push(Found { key, value, origin }),
            None => {
                let why = "must be a text, a number, true or false".to_owned();
                self.errors.push(ConfigError::BadValue { origin, key: name, why });
            }
        }
    }
}

fn scalar(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Integer(number) => Some(number.to_string()),
        DeValue::Float(number) => Some(number.to_string()),
        DeValue::Boolean(yes) => Some(yes.to_string()),
        DeValue::Datetime(_) | DeValue::Array(_) | DeValue::Table(_) => None,
    }
}

fn sections() -> impl Iterator<Item = &'static str> {
    KEYS.iter()
        .filter_map(|key| key.name.split_once('.').map(|(section, _)| section))
}

fn is_section(name: &str) -> bool {
    sections().any(|section| section == name)
}

/// The key or section spelt most like `name`, when one is near enough to be meant.
pub(super) fn nearest(name: &str, wants_section: bool) -> Option<String> {
    let candidates: Vec<&str> = if wants_section {
        sections().collect()
    } else {
        KEYS.iter().map(|key| key.name).collect()
    };
    let by_distance = |wanted: &str, candidates: &mut dyn Iterator<Item = &'static str>| {
        candidates
            .map(|known| (strsim::damerau_levenshtein(wanted, known), known))
            .min()
            .filter(|(distance, known)| *distance <= (known.len() / 3).max(2))
            .map(|(_, known)| known.to_owned())
    };
    // A key under the wrong section is named by its last part alone: `listen_port` is far from everything, `url` is not.
    by_distance(name, &mut candidates.into_iter()).or_else(|| {
        let last = name.rsplit('.').next()?;
        KEYS.iter()
            .find(|key| key.name.rsplit('.').next() == Some(last))
            .map(|key| key.name.to_owned())
    })
}
