//! One operation of one client on one key: what was asked, what came back, and when.

use serde::{Deserialize, Deserializer, Serialize};

/// What a client asked for. A key holds a string, or nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Call {
    /// Read the key.
    Get,
    /// Make the key hold `value`, whatever it held.
    Put {
        /// The new value.
        value: String,
    },
    /// Make the key hold `value` if it holds `expect` at that moment; `None` is *nothing*, on both sides.
    Cas {
        /// What the key must hold for the change to happen.
        expect: Option<String>,
        /// What it holds afterwards.
        value: Option<String>,
    },
    /// Make the key hold nothing, whatever it held.
    Delete,
}

/// What the client knows about its operation when it is over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A get was answered with this content.
    Answered(Option<String>),
    /// A put, compare-and-set or delete was acknowledged: it took effect between start and end.
    Done,
    /// Refused, and certainly without effect. For a compare-and-set: the key did not hold the expected content at one moment
    /// between start and end. For the other calls it proves nothing about the content.
    Refused,
    /// Not known: it may have taken effect at any time after its start, even long after its end, or never.
    Unknown,
}

/// One operation. Times are nanoseconds on one clock that all clients of the history share, and that never goes back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Which client did it.
    pub process: i64,
    /// Which node answered, if that is known; it makes explanations clearer and changes no verdict.
    pub node: Option<i64>,
    /// The key. Keys are independent of each other.
    pub key: String,
    /// What was asked.
    pub call: Call,
    /// What came of it.
    pub outcome: Outcome,
    /// Not later than the moment the request was sent.
    pub start_ns: i64,
    /// Not earlier than the moment the answer was there. Without meaning when the outcome is unknown.
    pub end_ns: i64,
}

impl Operation {
    /// The operation as a line of a history, without the newline.
    pub fn to_line(&self) -> String {
        serde_json::to_string(&Line::from(self)).expect("a struct of strings and numbers is always JSON")
    }

    /// Reads a line of a history.
    ///
    /// # Errors
    /// Says in words what is wrong with the line: not JSON, a field missing or of the wrong type, an unknown operation, or fields
    /// that contradict each other. `value` and `expect` may be left out only where they mean nothing. Unknown fields are
    /// ignored.
    pub fn from_line(line: &str) -> Result<Self, String> {
        serde_json::from_str::<Line>(line)
            .map_err(|error| in_one_line(&error))?
            .into_operation()
    }
}

/// What is wrong with a line, by its column: which line that is, the reader of the file knows.
fn in_one_line(error: &serde_json::Error) -> String {
    let (words, column) = (error.to_string(), error.column());
    words
        .strip_suffix(&format!(" at line {} column {column}", error.line()))
        .map_or_else(|| words.clone(), |why| format!("{why} (column {column})"))
}

