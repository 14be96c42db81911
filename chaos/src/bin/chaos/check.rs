//! `chaos check FILE`.

use std::error::Error;
use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use fed_chaos::linearizability::{self, Limits, Necessity, Report, Violation};
use fed_chaos::{History, Verdict};

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Check {
    /// The history: JSON lines, `#` begins a comment.
    file: PathBuf,
    /// Fewer operations with a known outcome than this are too little for a pass.
    #[arg(long, value_name = "N", default_value_t = Limits::default().known_operations)]
    min_operations: usize,
    /// Give up on a key after trying this many steps; the key is then unknown.
    #[arg(long, value_name = "N", default_value_t = Limits::default().steps_per_key)]
    max_steps: u64,
    /// Text for people, JSON for scripts.
    #[arg(short, long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, ValueEnum)]
enum Output {
    Text,
    Json,
}

impl Check {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let history = History::read(&self.file)?;
        let limits = Limits {
            steps_per_key: self.max_steps,
            steps: Limits::default().steps.max(self.max_steps),
            known_operations: self.min_operations,
            ..Limits::default()
        };
        let report = linearizability::check(&history.operations, &limits);
        let mut out = io::stdout().lock();
        match self.output {
            Output::Json => writeln!(out, "{}", serde_json::to_string_pretty(&report)?)?,
            Output::Text => print(&mut out, &history, &report)?,
        }
        Ok(report.verdict)
    }
}

fn print(out: &mut impl Write, history: &History, report: &Report) -> io::Result<()> {
    let coverage = &report.coverage;
    writeln!(out, "linearizable: {}", report.verdict)?;
    writeln!(
        out,
        "operations {}, clients {}, keys {} (put to the test: {}), acknowledged writes {}, observations {}, unknown outcomes {}",
        coverage.operations,
        coverage.clients,
        coverage.keys,
        coverage.tested_keys,
        coverage.writes,
        coverage.observations,
        coverage.unknown
    )?;
    if history.interrupted > 0 {
        writeln!(
            out,
            "operations that had begun and were not finished when recording stopped: {}",
            history.interrupted
        )?;
    }
    for violation in &report.violations {
        print_violation(out, violation)?;
    }
    if !report.more_violations.is_empty() {
        writeln!(out, "\nalso not linearizable: {}", listed(&report.more_violations))?;
    }
    if !report.undecided.is_empty() {
        writeln!(
            out,
            "\nundecided, more steps needed (--max-steps): {}",
            listed(&report.undecided)
        )?;
    }
    if let Some(why) = &report.too_little {
        writeln!(out, "\ntoo little was seen: {why}")?;
    }
    Ok(())
}

fn print_violation(out: &mut impl Write, violation: &Violation) -> io::Result<()> {
    writeln!(out, "\nkey {:?}: {}", violation.key, violation.summary)?;
    writeln!(
        out,
        "{}",
        match violation.necessity {
            Necessity::Smallest => "  the fewest operations that show it:",
            Necessity::Irreducible => "  the operations that show it, none of which can be left out:",
            Necessity::Cut => "  the operations up to then (too many to reduce within --max-steps):",
        }
    )?;
    for sentence in &violation.story {
        writeln!(out, "    {sentence}")?;
    }
    Ok(())
}

fn listed(keys: &[String]) -> String {
    const MOST: usize = 20;
    let mut text = keys
        .iter()
        .take(MOST)
        .map(|key| format!("{key:?}"))
        .collect::<Vec<_>>()
        .join(", ");
    if keys.len() > MOST {
        text.push_str(&format!(" and {} more keys", keys.len() - MOST));
    }
    text
}
