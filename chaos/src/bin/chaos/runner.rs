//! One process for each seed: `chaos-sim`.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use fed_chaos::simulation::report::Report;

/// A seed that runs longer than this is a failure of the harness.
const PATIENCE: Duration = Duration::from_secs(600);

/// How seeds are run.
#[derive(Args, Clone)]
pub(crate) struct Runner {
    /// The program that runs one seed; by default `chaos-sim` beside this one (`make sim` builds both).
    #[arg(long, value_name = "FILE")]
    runner: Option<PathBuf>,
    /// Simulated seconds in which faults happen.
    #[arg(long, default_value_t = 15)]
    pub(crate) seconds: u64,
}

impl Runner {
    pub(crate) fn command(&self, seed: u64) -> Result<Command, Box<dyn Error>> {
        let program = match &self.runner {
            Some(program) => program.clone(),
            None => std::env::current_exe()?.with_file_name("chaos-sim"),
        };
        if !program.is_file() {
            return Err(format!(
                "{} is not there: build it with `make sim`, or name it with --runner",
                program.display()
            )
            .into());
        }
        let mut command = Command::new(program);
        command
            .args(["--seed", &seed.to_string()])
            .args(["--seconds", &self.seconds.to_string()]);
        Ok(command)
    }

    /// Runs a seed to its end; `None` when it was called off.
    pub(crate) fn run(
        &self,
        seed: u64,
        more: &[String],
        called_off: &AtomicBool,
    ) -> Result<Option<Report>, Box<dyn Error>> {
        let mut command = self.command(seed)?;
        command.args(more).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        if !wait(&mut child, called_off)? {
            return Ok(None);
        }
        let output = child.wait_with_output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let line = text.lines().last().unwrap_or_default();
        serde_json::from_str(line)
            .map(Some)
            .map_err(|error| format!("seed {seed} ended with {} and no report: {error}", output.status).into())
    }
}

/// False when it was called off.
fn wait(child: &mut Child, called_off: &AtomicBool) -> Result<bool, Box<dyn Error>> {
    let began = Instant::now();
    while child.try_wait()?.is_none() {
        let late = began.elapsed() > PATIENCE;
        if late || called_off.load(Ordering::Relaxed) {
            child.kill()?;
            child.wait()?;
            return if late {
                Err("it did not end in time".into())
            } else {
                Ok(false)
            };
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok(true)
}
