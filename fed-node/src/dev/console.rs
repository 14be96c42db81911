//! What can be said to a `dev` federation.

/// Shown at the start and for `help`.
pub(super) const HELP: &str = "\x20 register DEVICE NODE     a phone registers there (it moves if it was elsewhere)
  unregister DEVICE NODE   it goes away again
  call DEVICE NUMBER       it calls, from where it is registered
  kill NODE                kill -9 its fed-node        start NODE    start it again
  kill-asterisk NODE       end its Asterisk            start-asterisk NODE
  help, quit";

/// One line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Line {
    Register { device: String, node: String },
    Unregister { device: String, node: String },
    Call { device: String, number: String },
    Kill { node: String },
    Start { node: String },
    KillAsterisk { node: String },
    StartAsterisk { node: String },
    Help,
    Quit,
}

/// The line, nothing for an empty one, or what is wrong with it.
pub(super) fn parse(line: &str) -> Result<Option<Line>, String> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let text = |word: &&str| (*word).to_owned();
    Ok(Some(match words.as_slice() {
        [] => return Ok(None),
        [first, ..] if first.starts_with('#') => return Ok(None),
        ["register", device, node] => Line::Register {
            device: text(device),
            node: text(node),
        },
        ["unregister", device, node] => Line::Unregister {
            device: text(device),
            node: text(node),
        },
        ["call", device, number] => Line::Call {
            device: text(device),
            number: text(number),
        },
        ["kill", node] => Line::Kill { node: text(node) },
        ["start", node] => Line::Start { node: text(node) },
        ["kill-asterisk", node] => Line::KillAsterisk { node: text(node) },
        ["start-asterisk", node] => Line::StartAsterisk { node: text(node) },
        ["help" | "?"] => Line::Help,
        ["quit" | "exit"] => Line::Quit,
        _ => return Err(format!("{line:?} is none of:\n{HELP}")),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_line_of_the_help_is_understood() {
        for word in ["register", "unregister", "call"] {
            assert!(parse(&format!("{word} alice n1")).unwrap().is_some());
        }
        for word in ["kill", "start", "kill-asterisk", "start-asterisk"] {
            assert!(HELP.contains(word) && parse(&format!("  {word}  n1 ")).unwrap().is_some());
        }
        assert_eq!(parse("quit"), Ok(Some(Line::Quit)));
        assert_eq!(parse("# a remark"), Ok(None));
        assert!(parse("dance").unwrap_err().contains("register DEVICE NODE"));
    }
}
