//! Streaming append: entries go out while earlier ones are still being synced over there.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use fed_proto::peer as proto;
use futures::stream::{self, BoxStream, Stream, StreamExt};
use openraft::errors::{NetworkError, RPCError, Unreachable};
use openraft::raft::{AppendEntriesRequest, StreamAppendError, StreamAppendResult};
use parking_lot::Mutex;
use tokio::time::Instant;
use tonic::{Status, Streaming};

use super::channels::{Channels, Client};
use super::confirmed::LOST;
use crate::raft::{TypeConfig, Vote, wire};

/// A follower that has something to answer and does not for this long is given up; replication starts over.
const SILENCE: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(500);

type Answer = Result<StreamAppendResult<TypeConfig>, RPCError<TypeConfig>>;

/// What is sent and not answered, and since when nothing came.
#[derive(Default)]
struct Pending {
    /// For each request, the leader's vote and what the node had confirmed under it when the request was sent.
    sent: VecDeque<(Vote, Option<u64>)>,
    since: Option<Instant>,
}

impl Pending {
    fn sent(&mut self, vote: Vote, confirmed: Option<u64>) {
        self.sent.push_back((vote, confirmed));
        self.since.get_or_insert_with(Instant::now);
    }

    /// The answers come in the order of the requests.
    fn answered(&mut self) -> Option<(Vote, Option<u64>)> {
        let answered = self.sent.pop_front();
        self.since = (!self.sent.is_empty()).then(Instant::now);
        answered
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
    let (sent, known) = (pending.clone(), channels.clone());
    let requests = input.map(move |request| {
        let confirmed = known.confirmed.index(node, &request.vote);
        sent.lock().sent(request.vote, confirmed);
        wire::to_append(request)
    });
    let call = client.append(channels.request(node, requests));
    let replies = tokio::time::timeout(SILENCE, call)
        .await
        .map_err(|_| Unreachable::from_string(format!("node {node} did not answer")))?
        .map_err(|status| unreachable(&status))?
        .into_inner();
    let follower = Follower {
        node,
        channels,
        pending,
    };
    let answers = stream::unfold(Some((replies, follower)), |state| async move {
        let (mut replies, follower) = state?;
        let answer = follower.next(&mut replies).await?;
        let go_on = matches!(answer, Ok(Ok(_)));
        Some((answer, go_on.then_some((replies, follower))))
    });
    Ok(answers.boxed())
}

/// Who answers.
struct Follower {
    node: u64,
    channels: Arc<Channels>,
    pending: Arc<Mutex<Pending>>,
}

impl Follower {
    async fn next(&self, replies: &mut Streaming<proto::AppendReply>) -> Option<Answer> {
        loop {
            let Ok(reply) = tokio::time::timeout(LOOK_EVERY, replies.message()).await else {
                if self.pending.lock().is_overdue() {
                    let why = "the node does not answer appends".to_owned();
                    return Some(Err(NetworkError::from_string(why).into()));
                }
                continue;
            };
            let asked = self.pending.lock().answered();
            return match reply {
                Ok(Some(reply)) => Some(match wire::from_append_reply(reply) {
                    Ok(result) => self.believe(asked, result),
                    Err(error) => Err(NetworkError::from_string(error).into()),
                }),
                Ok(None) => None,
                Err(status) => Some(Err(NetworkError::from_string(status.message()).into())),
            };
        }
    }

    /// Hands a result on, unless it says that the node has lost what it had confirmed before it was asked.
    fn believe(&self, asked: Option<(Vote, Option<u64>)>, result: StreamAppendResult<TypeConfig>) -> Answer {
        let Some((vote, confirmed)) = asked else {
            return Ok(result);
        };
        match &result {
            Ok(Some(last)) => self.channels.confirmed.note(self.node, &vote, last),
            Err(StreamAppendError::Conflict(at)) if confirmed.is_some_and(|confirmed| at.index <= confirmed) => {
                let node = self.node;
                if self.channels.confirmed.lose(node) {
                    tracing::error!(
                        node,
                        missing = at.index,
                        ?confirmed,
                        "node {node} {LOST}; take it out and let it join again, with an empty folder"
                    );
                }
                return Err(Unreachable::from_string(format!("node {node} {LOST}")).into());
            }
            _ => {}
        }
        Ok(result)
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
