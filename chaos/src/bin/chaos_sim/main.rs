//! `chaos-sim`: one seed of the simulation, and then the end of the process. `chaos sim` runs many.

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use fed_chaos::simulation::plan::Plan;
use fed_chaos::simulation::{Setup, run};
use fed_chaos::verdict::HARNESS_FAILURE;

/// Runs one seed and prints the report as one line of JSON.
#[derive(Parser)]
#[command(
    name = "chaos-sim",
    after_help = "Exit codes: 0 pass, 1 violation, 2 unknown or too little coverage, 3 failure of the harness."
)]
struct Arguments {
    /// Decides everything.
    #[arg(long)]
    seed: u64,
    /// Simulated seconds in which faults happen.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Faults to leave out, by number.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<usize>,
    /// Print the plan and run nothing.
    #[arg(long)]
    plan: bool,
    /// Tell on stderr what happens.
    #[arg(long, short)]
    verbose: bool,
    /// Plant this bug (builds with planted bugs only).
    #[arg(long)]
    bug: Option<String>,
}

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed stderr leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(HARNESS_FAILURE);
        }
    };
    let length = Duration::from_secs(arguments.seconds);
    if arguments.plan {
        let plan = Plan::of(arguments.seed, length).without(&arguments.skip);
        plan.faults.iter().for_each(|fault| println!("{fault}"));
        return ExitCode::SUCCESS;
    }
    if let Some(bug) = &arguments.bug
        && let Err(why) = plant(bug)
    {
        eprintln!("chaos-sim: {why}");
        return ExitCode::from(HARNESS_FAILURE);
    }
    if arguments.verbose {
        tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .without_time()
            .init();
    }
    let report = run(&Setup {
        seed: arguments.seed,
        length,
        skip: arguments.skip,
        verbose: arguments.verbose,
    });
    match serde_json::to_string(&report) {
        Ok(line) => println!("{line}"),
        Err(error) => {
            eprintln!("chaos-sim: {error}");
            return ExitCode::from(HARNESS_FAILURE);
        }
    }
    ExitCode::from(report.verdict().exit_code())
}

#[cfg(feature = "planted-bugs")]
fn plant(bug: &str) -> Result<(), String> {
    fed_raft::planted::plant(bug)
}

#[cfg(not(feature = "planted-bugs"))]
fn plant(_: &str) -> Result<(), String> {
    Err("this build has no planted bugs: build with the feature `planted-bugs`".to_owned())
}
