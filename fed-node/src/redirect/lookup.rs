//! Finds what was asked for in the map.

use std::sync::Arc;
use std::time::Duration;

use fed_ari::port::{MapPort, fresh_or_stale};
use fed_core::ids::{DeviceId, NodeId};
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_core::route::{self, Caller, Cause, Outcome};
use tracing::error;

use super::locator::{Located, Locator, Place, Target};

/// A [`Locator`] over this node's map.
#[derive(Clone)]
pub struct MapLocator {
    port: Arc<dyn MapPort>,
    budget: Duration,
}

impl MapLocator {
    /// Waits at most `budget` for a linearizable read, then reads what this node has.
    pub fn new(port: Arc<dyn MapPort>, budget: Duration) -> Self {
        Self { port, budget }
    }
}

impl Locator for MapLocator {
    async fn locate(&self, asked: &str) -> Located {
        let snapshot = fresh_or_stale(&*self.port, self.budget).await;
        let place = find(&snapshot.view(), self.port.here(), asked).unwrap_or_else(|error| {
            error!(%error, asked, "redirect server: the map cannot be read");
            Place::Nowhere(Cause::Unavailable)
        });
        Located {
            place,
            stale: snapshot.stale,
        }
    }
}

/// Where the one device is that answers to `asked`.
///
/// A device's id means that device, whatever its user wishes: this is what Asterisk asks when it dials `PJSIP/<device>`. Any
/// other name (number, alias, user) is routed as a call to it would be, and the first device to ring is the answer.
/// Registered here and elsewhere it is found elsewhere: this node's own Asterisk asks only when the phone here is gone.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(super) fn find(view: &MapView<'_>, here: NodeId, asked: &str) -> Result<Place, StoreError> {
    let device = match DeviceId::new(asked) {
        Ok(id) if view.device(&id)?.is_some() => Some(id),
        _ => None,
    };
    let found = match device {
        Some(device) => {
            let places = route::places(view, here, &device)?;
            let chosen = places
                .iter()
                .find(|place| **place != route::Place::Here)
                .or(places.first())
                .cloned();
            chosen.map(|place| (device, place)).ok_or(Cause::Offline)
        }
        None => first_to_ring(view, here, asked)?,
    };
    match found {
        Err(cause) => Ok(Place::Nowhere(cause)),
        Ok((device, place)) => target(view, here, device, place),
    }
}

fn first_to_ring(
    view: &MapView<'_>,
    here: NodeId,
    asked: &str,
) -> Result<Result<(DeviceId, route::Place), Cause>, StoreError> {
    Ok(match route::route(view, here, &Caller::default(), asked)?.outcome {
        Outcome::Refuse(cause) => Err(cause),
        Outcome::Ring { stages, otherwise } => {
            let targets = stages.into_iter().next().map(|stage| stage.targets).unwrap_or_default();
            let elsewhere = targets.iter().position(|target| target.place != route::Place::Here);
            targets
                .into_iter()
                .nth(elsewhere.unwrap_or_default())
                .map(|target| (target.device, target.place))
                .ok_or(otherwise)
        }
    })
}

fn target(view: &MapView<'_>, here: NodeId, device: DeviceId, place: route::Place) -> Result<Place, StoreError> {
    let Some(key) = view.capability_key()? else {
        error!(
            "redirect server: the setting capability_key is missing, so no target can be given out; `fed-node init` writes it"
        );
        return Ok(Place::Nowhere(Cause::Unavailable));
    };
    Ok(match place {
        route::Place::There { node, sip_address } => Place::There(Target {
            device,
            node,
            sip_address,
            key,
        }),
        route::Place::Here => {
            let sip_address = view.node(here)?.map(|node| node.value.sip_address).unwrap_or_default();
            Place::Here(Target {
                device,
                node: here,
                sip_address,
                key,
            })
        }
    })
}
