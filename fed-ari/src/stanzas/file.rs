//! One of Asterisk's configuration files, read as far as stanzas need it.

use super::block::without_block;

/// A configuration file as its administrator wrote it: our own block is not part of it.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    lines: Vec<Line>,
}

#[derive(Clone, Debug)]
struct Line {
    section: String,
    /// Name and value; `None` for the line that opens the section.
    option: Option<(String, String)>,
}

impl ConfigFile {
    /// Reads a file's text; `included` are the texts of the files that it includes, in order.
    pub fn parse(text: &str, included: &[String]) -> Self {
        let mut file = Self::default();
        for text in included
            .iter()
            .map(String::as_str)
            .chain([without_block(text).as_str()])
        {
            file.read(text);
        }
        file
    }

    /// The names in `#include` and `#tryinclude` lines, in order.
    pub fn includes(text: &str) -> Vec<String> {
        text.lines()
            .filter_map(|line| {
                line.trim()
                    .strip_prefix("#include")
                    .or(line.trim().strip_prefix("#tryinclude"))
            })
            .map(|name| name.trim().trim_matches(['"', '<', '>']).to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    }

    fn read(&mut self, text: &str) {
        let mut section = String::new();
        let mut comment = false;
        for raw in text.lines() {
            // Block comments: `;--` to `--;`.
            if comment {
                comment = !raw.contains("--;");
                continue;
            }
            if raw.trim_start().starts_with(";--") && !raw.trim_start().starts_with(";---") {
                comment = !raw.contains("--;");
                continue;
            }
            let line = raw.split(';').next().unwrap_or_default().trim();
            if let Some(rest) = line.strip_prefix('[') {
                section = rest.split(']').next().unwrap_or_default().trim().to_owned();
                self.lines.push(Line {
                    section: section.clone(),
                    option: None,
                });
            } else if let Some((name, value)) = line.split_once('=') {
                let value = value.trim_start_matches('>').trim();
                let option = Some((name.trim().to_owned(), value.to_owned()));
                self.lines.push(Line {
                    section: section.clone(),
                    option,
                });
            }
        }
    }

    /// The sections, in the order in which they are opened first.
    pub fn sections(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for line in &self.lines {
            if !names.iter().any(|name| name.eq_ignore_ascii_case(&line.section)) {
                names.push(&line.section);
            }
        }
        names
    }

    /// True where the section is opened anywhere.
    pub fn has_section(&self, section: &str) -> bool {
        self.lines.iter().any(|line| line.section.eq_ignore_ascii_case(section))
    }

    /// Every value of an option, in order.
    pub fn options(&self, section: &str, name: &str) -> Vec<String> {
        let named = |line: &&Line| line.section.eq_ignore_ascii_case(section);
        let value = |line: &Line| {
            line.option
                .as_ref()
                .filter(|(n, _)| n.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.clone())
        };
        self.lines.iter().filter(named).filter_map(value).collect()
    }

    /// The value that counts: the last.
    pub fn option(&self, section: &str, name: &str) -> Option<String> {
        self.options(section, name).pop()
    }
}