/// The line format: `{"process","op","key","value","expect","ok","start_ns","end_ns"}` and, if known, `"node"`.
#[derive(Serialize, Deserialize)]
struct Line {
    process: i64,
    op: Name,
    key: String,
    #[serde(default, deserialize_with = "present")]
    value: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    expect: Option<Option<String>>,
    #[serde(default, deserialize_with = "present")]
    ok: Option<Option<bool>>,
    start_ns: i64,
    end_ns: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    node: Option<i64>,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Name {
    Put,
    Get,
    Cas,
    Del,
}

/// Keeps "absent" (`None`) apart from "null" (`Some(None)`).
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

impl Line {
    fn into_operation(self) -> Result<Operation, String> {
        let ok = self
            .ok
            .ok_or("the field ok is missing (true, false, or null for an unknown outcome)")?;
        if ok.is_some() && self.end_ns < self.start_ns {
            return Err(format!(
                "it ends at {} ns, before its start at {} ns",
                self.end_ns, self.start_ns
            ));
        }
        let call = match self.op {
            Name::Get => Call::Get,
            Name::Del => Call::Delete,
            Name::Put if matches!(self.expect, Some(Some(_))) => {
                return Err("a put has no expect; a cas has".into());
            }
            Name::Put => Call::Put {
                value: self.value.clone().flatten().ok_or("a put needs a value")?,
            },
            Name::Cas => Call::Cas {
                expect: self
                    .expect
                    .ok_or("a cas needs the field expect (null: the key must hold nothing)")?,
                value: self.value.clone().ok_or("a cas needs the field value (null: delete)")?,
            },
        };
        let outcome = match (ok, &call) {
            (None, _) => Outcome::Unknown,
            (Some(false), _) => Outcome::Refused,
            (Some(true), Call::Get) => Outcome::Answered(
                self.value
                    .ok_or("an answered get needs the field value (null: nothing was there)")?,
            ),
            (Some(true), _) => Outcome::Done,
        };
        Ok(Operation {
            process: self.process,
            node: self.node,
            key: self.key,
            call,
            outcome,
            start_ns: self.start_ns,
            end_ns: self.end_ns,
        })
    }
}

impl From<&Operation> for Line {
    fn from(operation: &Operation) -> Self {
        let (op, value, expect) = match &operation.call {
            Call::Get => (Name::Get, None, None),
            Call::Put { value } => (Name::Put, Some(value.clone()), None),
            Call::Cas { expect, value } => (Name::Cas, value.clone(), expect.clone()),
            Call::Delete => (Name::Del, None, None),
        };
        let (value, ok) = match &operation.outcome {
            Outcome::Answered(read) => (read.clone(), Some(true)),
            Outcome::Done => (value, Some(true)),
            Outcome::Refused => (value, Some(false)),
            Outcome::Unknown => (value, None),
        };
        Line {
            process: operation.process,
            op,
            key: operation.key.clone(),
            value: Some(value),
            expect: Some(expect),
            ok: Some(ok),
            start_ns: operation.start_ns,
            end_ns: operation.end_ns,
            node: operation.node,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_survives_reading_and_writing_unchanged() {
        for line in [
            r#"{"process":0,"op":"put","key":"k","value":"a","expect":null,"ok":true,"start_ns":1,"end_ns":2}"#,
            r#"{"process":0,"op":"put","key":"k","value":"a","expect":null,"ok":false,"start_ns":1,"end_ns":2}"#,
            r#"{"process":1,"op":"get","key":"k","value":null,"expect":null,"ok":true,"start_ns":1,"end_ns":2}"#,
            r#"{"process":1,"op":"get","key":"k","value":"é\n","expect":null,"ok":true,"start_ns":1,"end_ns":2,"node":3}"#,
            r#"{"process":2,"op":"cas","key":"","value":"b","expect":null,"ok":false,"start_ns":1,"end_ns":2}"#,
            r#"{"process":3,"op":"del","key":"k","value":null,"expect":null,"ok":null,"start_ns":1,"end_ns":2}"#,
        ] {
            assert_eq!(Operation::from_line(line).expect(line).to_line(), line);
        }
    }

    #[test]
    fn a_line_that_cannot_be_understood_is_refused_with_the_reason() {
        for (line, reason) in [
            (
                r#"{"process":0,"op":"pot","key":"k","ok":true,"start_ns":1,"end_ns":2}"#,
                "unknown variant `pot`",
            ),
            (
                r#"{"process":0,"op":"get","key":"k","value":null,"start_ns":1,"end_ns":2}"#,
                "the field ok is missing",
            ),
            (
                r#"{"process":0,"op":"get","key":"k","ok":true,"start_ns":1,"end_ns":2}"#,
                "needs the field value",
            ),
            (
                r#"{"process":0,"op":"put","key":"k","value":null,"ok":true,"start_ns":1,"end_ns":2}"#,
                "a put needs a value",
            ),
            (
                r#"{"process":0,"op":"put","key":"k","value":"a","expect":"b","ok":true,"start_ns":1,"end_ns":2}"#,
                "no expect",
            ),
            (
                r#"{"process":0,"op":"cas","key":"k","value":"a","ok":true,"start_ns":1,"end_ns":2}"#,
                "needs the field expect",
            ),
            (
                r#"{"process":0,"op":"del","key":"k","ok":true,"start_ns":3,"end_ns":2}"#,
                "before its start",
            ),
            (
                r#"{"process":0,"op":"del","key":"k","ok":true,"start_ns":1.5,"end_ns":2}"#,
                "floating point",
            ),
            (
                r#"{"process":0,"op":"del","key":"k","ok":"yes","start_ns":1,"end_ns":2}"#,
                "expected a boolean",
            ),
            (
                r#"{"process":0,"op":"del","key":"k","ok":true,"ok":true,"start_ns":1,"end_ns":2}"#,
                "duplicate field",
            ),
            (r#"[1]"#, "invalid"),
            (r#"{"process":0,"op":"#, "EOF"),
        ] {
            let error = Operation::from_line(line).expect_err(line);
            assert!(error.contains(reason) && !error.contains("at line"), "{line}: {error}");
        }
    }
}
