//! `${...}` and `$[...]` in a step's arguments: variables, the functions that the contexts use, expressions.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use super::{expression, in_set};
use crate::sim::{Shared, channel::Channel};

/// Levels of nesting; deeper text stays as it is.
const DEEPEST: usize = 12;

/// The text with its variables, functions and expressions put in.
pub(crate) fn expand(text: &str, channel: &Channel, shared: &Shared) -> String {
    Expander { channel, shared }.expand(text, DEEPEST)
}

struct Expander<'a> {
    channel: &'a Channel,
    shared: &'a Shared,
}

impl Expander<'_> {
    fn expand(&self, text: &str, depth: usize) -> String {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find('$').filter(|_| depth > 0) {
            out.push_str(&rest[..at]);
            rest = &rest[at..];
            let (open, close) = match rest.as_bytes().get(1) {
                Some(b'{') => ('{', '}'),
                Some(b'[') => ('[', ']'),
                _ => {
                    out.push('$');
                    rest = &rest[1..];
                    continue;
                }
            };
            let Some(end) = closing(&rest[2..], open, close) else {
                break;
            };
            let inner = self.expand(&rest[2..2 + end], depth - 1);
            out.push_str(&if open == '{' {
                self.variable(&inner, depth)
            } else {
                expression::evaluate(&inner)
            });
            rest = &rest[2 + end + 1..];
        }
        out.push_str(rest);
        out
    }

    /// A variable, or a function where there are parentheses.
    fn variable(&self, name: &str, depth: usize) -> String {
        if let Some((function, args)) = name.strip_suffix(')').and_then(|n| n.split_once('(')) {
            return self.function(function, args, depth);
        }
        let mut parts = name.splitn(3, ':');
        let name = parts.next().unwrap_or_default();
        let value = self.value(name);
        match parts.next() {
            None => value,
            Some(offset) => slice(&value, offset, parts.next()),
        }
    }

    fn value(&self, name: &str) -> String {
        let place = self.channel.place.lock().clone();
        match name {
            "EXTEN" => place.exten,
            "CONTEXT" => place.context,
            "PRIORITY" => place.priority.to_string(),
            "CHANNEL" => self.channel.name.clone(),
            "UNIQUEID" => self.channel.id.clone(),
            "EPOCH" => epoch().to_string(),
            _ => self
                .channel
                .get(name)
                .or_else(|| self.shared.world.lock().globals.get(name).cloned())
                .unwrap_or_default(),
        }
    }

    fn function(&self, function: &str, args: &str, depth: usize) -> String {
        match function {
            "LEN" => args.chars().count().to_string(),
            "FILTER" => args
                .split_once(',')
                .map_or_else(String::new, |(set, text)| filter(set, text)),
            "CUT" => self.cut(args),
            "STRREPLACE" => self.replace(args),
            "EVAL" => self.expand(args, depth - 1),
            "GLOBAL" => self.shared.world.lock().globals.get(args).cloned().unwrap_or_default(),
            "IF" => choose(args).to_owned(),
            "CALLERID" if args.starts_with("num") => self.channel.caller.clone(),
            "CHANNEL" if args == "name" => self.channel.name.clone(),
            "TIMEOUT" if args == "absolute" => seconds_left(self.channel.limit()),
            "PJSIP_DIAL_CONTACTS" => self.dial_contacts(args),
            _ => String::new(),
        }
    }

    /// `CUT(variable,delimiter,number)`: one part, counted from 1; nothing beyond the last.
    fn cut(&self, args: &str) -> String {
        let mut args = args.splitn(3, ',');
        let value = self.value(args.next().unwrap_or_default());
        let delimiter = args.next().filter(|d| !d.is_empty()).unwrap_or("-");
        let number = args.next().and_then(|n| n.trim().parse::<usize>().ok()).unwrap_or(0);
        let part = number.checked_sub(1).and_then(|at| value.split(delimiter).nth(at));
        part.unwrap_or_default().to_owned()
    }

    /// `STRREPLACE(variable,text[,with])`: every place at which the text stands, those that come to be by it excepted.
    fn replace(&self, args: &str) -> String {
        let mut args = args.splitn(3, ',');
        let value = self.value(args.next().unwrap_or_default());
        let text = args.next().unwrap_or_default();
        if text.is_empty() {
            return value;
        }
        value.replace(text, args.next().unwrap_or_default())
    }

    /// Everything to dial for an endpoint, of all its aors or of one.
    fn dial_contacts(&self, args: &str) -> String {
        let mut args = args.split(',').map(str::trim);
        let endpoint = args.next().unwrap_or_default();
        let aor = args.next().filter(|a| !a.is_empty());
        let world = self.shared.world.lock();
        let aors = aor.map_or_else(|| world.aors_of(endpoint), |aor| vec![aor.to_owned()]);
        let contacts = aors.iter().flat_map(|aor| world.contacts_of(aor));
        contacts
            .map(|uri| format!("PJSIP/{endpoint}/{uri}"))
            .collect::<Vec<_>>()
            .join("&")
    }
}

