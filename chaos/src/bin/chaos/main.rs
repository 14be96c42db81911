//! `chaos`: judges recorded histories, simulates clusters and measures them. Exit codes: 0 pass, 1 violation, 2 unknown or too little
//! coverage, 3 harness failure.

mod bench;
mod bench_check;
mod check;
mod exam;
mod lab;
mod minimize;
mod plan;
mod replay;
mod report;
mod run;
mod runner;
mod sim;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use fed_chaos::verdict::HARNESS_FAILURE;

/// Judges what clusters did under faults, and measures them.
#[derive(Parser)]
#[command(
    name = "chaos",
    version,
    after_help = "Exit codes: 0 pass, 1 violation, 2 unknown or too little coverage, 3 failure of the harness."
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Say whether a recorded history is linearizable, and if not, why.
    Check(check::Check),
    /// Measure a federation of three nodes against etcd, under the same load.
    Bench(bench::Bench),
    /// Measure the checker on histories made from a seed.
    BenchCheck(bench_check::BenchCheck),
    /// Simulate clusters under faults, one seed after the other (`make sim`).
    Sim(sim::Sim),
    /// Simulate one seed again and tell what happens.
    Replay(replay::Replay),
    /// Leave out faults of a seed for as long as it still fails.
    Minimize(minimize::Minimize),
    /// Let the simulation find planted bugs (`make exam`).
    Exam(exam::Exam),
    /// Carry out plans: real fed-node processes under faults, judged by what their clients saw.
    Run(run::Run),
    /// Make the plan of a row of the table of faults from a seed.
    Plan(plan::Plan),
    /// A cluster for hand work: up, partition, heal, down.
    Lab(lab::Lab),
    /// Make one HTML page of a run: faults, operations, leaders and latency on one time line, the first bad key.
    Report(report::Report),
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // The usual exit code of a usage error, 2, means "unknown" here. A closed stdout leaves nobody to tell.
            let _ = error.print();
            return if error.use_stderr() {
                ExitCode::from(HARNESS_FAILURE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    let result = match arguments.command {
        Command::Check(check) => check.run(),
        Command::Bench(bench) => bench.run(),
        Command::BenchCheck(bench) => bench.run(),
        Command::Sim(sim) => sim.run(),
        Command::Replay(replay) => replay.run(),
        Command::Minimize(minimize) => minimize.run(),
        Command::Exam(exam) => exam.run(),
        Command::Run(run) => run.run(),
        Command::Plan(plan) => plan.run(),
        Command::Lab(lab) => lab.run(),
        Command::Report(report) => report.run(),
    };
    match result {
        Ok(verdict) => ExitCode::from(verdict.exit_code()),
        Err(error) => {
            eprintln!("chaos: {error}");
            ExitCode::from(HARNESS_FAILURE)
        }
    }
}

/// The fed-node to test: the one named, or the one beside this program.
fn fed_node_binary(named: Option<&Path>) -> Result<PathBuf, String> {
    let binary = match named {
        Some(named) => named.to_owned(),
        None => std::env::current_exe()
            .map_err(|error| error.to_string())?
            .with_file_name("fed-node"),
    };
    if binary.exists() {
        Ok(binary)
    } else {
        Err(format!(
            "{} does not exist: build it, or name another with --fed-node",
            binary.display()
        ))
    }
}
