//! Streaming append: entries go out while earlier ones are still being synced over there.

use std::sync::Arc;
use std::time::Duration;

use fed_proto::peer as proto;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, Unreachable};
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::channels::{Channels, Client};
use crate::raft::{TypeConfig, wire};

/// A follower that has something to answer and does not for this long is given up; replication starts over.
const SILENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(500);

type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// What is sent and not answered, and since when nothing came.
#[derive(Default)]
struct Pending {
    count: usize,
    since: Option<Instant>,
}

impl Pending {
    fn sent(&mut self) {
        self.count += 1;
        self.since.get_or_insert_with(Instant::now);
    }

    fn answered(&mut self) {
        self.count = self.count.saturating_sub(1);
        self.since = (self.count > 0).then(Instant::now);
    }

    fn is_overdue(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > SILENCE)
    }
}

/// Opens a stream to `node` and sends `input` over it; the answers come in order.
///
/// The first request is awaited before the node is called: openraft waits out its backoff inside `input`, so a call that fails
/// before it has taken anything would be repeated without any pause.
pub(super) async fn stream<S>(
    channels: Arc<Channels>,
    mut client: Client,
    node: u64,
    mut input: S,
) -> Result<BoxStream<'static, Answer>, RPCError<TypeConfig>>
where
    S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
{
    let Some(first) = input.next().await else {
        return Ok(stream::empty().boxed());
    };
    let input = stream::iter([first]).chain(input);
    let pending = Arc::new(Mutex::new(Pending::default()));
    let sent = pending.clone();
    let requests = input.map(move |request| {
        sent.lock().sent();
        wire::to_append(request)
    });
    let call = client.append(channels.request(node, requests));
    let replies = tokio::time::timeout(SILENCE, call)
        .await
        .map_err(|_| Unreachable::from_string(format!("node {node} did not answer")))?
        .map_err(|status| unreachable(&status))?
        .into_inner();
    let answers = stream::unfold(Some((replies, pending)), |state| async move {
        let (mut replies, pending) = state?;
        let answer = next(&mut replies, &pending).await?;
        let go_on = matches!(answer, Ok(Ok(_)));
        Some((answer, go_on.then_some((replies, pending))))
    });
    Ok(answers.boxed())
}

async fn next(replies: &mut Streaming<proto::AppendReply>, pending: &Mutex<Pending>) -> Option<Answer> {
    loop {
        let Ok(reply) = tokio::time::timeout(LOOK_EVERY, replies.message()).await else {
            if pending.lock().is_overdue() {
                let why = "the node does not answer appends".to_owned();
                return Some(Err(NetworkError::from_string(why).into()));
            }
            continue;
        };
        pending.lock().answered();
        return match reply {
            Ok(Some(reply)) => Some(wire::from_append_reply(reply).map_err(|e| NetworkError::from_string(e).into())),
            Ok(None) => None,
            Err(status) => Some(Err(NetworkError::from_string(status.message()).into())),
        };
    }
}

pub(super) fn unreachable(status: &Status) -> RPCError<TypeConfig> {
    Unreachable::from_string(status.message()).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::{ClusterId, Identity};
    use crate::transport::channels::Lane;
    use fed_core::ids::NodeId;

    /// openraft pauses inside the stream of requests after an error; a call that returned before taking one would turn in circles.
    #[tokio::test]
    async fn a_node_that_cannot_be_reached_is_not_called_before_there_is_something_to_send() {
        let channels = Arc::new(Channels::new(
            Identity {
                cluster: ClusterId(7),
                node: NodeId(1),
                incarnation: 5,
                founder: true,
                seeds: Vec::new(),
            },
            crate::security::Security::Plaintext,
            Arc::new(crate::metrics::Metrics::new()),
        ));
        let nobody = channels.client(2, "127.0.0.1:1", Lane::Append).expect("an address");
        let never = stream::pending::<AppendEntriesRequest<TypeConfig>>();
        let called = stream(channels, nobody, 2, never);
        let waited = tokio::time::timeout(Duration::from_millis(300), called).await;
        assert!(waited.is_err(), "it was called with nothing to send");
    }
}
