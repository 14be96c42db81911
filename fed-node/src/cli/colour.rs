//! Colours for states, at a terminal only.

use std::io::IsTerminal;

use console::Style;

const GOOD: &[&str] = &["ok", "up", "pass", "same", "reachable"];
const DOUBTFUL: &[&str] = &["WARN", "draining", "starting", "not measured", "not compared"];
const BAD: &[&str] = &[
    "FAIL",
    "NO QUORUM",
    "DIFFERS",
    "DAMAGED",
    "down",
    "asterisk down",
    "node down",
    "not heard",
];

/// Whether a stream is a terminal that shows them, and nobody asked for none (`NO_COLOR`).
pub(crate) fn on(stream: &impl IsTerminal) -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    stream.is_terminal() && !is_set("NO_COLOR") && !dumb
}

/// The text as stdout takes it: with its states in colour, or as it is.
pub(super) fn shown(text: &str) -> String {
    if on(&std::io::stdout()) {
        states(text)
    } else {
        text.to_owned()
    }
}

/// The text with its states in colour: those that fill a cell of a table or stand before a colon in it; those in capitals also before
/// further words.
fn states(text: &str) -> String {
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

fn line(line: &str) -> String {
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while !rest.is_empty() {
        let blank = rest.len() - rest.trim_start_matches(' ').len();
        let (before, cell) = rest.split_at(blank);
        let (cell, after) = cell.split_at(cell.find("  ").unwrap_or(cell.len()));
        shown.push_str(before);
        shown.push_str(&coloured(cell));
        rest = after;
    }
    shown
}

fn coloured(cell: &str) -> String {
    let begins = |state: &&&str| {
        let cries = !state.contains(|c: char| c.is_lowercase());
        cell.strip_prefix(**state).is_some_and(|rest| {
            rest.is_empty() || rest.starts_with(':') || cries && !rest.starts_with(char::is_alphanumeric)
        })
    };
    for (states, style) in [
        (GOOD, Style::new().green()),
        (DOUBTFUL, Style::new().yellow()),
        (BAD, Style::new().red().bold()),
    ] {
        if let Some(state) = states.iter().find(begins) {
            let (state, rest) = cell.split_at(state.len());
            return format!("{}{rest}", style.force_styling(true).apply_to(state));
        }
    }
    cell.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_have_colours_and_other_words_and_the_columns_stay() {
        let text = "NO QUORUM at n1: up to now\n ID  NODE  STATE      BEHIND\n 1   n1    up         0\n 2   upper asterisk down  7\nFAIL: slow";
        let shown = states(text);
        let lines: Vec<&str> = shown.lines().collect();
        assert!(
            lines[0].ends_with(" at n1: up to now") && lines[0].starts_with('\u{1b}'),
            "{shown:?}"
        );
        assert_eq!(lines[1], " ID  NODE  STATE      BEHIND");
        assert!(lines[2].contains("\u{1b}[32mup\u{1b}[0m         0"), "{shown:?}");
        assert!(
            !lines[3].contains("asterisk down\u{1b}[0m") && lines[3].contains("upper"),
            "{shown:?}"
        );
        assert!(
            lines[4].starts_with('\u{1b}') && lines[4].ends_with(": slow"),
            "{shown:?}"
        );
        assert_eq!(console::strip_ansi_codes(&shown), text);
    }
}
