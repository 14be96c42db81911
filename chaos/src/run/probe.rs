//! Whether a node that is cut off refuses in time.

use std::time::{Duration, Instant};

use super::client::{connect, from_node, user};
use super::journal::{Entry, Journal};
use crate::process::Access;

/// Asks a node that may have no quorum to write something that no history speaks of, and notes its answer. `window` is how long it
/// stays as it is, in seconds.
pub(super) async fn probe(journal: Journal, node: usize, address: Access, window: f64) {
    let at_ns = journal.now_ns();
    let begin = Instant::now();
    let asked = async {
        let mut connection = connect(&address).await?;
        let request = fed_proto::client::PutUserRequest {
            user: Some(user(&format!("probe.{node}"), &format!("at {at_ns}"))),
            expect: None,
        };
        Some(connection.put_user(request).await)
    };
    let answer = tokio::time::timeout(Duration::from_secs(15), asked).await;
    let seconds = begin.elapsed().as_secs_f64();
    let (answer, refused) = match answer {
        Err(_) => ("no answer within 15 s".to_owned(), false),
        Ok(None) => ("no connection".to_owned(), false),
        Ok(Some(Ok(_))) => ("acknowledged".to_owned(), false),
        Ok(Some(Err(status))) => (format!("{:?}: {}", status.code(), status.message()), from_node(&status)),
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
