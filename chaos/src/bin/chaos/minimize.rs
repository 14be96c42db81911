//! `chaos minimize SEED`: faults with which a seed still fails, none of which can be left out.

use std::error::Error;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::Args;
use fed_chaos::Verdict;
use fed_chaos::simulation::plan::Plan;
use fed_chaos::simulation::report::Report;

use crate::replay::flags;
use crate::runner::Runner;

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Minimize {
    /// The seed.
    seed: u64,
    /// Plant this bug (builds with planted bugs only).
    #[arg(long)]
    bug: Option<String>,
    #[command(flatten)]
    runner: Runner,
}

impl Minimize {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let plan = Plan::of(self.seed, Duration::from_secs(self.runner.seconds));
        let mut skip = Vec::new();
        let report = self.report(&skip)?;
        let Some(mut first) = report.violations.first().cloned() else {
            match &report.too_little {
                None => println!("seed {} passes: there is nothing to shorten", self.seed),
                Some(why) => println!("seed {} proves nothing ({why}): there is nothing to shorten", self.seed),
            }
            return Ok(report.verdict());
        };
        // Ever smaller portions are left out, for as long as what is left still fails.
        let mut portion = plan.faults.len().div_ceil(2);
        loop {
            let kept: Vec<usize> = plan
                .faults
                .iter()
                .map(|fault| fault.number)
                .filter(|n| !skip.contains(n))
                .collect();
            let mut shorter = false;
            for part in kept.chunks(portion.max(1)) {
                let attempt: Vec<usize> = skip.iter().chain(part).copied().collect();
                if let Some(violation) = self.report(&attempt)?.violations.into_iter().next() {
                    (skip, first, shorter) = (attempt, violation, true);
                }
            }
            if portion <= 1 && !shorter {
                break;
            }
            portion = if shorter { portion } else { portion / 2 };
            portion = portion.max(1);
        }
        skip.sort_unstable();
        println!("seed {} still fails with these faults: {first}", self.seed);
        for fault in plan.without(&skip).faults {
            println!("  {fault}");
        }
        let more = flags(&skip, self.bug.as_deref()).join(" ");
        println!("chaos replay {} --seconds {} {more}", self.seed, self.runner.seconds);
        Ok(Verdict::False)
    }

    fn report(&self, skip: &[usize]) -> Result<Report, Box<dyn Error>> {
        let flags = flags(skip, self.bug.as_deref());
        let report = self.runner.run(self.seed, &flags, &AtomicBool::new(false))?;
        report.ok_or_else(|| "the run was called off".into())
    }
}
