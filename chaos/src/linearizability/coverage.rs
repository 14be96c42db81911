//! How much of the product a history has seen. A history in which nothing could have gone wrong proves nothing.

use serde::Serialize;

use crate::operation::{Call, Operation, Outcome};

/// What a history holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Coverage {
    /// All operations.
    pub operations: usize,
    /// Those with a known outcome: acknowledged, answered or refused.
    pub known: usize,
    /// Those with an unknown outcome.
    pub unknown: usize,
    /// Acknowledged puts, compare-and-sets and deletes.
    pub writes: usize,
    /// Answered gets, and compare-and-sets that were decided.
    pub observations: usize,
    /// All keys.
    pub keys: usize,
    /// Keys on which an observation could have shown an acknowledged write of another operation to be missing or wrong.
    pub tested_keys: usize,
    /// Different clients.
    pub clients: usize,
}

impl Coverage {
    pub(crate) fn of(operations: &[Operation], keys: &[Vec<&Operation>]) -> Self {
        let count = |wanted: fn(&Operation) -> bool| operations.iter().filter(|operation| wanted(operation)).count();
        let mut clients: Vec<i64> = operations.iter().map(|operation| operation.process).collect();
        clients.sort_unstable();
        clients.dedup();
        let unknown = count(|operation| operation.outcome == Outcome::Unknown);
        Coverage {
            operations: operations.len(),
            known: operations.len() - unknown,
            unknown,
            writes: count(writes),
            observations: count(observes),
            keys: keys.len(),
            tested_keys: keys.iter().filter(|key| tested(key)).count(),
            clients: clients.len(),
        }
    }

    /// Why this is too little to call a history true, or `None` if it is enough.
    pub(crate) fn too_little(&self, known_operations: usize) -> Option<String> {
        if self.operations == 0 {
            Some("the history is empty".into())
        } else if self.tested_keys == 0 {
            Some("on no key was an acknowledged write followed by an answer that could have contradicted it".into())
        } else if self.known < known_operations {
            Some(format!(
                "{} operations have a known outcome, {known_operations} are asked for",
                self.known
            ))
        } else {
            None
        }
    }
}

fn writes(operation: &Operation) -> bool {
    operation.outcome == Outcome::Done
}

fn observes(operation: &Operation) -> bool {
    match operation.outcome {
        Outcome::Answered(_) => true,
        Outcome::Done | Outcome::Refused => matches!(operation.call, Call::Cas { .. }),
        Outcome::Unknown => false,
    }
}

/// Some observation ended after some other operation's write had begun.
fn tested(key: &[&Operation]) -> bool {
    let Some(first_write) = key
        .iter()
        .filter(|operation| writes(operation))
        .min_by_key(|write| write.start_ns)
    else {
        return false;
    };
    key.iter().any(|operation| {
        observes(operation) && operation.end_ns > first_write.start_ns && !std::ptr::eq(*operation, *first_write)
    })
}
