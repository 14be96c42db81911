//! `chaos plan ROW`.

use std::error::Error;

use clap::Args;
use fed_chaos::Verdict;
use fed_chaos::plan::{ROWS, generate};

/// Arguments of the command.
#[derive(Args)]
pub(crate) struct Plan {
    /// Number of the row; without it, the rows are listed.
    row: Option<u8>,
    /// Decides everything that is left to chance.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

impl Plan {
    pub(crate) fn run(&self) -> Result<Verdict, Box<dyn Error>> {
        let Some(row) = self.row else {
            for row in ROWS {
                println!("{:>3}  {:13}  {}", row.number, row.name, row.about);
            }
            return Ok(Verdict::True);
        };
        let plan = generate(row, self.seed).ok_or_else(|| format!("no plan for row {row}: `chaos plan` lists them"))?;
        print!("{}", plan.to_toml());
        Ok(Verdict::True)
    }
}
