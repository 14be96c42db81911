//! `chaos bench-check`: how long the checker takes, as a table. A measurement, not a test: a wrong verdict
//! is a failure of the harness (exit code 3), a missed bar a violation (1).

use std::error::Error;
use std::time::{Duration, Instant};

use clap::Args;
use fed_chaos::linearizability::{self, Limits};
use fed_chaos::workload::{Load, correct_history};
use fed_chaos::{History, Operation, Outcome, Verdict};

/// Operations in each history.
const OPERATIONS: usize = 100_000;

/// 100,000 operations over 1,000 keys have to be read and judged in this time.
const BAR: Duration = Duration::from_secs(2);

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct BenchCheck {
    /// Decides the histories.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Rounds; the table shows the median of each row.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
}

struct Row {
    name: &'static str,
    keys: usize,
    clients_per_key: usize,
    unknown_percent: u64,
    /// One read is made to answer something that it cannot have seen.
    broken: bool,
    has_bar: bool,
}

impl Row {
    const fn new(name: &'static str, keys: usize, clients_per_key: usize, unknown_percent: u64) -> Self {
        Row {
            name,
            keys,
            clients_per_key,
            unknown_percent,
            broken: false,
            has_bar: false,
        }
    }
}

const ROWS: [Row; 7] = [
    Row {
        has_bar: true,
        ..Row::new("the bar", 1_000, 8, 2)
    },
    Row {
        has_bar: true,
        broken: true,
        ..Row::new("the bar, one stale read", 1_000, 8, 2)
    },
    Row::new("300 operations a key", 334, 8, 2),
    Row::new("many unknown outcomes", 334, 8, 30),
    Row {
        broken: true,
        ..Row::new("many unknown, one stale", 334, 8, 30)
    },
    Row::new("sixteen clients on a key", 1_000, 16, 2),
    Row::new("one hot key", 1, 8, 2),
];

struct Measured {
    read: Duration,
    checked: Duration,
    steps: u64,
    verdict: Verdict,
}

impl BenchCheck {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        println!(
            "{:<26} {:>10} {:>6} {:>8} {:>8} {:>9} {:>9} {:>9} {:>10}  {:<8} bar",
            "history", "operations", "keys", "clients", "unknown", "read", "checked", "both", "steps", "verdict"
        );
        let mut bars = Verdict::True;
        for row in &ROWS {
            let text = self.history(row)?;
            let mut rounds = (0..self.rounds)
                .map(|_| measure(&text))
                .collect::<Result<Vec<_>, _>>()?;
            rounds.sort_by_key(|measured| measured.read + measured.checked);
            let median = &rounds[rounds.len() / 2];
            let both = median.read + median.checked;
            println!(
                "{:<26} {:>10} {:>6} {:>8} {:>7}% {:>7}ms {:>7}ms {:>7}ms {:>10}  {:<8} {}",
                row.name,
                OPERATIONS,
                row.keys,
                row.clients_per_key,
                row.unknown_percent,
                median.read.as_millis(),
                median.checked.as_millis(),
                both.as_millis(),
                median.steps,
                median.verdict.to_string(),
                match (row.has_bar, both <= BAR) {
                    (false, _) => String::new(),
                    (true, true) => format!("<= {} s: held", BAR.as_secs()),
                    (true, false) => format!("<= {} s: missed", BAR.as_secs()),
                }
            );
            if row.has_bar && both > BAR {
                bars = Verdict::False;
            }
            let right = if row.broken { Verdict::False } else { Verdict::True };
            if median.verdict != right {
                return Err(format!("{}: the verdict is {}, and {right} is right", row.name, median.verdict).into());
            }
        }
        Ok(bars)
    }

    /// The history as the content of a file.
    fn history(&self, row: &Row) -> Result<Vec<u8>, Box<dyn Error>> {
        let mut operations = correct_history(&Load {
            seed: self.seed,
            operations: OPERATIONS,
            keys: row.keys,
            clients_per_key: row.clients_per_key,
            unknown_percent: row.unknown_percent,
        });
        if row.broken {
            make_stale(&mut operations).ok_or("the history has no read that could be made stale")?;
        }
        // As a recorder writes them: in the order in which they end, all keys mixed.
        operations.sort_by_key(|operation| operation.end_ns);
        let lines: Vec<String> = operations.iter().map(|operation| operation.to_line() + "\n").collect();
        Ok(lines.concat().into_bytes())
    }
}

/// Makes the last answered get answer what the first one on the same key was told, before an acknowledged put.
fn make_stale(operations: &mut [Operation]) -> Option<()> {
    let answered = |operation: &Operation| matches!(&operation.outcome, Outcome::Answered(Some(_)));
    let last = operations.iter().rposition(answered)?;
    let first = operations
        .iter()
        .position(|operation| answered(operation) && operation.key == operations[last].key)?;
    let stale = operations[first].outcome.clone();
    (operations[last].outcome != stale).then(|| operations[last].outcome = stale)
}

fn measure(text: &[u8]) -> Result<Measured, Box<dyn Error>> {
    let began = Instant::now();
    let history = History::parse(text)?;
    let read = began.elapsed();
    let report = linearizability::check(&history.operations, &Limits::default());
    Ok(Measured {
        read,
        checked: began.elapsed() - read,
        steps: report.steps,
        verdict: report.verdict,
    })
}
