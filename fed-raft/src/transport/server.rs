//! What the other nodes ask of this one. Every call is checked first: who calls, from which cluster, meant for
//! whom.

use std::net::Ipv4Addr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use fed_core::ids::NodeId;
use fed_core::machine::{self, Machine};
use fed_proto::peer as proto;
use futures::stream::{self, BoxStream, StreamExt};
use proto::peer_server::{Peer, PeerServer};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Request, Response, Status, Streaming};

use super::receive::receive;
use super::{Badge, LARGEST_MESSAGE, Lane};
use crate::batch;
use crate::error::ProposeError;
use crate::members::{Change, Changed, Order};
use crate::node::{Leader, Node};
use crate::raft::wire::{self, Malformed};
use crate::read::NotConfirmed;
use crate::security::{Caller, Door, Visit};
use crate::session::Kept;

/// Serves until `stop`, then ends gracefully.
pub(crate) async fn serve<M: Machine>(node: Weak<Node<M>>, door: Door, stop: CancellationToken) {
    let service = PeerServer::new(Service { node })
        .max_decoding_message_size(LARGEST_MESSAGE)
        .max_encoding_message_size(LARGEST_MESSAGE);
    let served = tonic::transport::Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(2)))
        .http2_keepalive_timeout(Some(Duration::from_secs(4)))
        .initial_stream_window_size(4 << 20)
        .initial_connection_window_size(8 << 20)
        .max_concurrent_streams(1024)
        .http2_max_header_list_size(16 << 10)
        .add_service(service)
        .serve_with_incoming_shutdown(Box::pin(door.incoming()), stop.cancelled())
        .await;
    if let Err(error) = served {
        tracing::error!(%error, "serving the peers ended");
    }
}

struct Service<M: Machine> {
    /// Weak: connections that linger must not keep the databases open.
    node: Weak<Node<M>>,
}

impl<M: Machine> Service<M> {
    fn here(&self) -> Result<Arc<Node<M>>, Status> {
        let node = self.node.upgrade();
        node.filter(|node| !node.life.stop.is_cancelled())
            .ok_or_else(|| Status::unavailable("this node is stopping"))
    }

    /// The node, when the caller may speak to it.
    fn admit<T>(&self, request: &Request<T>) -> Result<(Arc<Node<M>>, Badge), Status> {
        let node = self.here()?;
        let badge = Badge::read(request.metadata())?;
        badge.check(&node.identity)?;
        node.check_proof(&badge, caller(request))?;
        node.check_caller(&badge)?;
        Ok((node, badge))
    }
}

/// Who is at the other end of the connection that a request came over.
fn caller<T>(request: &Request<T>) -> Option<&Caller> {
    request.extensions().get::<Visit>().map(|visit| &visit.caller)
}

/// What a caller is told when consensus has stopped here.
pub(super) fn core_stopped(error: impl std::fmt::Display) -> Status {
    Status::unavailable(error.to_string())
}

#[tonic::async_trait]
impl<M: Machine> Peer for Service<M> {
    type AppendStream = BoxStream<'static, Result<proto::AppendReply, Status>>;
    type InstallSnapshotStream = ReceiverStream<Result<proto::SnapshotReply, Status>>;

    async fn append(
        &self,
        request: Request<Streaming<proto::AppendRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let (node, badge) = self.admit(&request)?;
        // A leader leaves its stream open while it has nothing to send: one that only the leader could end would hold up the stop.
        let stop = node.life.stop.clone();
        let messages = request.into_inner().take_until(stop.cancelled_owned()).boxed();
        let input = stream::unfold(messages, move |mut messages| async move {
            let message = messages.next().await?.ok()?;
            match wire::from_append(message) {
                Ok(append) => Some((append, messages)),
                Err(error) => {
                    tracing::warn!(from = badge.from, %error, "an append was dropped");
                    None
                }
            }
        });
        let results = node.raft.stream_append(input);
        let here = Arc::downgrade(&node);
        let replies = results.map(move |result| {
            let result = result.map_err(core_stopped)?;
            if result.is_ok()
                && let Some(node) = here.upgrade()
            {
                node.heard_from_leader();
            }
            Ok(wire::to_append_reply(result))
        });
        Ok(Response::new(replies.boxed()))
    }

    async fn vote(&self, request: Request<proto::VoteRequest>) -> Result<Response<proto::VoteReply>, Status> {
        let (node, _) = self.admit(&request)?;
        let message = request.into_inner();
        let pre_vote = message.pre_vote;
        let message = wire::from_vote_request(message)?;
        let reply = if pre_vote {
            node.raft.pre_vote(message).await
        } else {
            node.raft.vote(message).await
        };
        let reply = reply.map_err(core_stopped)?;
        Ok(Response::new(wire::to_vote_reply(&reply)))
    }

