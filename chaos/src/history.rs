//! A history: everything the clients of one run did, read from a file of JSON lines.
//!
//! Empty lines and lines that start with `#` are comments. One kind of comment means something: `#begin {..}` is written by
//! the [recorder](crate::recorder) before an operation is sent. If the recorder is killed, the operations that it had begun and
//! not finished are known from there, and count as operations with an unknown outcome.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use crate::operation::{Call, Operation, Outcome};

/// Mark of the comment that announces an operation; the operation follows as JSON, with `"ok":null`.
pub(crate) const BEGIN: &str = "#begin ";

/// A history that cannot be used. This is a failure of the harness, not of the product under test.
#[derive(Debug, thiserror::Error)]
pub enum HistoryError {
    /// The file could not be read.
    #[error("{}: cannot be read: {source}: name the history that a run wrote (history.jsonl in its folder)", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// A line of a file is not an operation.
    #[error("{}: {garbage}; a history is one operation in one line of JSON each, or a comment that begins with #", path.display())]
    BadLine {
        /// The file.
        path: PathBuf,
        /// The line, and why.
        garbage: Box<HistoryError>,
    },
    /// A line is not an operation.
    #[error("line {line}: not an operation: {why}")]
    Garbage {
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
}

/// The operations of one run, in no particular order.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Every operation, those of [`interrupted`](Self::interrupted) included.
    pub operations: Vec<Operation>,
    /// How many of them the recorder had begun and not finished when it was stopped.
    pub interrupted: usize,
}