/// Unix time in seconds.
fn epoch() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or_default().as_secs()
}

/// A limit as Asterisk shows it.
fn seconds_left(limit: Option<Instant>) -> String {
    limit.map_or_else(
        || "0".to_owned(),
        |at| format!("{:.3}", at.saturating_duration_since(Instant::now()).as_secs_f64()),
    )
}

/// Where the bracket that is open ends.
fn closing(text: &str, open: char, close: char) -> Option<usize> {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            if depth == 0 {
                return Some(at);
            }
            depth -= 1;
        }
    }
    None
}

/// `condition?yes:no`, the parts of `IF` and `GotoIf`.
pub(super) fn choose(args: &str) -> &str {
    let (condition, rest) = args.split_once('?').unwrap_or((args, ""));
    let (yes, no) = rest.split_once(':').unwrap_or((rest, ""));
    if expression::is_true(condition) {
        yes.trim()
    } else {
        no.trim()
    }
}

/// Only the characters of the set, in which `\xHH` may stand for one.
fn filter(set: &str, text: &str) -> String {
    let mut literal = String::new();
    let mut ranges = String::new();
    let mut rest = set;
    while let Some(at) = rest.find("\\x") {
        ranges.push_str(&rest[..at]);
        match rest
            .get(at + 2..at + 4)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok())
        {
            Some(code) => literal.push(char::from(code)),
            None => break,
        }
        rest = &rest[at + 4..];
    }
    ranges.push_str(rest);
    text.chars()
        .filter(|c| literal.contains(*c) || in_set(&ranges, *c))
        .collect()
}

/// `${NAME:offset:length}` with negative numbers counting from the end.
fn slice(value: &str, offset: &str, length: Option<&str>) -> String {
    let chars: Vec<char> = value.chars().collect();
    let size = chars.len() as i64;
    let from_end = |n: i64| if n < 0 { (size + n).max(0) } else { n.min(size) };
    let start = from_end(offset.trim().parse().unwrap_or(0));
    let end = match length.and_then(|l| l.trim().parse::<i64>().ok()) {
        None => size,
        Some(l) if l < 0 => (size + l).max(start),
        Some(l) => (start + l).min(size),
    };
    chars[start as usize..end.max(start) as usize].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_keeps_ranges_and_escaped_characters() {
        assert_eq!(filter("0-9A-Za-z+*#._\\x2D", "a-b'c &d_1"), "a-bcd_1");
    }

    #[test]
    fn parts_of_a_value_can_be_taken() {
        assert_eq!(slice("abcdef", "2", None), "cdef");
        assert_eq!(slice("abcdef", "-2", None), "ef");
        assert_eq!(slice("abcdef", "1", Some("2")), "bc");
        assert_eq!(slice("ab", "5", Some("-9")), "");
    }

    #[test]
    fn a_choice_takes_the_side_of_its_condition() {
        assert_eq!(
            (choose("1?a:b"), choose("0?a:b"), choose("?a:b"), choose("1?a")),
            ("a", "b", "b", "a")
        );
    }
}
