//! `dev`: a whole federation on this machine, to try things out without an Asterisk.
//!
//! Each node is a `fed-node run` process of its own with a simulated Asterisk (22, 22, 16, ...) beside it; everything listens on
//! loopback and lives in a temporary folder that is removed at the end. Lines on stdin play phones, kill nodes and start them again.

mod console;
mod federation;
mod node;

use std::io::IsTerminal;

use tokio::sync::mpsc;

use crate::cli::{DevArgs, Outcome};
use federation::DevFederation;

/// `dev`
///
/// # Errors
/// When a node does not come up; its log says why.
pub async fn dev(args: &DevArgs) -> Outcome {
    eprintln!("starting {} nodes, each with a simulated Asterisk ...", args.nodes);
    let mut federation = DevFederation::start(args.nodes).await?;
    federation.add_users().await?;
    eprintln!("{}", federation.welcome());
    if !args.no_wait {
        converse(&mut federation).await?;
    }
    federation.stop().await;
    Ok(())
}

/// Obeys lines until `quit`, the end of stdin, or Ctrl-C.
async fn converse(federation: &mut DevFederation) -> Outcome {
    let interactive = std::io::stdin().is_terminal();
    let mut lines = lines_of_stdin();
    loop {
        if interactive {
            eprint!("dev> ");
        }
        let line = tokio::select! {
            line = lines.recv() => line,
            _ = tokio::signal::ctrl_c() => None,
        };
        let Some(line) = line else { return Ok(()) };
        match console::parse(&line) {
            Ok(None) => {}
            Ok(Some(console::Line::Quit)) => return Ok(()),
            Ok(Some(line)) => match federation.obey(line).await {
                Ok(said) => println!("{said}"),
                // Somebody trying things out goes on; a script must not.
                Err(failure) if interactive => eprintln!("{}", failure.message),
                Err(failure) => return Err(failure),
            },
            Err(why) if interactive => eprintln!("{why}"),
            Err(why) => return Err(crate::cli::Failure::usage(why)),
        }
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
