//! One of Asterisk's configuration files, read as far as stanzas need it.

use super::block::without_block;
use super::comment::Comments;

/// Includes of includes that are followed; as many files, at most, are read in all.
const INCLUDE_DEPTH: usize = 5;
const INCLUDED_FILES: usize = 1_000;

/// A configuration file as its administrator wrote it: our own block is not part of it.
#[derive(Clone, Debug, Default)]
pub struct ConfigFile {
    categories: Vec<Category>,
    ends_in_comment: bool,
    /// An `#exec` line adds what is not known here.
    runs_programs: bool,
}

/// What one `[..]` line opens; a second line of the same name opens another one.
#[derive(Clone, Debug)]
struct Category {
    name: String,
    /// `[name](!)`: only there to be inherited from.
    template: bool,
    /// What it inherits, then its own, in order.
    options: Vec<(String, String)>,
}

/// One object of a file: no template, with what it inherits.
#[derive(Clone, Copy, Debug)]
pub struct ConfigObject<'a>(&'a Category);

impl<'a> ConfigObject<'a> {
    /// The name of its section.
    pub fn name(&self) -> &'a str {
        &self.0.name
    }

    /// The value that counts: the last.
    pub fn option(&self, name: &str) -> Option<&'a str> {
        let mut options = self.0.options.iter().rev();
        let found = options.find(|(there, _)| there.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

impl ConfigFile {
    /// Reads a file's text; `included` answers the texts of the files that the name or pattern of an `#include` line means. They count
    /// where the line stands, as Asterisk reads them.
    pub fn parse(text: &str, mut included: impl FnMut(&str) -> Vec<String>) -> Self {
        let mut file = Self::default();
        let mut left = INCLUDED_FILES;
        let own = without_block(text);
        let mut comments = Comments::default();
        for line in own.lines() {
            comments.without(line);
        }
        file.ends_in_comment = comments.is_open();
        file.read(&own, None, INCLUDE_DEPTH, &mut left, &mut included);
        file
    }

    fn read(
        &mut self,
        text: &str,
        mut at: Option<usize>,
        depth: usize,
        left: &mut usize,
        included: &mut dyn FnMut(&str) -> Vec<String>,
    ) {
        let mut comments = Comments::default();
        for raw in text.lines() {
            let line = comments.without(raw);
            let line = line.trim();
            if let Some(rest) = line.strip_prefix('[') {
                at = Some(self.open(rest));
            } else if line.starts_with("#exec") {
                self.runs_programs = true;
            } else if let Some(name) = include(line) {
                if depth == 0 {
                    continue;
                }
                for text in included(name) {
                    if *left > 0 {
                        *left -= 1;
                        self.read(&text, at, depth - 1, left, included);
                    }
                }
            } else if let Some((name, value)) = line.split_once('=')
                && let Some(category) = at.and_then(|at| self.categories.get_mut(at))
            {
                let value = value.trim_start_matches('>').trim();
                category.options.push((name.trim().to_owned(), value.to_owned()));
            }
        }
    }

    /// The category that a line `[name](!,base,+)` opens or, with `+`, goes on with.
    fn open(&mut self, rest: &str) -> usize {
        let (name, rest) = rest.split_once(']').unwrap_or((rest, ""));
        let mut opened = Category {
            name: name.trim().to_owned(),
            template: false,
            options: Vec::new(),
        };
        let words = rest.trim().strip_prefix('(').and_then(|rest| rest.split_once(')'));
        for word in words.map_or("", |(words, _)| words).split(',').map(str::trim) {
            match word {
                "" => {}
                "!" => opened.template = true,
                "+" => {
                    if let Some(at) = self.last(&opened.name) {
                        return at;
                    }
                }
                base => {
                    if let Some(base) = self.last(base) {
                        opened.options.extend_from_slice(&self.categories[base].options);
                    }
                }
            }
        }
        self.categories.push(opened);
        self.categories.len() - 1
    }

    fn last(&self, name: &str) -> Option<usize> {
        self.categories.iter().rposition(|category| category.is(name))
    }

    /// True where a block comment is open at the end of the file: what is added there is not read.
    pub fn ends_in_comment(&self) -> bool {
        self.ends_in_comment
    }

    /// True where programs add to it (`#exec`): it may hold more than what is read here.
    pub fn runs_programs(&self) -> bool {
        self.runs_programs
    }

    /// Every object that the file makes, in order; two may have the same name.
    pub fn objects(&self) -> impl Iterator<Item = ConfigObject<'_>> {
        self.read_categories().map(ConfigObject)
    }

    /// True where the section is opened anywhere, be it as a template.
    pub fn has_section(&self, section: &str) -> bool {
        self.last(section).is_some()
    }

    /// True where the section is opened as one that Asterisk reads: templates are not.
    pub fn is_read(&self, section: &str) -> bool {
        self.read_categories().any(|category| category.is(section))
    }

    fn read_categories(&self) -> impl Iterator<Item = &Category> {
        self.categories.iter().filter(|category| !category.template)
    }

    /// Every value of an option, in order; what stands in a template counts where it is inherited.
    pub fn options(&self, section: &str, name: &str) -> Vec<String> {
        let options = self
            .read_categories()
            .filter(|c| c.is(section))
            .flat_map(|c| &c.options);
        options
            .filter(|(there, _)| there.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.clone())
            .collect()
    }

    /// The value that counts: the last.
    pub fn option(&self, section: &str, name: &str) -> Option<String> {
        self.options(section, name).pop()
    }
}

impl Category {
    fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }
}

/// The name or pattern of an `#include` or `#tryinclude` line.
fn include(line: &str) -> Option<&str> {
    let rest = line.strip_prefix("#include").or(line.strip_prefix("#tryinclude"))?;
    let name = rest.trim().trim_matches(['"', '<', '>']);
    (!name.is_empty()).then_some(name)
}
