//! `chaos replay SEED`: one seed again, telling what happens.

use std::error::Error;
use std::time::Duration;

use clap::Args;
use fed_chaos::Verdict;
use fed_chaos::simulation::plan::Plan;

use crate::runner::Runner;

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Replay {
    /// The seed.
    seed: u64,
    /// Faults to leave out, by number.
    #[arg(long, value_delimiter = ',')]
    skip: Vec<usize>,
    /// Plant this bug (builds with planted bugs only).
    #[arg(long)]
    bug: Option<String>,
    #[command(flatten)]
    runner: Runner,
}

impl Replay {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let plan = Plan::of(self.seed, Duration::from_secs(self.runner.seconds));
        if let Some(number) = self
            .skip
            .iter()
            .find(|n| plan.faults.iter().all(|fault| fault.number != **n))
        {
            return Err(format!(
                "--skip {number}: seed {} has no such fault; without --skip they are told with their numbers",
                self.seed
            )
            .into());
        }
        let mut command = self.runner.command(self.seed)?;
        command.arg("--verbose").args(flags(&self.skip, self.bug.as_deref()));
        match command.status()?.code() {
            Some(0) => Ok(Verdict::True),
            Some(1) => Ok(Verdict::False),
            Some(2) => Ok(Verdict::Unknown),
            // It has said why.
            Some(code) => Err(format!("seed {} was not simulated: exit code {code}", self.seed).into()),
            None => Err(format!("seed {} was not simulated: a signal ended it", self.seed).into()),
        }
    }
}

/// What a run is told of faults left out and bugs planted.
pub(crate) fn flags(skip: &[usize], bug: Option<&str>) -> Vec<String> {
    let mut flags = Vec::new();
    if !skip.is_empty() {
        let numbers: Vec<String> = skip.iter().map(usize::to_string).collect();
        flags.extend(["--skip".to_owned(), numbers.join(",")]);
    }
    if let Some(bug) = bug {
        flags.extend(["--bug".to_owned(), bug.to_owned()]);
    }
    flags
}
