//! The example file: every key with its help and default, generated so that it cannot go stale.

use std::fmt::Write;

use super::KEYS;

/// A complete configuration file in which every line that differs from nothing is commented out.
#[must_use]
pub fn example() -> String {
    let mut text = String::from(
        "# Configuration of fed-node. Every key may also be an environment variable (FED_PEER_LISTEN) or a flag\n\
         # (--peer-listen); a flag wins over the environment, the environment over this file.\n\
         # Addresses are host:port, where the host is an IPv4 address, an [IPv6 address] or a name.\n",
    );
    let mut section = "";
    for key in KEYS {
        let (in_section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        if in_section != section {
            section = in_section;
            let _ = write!(text, "\n[{section}]\n");
        } else {
            text.push('\n');
        }
        let bare = key.default.parse::<u64>().is_ok() || key.default.parse::<bool>().is_ok();
        let default = if bare {
            key.default.to_owned()
        } else {
            format!("{:?}", key.default)
        };
        let _ = write!(text, "# {}\n# {name} = {default}\n", key.help);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{ConfigFlags, load_with};

    #[test]
    fn the_example_with_every_key_switched_on_is_a_valid_configuration() {
        let keys: String = example()
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(rest)
                    if KEYS
                        .iter()
                        .any(|k| rest.starts_with(&format!("{} = ", k.name.rsplit('.').next().unwrap()))) =>
                {
                    rest
                }
                _ => line,
            })
            .map(|line| format!("{line}\n"))
            .collect();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("example.toml");
        std::fs::write(&path, &keys).unwrap();
        load_with(Some(&path), [], &ConfigFlags::default()).unwrap();
        assert_eq!(
            keys.lines()
                .filter(|line| line.contains(" = ") && !line.starts_with('#'))
                .count(),
            KEYS.len()
        );
    }
}
