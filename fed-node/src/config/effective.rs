//! The configuration as it is in force, for people who help from afar: every key that is not at its default, with where its value
//! came from, and no secret.

use std::path::{Path, PathBuf};

use super::file;
use super::load::{DEFAULT_FILE, read_environment};
use super::{ConfigFlags, KEYS, Key};

/// Each key that was set, as `key = value   (where)`, one a line. What cannot be read is said in its place.
#[must_use]
pub fn effective(
    path: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
    flags: &ConfigFlags,
) -> String {
    let path = match path {
        Some(path) => Some(path.to_owned()),
        None => Some(PathBuf::from(DEFAULT_FILE)).filter(|path| path.exists()),
    };
    let (mut found, mut errors) = (Vec::new(), Vec::new());
    if let Some(path) = path {
        match std::fs::read_to_string(&path) {
            Ok(text) => {
                let (values, wrong) = file::read(&path, &text);
                found.extend(values);
                errors.extend(wrong);
            }
            Err(why) => return format!("{}: {why}\n", path.display()),
        }
    }
    read_environment(environment, &mut found, &mut errors);
    let mut lines = Vec::new();
    for key in KEYS {
        let found = found.iter().rfind(|found| found.key.name == key.name);
        let flag = flags.values().find(|(flag, _)| flag.name == key.name);
        let last = match (flag, found) {
            (Some((_, value)), _) => Some((value.to_owned(), format!("flag --{}", key.flag()))),
            (None, Some(found)) => Some((found.value.clone(), found.origin.to_string())),
            (None, None) => None,
        };
        if let Some((value, origin)) = last {
            let value = if is_secret(key) { "***".to_owned() } else { value };
            lines.push(format!("{} = {value:?}   ({origin})\n", key.name));
        }
    }
    // Syntax errors quote the file, which may hold a secret: only how many there are is said.
    if !errors.is_empty() {
        lines.push(format!(
            "{} lines cannot be used; fed-node doctor names them\n",
            errors.len()
        ));
    }
    lines.concat()
}

/// Whether a key's value itself is secret; the name of a file that holds one is not.
fn is_secret(key: &Key) -> bool {
    let name = key.name.rsplit('.').next().unwrap_or_default();
    ["password", "secret", "token", "key", "passphrase"]
        .iter()
        .any(|word| name == *word || name.ends_with(&format!("_{word}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_set_is_shown_with_where_and_secrets_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fed-node.toml");
        std::fs::write(&file, "[asterisk]\npassword = \"canary-file\"\nusername = \"fed\"\n").unwrap();
        let environment = [
            ("FED_ASTERISK_PASSWORD".to_owned(), "canary-environment".to_owned()),
            ("FED_NODE_NAME".to_owned(), "n7".to_owned()),
        ];
        let text = effective(Some(&file), environment, &ConfigFlags::default());
        assert!(
            text.contains("node.name = \"n7\"   (environment variable FED_NODE_NAME)"),
            "{text}"
        );
        assert!(text.contains("asterisk.password = \"***\""), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }

    #[test]
    fn a_file_that_is_damaged_is_not_quoted() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("fed-node.toml");
        std::fs::write(&file, "[asterisk]\npassword = \"canary\n").unwrap();
        let text = effective(Some(&file), [], &ConfigFlags::default());
        assert!(text.contains("cannot be used") && !text.contains("canary"), "{text}");
    }

    #[test]
    fn every_key_that_holds_a_secret_is_known_as_one() {
        let secret: Vec<&str> = KEYS.iter().filter(|key| is_secret(key)).map(|key| key.name).collect();
        assert!(secret.contains(&"asterisk.password"), "{secret:?}");
        assert!(
            !secret.contains(&"asterisk.password_file"),
            "the name of a file is none"
        );
    }
}
