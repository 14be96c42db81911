//! The checker against the definition, on small random histories; its witnesses too.

mod brute;

use fed_chaos::linearizability::{Limits, Necessity, check, check_key};
use fed_chaos::seeded::Seeded;
use fed_chaos::workload::{Load, correct_history};
use fed_chaos::{Call, Operation, Outcome, Verdict};

const HISTORIES: u64 = 20_000;

/// Few operations, few contents and few moments, so that everything that can meet does meet.
fn random_history(seed: u64) -> Vec<Operation> {
    let mut seeded = Seeded::new(seed);
    let (operations, contents, moments) = (1 + seeded.below(6), 1 + seeded.below(3), 3 + seeded.below(15));
    (0..operations)
        .map(|process| {
            let mut content = || format!("{}", seeded.below(contents));
            let (a, b) = (content(), content());
            let mut maybe = |text: String| (seeded.below(4) > 0).then_some(text);
            let (a, b) = (maybe(a), maybe(b));
            let call = match seeded.below(10) {
                0..4 => Call::Get,
                4..7 => Call::Put {
                    value: a.unwrap_or_else(|| "0".into()),
                },
                7..9 => Call::Cas {
                    expect: a,
                    value: b.clone(),
                },
                _ => Call::Delete,
            };
            let outcome = match (seeded.below(10), &call) {
                (0..2, _) => Outcome::Unknown,
                (2, _) => Outcome::Refused,
                (3..6, Call::Cas { .. }) => Outcome::Refused,
                (_, Call::Get) => Outcome::Answered(b),
                _ => Outcome::Done,
            };
            let start_ns = seeded.below(moments) as i64;
            let end_ns = start_ns + seeded.below(4) as i64;
            Operation {
                process: process as i64,
                node: None,
                key: "k".into(),
                call,
                outcome,
                start_ns,
                end_ns,
            }
        })
        .collect()
}

/// A correct history in which one answer may have been exchanged: nearly right is where checkers err.
fn nearly_correct_history(seed: u64) -> Vec<Operation> {
    let load = Load {
        seed,
        operations: 7,
        keys: 1,
        clients_per_key: 1 + (seed % 4) as usize,
        unknown_percent: 25,
    };
    let mut operations = correct_history(&load);
    let mut seeded = Seeded::new(seed);
    let (one, other) = (seeded.below(7) as usize, seeded.below(7) as usize);
    let answers = |operation: &Operation| matches!(operation.outcome, Outcome::Answered(_));
    if answers(&operations[one]) && answers(&operations[other]) {
        let outcome = operations[one].outcome.clone();
        operations[one].outcome = std::mem::replace(&mut operations[other].outcome, outcome);
    } else if let (Call::Cas { .. }, Outcome::Done) = (&operations[one].call, &operations[one].outcome) {
        operations[one].outcome = Outcome::Refused;
    }
    operations
}

/// How many of the histories are linearizable, after comparing each with the definition.
fn compare(make: fn(u64) -> Vec<Operation>) -> u64 {
    (0..HISTORIES)
        .filter(|seed| {
            let history = make(*seed);
            let references: Vec<&Operation> = history.iter().collect();
            let wanted = brute::linearizable(&history);
            assert_eq!(
                check_key(&references, u64::MAX),
                Some(wanted),
                "seed {seed}: {history:#?}"
            );
            wanted
        })
        .count() as u64
}

#[test]
fn the_checker_agrees_with_the_definition_on_random_histories() {
    let good = compare(random_history);
    assert!(
        (HISTORIES / 5..HISTORIES * 4 / 5).contains(&good),
        "{good} of {HISTORIES} are good: one-sided"
    );
}

#[test]
fn the_checker_agrees_with_the_definition_on_nearly_correct_histories() {
    let good = compare(nearly_correct_history);
    assert!(
        (HISTORIES / 5..HISTORIES * 19 / 20).contains(&good),
        "{good} of {HISTORIES} are good: one-sided"
    );
}

#[test]
fn histories_of_a_correct_register_are_linearizable_at_any_concurrency() {
    for seed in 0..60 {
        let clients_per_key = 1 + (seed % 16) as usize;
        let load = Load {
            seed,
            operations: 2_000,
            keys: 7,
            clients_per_key,
            unknown_percent: 5 * (seed % 8),
        };
        let report = check(&correct_history(&load), &Limits::default());
        assert_eq!(
            report.verdict,
            Verdict::True,
            "{load:?}: {:?} {:?}",
            report.violations,
            report.undecided
        );
    }
}

#[test]
fn a_witness_of_a_violation_is_itself_a_violation() {
    let mut seen = 0;
    for seed in 0..HISTORIES / 4 {
        let history = random_history(seed);
        let report = check(&history, &Limits::default());
        let Some(violation) = report.violations.first() else {
            continue;
        };
        seen += 1;
        let witness: Vec<Operation> = violation
            .lines
            .iter()
            .map(|line| Operation::from_line(line).expect("a line of a history"))
            .collect();
        assert!(
            !brute::linearizable(&witness),
            "seed {seed}: {history:#?}\n{:#?}",
            violation.story
        );
        assert!(witness.iter().all(|operation| history.contains(operation)));
        assert_eq!(violation.necessity, Necessity::Smallest);
    }
    assert!(seen > HISTORIES / 20, "only {seen} violations seen");
}
