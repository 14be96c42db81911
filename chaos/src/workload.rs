//! Correct histories from a seed: what clients would have recorded of a cluster that keeps its promise.
//!
//! They measure the checkers and test them: every such history is linearizable by construction, because each operation is
//! carried out on one register at one moment between its start and its end.

use crate::operation::{Call, Operation, Outcome};
use crate::seeded::Seeded;

/// What to make. The same load gives the same history.
#[derive(Clone, Debug)]
pub struct Load {
    /// Decides everything that the other fields leave open.
    pub seed: u64,
    /// Operations in all.
    pub operations: usize,
    /// Keys they are spread over evenly; at least 1.
    pub keys: usize,
    /// Clients that work on one key at the same time; at least 1.
    pub clients_per_key: usize,
    /// How many of 100 operations end without an answer. Half of those take effect, some long afterwards.
    pub unknown_percent: u64,
}

/// Makes a history, ordered by key.
pub fn correct_history(load: &Load) -> Vec<Operation> {
    let keys = load.keys.max(1);
    let mut seeded = Seeded::new(load.seed);
    (0..keys)
        .flat_map(|key| {
            let share = load.operations / keys + usize::from(key < load.operations % keys);
            one_key(load, key, share, &mut seeded)
        })
        .collect()
}

/// A request with the moment at which it takes effect, if it does.
struct Request {
    client: usize,
    start: i64,
    effect: Option<i64>,
    end: i64,
    known: bool,
    kind: u64,
}

fn one_key(load: &Load, key: usize, operations: usize, seeded: &mut Seeded) -> Vec<Operation> {
    let clients = load.clients_per_key.max(1);
    let mut free = vec![0_i64; clients];
    let mut requests: Vec<Request> = (0..operations)
        .map(|number| {
            let client = number % clients;
            let mut wait = |most: u64| 1 + seeded.below(most) as i64;
            let start = free[client] + wait(200_000);
            let effect = start + wait(500_000);
            let end = effect + wait(500_000);
            let late = wait(5_000_000);
            free[client] = end;
            let known = !seeded.chance(load.unknown_percent);
            let effect = match (known, seeded.below(4)) {
                (true, _) | (false, 0) => Some(effect),
                (false, 1) => Some(end + late),
                (false, _) => None,
            };
            Request {
                client,
                start,
                effect,
                end,
                known,
                kind: seeded.below(100),
            }
        })
        .collect();
    requests.sort_by_key(|request| request.effect.unwrap_or(request.start));
    let mut register: Option<String> = None;
    let mut older: Option<String> = None;
    requests
        .into_iter()
        .enumerate()
        .map(|(number, request)| {
            let value = format!("10.0.{}.{}:5060#{number}", key % 250, request.client);
            let call = match request.kind {
                0..45 => Call::Get,
                45..75 => Call::Put { value },
                75..83 => Call::Cas {
                    expect: older.clone(),
                    value: Some(value),
                },
                83..95 => Call::Cas {
                    expect: register.clone(),
                    value: Some(value),
                },
                _ => Call::Delete,
            };
            let before = register.clone();
            let outcome = if request.effect.is_some() {
                apply(&call, &mut register)
            } else {
                Outcome::Unknown
            };
            if register != before {
                older = before;
            }
            Operation {
                process: (key * clients + request.client) as i64,
                node: None,
                key: format!("{}", 1000 + key),
                call,
                outcome: if request.known { outcome } else { Outcome::Unknown },
                start_ns: request.start,
                end_ns: request.end,
            }
        })
        .collect()
}

/// Carries out one call on a register, as one correct copy does.
pub fn apply(call: &Call, register: &mut Option<String>) -> Outcome {
    match call {
        Call::Get => return Outcome::Answered(register.clone()),
        Call::Put { value } => *register = Some(value.clone()),
        Call::Cas { expect, .. } if expect != register => return Outcome::Refused,
        Call::Cas { value, .. } => value.clone_into(register),
        Call::Delete => *register = None,
    }
    Outcome::Done
}
