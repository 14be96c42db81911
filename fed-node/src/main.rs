//! The `fed-node` program.

use std::io::IsTerminal;
use std::process::ExitCode;

use clap::Parser;
use fed_node::cli::{Cli, Failure, dispatch};

/// Small pieces come and go by the thousand, in RocksDB too: the system's allocator takes a sixth of the processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub(crate) fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return misread(&error),
    };
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            return failed(&Failure::failed(format!("cannot start: {error}")));
        }
    };
    let outcome = runtime.block_on(dispatch(cli));
    fed_node::give_way_to_an_interruption();
    // Blocking reads of a client's stdin must not hold the end up.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failed(&failure),
    }
}

/// Says what went wrong; the exit code says which kind.
fn failed(failure: &Failure) -> ExitCode {
    if !failure.message.is_empty() {
        fed_node::talk!("fed-node: {failure}");
        hint(failure);
    }
    ExitCode::from(failure.exit.code())
}

/// `--help` and `--version` come here too: they are answers, on stdout.
fn misread(error: &clap::Error) -> ExitCode {
    let printed = error.print();
    if !error.use_stderr() {
        return match printed {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => failed(&Failure::failed(format!(
                "the text could not be written to stdout: {error}"
            ))),
            // A reader that went away need not be told.
            _ => ExitCode::SUCCESS,
        };
    }
    let failure = Failure::usage("");
    fed_node::talk!("[{}]", failure.code);
    ExitCode::from(failure.exit.code())
}

/// For somebody who sees a code for the first time.
fn hint(failure: &Failure) {
    if std::io::stderr().is_terminal() {
        fed_node::talk!("(more: fed-node explain {})", failure.code);
    }
}
