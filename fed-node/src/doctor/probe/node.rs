//! The node of this host, and through it the federation.

use std::time::Duration;

use fed_core::records::setting;
use fed_proto::client as pb;

use super::{names, neighbours, references};
use crate::cli::{Access, Failure, compare};
use crate::config::Config;
use crate::doctor::NodeFacts;

/// Longest wait for one answer.
const WITHIN: Duration = Duration::from_secs(10);

/// What the node says, or why it does not.
pub(super) async fn look(access: &Access, config: Option<&Config>) -> Result<NodeFacts, String> {
    let client = access.client(config).await.map_err(|failure| failure.to_string())?;
    let status = within(client.api.clone().status(pb::StatusRequest {})).await?;
    let nodes = within(client.operations.clone().nodes(pb::NodesRequest {}))
        .await?
        .nodes;
    let list = pb::ListRequest {
        consistency: pb::Consistency::Local as i32,
        ..pb::ListRequest::default()
    };
    // What cannot be had is said by the check that needs it.
    let settings = within(client.api.clone().list_settings(list)).await;
    let settings = settings.map(|reply| reply.settings).unwrap_or_default();
    let drift = within(client.api.clone().drift(pb::DriftRequest { node: 0 })).await;
    let users = status.counts.as_ref().map_or(0, |counts| counts.users);
    let loose_ends = tokio::time::timeout(WITHIN, references::loose_ends(&client, users, &nodes));
    let loose_ends = loose_ends.await.unwrap_or_else(|_| Err(no_answer()));
    let reserved_names = tokio::time::timeout(WITHIN, names::reserved(&client));
    let reserved_names = reserved_names.await.unwrap_or_else(|_| Err(no_answer()));
    let devices = status.counts.as_ref().map_or(0, |counts| counts.devices);
    let peers = settings.iter().find(|known| known.key == setting::SIP_PEERS);
    let peers = peers.map_or("", |known| known.value.as_str());
    let phones_at_trunks = tokio::time::timeout(WITHIN, neighbours::phones_at_trunks(&client, peers, devices));
    let phones_at_trunks = phones_at_trunks.await.unwrap_or_else(|_| Err(no_answer()));
    let replicas = within(client.operations.clone().replicas(pb::ReplicasRequest {})).await;
    Ok(NodeFacts {
        status,
        nodes,
        settings,
        drift: drift.map(|reply| reply.differences.len()),
        loose_ends,
        reserved_names,
        phones_at_trunks,
        replicas: replicas.map(|reply| compare(&reply.replicas)),
    })
}

async fn within<T>(call: impl Future<Output = Result<tonic::Response<T>, tonic::Status>>) -> Result<T, String> {
    match tokio::time::timeout(WITHIN, call).await {
        Ok(Ok(answer)) => Ok(answer.into_inner()),
        Ok(Err(status)) => Err(Failure::from(status).to_string()),
        Err(_) => Err(no_answer()),
    }
}

fn no_answer() -> String {
    format!("no answer in {} s", WITHIN.as_secs())
}
