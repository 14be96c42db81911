//! Whether a node that is cut off refuses in time.

use std::time::{Duration, Instant};

use super::client::{code_of, connect, from_node, user};
use super::journal::{Entry, Journal};
use crate::process::Access;

/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(20);

/// Asks a node that may have no quorum to write something that no history speaks of, and notes its answer. `window` is how long it
/// stays as it is, in seconds.
pub(super) async fn probe(journal: Journal, node: usize, address: Access, window: f64) {
    let at_ns = journal.now_ns();
    let begin = Instant::now();
    let asked = async {
        // It may be busy; how long that takes counts.
        let mut connection = loop {
            if let Some(connection) = connect(&address).await {
                break connection;
            }
            tokio::time::sleep(AGAIN).await;
        };
        let request = fed_proto::client::PutUserRequest {
            user: Some(user(&format!("probe.{node}"), &format!("at {at_ns}"))),
            expect: None,
        };
        connection.put_user(request).await
    };
    let answer = tokio::time::timeout(Duration::from_secs(15), asked).await;
    let seconds = begin.elapsed().as_secs_f64();
    let (answer, refused) = match answer {
        Err(_) => ("no answer within 15 s".to_owned(), false),
        Ok(Ok(_)) => ("acknowledged".to_owned(), false),
        // Typed: it has a code of the node's own.
        Ok(Err(status)) => {
            let code = code_of(&status).filter(|_| from_node(&status));
            let words = format!(
                "{} {:?}: {}",
                code.unwrap_or("no code"),
                status.code(),
                status.message()
            );
            (words, code.is_some())
        }
    };
    journal.write(Entry::Probe {
        at_ns,
        node,
        seconds,
        answer,
        refused,
        cut_off: seconds < window,
    });
}
