//! Taking back: calls that ring a phone which has just registered elsewhere.

use std::{collections::HashSet, sync::Arc, time::Duration};

use fed_core::ids::{DeviceId, Number};

use crate::{
    client::{AriClient, Channel, HangupReason, LegState},
    port::MapPort,
    router::Router,
};

/// The generated dialplan takes this cause as the wish to be asked again.
pub(super) const MOVED: HangupReason = HangupReason::Unspecified;

/// Pauses before each look for calls that still ring a phone that has moved.
const RECALLS: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(20),
    Duration::from_millis(60),
    Duration::from_millis(150),
    Duration::from_millis(300),
];

/// Takes back the calls that ring a device's phone here although it has just registered elsewhere: the dialplan asks again where it is.
///
/// They were sent here before the move was known. A leg may appear a little later than the answer that sent it, so they are looked for more than
/// once; and one that does not ring yet is left until the next look, because `Dial` forgets the cause of a channel that ends before it has called
/// it. Where another phone of the device is registered here, nothing is taken back: it may be the one that rings.
pub(super) async fn recall(client: AriClient, port: Arc<dyn MapPort>, router: Arc<Router>, device: DeviceId) {
    let mut silent: HashSet<String> = HashSet::new();
    for pause in RECALLS {
        tokio::time::sleep(pause).await;
        let bound = port.local().view().bindings_of(&device).unwrap_or_default();
        if bound.iter().any(|binding| binding.value.node == port.here()) {
            return;
        }
        let legs = match client.endpoint("PJSIP", device.as_str()).await {
            Ok(endpoint) => endpoint.map(|endpoint| endpoint.channel_ids).unwrap_or_default(),
            Err(error) => {
                tracing::debug!(%device, %error, "calls to a phone that moved could not be looked for");
                continue;
            }
        };
        for leg in legs {
            let ended = match client.channel(&leg).await {
                // Other calls to the device go out by the redirect server, from a customer's own dialplan: they are on the right way.
                Ok(Some(channel)) if !sent_here(&*port, &router, &device, &channel) => continue,
                Ok(Some(channel)) => match channel.leg() {
                    Some(LegState::Silent) if silent.insert(leg.clone()) => continue,
                    Some(LegState::Ringing | LegState::Silent) => {
                        router.recalling(&channel.dialplan.exten);
                        client.hangup(&leg, MOVED).await
                    }
                    None => continue,
                },
                Ok(None) => continue,
                Err(error) => Err(error),
            };
            match ended {
                Ok(_) => tracing::debug!(%device, leg, "a call to the phone that moved was taken back"),
                Err(error) => {
                    tracing::debug!(%device, leg, %error, "a call to the phone that moved could not be taken back")
                }
            }
        }
    }
}

/// Whether a leg to the device was dialled by the generated dialplan: `Dial` gives it the extension of the caller, which is a target of another
/// node, or a name of the device's user. A customer's own extension may have such a name too: its call has asked the redirect server, which
/// remembers it where Asterisk tells a leg's Call-ID (16.27).
fn sent_here(port: &dyn MapPort, router: &Router, device: &DeviceId, leg: &Channel) -> bool {
    if router.was_redirected(&leg.protocol_id) {
        return false;
    }
    let exten = leg.dialplan.exten.as_str();
    if let Some((name, _)) = exten.split_once('~') {
        return name == device.as_str();
    }
    let snapshot = port.local();
    let view = snapshot.view();
    let Ok(Some(record)) = view.device(device) else {
        return false;
    };
    let user = record.value.user;
    let number = Number::new(exten)
        .ok()
        .and_then(|number| view.number(&number).ok().flatten());
    exten == device.as_str() || exten == user.as_str() || number.as_ref() == Some(&user)
}