impl History {
    /// Reads a file.
    ///
    /// # Errors
    /// [`HistoryError`] if it cannot be read or one line cannot be understood. A history with a bad line is worth nothing: the
    /// missing operation may be the one that explains the others.
    pub fn read(path: &Path) -> Result<Self, HistoryError> {
        let bytes = std::fs::read(path).map_err(|source| HistoryError::Unreadable {
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(&bytes).map_err(|garbage| HistoryError::BadLine {
            path: path.to_path_buf(),
            garbage: Box::new(garbage),
        })
    }

    /// Reads the content of a file; see [`History::read`].
    ///
    /// # Errors
    /// [`HistoryError::Garbage`]. The last line may be torn if it is the beginning of a line, written as the
    /// [recorder](crate::recorder) writes it, of an operation that was announced: that counts as begun. A torn announcement
    /// was of an operation that was not sent.
    pub fn parse(bytes: &[u8]) -> Result<Self, HistoryError> {
        let mut operations = Vec::new();
        let mut begun: HashMap<String, usize> = HashMap::new();
        let mut torn = None;
        for (index, bytes) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
            let complete = bytes.ends_with(b"\n");
            let read = match read_line(bytes) {
                Ok(read) => read,
                Err(why) if !complete => {
                    torn = Some((bytes, HistoryError::Garbage { line: index + 1, why }));
                    continue;
                }
                Err(why) => {
                    return Err(HistoryError::Garbage { line: index + 1, why });
                }
            };
            match read {
                Line::Comment => {}
                Line::Begin(operation) => *begun.entry(announcement(&operation)).or_default() += 1,
                Line::Operation(operation) => operations.push(operation),
            }
        }
        let interrupted = unfinished(&operations, begun);
        // Of a torn line that nobody announced nobody knows what it was.
        if let Some((line, error)) = torn
            && !line.starts_with(BEGIN.as_bytes())
            && !interrupted.iter().any(|operation| is_beginning_of(line, operation))
        {
            return Err(error);
        }
        let count = interrupted.len();
        operations.extend(interrupted);
        Ok(History {
            operations,
            interrupted: count,
        })
    }
}

enum Line {
    Comment,
    Begin(Operation),
    Operation(Operation),
}

fn read_line(bytes: &[u8]) -> Result<Line, String> {
    let text = std::str::from_utf8(bytes)
        .map_err(|_| "it is no UTF-8 text".to_owned())?
        .trim();
    if let Some(announced) = text.strip_prefix(BEGIN).filter(|rest| rest.starts_with('{')) {
        let operation = Operation::from_line(announced)?;
        return match operation.outcome {
            Outcome::Unknown => Ok(Line::Begin(operation)),
            _ => Err("what has just begun has no outcome yet: its ok must be null".to_owned()),
        };
    }
    if text.is_empty() || text.starts_with('#') {
        return Ok(Line::Comment);
    }
    Operation::from_line(text).map(Line::Operation)
}

/// What was announced and has no line of its own.
fn unfinished(finished: &[Operation], mut begun: HashMap<String, usize>) -> Vec<Operation> {
    for operation in finished {
        if let Some(count) = begun.get_mut(&announcement(operation)) {
            *count = count.saturating_sub(1);
        }
    }
    let mut operations: Vec<Operation> = begun
        .into_iter()
        .flat_map(|(line, count)| std::iter::repeat_n(line, count))
        .filter_map(|line| Operation::from_line(&line).ok())
        .collect();
    operations.sort_by_key(|operation| (operation.start_ns, operation.process));
    operations
}

/// Whether a line, torn somewhere, could be that of this operation when it was over: all that its outcome does not change is the same.
fn is_beginning_of(torn: &[u8], begun: &Operation) -> bool {
    let line = begun.to_line();
    let told_at_the_end = match begun.call {
        Call::Get => r#""value":"#,
        _ => r#""ok":"#,
    };
    // What the key or a value holds is quoted: the text is found where the field is, which is the last of that name.
    let known = line.rfind(told_at_the_end).map_or(line.as_str(), |at| &line[..at]);
    known.as_bytes().starts_with(torn) || torn.starts_with(known.as_bytes())
}

/// The operation as it was announced before anything was known of its outcome.
pub(crate) fn announcement(operation: &Operation) -> String {
    let begun = Operation {
        outcome: Outcome::Unknown,
        end_ns: operation.start_ns,
        ..operation.clone()
    };
    Operation { node: None, ..begun }.to_line()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUT: &str =
        r#"{"process":0,"op":"put","key":"k","value":"a","expect":null,"ok":true,"start_ns":1,"end_ns":2}"#;
    const BEGUN: &str =
        r##"#begin {"process":0,"op":"put","key":"k","value":"a","expect":null,"ok":null,"start_ns":1,"end_ns":1}"##;

    fn parse(lines: &[&str]) -> Result<History, HistoryError> {
        History::parse(lines.join("\n").as_bytes())
    }

    #[test]
    fn comments_and_empty_lines_are_no_operations() {
        let history = parse(&["# a remark", "", "   ", PUT, "#beginning of nothing"]).expect("readable");
        assert_eq!((history.operations.len(), history.interrupted), (1, 0));
    }

    #[test]
    fn a_bad_line_is_named_by_its_number() {
        let error = parse(&["# a remark", PUT, "{}", PUT]).expect_err("garbage");
        assert!(
            error.to_string().starts_with("line 3: not an operation: missing field"),
            "{error}"
        );
        assert!(History::parse(b"\xff\n").is_err());
    }

    #[test]
    fn an_operation_begun_and_finished_counts_once() {
        let history = parse(&[BEGUN, PUT]).expect("readable");
        assert_eq!((history.operations.len(), history.interrupted), (1, 0));
    }

    #[test]
    fn an_operation_begun_and_never_finished_has_an_unknown_outcome() {
        let history = parse(&[BEGUN, BEGUN, PUT, ""]).expect("readable");
        assert_eq!((history.operations.len(), history.interrupted), (2, 1));
        assert_eq!(history.operations[1].outcome, Outcome::Unknown);
    }

    #[test]
    fn a_torn_last_line_counts_as_begun_if_it_was_announced() {
        for length in 1..PUT.len() {
            let history = parse(&[BEGUN, &PUT[..length]]).expect("readable");
            assert_eq!((history.operations.len(), history.interrupted), (1, 1));
            assert!(
                parse(&[PUT, &PUT[..length]]).is_err(),
                "nobody knows what that line was"
            );
            assert!(
                parse(&[BEGUN, &PUT[..length], PUT]).is_err(),
                "only the last line can be torn"
            );
        }
    }

    #[test]
    fn a_torn_last_line_that_is_not_of_what_was_announced_is_garbage() {
        let other = PUT.replace(r#""key":"k""#, r#""key":"other""#);
        for torn in ["THIS IS NOT JSON AT ALL", &other[..60], r#"{"process":1,"#] {
            assert!(parse(&[BEGUN, torn]).is_err(), "{torn}");
        }
        let finished = parse(&[BEGUN, PUT, &PUT[..60]]);
        assert!(finished.is_err(), "that operation has its line already");
    }

    #[test]
    fn what_a_torn_read_was_answered_is_unknown() {
        let begun = r##"#begin {"process":0,"op":"get","key":"k\"value\":","value":null,"expect":null,"ok":null,"start_ns":1,"end_ns":1}"##;
        let line = r#"{"process":0,"op":"get","key":"k\"value\":","value":"a","expect":null,"ok":true,"start_ns":1,"end_ns":2}"#;
        for length in 1..line.len() {
            let history = parse(&[begun, &line[..length]]).expect("readable");
            assert_eq!((history.operations.len(), history.interrupted), (1, 1), "{length}");
        }
    }

    #[test]
    fn an_announcement_is_of_the_operation_whatever_it_says_beside_it() {
        for begun in [
            BEGUN.replace(r#""end_ns":1"#, r#""end_ns":7"#),
            BEGUN.replace(r#""end_ns":1"#, r#""end_ns":1,"node":2"#),
            BEGUN.replace(r#""expect":null,"#, ""),
        ] {
            let history = parse(&[&begun, PUT]).expect("readable");
            assert_eq!((history.operations.len(), history.interrupted), (1, 0), "{begun}");
        }
        for outcome in ["true", "false"] {
            let told = BEGUN.replace(r#""ok":null"#, &format!(r#""ok":{outcome}"#));
            let error = parse(&[&told, PUT]).expect_err("an outcome before the end");
            assert!(error.to_string().contains("must be null"), "{error}");
        }
    }

    #[test]
    fn a_torn_announcement_was_never_sent() {
        let history = parse(&[BEGUN, PUT, &BEGUN[..30]]).expect("readable");
        assert_eq!((history.operations.len(), history.interrupted), (1, 0));
    }
}
