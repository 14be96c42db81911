//! How openraft reaches the other nodes.

use std::future::Future;
use std::sync::Arc;

use futures::future::BoxFuture;
use futures::stream::{BoxStream, Stream};
use openraft::errors::{RPCError, ReplicationClosed, StreamingError, Unreachable};
use openraft::network::{
    Backoff, NetBackoff, NetSnapshot, NetStreamAppend, NetTransferLeader, NetVote, RPCOption, RaftNetworkFactory,
};
use openraft::raft::{
    AppendEntriesRequest, SnapshotResponse, StreamAppendResult, TransferLeaderRequest, TransferLeaderResponse,
    VoteRequest, VoteResponse,
};

use super::append::{self, unreachable};
use super::channels::{Channels, Client, Lane};
use super::send;
use crate::raft::wire;
use crate::raft::{Peer, TypeConfig, Vote};
use crate::state::SnapshotDir;

/// Makes connections for openraft.
#[derive(Clone)]
pub(crate) struct Network {
    channels: Arc<Channels>,
}

impl Network {
    pub(crate) fn new(channels: Arc<Channels>) -> Self {
        Self { channels }
    }

    fn peer(&self, target: u64, node: &Peer, lane: Lane) -> PeerNetwork {
        PeerNetwork {
            channels: self.channels.clone(),
            target,
            address: node.address.clone(),
            lane,
        }
    }
}

impl RaftNetworkFactory<TypeConfig> for Network {
    type Network = PeerNetwork;

    async fn new_client(&mut self, target: u64, node: &Peer) -> PeerNetwork {
        self.peer(target, node, Lane::Append)
    }

    async fn new_heartbeat_client(&mut self, target: u64, node: &Peer) -> PeerNetwork {
        self.peer(target, node, Lane::Control)
    }

    async fn new_snapshot_client(&mut self, target: u64, node: &Peer) -> PeerNetwork {
        self.peer(target, node, Lane::Snapshot)
    }
}

/// One node, over one lane. Votes and transfers go over the control lane whatever it is for.
pub(crate) struct PeerNetwork {
    channels: Arc<Channels>,
    target: u64,
    /// As it was when openraft asked for the connection.
    address: String,
    lane: Lane,
}

type RpcResult<T> = Result<T, RPCError<TypeConfig>>;

impl PeerNetwork {
    fn client(&self, lane: Lane) -> RpcResult<Client> {
        let learnt = self.channels.address(self.target);
        self.channels
            .client(self.target, learnt.as_deref().unwrap_or(&self.address), lane)
            .map_err(|status| unreachable(&status))
    }

    async fn within<T>(
        &self,
        option: &RPCOption,
        call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>,
    ) -> RpcResult<T> {
        match tokio::time::timeout(option.hard_ttl(), call).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(unreachable(&status)),
            Err(_) => {
                let why = format!("node {} did not answer in time", self.target);
                Err(Unreachable::from_string(why).into())
            }
        }
    }

    async fn ask_vote(
        &self,
        request: VoteRequest<TypeConfig>,
        pre_vote: bool,
        option: &RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        let mut client = self.client(Lane::Control)?;
        let message = wire::to_vote_request(&request, pre_vote);
        let request = self.channels.request(self.target, message);
        let reply = self.within(option, client.vote(request)).await?;
        wire::from_vote_reply(reply).map_err(|e| Unreachable::new(&e).into())
    }
}

impl NetBackoff<TypeConfig> for PeerNetwork {
    /// As the configuration of openraft says.
    fn backoff(&self) -> Option<Backoff> {
        None
    }
}

impl NetStreamAppend<TypeConfig> for PeerNetwork {
    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        _option: RPCOption,
    ) -> BoxFuture<'s, RpcResult<BoxStream<'s, RpcResult<StreamAppendResult<TypeConfig>>>>>
    where
        S: Stream<Item = AppendEntriesRequest<TypeConfig>> + Send + Unpin + 'static,
    {
        Box::pin(async move {
            let client = self.client(self.lane)?;
            let answers: BoxStream<'s, _> = append::stream(self.channels.clone(), client, self.target, input).await?;
            Ok(answers)
        })
    }
}

impl NetVote<TypeConfig> for PeerNetwork {
    async fn vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.ask_vote(request, false, &option).await
    }

    async fn pre_vote(
        &mut self,
        request: VoteRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<VoteResponse<TypeConfig>> {
        self.ask_vote(request, true, &option).await
    }
}

impl NetSnapshot<TypeConfig> for PeerNetwork {
    type SnapshotData = Arc<SnapshotDir>;

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: openraft::type_config::alias::SnapshotOf<TypeConfig, Arc<SnapshotDir>>,
        cancel: impl Future<Output = ReplicationClosed> + Send + 'static,
        _option: RPCOption,
    ) -> Result<SnapshotResponse<TypeConfig>, StreamingError<TypeConfig>> {
        let client = self.client(Lane::Snapshot)?;
        let sending = send::snapshot(self.channels.clone(), client, self.target, vote, snapshot.snapshot);
        tokio::select! {
            closed = cancel => Err(closed.into()),
            sent = sending => sent,
        }
    }
}

impl NetTransferLeader<TypeConfig> for PeerNetwork {
    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<TypeConfig>,
        option: RPCOption,
    ) -> RpcResult<TransferLeaderResponse<TypeConfig>> {
        let mut client = self.client(Lane::Control)?;
        let message = self.channels.request(self.target, wire::to_transfer(&request));
        let reply = self.within(&option, client.transfer_leader(message)).await?;
        wire::from_transfer_reply(reply, &request).map_err(|e| Unreachable::new(&e).into())
    }
}
