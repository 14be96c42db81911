//! The session of a node without an Asterisk. With one, the bridge holds it, because it depends on that Asterisk's health.

use std::time::Duration;

use fed_ari::port::{MapPort, PortError};
use fed_core::command::{Command, Reply};
use fed_core::ids::SessionId;
use tokio_util::sync::CancellationToken;

/// Between two signs of life; well within the shortest time to live.
const RHYTHM: Duration = Duration::from_millis(400);

/// Holds a session open until `stop`, then ends it.
pub(super) async fn hold(port: &dyn MapPort, rhythm: Duration, stop: CancellationToken) {
    let mut mine: Option<SessionId> = None;
    loop {
        if let Err(error) = beat(port, &mut mine).await {
            tracing::debug!(%error, "no sign of life reached the leader");
        }
        tokio::select! {
            () = stop.cancelled() => break,
            () = tokio::time::sleep(rhythm) => {}
        }
    }
    if let Some(session) = mine {
        let ending = port.propose(Command::EndSession { session });
        // The others notice by themselves a moment later: stopping does not wait for it.
        let _ = tokio::time::timeout(Duration::from_secs(1), ending).await;
    }
}

/// The rhythm for a time to live.
pub(super) fn rhythm(ttl: Duration) -> Duration {
    RHYTHM.min(ttl / 4)
}

async fn beat(port: &dyn MapPort, mine: &mut Option<SessionId>) -> Result<(), PortError> {
    let open = port
        .local()
        .view()
        .session_of(port.here())
        .map_err(|error| PortError::Store(error.to_string()))?;
    match *mine {
        // A node that has just opened its session may not have applied it yet.
        Some(session) if open.is_none_or(|open| open == session) => {
            port.keep_alive(session).await?;
            if open.is_none() && port.applied().0 >= session.0 {
                *mine = None;
            }
        }
        _ => {
            let opened = port.propose(Command::OpenSession { node: port.here() }).await?;
            if let Reply::SessionOpened { session } = opened.reply {
                *mine = Some(session);
            }
        }
    }
    Ok(())
}