    async fn transfer_leader(
        &self,
        request: Request<proto::TransferLeaderRequest>,
    ) -> Result<Response<proto::TransferLeaderReply>, Status> {
        let (node, _) = self.admit(&request)?;
        let message = wire::from_transfer(request.into_inner())?;
        let reply = node.raft.handle_transfer_leader(message).await;
        let reply = reply.map_err(core_stopped)?;
        Ok(Response::new(wire::to_transfer_reply(reply)))
    }

    async fn install_snapshot(
        &self,
        request: Request<Streaming<proto::SnapshotPart>>,
    ) -> Result<Response<Self::InstallSnapshotStream>, Status> {
        let (node, _) = self.admit(&request)?;
        let parts = request.into_inner();
        let (replies, stream) = mpsc::channel(2);
        let tasks = node.life.tasks.clone();
        tasks.spawn(async move {
            let stop = node.life.stop.clone();
            let result = tokio::select! {
                result = receive(&node, parts, &replies) => result,
                () = stop.cancelled() => Err(Status::unavailable("this node is stopping")),
            };
            if let Err(status) = result {
                tracing::warn!(why = status.message(), "a snapshot was not received");
                // The sender may have gone.
                drop(replies.send(Err(status)).await);
            }
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn propose(&self, request: Request<proto::ProposeRequest>) -> Result<Response<proto::ProposeReply>, Status> {
        use proto::propose_reply::{Answers, Result as Reply};
        let (node, badge) = self.admit(&request)?;
        if node.leader() != Leader::Here {
            let result = Some(Reply::NotLeader(node.not_leader()));
            return Ok(Response::new(proto::ProposeReply { result }));
        }
        let from = fed_core::ids::NodeId(badge.from);
        let result = match node.propose_forwarded(from, request.into_inner().requests).await {
            Ok(answers) => {
                let answers = answers.into_iter().map(|answer| {
                    let reply = batch::encode_reply::<M>(&answer.reply).map_err(|e| Status::internal(e.to_string()))?;
                    Ok(proto::Answer {
                        revision: answer.revision.0,
                        duplicate: answer.duplicate,
                        reply,
                    })
                });
                let answers = answers.collect::<Result<Vec<_>, Status>>()?;
                Reply::Answers(Answers { answers })
            }
            Err(ProposeError::Overloaded { retry_after }) => Reply::Overloaded(proto::Overloaded {
                retry_after_ms: u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX),
            }),
            Err(ProposeError::LowSpace { path, free, needed }) => Reply::LowSpace(proto::LowSpace {
                folder: path.display().to_string(),
                free,
                needed,
            }),
            Err(ProposeError::NoLeader | ProposeError::Stopped(_)) => Reply::NotLeader(node.not_leader()),
            Err(ProposeError::OutcomeUnknown { why }) => Reply::Unknown(why),
            Err(
                error @ (ProposeError::Refused(_) | ProposeError::TooLarge { .. } | ProposeError::FeatureLevel { .. }),
            ) => Reply::Refused(error.to_string()),
        };
        let result = Some(result);
        Ok(Response::new(proto::ProposeReply { result }))
    }

    async fn read_index(
        &self,
        request: Request<proto::ReadIndexRequest>,
    ) -> Result<Response<proto::ReadIndexReply>, Status> {
        use proto::read_index_reply::Result as Reply;
        let (node, _) = self.admit(&request)?;
        let result = match node.index_for_peer().await {
            Ok(index) => Reply::Index(index),
            Err(NotConfirmed::NotLeader) => Reply::NotLeader(node.not_leader()),
            Err(NotConfirmed::NoQuorum) => Reply::NoQuorum("no majority confirmed the leader".to_owned()),
        };
        let result = Some(result);
        Ok(Response::new(proto::ReadIndexReply { result }))
    }

    async fn keep_alive(
        &self,
        request: Request<proto::KeepAliveRequest>,
    ) -> Result<Response<proto::KeepAliveReply>, Status> {
        use proto::keep_alive_reply::{Kept as Ttl, Result as Reply};
        let (node, _) = self.admit(&request)?;
        let session = request.into_inner().session;
        let result = match node.keep_here(fed_core::ids::SessionId(session)) {
            Kept::Yes => Reply::Kept(Ttl {
                ttl_ms: u32::try_from(node.config.session_ttl.as_millis()).unwrap_or(u32::MAX),
            }),
            Kept::Ended => Reply::Ended(session),
            Kept::NotLeader => Reply::NotLeader(node.not_leader()),
        };
        let result = Some(result);
        Ok(Response::new(proto::KeepAliveReply { result }))
    }

    async fn change_members(
        &self,
        request: Request<proto::ChangeMembersRequest>,
    ) -> Result<Response<proto::ChangeMembersReply>, Status> {
        use proto::change_members_reply::Result as Reply;
        let (node, badge) = self.admit(&request)?;
        let order = Order::from_wire(request.into_inner()).ok_or(Malformed("change of members"))?;
        if let Change::Enter(id, _) = &order.change
            && *id != badge.from
        {
            return Err(Status::permission_denied("a node may ask to be let in for itself only"));
        }
        let changed = match node.leader() {
            Leader::Here => node.change_here(&order).await,
            Leader::There { .. } | Leader::Unknown => Changed::NotLeader,
        };
        let result = match changed {
            Changed::Done(members_at) => Reply::Done(proto::Done { members_at }),
            Changed::NotLeader => Reply::NotLeader(node.not_leader()),
            Changed::Refused(why) => Reply::Refused(why),
            Changed::Unknown(why) => Reply::Unknown(why),
        };
        let result = Some(result);
        Ok(Response::new(proto::ChangeMembersReply { result }))
    }

    async fn join(&self, request: Request<proto::JoinRequest>) -> Result<Response<proto::JoinReply>, Status> {
        let node = self.here()?;
        let badge = Badge::read(request.metadata())?;
        if badge.protocol != super::PROTOCOL {
            return Err(Status::failed_precondition(format!(
                "the cluster speaks peer protocol {}, this program {}: use the same version",
                super::PROTOCOL,
                badge.protocol
            )));
        }
        // A member that passes a stranger's request on shows its own badge.
        if !badge.is_stranger() {
            badge.check(&node.identity)?;
            node.check_proof(&badge, caller(&request))?;
            node.check_caller(&badge)?;
        }
        match node.leader() {
            Leader::Here => {
                let from = caller(&request).map_or(Ipv4Addr::UNSPECIFIED.into(), |caller| caller.address.ip());
                let (id, equipment) = node.let_in(from, request.into_inner()).await?;
                let members = node.members().into_iter().map(|m| proto::Member {
                    id: m.id.0,
                    address: m.address,
                    incarnation: m.incarnation,
                });
                Ok(Response::new(proto::JoinReply {
                    cluster: Bytes::copy_from_slice(&node.identity.cluster.0.to_be_bytes()),
                    id,
                    members: members.collect(),
                    equipment,
                }))
            }
            Leader::There { id, address } if badge.is_stranger() => {
                let mut client = node.channels.client(id, &address, Lane::Client)?;
                let message = node.channels.request(id, request.into_inner());
                client.join(message).await
            }
            // The caller tries again.
            Leader::There { .. } | Leader::Unknown => Err(Status::aborted("the cluster has no leader at the moment")),
        }
    }

    async fn describe(
        &self,
        request: Request<proto::DescribeRequest>,
    ) -> Result<Response<proto::DescribeReply>, Status> {
        use openraft::async_runtime::watch::WatchReceiver;
        let node = self.here()?;
        let mut badge = Badge::read(request.metadata())?;
        if badge.to == 0 {
            badge.to = node.identity.node.0;
        }
        badge.check(&node.identity)?;
        node.check_proof(&badge, caller(&request))?;
        node.check_caller(&badge)?;
        let (term, leader) = {
            let metrics = node.raft.metrics();
            let metrics = metrics.borrow_watched();
            (metrics.current_term, metrics.current_leader.unwrap_or(0))
        };
        let view = node.state.view();
        let hash = machine::state_hash(&*view).map_err(|e| Status::internal(e.to_string()))?;
        let members = node.members().into_iter().map(|m| proto::Member {
            id: m.id.0,
            address: m.address,
            incarnation: m.incarnation,
        });
        Ok(Response::new(proto::DescribeReply {
            id: node.identity.node.0,
            term,
            leader,
            applied: view.index(),
            revision: view.revision().0,
            state_hash: Bytes::copy_from_slice(&hash.to_be_bytes()),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            members: members.collect(),
            lags: node
                .lags_here()
                .into_iter()
                .map(|(id, entries)| proto::Lag { member: id.0, entries })
                .collect(),
            answering: node.answering_here().into_iter().map(|id| id.0).collect(),
            newest_level: node.state.machine.newest_level(),
        }))
    }

    async fn ask(&self, request: Request<proto::AskRequest>) -> Result<Response<proto::AskReply>, Status> {
        let (node, badge) = self.admit(&request)?;
        let answer = node.answer(NodeId(badge.from), &request.into_inner().question).await?;
        Ok(Response::new(proto::AskReply { answer }))
    }
}
