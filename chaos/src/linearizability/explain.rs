//! A contradiction in words that an operator understands.

use super::minimal::{Cut, Witness};
use super::{Necessity, Violation};
use crate::operation::{Call, Operation, Outcome};
use crate::words::{Origin, answerer, content, duration};

/// Most lines of a story; a witness that could not be made small is cut off here.
const LONGEST_STORY: usize = 30;

/// Tells what went wrong with this key.
pub(crate) fn violation(cut: &Cut<'_>, witness: &Witness<'_>, origin: Origin) -> Violation {
    let operations = with_sources(cut, witness);
    let mut story: Vec<String> = operations
        .iter()
        .take(LONGEST_STORY)
        .map(|operation| sentence(operation, origin))
        .collect();
    if operations.len() > LONGEST_STORY {
        story.push(format!("... and {} more operations", operations.len() - LONGEST_STORY));
    }
    Violation {
        key: witness.breaking.key.clone(),
        at_ns: cut.at_ns,
        summary: format!(
            "at {} {}",
            origin.moment(cut.at_ns),
            match &witness.breaking.outcome {
                Outcome::Answered(read) => wrong_answer(cut, witness, read.as_deref()),
                _ => wrong_decision(witness),
            }
        ),
        story,
        lines: operations.iter().map(|operation| operation.to_line()).collect(),
        necessity: witness.necessity,
    }
}

/// The witness, and where the contents came from that it speaks of.
fn with_sources<'a>(cut: &Cut<'a>, witness: &Witness<'a>) -> Vec<&'a Operation> {
    let mut operations = witness.operations.clone();
    if witness.necessity != Necessity::Cut {
        let seen = witness.operations.iter().filter_map(|operation| looked_for(operation));
        for seen in seen.filter(Option::is_some) {
            let wrote = |operation: &&&Operation| writes(operation) == Some(seen);
            if !operations.iter().any(|operation| wrote(&operation)) {
                operations.extend(
                    cut.operations
                        .iter()
                        .filter(wrote)
                        .min_by_key(|operation| operation.start_ns),
                );
            }
        }
        operations.sort_by_key(|operation| (operation.start_ns, operation.end_ns));
    }
    operations
}

/// The content that an operation claims to have found.
fn looked_for(operation: &Operation) -> Option<Option<&str>> {
    match (&operation.call, &operation.outcome) {
        (Call::Get, Outcome::Answered(read)) => Some(read.as_deref()),
        (Call::Cas { expect, .. }, Outcome::Done) => Some(expect.as_deref()),
        _ => None,
    }
}

/// The content that an operation wrote, or may have written.
fn writes(operation: &Operation) -> Option<Option<&str>> {
    match (&operation.call, &operation.outcome) {
        (Call::Get, _) | (_, Outcome::Refused) => None,
        (Call::Put { value }, _) => Some(Some(value)),
        (Call::Cas { value, .. }, _) => Some(value.as_deref()),
        (Call::Delete, _) => Some(None),
    }
}

fn wrong_answer(cut: &Cut<'_>, witness: &Witness<'_>, read: Option<&str>) -> String {
    let get = witness.breaking;
    let answered = format!("{} answered {} to a read", answerer(get), content(read));
    let writers = || {
        cut.operations
            .iter()
            .filter(|operation| writes(operation) == Some(read))
    };
    if let Some(read) = read
        && !writers().any(|writer| writer.start_ns <= get.end_ns)
    {
        let refused = |operation: &&&Operation| {
            operation.outcome == Outcome::Refused && matches!(&operation.call, Call::Put { value } if value == read)
        };
        return match (
            writers().map(|writer| writer.start_ns).min(),
            cut.operations.iter().find(refused),
        ) {
            (Some(start), _) => {
                format!(
                    "{answered}, {} before the first write of it began",
                    duration(get.end_ns, start)
                )
            }
            (None, Some(_)) => format!("{answered}, but the write of it had been refused"),
            (None, None) => format!("{answered}, but nobody ever wrote that"),
        };
    }
    match newest_evidence(witness, read) {
        Some(evidence) => format!(
            "{answered} that began {} after {}",
            duration(evidence.end_ns, get.start_ns),
            evidence_in_words(evidence)
        ),
        None => format!("{answered}, which no order of the operations on this key allows"),
    }
}

