//! Calls on their way to a node that has died. Nothing was heard from there, and their callers would wait until the ringing time is over.

use std::{collections::HashSet, sync::Arc, time::Duration};

use fed_core::ids::NodeId;

use super::recall::MOVED;
use crate::{
    client::{AriClient, LegState},
    port::MapPort,
    render::trunk,
    router::Router,
};

/// Pauses before each look for such calls: some were decided just before the end of the node was known. A leg is taken back that two
/// looks found silent, since one that was only just dialled hears something within milliseconds where the other Asterisk lives.
const LOOKS: [Duration; 4] = [
    Duration::ZERO,
    Duration::from_millis(100),
    Duration::from_millis(200),
    Duration::from_millis(400),
];

/// Takes back the legs to a node whose session has ended and from which nothing was heard: the dialplan asks again. What rings or talks
/// there goes on, for it may be its fed-node alone that died.
pub(super) async fn take_back(client: AriClient, port: Arc<dyn MapPort>, router: Arc<Router>, node: NodeId) {
    let mut silent: HashSet<String> = HashSet::new();
    for pause in LOOKS {
        tokio::time::sleep(pause).await;
        if !matches!(port.local().view().session_of(node), Ok(None)) {
            return;
        }
        let legs = match client.endpoint("PJSIP", &trunk(node)).await {
            Ok(endpoint) => endpoint.map(|endpoint| endpoint.channel_ids).unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%node, %error, "calls to a node that died could not be looked for");
                continue;
            }
        };
        for leg in legs {
            let taken = match client.channel(&leg).await {
                Ok(Some(channel)) if channel.leg() == Some(LegState::Silent) && !silent.insert(leg.clone()) => {
                    router.recalling(&channel.dialplan.exten);
                    client.hangup(&leg, MOVED).await
                }
                Ok(_) => continue,
                Err(error) => Err(error),
            };
            match taken {
                Ok(_) => tracing::debug!(%node, leg, "a call to a node that died was taken back"),
                Err(error) => {
                    tracing::debug!(%node, leg, %error, "a call to a node that died could not be taken back")
                }
            }
        }
    }
}
