//! The dialplan: `extensions.conf` read into contexts, extensions and steps, as far as fed-node's own contexts use it.

mod expand;
mod expression;
mod run;

pub(crate) use expand::expand;
pub(crate) use run::{Run, run};

/// What commas part, as Asterisk sees it: none within brackets or quotes does, and one that is never closed holds all the rest.
pub(crate) fn arguments(text: &str) -> Vec<&str> {
    let (mut round, mut square, mut quoted) = (0_usize, 0_usize, false);
    let apart = text.split(move |c| {
        match c {
            '(' => round += 1,
            ')' => round = round.saturating_sub(1),
            '[' => square += 1,
            ']' => square = square.saturating_sub(1),
            '"' => quoted = !quoted,
            _ => {}
        }
        c == ',' && round == 0 && square == 0 && !quoted
    });
    apart.collect()
}

/// A dialplan.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dialplan {
    contexts: Vec<Context>,
}

#[derive(Clone, Debug, Default)]
struct Context {
    name: String,
    includes: Vec<String>,
    extensions: Vec<Extension>,
}

#[derive(Clone, Debug)]
pub(crate) struct Extension {
    pattern: String,
    steps: Vec<Step>,
}

/// One priority.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    label: Option<String>,
    pub(crate) app: String,
    pub(crate) args: String,
}

impl Dialplan {
    /// Reads `exten =>`, `same =>`, `include =>` with priorities 1, 2, .. or `n`, labelled or not. Anything else is passed over.
    pub(crate) fn parse(text: &str) -> Self {
        let mut dialplan = Self::default();
        for line in text
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty() && !l.starts_with(';'))
        {
            if let Some(name) = line
                .strip_prefix('[')
                .and_then(|l| l.split_once(']'))
                .map(|(name, _)| name)
            {
                dialplan.contexts.push(Context {
                    name: name.to_owned(),
                    ..Context::default()
                });
            } else if let Some(context) = dialplan.contexts.last_mut() {
                context.line(line);
            }
        }
        dialplan
    }

    /// The extension that matches in a context or its includes, exact ones before patterns.
    pub(crate) fn find(&self, context: &str, exten: &str) -> Option<&Extension> {
        self.search(context, exten, 8)
    }

    fn search(&self, context: &str, exten: &str, depth: usize) -> Option<&Extension> {
        let found: Vec<&Context> = self.contexts.iter().filter(|c| c.name == context).collect();
        let own = || found.iter().flat_map(|c| &c.extensions);
        own()
            .find(|e| e.pattern == exten)
            .or_else(|| own().find(|e| e.pattern.strip_prefix('_').is_some_and(|p| matches(p, exten))))
            .or_else(|| {
                let includes = found.iter().flat_map(|c| &c.includes);
                includes
                    .filter(|_| depth > 0)
                    .find_map(|name| self.search(name, exten, depth - 1))
            })
    }
}

impl Context {
    fn line(&mut self, line: &str) {
        let Some((key, value)) = line.split_once("=>").or_else(|| line.split_once('=')) else {
            return;
        };
        let value = value.trim();
        match key.trim() {
            "include" => self.includes.push(value.to_owned()),
            "exten" => {
                let Some((pattern, rest)) = value.split_once(',') else {
                    return;
                };
                let Some(step) = Step::parse(rest) else { return };
                match self.extensions.iter_mut().find(|e| e.pattern == pattern.trim()) {
                    Some(known) => known.steps.push(step),
                    None => self.extensions.push(Extension {
                        pattern: pattern.trim().to_owned(),
                        steps: vec![step],
                    }),
                }
            }
            "same" => {
                if let (Some(extension), Some(step)) = (self.extensions.last_mut(), Step::parse(value)) {
                    extension.steps.push(step);
                }
            }
            _ => {}
        }
    }
}