/// The last operation of the witness that was over before the breaking one began, and that says the key held something else.
fn newest_evidence<'a>(witness: &Witness<'a>, not: Option<&str>) -> Option<&'a Operation> {
    let breaking = witness.breaking;
    let speaks = |operation: &&&Operation| {
        let holds = writes(operation).or_else(|| looked_for(operation));
        operation.end_ns < breaking.start_ns
            && !matches!(operation.outcome, Outcome::Unknown)
            && holds.is_some_and(|content| content != not)
    };
    witness
        .operations
        .iter()
        .filter(speaks)
        .max_by_key(|operation| operation.end_ns)
        .copied()
}

fn evidence_in_words(evidence: &Operation) -> String {
    match (&evidence.call, &evidence.outcome) {
        (Call::Get, Outcome::Answered(read)) => {
            format!(
                "{} had answered {} to another read",
                answerer(evidence),
                content(read.as_deref())
            )
        }
        (Call::Delete, _) => "the delete was acknowledged".into(),
        _ => format!("{} was acknowledged", content(writes(evidence).flatten())),
    }
}

fn wrong_decision(witness: &Witness<'_>) -> String {
    let cas = witness.breaking;
    let Call::Cas { expect, value } = &cas.call else {
        return format!("the {} of client {} became impossible", name(cas), cas.process);
    };
    let (from, to) = (content(expect.as_deref()), content(value.as_deref()));
    if cas.outcome == Outcome::Refused {
        let asked = format!("{} refused to change {from} into {to}", answerer(cas));
        let holds = |operation: &&&Operation| {
            let holds = writes(operation).or_else(|| looked_for(operation));
            operation.end_ns < cas.start_ns && holds == Some(expect.as_deref())
        };
        return match witness
            .operations
            .iter()
            .filter(holds)
            .max_by_key(|operation| operation.end_ns)
        {
            Some(before) => format!(
                "{asked}, as if the key held something else, but the request began {} after {} and nothing can have \
                 changed it since",
                duration(before.end_ns, cas.start_ns),
                evidence_in_words(before)
            ),
            None => format!("{asked}, but the key held {from} all the while"),
        };
    }
    let accepted = format!("{} accepted the change of {from} into {to}", answerer(cas));
    let rival = |operation: &&&Operation| {
        !std::ptr::eq(**operation, cas)
            && operation.outcome == Outcome::Done
            && matches!(&operation.call, Call::Cas { expect: other, .. } if other == expect)
    };
    if let Some(rival) = witness.operations.iter().find(rival) {
        let other = content(writes(rival).flatten());
        return format!("{accepted}, although the change of {from} into {other} was accepted too: one update is lost");
    }
    match newest_evidence(witness, expect.as_deref()) {
        Some(evidence) => format!(
            "{accepted} in a request that began {} after {}",
            duration(evidence.end_ns, cas.start_ns),
            evidence_in_words(evidence)
        ),
        None => format!("{accepted}, but the key cannot have held {from} then"),
    }
}

fn name(operation: &Operation) -> &'static str {
    match operation.call {
        Call::Get => "get",
        Call::Put { .. } => "put",
        Call::Cas { .. } => "compare-and-set",
        Call::Delete => "delete",
    }
}

/// One operation as a line of the story.
fn sentence(operation: &Operation, origin: Origin) -> String {
    let asked = match &operation.call {
        Call::Get => "get".into(),
        Call::Put { value } => format!("put {}", content(Some(value))),
        Call::Cas { expect, value } => {
            format!(
                "compare-and-set {} -> {}",
                content(expect.as_deref()),
                content(value.as_deref())
            )
        }
        Call::Delete => "delete".into(),
    };
    let came = match &operation.outcome {
        Outcome::Answered(read) => format!("answered {}", content(read.as_deref())),
        Outcome::Done => "acknowledged".into(),
        Outcome::Refused => "refused".into(),
        Outcome::Unknown => "outcome unknown".into(),
    };
    let node = operation
        .node
        .map(|node| format!(" at node {node}"))
        .unwrap_or_default();
    let end = match operation.outcome {
        Outcome::Unknown => String::new(),
        _ => format!(" after {}", duration(operation.start_ns, operation.end_ns)),
    };
    format!(
        "at {} client {}{node}: {asked}: {came}{end}",
        origin.exact_moment(operation.start_ns),
        operation.process
    )
}
