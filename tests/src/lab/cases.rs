//! The runner of lab tests: named cases that share one lab, one after another, each with a line of its own.
//!
//! The standard harness cannot take a shared lab down when the last case is over, nor tell a skip from a pass. Arguments are those of
//! the standard one as far as they make sense: words filter the cases by name, `--list` lists them.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Error, Result, anyhow};

use super::{Lab, available};

/// One test: its name says the behaviour.
pub struct Case {
    /// As printed and filtered by.
    pub name: &'static str,
    /// What it does.
    pub body: fn(&mut Lab) -> Result<()>,
}

/// Runs the cases that the command line asks for on the lab that `start` makes.
///
/// Without root or Debian it says loudly that nothing was tested; with `CI=true` in the environment that is a failure.
pub fn main(start: fn() -> Result<Lab>, cases: &[Case]) -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with('-')).collect();
    let wanted = chosen(cases, &words);
    if std::env::args().any(|a| a == "--list") {
        wanted.iter().for_each(|c| println!("{}: test", c.name));
        return ExitCode::SUCCESS;
    }
    if wanted.is_empty() {
        // No failure: a word may be meant for another file of the same `cargo test`.
        println!("{}", nothing_chosen(cases, &words));
        return ExitCode::SUCCESS;
    }
    if let Err(why) = available() {
        return skipped(&why, wanted.len());
    }
    let started = Instant::now();
    let mut lab = match start() {
        Ok(lab) => lab,
        Err(why) => {
            println!("the lab could not be started: {why:#}");
            return ExitCode::FAILURE;
        }
    };
    println!(
        "lab of {} hosts up in {:.1} s",
        lab.hosts.len(),
        started.elapsed().as_secs_f64()
    );
    let mut failed = Vec::new();
    for case in &wanted {
        let began = Instant::now();
        let outcome =
            catch_unwind(AssertUnwindSafe(|| (case.body)(&mut lab))).unwrap_or_else(|panic| Err(panicked(&panic)));
        let took = began.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("test {} ... ok ({took:.1} s)", case.name),
            Err(why) => {
                println!("test {} ... FAILED ({took:.1} s)\n    {why:#}", case.name);
                failed.push(case.name);
            }
        }
    }
    println!(
        "lab: {} of {} cases passed in {:.1} s",
        wanted.len() - failed.len(),
        wanted.len(),
        started.elapsed().as_secs_f64()
    );
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    lab.keep_logs();
    ExitCode::FAILURE
}

/// The cases whose name holds one of the words; all of them without a word.
fn chosen<'a>(cases: &'a [Case], words: &[String]) -> Vec<&'a Case> {
    cases
        .iter()
        .filter(|c| words.is_empty() || words.iter().any(|w| c.name.contains(w.as_str())))
        .collect()
}

fn nothing_chosen(cases: &[Case], words: &[String]) -> String {
    let names: Vec<&str> = cases.iter().map(|case| case.name).collect();
    format!(
        "NOTHING was tested: no case here has {} in its name; there are\n    {}",
        words.join(" or "),
        names.join("\n    ")
    )
}

fn skipped(why: &Error, cases: usize) -> ExitCode {
    let bar = "!".repeat(100);
    println!("{bar}\n!! SKIPPED: {cases} tests on real Asterisk were NOT run: {why:#}\n{bar}");
    if std::env::var("CI").is_ok_and(|v| v == "true") {
        println!("CI=true: a skipped lab is a failure");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn panicked(panic: &Box<dyn std::any::Any + Send>) -> Error {
    let text = panic
        .downcast_ref::<String>()
        .cloned()
        .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
    anyhow!("panicked: {}", text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_that_no_name_holds_choose_nothing_and_the_names_are_told() {
        let cases = ["one_moves", "two_calls"].map(|name| Case { name, body: |_| Ok(()) });
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(chosen(&cases, &[]).len(), 2);
        assert_eq!(chosen(&cases, &words("calls --x")).len(), 1);
        assert!(chosen(&cases, &words("cals")).is_empty());
        let said = nothing_chosen(&cases, &words("cals"));
        assert!(
            said.contains("NOTHING") && said.contains("cals") && said.contains("two_calls"),
            "{said}"
        );
    }
}