impl Step {
    /// `PRIORITY[(label)],App(args)`.
    fn parse(text: &str) -> Option<Self> {
        let (priority, call) = text.split_once(',')?;
        let label = priority
            .split_once('(')
            .map(|(_, l)| l.trim_end_matches(')').trim().to_owned());
        let (app, args) = call.trim().split_once('(').unwrap_or((call.trim(), ")"));
        Some(Self {
            label,
            app: app.trim().to_owned(),
            args: args.rsplit_once(')').map_or(args, |(a, _)| a).to_owned(),
        })
    }
}

impl Extension {
    /// The step of a priority, from 1.
    pub(crate) fn step(&self, priority: usize) -> Option<&Step> {
        self.steps.get(priority.checked_sub(1)?)
    }

    /// The priority of a label or number.
    pub(crate) fn priority(&self, target: &str) -> Option<usize> {
        match target.parse() {
            Ok(number) => Some(number),
            Err(_) => self
                .steps
                .iter()
                .position(|s| s.label.as_deref() == Some(target))
                .map(|at| at + 1),
        }
    }
}

/// A pattern without its underscore: `X` `Z` `N`, sets, `.` (one or more of anything) and `!` (anything).
fn matches(pattern: &str, text: &str) -> bool {
    let mut pattern = pattern.chars();
    let mut text = text.chars();
    while let Some(p) = pattern.next() {
        let allowed: Box<dyn Fn(char) -> bool> = match p {
            '!' => return true,
            '.' => return text.next().is_some(),
            'X' | 'x' => Box::new(|c| c.is_ascii_digit()),
            'Z' | 'z' => Box::new(|c| ('1'..='9').contains(&c)),
            'N' | 'n' => Box::new(|c| ('2'..='9').contains(&c)),
            '[' => {
                let set: String = pattern.by_ref().take_while(|c| *c != ']').collect();
                Box::new(move |c| in_set(&set, c))
            }
            literal => Box::new(move |c| c == literal),
        };
        if !text.next().is_some_and(allowed) {
            return false;
        }
    }
    text.next().is_none()
}

/// True where a set such as `0-9A-Za-z+*#` holds the character.
fn in_set(set: &str, wanted: char) -> bool {
    let set: Vec<char> = set.chars().collect();
    let mut at = 0;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == '-' {
            if (set[at]..=set[at + 2]).contains(&wanted) {
                return true;
            }
            at += 3;
        } else if set[at] == wanted {
            return true;
        } else {
            at += 1;
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_asterisk_does() {
        for (pattern, text, expected) in [
            ("X.", "12", true),
            ("X.", "1", false),
            ("X!", "1", true),
            ("[0-9A-Za-z+*#]!", "alice", true),
            ("[0-9A-Za-z+*#]!", "+49", true),
            ("[0-9A-Za-z+*#]!", "_x", false),
            ("NXX", "200", true),
            ("NXX", "100", false),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn labels_and_same_lines_are_read() {
        let plan = Dialplan::parse(
            "; a comment\n[a]\nexten => 1,1,NoOp(${X})\n same => n(there),Dial(PJSIP/a,10)\n same => n,Hangup()\n",
        );
        let extension = plan.find("a", "1").expect("the extension");
        assert_eq!(extension.priority("there"), Some(2));
        assert_eq!(
            extension.step(2).map(|s| (s.app.as_str(), s.args.as_str())),
            Some(("Dial", "PJSIP/a,10"))
        );
        assert_eq!(extension.step(4), None);
    }

    #[test]
    fn includes_are_searched_after_the_own_extensions() {
        let plan = Dialplan::parse(
            "[a]\ninclude => b\nexten => 1,1,NoOp(a)\n[b]\nexten => 1,1,NoOp(b)\nexten => _2X,1,NoOp(b2)\n",
        );
        let args = |exten| plan.find("a", exten).and_then(|e| e.step(1)).map(|s| s.args.clone());
        assert_eq!(
            (args("1").as_deref(), args("25").as_deref(), args("3")),
            (Some("a"), Some("b2"), None)
        );
    }
}
