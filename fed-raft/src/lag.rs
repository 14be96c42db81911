//! How far the members are behind: only the leader knows, every node can ask it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_core::machine::Machine;
use fed_proto::peer as proto;

use crate::node::{Leader, Node};
use crate::transport::Lane;

impl<M: Machine> Node<M> {
    /// Log entries that each member lacks, as the leader knows it now; empty when no leader answers `within`.
    pub(crate) async fn lags(&self, within: Duration) -> BTreeMap<NodeId, u64> {
        match self.leader() {
            Leader::Here => self.lags_here(),
            Leader::There { id, address } => {
                let Ok(mut client) = self.channels.client(id, &address, Lane::Client) else {
                    return BTreeMap::new();
                };
                let request = self.channels.request(id, proto::DescribeRequest {});
                match tokio::time::timeout(within, client.describe(request)).await {
                    Ok(Ok(reply)) => {
                        let lags = reply.into_inner().lags.into_iter();
                        lags.map(|lag| (NodeId(lag.member), lag.entries)).collect()
                    }
                    Ok(Err(_)) | Err(_) => BTreeMap::new(),
                }
            }
            Leader::Unknown => BTreeMap::new(),
        }
    }

    /// The members that answer the leader, itself among them; empty when no leader answers `within`.
    pub(crate) async fn answering(&self, within: Duration) -> BTreeSet<NodeId> {
        match self.leader() {
            Leader::Here => self.answering_here(),
            Leader::There { id, address } => {
                let Ok(mut client) = self.channels.client(id, &address, Lane::Client) else {
                    return BTreeSet::new();
                };
                let request = self.channels.request(id, proto::DescribeRequest {});
                match tokio::time::timeout(within, client.describe(request)).await {
                    Ok(Ok(reply)) => reply.into_inner().answering.into_iter().map(NodeId).collect(),
                    Ok(Err(_)) | Err(_) => BTreeSet::new(),
                }
            }
            Leader::Unknown => BTreeSet::new(),
        }
    }

    /// What this node knows as leader; empty when it is not.
    pub(crate) fn answering_here(&self) -> BTreeSet<NodeId> {
        if self.leader() != Leader::Here || self.is_cut_off() {
            return BTreeSet::new();
        }
        let members = self.members().into_iter();
        members
            .filter(|member| self.is_alive(member))
            .map(|member| member.id)
            .collect()
    }

    /// What this node knows as leader; empty when it is not.
    pub(crate) fn lags_here(&self) -> BTreeMap<NodeId, u64> {
        if self.leader() != Leader::Here || self.is_cut_off() {
            return BTreeMap::new();
        }
        let members = self.members().into_iter();
        let lag = |member: crate::Member| {
            let own = (member.id == self.id()).then_some(0);
            Some((member.id, own.or(member.lag)?))
        };
        members.filter_map(lag).collect()
    }
}
