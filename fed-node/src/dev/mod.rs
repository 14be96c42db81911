//! `dev`: a whole federation on this machine, to try things out without an Asterisk.
//!
//! Each node is a `fed-node run` process of its own with a simulated Asterisk (22, 22, 16, ...) beside it; everything listens on
//! loopback and lives in a temporary folder that is removed at the end. Lines on stdin play phones, kill nodes and start them again.
//!
//! It ends with `quit` or a signal. The end of stdin says only that nobody will type any more: started in the background or by a
//! service manager, it goes on.

mod console;
mod federation;
mod node;

use std::io::IsTerminal;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;

use crate::cli::{DevArgs, Failure, Outcome};
use crate::talk;
use federation::DevFederation;

/// `dev`
///
/// # Errors
/// When a node does not come up; its log says why.
pub async fn dev(args: &DevArgs) -> Outcome {
    talk!("starting {} nodes, each with a simulated Asterisk ...", args.nodes);
    let mut federation = DevFederation::start(args.nodes).await?;
    federation.add_users().await?;
    talk!("{}", federation.welcome());
    let failed = if args.no_wait {
        0
    } else {
        converse(&mut federation).await?
    };
    federation.stop().await;
    // Somebody trying things out has seen it; a script has to be told.
    if failed == 0 || std::io::stdin().is_terminal() {
        Ok(())
    } else {
        Err(Failure::failed(format!("{failed} lines failed")))
    }
}

/// Obeys lines until `quit` or a signal; how many lines failed.
async fn converse(federation: &mut DevFederation) -> Outcome<usize> {
    let interactive = std::io::stdin().is_terminal();
    let mut lines = lines_of_stdin();
    let mut terminate = signal(SignalKind::terminate())?;
    let mut failed = 0;
    loop {
        if interactive {
            talk::ask(format_args!("dev> "));
        }
        let line = tokio::select! {
            Some(line) = lines.recv() => line,
            _ = tokio::signal::ctrl_c() => return Ok(failed),
            _ = terminate.recv() => return Ok(failed),
        };
        let why = match console::parse(&line) {
            Ok(None) => continue,
            Ok(Some(console::Line::Quit)) => return Ok(failed),
            Ok(Some(line)) => match federation.obey(line).await {
                Ok(said) => {
                    println!("{said}");
                    continue;
                }
                Err(failure) => failure.message,
            },
            Err(why) => why,
        };
        talk!("{why}");
        failed += 1;
    }
}

/// Lines of stdin, read on a thread of their own: a blocked read ends with the process.
fn lines_of_stdin() -> mpsc::Receiver<String> {
    let (sender, receiver) = mpsc::channel(1);
    std::thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
