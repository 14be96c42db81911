//! `chaos report FILE`.

use std::error::Error;
use std::path::PathBuf;

use clap::Args;
use fed_chaos::Verdict;
use fed_chaos::report::report;

/// Arguments of the command.
#[derive(Args)]
#[command(after_help = "Exit codes: 0 the page is made, whatever it says; 3 failure of the harness.")]
pub(crate) struct Report {
    /// The folder of a run, or a history.
    file: PathBuf,
    /// Where the page is written; without it, to stdout.
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

impl Report {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let page = report(&self.file)?;
        match &self.html {
            Some(file) => std::fs::write(file, page).map_err(|error| format!("{}: {error}", file.display()))?,
            None => print!("{page}"),
        }
        Ok(Verdict::True)
    }
}
