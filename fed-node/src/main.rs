//! The `fed-node` program.

use std::process::ExitCode;

use clap::Parser;
use fed_node::cli::{Cli, dispatch};

/// Small pieces come and go by the thousand, in RocksDB too: the system's allocator takes a sixth of the processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("fed-node: cannot start: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(dispatch(cli));
    // Blocking reads of a client's stdin must not hold the end up.
    runtime.shutdown_background();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                eprintln!("fed-node: {}", failure.message);
            }
            ExitCode::from(failure.exit.code())
        }
    }
}
