//! Linearizability by its definition: every order, every choice of which unknown operations happened. For a handful of operations.

use fed_chaos::workload::apply;
use fed_chaos::{Operation, Outcome};

/// Is there an order of all operations that took effect, and of any that may have, which a correct copy could have gone through?
pub(crate) fn linearizable(operations: &[Operation]) -> bool {
    let left: Vec<&Operation> = operations.iter().collect();
    orders(&left, &None)
}

fn orders(left: &[&Operation], register: &Option<String>) -> bool {
    if left.iter().all(|operation| operation.outcome == Outcome::Unknown) {
        return true;
    }
    (0..left.len()).any(|chosen| {
        let operation = left[chosen];
        let rest: Vec<&Operation> = left
            .iter()
            .copied()
            .filter(|other| !std::ptr::eq(*other, operation))
            .collect();
        if rest.iter().any(|other| precedes(other, operation)) {
            return false;
        }
        // A refused operation that is no compare-and-set did nothing, whatever the key held.
        let certain = matches!(operation.call, fed_chaos::Call::Cas { .. });
        let mut after = register.clone();
        let outcome = if operation.outcome == Outcome::Refused && !certain {
            Outcome::Refused
        } else {
            apply(&operation.call, &mut after)
        };
        let possible = operation.outcome == Outcome::Unknown || operation.outcome == outcome;
        possible && orders(&rest, &after)
    })
}

fn precedes(earlier: &Operation, later: &Operation) -> bool {
    earlier.outcome != Outcome::Unknown && earlier.end_ns < later.start_ns
}
