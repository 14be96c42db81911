//! `chaos bench`: three `fed-node` processes and three etcd processes on this machine, under the same load, in turns. A
//! measurement, not a test: it fails only when one of them fails.

#[cfg(feature = "embedded")]
mod inside;
mod leader;
mod learners;
mod side;
mod sides;
#[cfg(feature = "embedded")]
mod size;
mod steady;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, ValueEnum};
use fed_chaos::Verdict;
use fed_chaos::load::Report;
use tokio::signal::unix::{SignalKind, signal};

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
    /// Writes and reads of ours by the stream of calls (`Pipeline`), against etcd's single calls.
    Stream,
    /// The leader killed under load, ten times.
    Leader,
    /// Reads by a node embedded in this program.
    #[cfg(feature = "embedded")]
    Inside,
    /// Twenty learners beside three voters.
    Learners,
    /// The state at several sizes: writes, memory, restart, join.
    #[cfg(feature = "embedded")]
    Size,
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
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Row::value_variants().to_vec())]
    rows: Vec<Row>,
    /// Bindings of the row `size`.
    #[cfg(feature = "embedded")]
    #[arg(long, value_delimiter = ',', default_values_t = [10_000, 100_000, 1_000_000])]
    sizes: Vec<u64>,
    /// With certificates, as in production; otherwise all of it is unprotected on loopback, as the etcd beside it. The rows with a node
    /// inside this program are left out.
    #[arg(long)]
    tls: bool,
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
    plaintext: bool,
}

impl Bench {
    pub(crate) fn run(self) -> Result<Verdict, Box<dyn Error>> {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            tokio::select! {
                done = self.measure() => done,
                // What was started is killed when it is dropped.
                () = told_to_end() => Err("interrupted".into()),
            }
        })
    }

    async fn measure(self) -> Result<Verdict, Box<dyn Error>> {
        let folder = match &self.dir {
            Some(dir) => {
                std::fs::create_dir_all(dir)?;
                tempfile::tempdir_in(dir)?
            }
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
            plaintext: !self.tls,
        };
        let mut report = Report::default();
        let (root, etcd) = (folder.path(), etcd.as_deref());
        self.on_three_nodes(&fed_node, etcd, root, &plan, &mut report).await?;
        if self.rows.contains(&Row::Learners) {
            learners::measure(&fed_node, &subfolder(root, "learners")?, &plan, &mut report).await?;
        }
        #[cfg(feature = "embedded")]
        if self.rows.contains(&Row::Size) && !self.tls {
            size::measure(&fed_node, etcd, root, &plan, &self.sizes, &mut report).await?;
        }
        println!("{}", report.table());
        if let Some(out) = &self.out {
            std::fs::write(out, serde_json::to_vec_pretty(&report.figures())?)?;
        }
        Ok(Verdict::True)
    }

    /// The rows that share one federation and one etcd with [`KEYS`](fed_chaos::load::KEYS) keys.
    async fn on_three_nodes(
        &self,
        fed_node: &Path,
        etcd: Option<&Path>,
        root: &Path,
        plan: &Plan,
        report: &mut Report,
    ) -> Result<(), Box<dyn Error>> {
        let apart = |row: &Row| match row {
            Row::Learners => true,
            #[cfg(feature = "embedded")]
            Row::Size => true,
            _ => false,
        };
        if self.rows.iter().all(apart) {
            return Ok(());
        }
        eprintln!("starting three nodes of each side in {}", root.display());
        let mut sides = Sides::start(fed_node, etcd, &subfolder(root, "three")?, plan.plaintext).await?;
        sides.fill().await?;
        steady::measure(&sides, &self.rows, plan, report).await?;
        if self.rows.contains(&Row::Leader) {
            leader::measure(&mut sides, report).await?;
        }
        #[cfg(feature = "embedded")]
        if self.rows.contains(&Row::Inside) && !self.tls {
            inside::measure(&sides, root, plan, report).await?;
        }
        Ok(())
    }
}

/// Comes back when somebody, or a terminal that closes, wants this program to end; never where that cannot be heard of.
async fn told_to_end() {
    let heard = |kind| async move {
        match signal(kind) {
            Ok(mut signal) => drop(signal.recv().await),
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        () = heard(SignalKind::interrupt()) => {}
        () = heard(SignalKind::terminate()) => {}
        () = heard(SignalKind::hangup()) => {}
    }
}

fn subfolder(root: &Path, name: &str) -> std::io::Result<PathBuf> {
    let folder = root.join(name);
    std::fs::create_dir_all(&folder)?;
    Ok(folder)
}
