//! Finds what was asked for in the map.

use std::sync::Arc;
use std::time::Duration;

use fed_ari::port::{MapPort, fresh_or_stale};
use fed_core::ids::{DeviceId, NodeId};
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_core::route::{self, Caller, Cause, Outcome, StageCondition};
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

/// The devices that answer to `asked`, and where.
///
/// A device's id means that device, whatever its user wishes: this is what Asterisk asks when it dials `PJSIP/<device>`. Any
/// other name (number, alias, user) is routed as a call to it would be: the devices that ring first, and those that ring after them whatever came of
/// the first. What rings only when somebody was busy, or did not answer, cannot be said in a redirect.
/// What is registered here comes last of its turn: this node's own Asterisk asks only when the phone here is gone.
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
            let found = places.into_iter().map(|place| Found {
                device: device.clone(),
                place,
                turn: 0,
                after_s: 0,
            });
            let found: Vec<Found> = found.collect();
            if found.is_empty() {
                Err(Cause::Offline)
            } else {
                Ok(found)
            }
        }
        None => to_ring(view, here, asked)?,
    };
    match found {
        Err(cause) => Ok(Place::Nowhere(cause)),
        Ok(mut found) => {
            found.sort_by_key(|found| (found.turn, found.place == route::Place::Here));
            targets(view, here, found)
        }
    }
}

/// A device that is to ring.
struct Found {
    device: DeviceId,
    place: route::Place,
    turn: u8,
    after_s: u32,
}

fn to_ring(view: &MapView<'_>, here: NodeId, asked: &str) -> Result<Result<Vec<Found>, Cause>, StoreError> {
    let stages = match route::route(view, here, &Caller::default(), asked)?.outcome {
        Outcome::Refuse(cause) => return Ok(Err(cause)),
        Outcome::Ring { stages, .. } => stages,
    };
    let mut found: Vec<Found> = Vec::new();
    // The stage that the next turn has to follow.
    let (mut last, mut turn, mut after_s) = (0, 0, 0);
    for (index, stage) in stages.into_iter().enumerate() {
        if stage.on != StageCondition::Always || stage.after != last {
            continue;
        }
        for target in stage.targets {
            if !found
                .iter()
                .any(|known| (&known.device, &known.place) == (&target.device, &target.place))
            {
                found.push(Found {
                    device: target.device,
                    place: target.place,
                    turn,
                    after_s,
                });
            }
        }
        last = index;
        turn = turn.saturating_add(1);
        after_s += u32::from(stage.timeout_s);
    }
    Ok(Ok(found))
}

fn targets(view: &MapView<'_>, here: NodeId, found: Vec<Found>) -> Result<Place, StoreError> {
    let Some(key) = view.capability_key()? else {
        error!(
            "redirect server: the setting capability_key is missing, so no target can be given out; `fed-node init` writes it"
        );
        return Ok(Place::Nowhere(Cause::Unavailable));
    };
    let mut targets = Vec::with_capacity(found.len());
    for found in found {
        let (node, sip_address) = match found.place {
            route::Place::There { node, sip_address } => (node, sip_address),
            route::Place::Here => {
                let own = view.node(here)?.map(|node| node.value.sip_address);
                (here, own.unwrap_or_default())
            }
        };
        targets.push(Target {
            device: found.device,
            node,
            sip_address,
            key,
            turn: found.turn,
            after_s: found.after_s,
        });
    }
    Ok(Place::At(targets))
}
