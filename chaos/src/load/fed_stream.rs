//! Our side by the `Pipeline` call: one stream for each connection, shared by its clients.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fed_proto::client as pb;
use fed_proto::client::federation_client::FederationClient;
use pb::pipeline_reply::What as Answer;
use pb::pipeline_request::What as Asked;
use tokio::sync::{mpsc, oneshot};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Freshness, Store, fed, settings};
use crate::process::{Access, Bearer};

/// Requests that may wait to be sent.
const WAITING: usize = 256;

type Waiting = Mutex<HashMap<u64, oneshot::Sender<Answer>>>;

/// A client of one node, by a stream that it shares with its clones.
#[derive(Debug, Clone)]
pub struct FedStream {
    requests: mpsc::Sender<pb::PipelineRequest>,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    next: AtomicU64,
    waiting: Waiting,
}

impl Shared {
    fn waiting(&self) -> std::sync::MutexGuard<'_, HashMap<u64, oneshot::Sender<Answer>>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FedStream {
    /// A stream on a new connection.
    ///
    /// # Errors
    /// When nobody listens there, or the node does not know the call.
    pub async fn connect(access: &Access) -> Result<Self, Status> {
        let unreachable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
        let channel = settings(access.endpoint().map_err(unreachable)?)
            .connect()
            .await
            .map_err(unreachable)?;
        let (requests, outgoing) = mpsc::channel(WAITING);
        let mut client = FederationClient::with_interceptor(channel, Bearer::of(access.address));
        let replies = client.pipeline(ReceiverStream::new(outgoing)).await?.into_inner();
        let shared = Arc::new(Shared::default());
        tokio::spawn(receive(replies, shared.clone()));
        Ok(Self { requests, shared })
    }

    async fn ask(&self, what: Asked) -> Result<Answer, Status> {
        let gone = || Status::unavailable("the stream has ended");
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (reply, answer) = oneshot::channel();
        self.shared.waiting().insert(id, reply);
        let request = pb::PipelineRequest { id, what: Some(what) };
        self.requests.send(request).await.map_err(|_| gone())?;
        match answer.await.map_err(|_| gone())? {
            Answer::Error(error) => Err(Status::new(Code::from(error.code.cast_signed()), error.message)),
            answer => Ok(answer),
        }
    }
}

async fn receive(mut replies: Streaming<pb::PipelineReply>, shared: Arc<Shared>) {
    while let Ok(Some(reply)) = replies.message().await {
        let waiting = shared.waiting().remove(&reply.id);
        if let (Some(waiting), Some(answer)) = (waiting, reply.what) {
            // Whoever asked may have stopped waiting.
            let _ = waiting.send(answer);
        }
    }
    shared.waiting().clear();
}

fn change(key: u64, seed: u64) -> Asked {
    let what = Some(pb::change::What::PutUser(fed::put_request(key, seed)));
    Asked::Change(pb::Change { what })
}

impl Store for FedStream {
    async fn put(&self, key: u64, seed: u64) -> Result<(), Status> {
        self.ask(change(key, seed)).await.map(drop)
    }

    async fn put_many(&self, first: u64, count: u64, seed: u64) -> Result<(), Status> {
        let mut asked = tokio::task::JoinSet::new();
        for n in 0..count {
            let this = self.clone();
            asked.spawn(async move { this.ask(change(first + n, seed + n)).await });
        }
        while let Some(answered) = asked.join_next().await {
            answered.map_err(|e| Status::internal(e.to_string()))??;
        }
        Ok(())
    }

    async fn get(&self, key: u64, freshness: Freshness) -> Result<(), Status> {
        match self.ask(Asked::GetUser(fed::get_request(key, freshness))).await? {
            Answer::User(found) => fed::check(found.user.as_ref()),
            _ => Err(Status::internal("the answer is to another question")),
        }
    }
}
