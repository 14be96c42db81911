//! The operations of one key in the form that the search works on.

use std::collections::HashMap;

use crate::operation::{Call, Operation, Outcome};

/// A content of the key, numbered within one key. [`ABSENT`] is *nothing*.
pub(crate) type Content = u32;

/// The key holds nothing. Every key begins so.
pub(crate) const ABSENT: Content = 0;

/// What an operation demands of the content, and does to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// The content is this.
    Read(Content),
    /// The content is not this: a compare-and-set was refused.
    Differs(Content),
    /// The content becomes this.
    Write(Content),
    /// The content is the first and becomes the second.
    Swap(Content, Content),
}

impl Effect {
    /// Changes nothing, only looks.
    pub(crate) fn only_looks(self) -> bool {
        matches!(self, Effect::Read(_) | Effect::Differs(_))
    }

    /// The content afterwards, or `None` if the operation is impossible on this content.
    pub(crate) fn apply(self, content: Content) -> Option<Content> {
        match self {
            Effect::Read(read) => (content == read).then_some(content),
            Effect::Differs(expect) => (content != expect).then_some(content),
            Effect::Write(value) => Some(value),
            Effect::Swap(expect, value) => (content == expect).then_some(value),
        }
    }

    /// The content it writes, if it writes.
    pub(crate) fn writes(self) -> Option<Content> {
        match self {
            Effect::Write(value) | Effect::Swap(_, value) => Some(value),
            Effect::Read(_) | Effect::Differs(_) => None,
        }
    }

    /// The content it depends on, if it depends on it.
    pub(crate) fn looks_at(self) -> Option<Content> {
        match self {
            Effect::Read(content) | Effect::Differs(content) | Effect::Swap(content, _) => Some(content),
            Effect::Write(_) => None,
        }
    }
}

/// One operation that says something about the content.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) effect: Effect,
    pub(crate) start: i64,
    /// `None`: it may happen at any time after its start, or never.
    pub(crate) end: Option<i64>,
    /// Index of the operation in the slice it was made from.
    pub(crate) source: usize,
}

/// Translates the operations of one key, in the order of their starts. Left out is what proves nothing: refused puts,
/// gets and deletes, which had no effect, and gets without an answer.
pub(crate) fn steps(operations: &[&Operation]) -> Vec<Step> {
    let mut numbers = Numbers::default();
    let mut steps = Vec::with_capacity(operations.len());
    for (source, operation) in operations.iter().enumerate() {
        if let Some(effect) = numbers.effect(operation) {
            let end = (operation.outcome != Outcome::Unknown).then_some(operation.end_ns);
            steps.push(Step {
                effect,
                start: operation.start_ns,
                end,
                source,
            });
        }
    }
    steps.sort_by_key(|step| (step.start, step.source));
    steps
}

/// The contents that occur in one key, numbered from 1.
#[derive(Default)]
struct Numbers<'a>(HashMap<&'a str, Content>);

impl<'a> Numbers<'a> {
    fn of(&mut self, content: Option<&'a str>) -> Content {
        let Some(text) = content else { return ABSENT };
        let next = Content::try_from(self.0.len() + 1).expect("fewer than 2^32 operations fit into memory");
        *self.0.entry(text).or_insert(next)
    }

    fn effect(&mut self, operation: &'a Operation) -> Option<Effect> {
        match (&operation.call, &operation.outcome) {
            (Call::Get, Outcome::Answered(read)) => Some(Effect::Read(self.of(read.as_deref()))),
            (Call::Cas { expect, .. }, Outcome::Refused) => Some(Effect::Differs(self.of(expect.as_deref()))),
            (Call::Get, _) | (_, Outcome::Refused) => None,
            (Call::Put { value }, _) => Some(Effect::Write(self.of(Some(value)))),
            (Call::Cas { expect, value }, _) => {
                Some(Effect::Swap(self.of(expect.as_deref()), self.of(value.as_deref())))
            }
            (Call::Delete, _) => Some(Effect::Write(ABSENT)),
        }
    }
}
