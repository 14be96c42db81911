//! `chaos bench`: three `fed-node` processes and three etcd processes on this machine, under the same load, in turns. A
//! measurement, not a test: it fails only when one of them fails.

mod sides;
mod steady;

use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use fed_chaos::Verdict;
use fed_chaos::load::Report;

use sides::Sides;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Row {
    /// One write a call, with 1, 64 and 256 clients.
    Writes,
    /// 64 writes a call.
    Batches,
    /// Linearizable reads, with 64 and 256 clients.
    Reads,
    /// Reads of whatever the node asked has, against etcd's serializable ones.
    Local,
}

/// Arguments of the command.
#[derive(Args)]
#[command(
    after_help = "A key of ours is a user of the map whose fields hold 128 bytes of text, written by PutUser and read by \
GetUser; one of etcd's is a key with a value of 128 bytes. Both are unary calls over the same kind of client (tonic), over one \
connection for one client and six, two to each node, for more. Both sides sync before they acknowledge."
)]
pub(crate) struct Bench {
    /// Rows to measure.
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Row::Writes, Row::Batches, Row::Reads, Row::Local])]
    rows: Vec<Row>,
    /// Seconds of each measurement, after one second that is not counted.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Rounds, in turns; the table shows the medians.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=99))]
    rounds: u16,
    /// Write the figures to this file too, as a JSON list.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// The fed-node to measure. Default: the one beside this program.
    #[arg(long, value_name = "PROGRAM")]
    fed_node: Option<PathBuf>,
    /// The etcd to measure beside it; `none` measures ours alone.
    #[arg(long, value_name = "PROGRAM", default_value = "etcd")]
    etcd: PathBuf,
    /// Where the data folders are made, on the disk that is to be measured. Default: the folder for temporary files.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
}

/// What every row is told.
struct Plan {
    measured: Duration,
    rounds: u16,
}

impl Bench {
    pub(crate) fn run(self) -> Result<Verdict, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::select! {
                done = self.measure() => done,
                // What was started is killed when it is dropped.
                _ = tokio::signal::ctrl_c() => Err("interrupted".into()),
            }
        })
    }

    async fn measure(self) -> Result<Verdict, Box<dyn Error>> {
        let folder = match &self.dir {
            Some(dir) => tempfile::tempdir_in(dir)?,
            None => tempfile::tempdir()?,
        };
        let fed_node = match &self.fed_node {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("fed-node"),
        };
        let etcd = Some(self.etcd.clone()).filter(|program| program.as_os_str() != "none");
        let plan = Plan {
            measured: Duration::from_secs(self.seconds),
            rounds: self.rounds,
        };
        let mut report = Report::default();
        let steady: Vec<Row> = self.rows.clone();
        if !steady.is_empty() {
            eprintln!("starting three nodes of each side in {}", folder.path().display());
            let sides = Sides::start(&fed_node, etcd.as_deref(), folder.path()).await?;
            sides.fill().await?;
            steady::measure(&sides, &steady, &plan, &mut report).await?;
        }
        println!("{}", report.table());
        if let Some(out) = &self.out {
            std::fs::write(out, serde_json::to_vec_pretty(&report.figures())?)?;
        }
        Ok(Verdict::True)
    }
}
