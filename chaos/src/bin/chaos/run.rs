//! `chaos run PLAN..`.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use clap::Args;
use fed_chaos::Verdict;
use fed_chaos::plan::Plan;
use fed_chaos::run::{self, Judgement, RunFailure};

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Run {
    /// Plans, carried out one after the other.
    #[arg(required = true)]
    plans: Vec<PathBuf>,
    /// The fed-node to test; without it the one beside this program.
    #[arg(long, value_name = "FILE")]
    fed_node: Option<PathBuf>,
    /// A folder for what is recorded, one folder in it for each run. Without it a temporary one, which stays if a run does not pass.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Another seed than the plan's.
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Say only the table at the end.
    #[arg(short, long)]
    quiet: bool,
}

struct Ran {
    plan: Plan,
    result: Result<Judgement, String>,
    took: f64,
}

impl Run {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let mut plans = self
            .plans
            .iter()
            .map(|path| Plan::read(path))
            .collect::<Result<Vec<_>, _>>()?;
        for plan in &mut plans {
            plan.seed = self.seed.unwrap_or(plan.seed);
        }
        let binary = super::fed_node_binary(self.fed_node.as_deref())?;
        let out = match &self.out {
            Some(out) => out.clone(),
            None => std::env::temp_dir().join(format!("chaos-run-{}", std::process::id())),
        };
        let mut all = Vec::new();
        for plan in plans {
            let folder = fresh(&out, &plan)?;
            if !self.quiet {
                println!("{} (seed {}): {}", plan.name, plan.seed, plan.about);
            }
            let begin = Instant::now();
            let said = |words: &str| {
                if !self.quiet {
                    println!("  {:6.1} s  {words}", begin.elapsed().as_secs_f64());
                }
            };
            let result = run::run(&plan, &binary, &folder, said);
            let interrupted = matches!(result, Err(RunFailure::Interrupted));
            let result = result.map_err(|failure| failure.to_string());
            match &result {
                Ok(judgement) => print(judgement, self.quiet),
                Err(failure) => println!("  the harness failed: {failure}"),
            }
            let passed = result
                .as_ref()
                .is_ok_and(|judgement| judgement.verdict == Verdict::True);
            if passed && self.out.is_none() {
                std::fs::remove_dir_all(&folder)?;
            } else {
                println!("  recorded in {}", folder.display());
            }
            all.push(Ran {
                plan,
                result,
                took: begin.elapsed().as_secs_f64(),
            });
            // Whoever ends a run means all of them.
            if interrupted {
                break;
            }
        }
        table(&all);
        let verdicts = all.into_iter().map(|ran| ran.result.map(|judged| judged.verdict));
        Ok(overall(verdicts)?)
    }
}

/// What all runs come to. A violation that was found stays one, whatever became of other runs; then the harness has to work.
fn overall(results: impl Iterator<Item = Result<Verdict, String>>) -> Result<Verdict, String> {
    let (mut verdict, mut failure) = (Verdict::True, None);
    for result in results {
        match result {
            Ok(one) => verdict = verdict.and(one),
            Err(why) => failure = failure.or(Some(why)),
        }
    }
    match failure {
        Some(why) if verdict != Verdict::False => Err(why),
        _ => Ok(verdict),
    }
}

/// A new folder for one run.
fn fresh(out: &Path, plan: &Plan) -> std::io::Result<PathBuf> {
    let name = format!("{}-{}", plan.name, plan.seed);
    let mut folder = out.join(&name);
    let mut number = 1;
    while folder.exists() {
        number += 1;
        folder = out.join(format!("{name}-{number}"));
    }
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}

fn print(judgement: &Judgement, quiet: bool) {
    for finding in &judgement.findings {
        if !quiet || finding.verdict != Verdict::True {
            println!("  {:8} {}: {}", finding.verdict, finding.what, finding.seen);
        }
    }
}

fn table(all: &[Ran]) {
    println!("\nrow  fault          operations  known  leaders  verdict  seconds");
    for ran in all {
        let (operations, known, changes, verdict) = match &ran.result {
            Ok(judged) => (
                judged.operations,
                judged.known,
                judged.leader_changes,
                judged.verdict.to_string(),
            ),
            Err(_) => (0, 0, 0, "failed".to_owned()),
        };
        println!(
            "{:>3}  {:13}  {operations:>10}  {known:>5}  {changes:>7}  {verdict:7}  {:>7.0}",
            ran.plan.row, ran.plan.name, ran.took
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_outweighs_a_failure_of_the_harness_and_that_outweighs_doubt() {
        let [kept, broken, doubt] = [Verdict::True, Verdict::False, Verdict::Unknown].map(Ok::<_, String>);
        let failed = || Err("no network".to_owned());
        for (results, expected) in [
            (vec![kept.clone(), kept.clone()], kept.clone()),
            (vec![kept.clone(), doubt.clone()], doubt.clone()),
            (vec![doubt.clone(), broken.clone(), kept.clone()], broken.clone()),
            (vec![failed(), kept], failed()),
            (vec![doubt, failed()], failed()),
            (vec![failed(), broken.clone()], broken),
        ] {
            assert_eq!(overall(results.clone().into_iter()), expected, "{results:?}");
        }
    }
}
