//! The calls of the operations service: how the nodes are. Each works without a quorum.

use fed_proto::client as pb;
use fed_proto::client::operations_server::Operations;
use tonic::{Request, Response, Status};

use super::failure::damaged;
use super::service::ApiService;
use super::{about, kept, perf, ready, replicas};

type Answer<T> = Result<Response<T>, Status>;

#[tonic::async_trait]
impl Operations for ApiService {
    type EventsStream = kept::Stream<pb::Happening>;
    type LogsStream = kept::Stream<pb::LogLine>;

    async fn nodes(&self, _: Request<pb::NodesRequest>) -> Answer<pb::NodesReply> {
        let reply = about::nodes(&self.0).await;
        reply.map(Response::new).map_err(|error| damaged(&error))
    }

    async fn events(&self, request: Request<pb::EventsRequest>) -> Answer<Self::EventsStream> {
        Ok(Response::new(kept::follow_happenings(&self.0, request.into_inner())))
    }

    async fn logs(&self, request: Request<pb::LogsRequest>) -> Answer<Self::LogsStream> {
        kept::follow_lines(&self.0, request.into_inner()).map(Response::new)
    }

    async fn perf(&self, request: Request<pb::PerfRequest>) -> Answer<pb::PerfReply> {
        perf::at(&self.0, request.into_inner().node).await.map(Response::new)
    }

    async fn ready(&self, request: Request<pb::ReadyRequest>) -> Answer<pb::ReadyReply> {
        ready::everywhere(&self.0, request.into_inner())
            .await
            .map(Response::new)
    }

    async fn replicas(&self, _: Request<pb::ReplicasRequest>) -> Answer<pb::ReplicasReply> {
        replicas::all(&self.0).await.map(Response::new)
    }
}
