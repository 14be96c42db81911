//! The decision: what a call may dial, as a function of the map and of what the call brings. The shells only carry it to Asterisk.

use fed_core::{
    capability::{self, CapabilityError, Claims, Path, ReplayGuard, Spent},
    ids::{DeviceId, NodeId},
    kv::StoreError,
    map::MapView,
    route::{self, Caller, Cause, Outcome, Place, StageCondition},
};

use crate::render::trunk;

/// Seconds for which a capability outlives the moment at which it will be dialled: the way to the other node, with a slack for its clock.
const CAPABILITY_SLACK_S: u32 = 20;

/// Seconds a call from another node rings here at most; its own server decides when to give up.
const TRUNK_TIMEOUT_S: u16 = 300;

/// Q.850: call rejected, which a phone sees as 403.
const REJECTED: u8 = 21;

/// What is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// A device calls: where is what it dialled?
    Route,
    /// Another node calls: may it ring the device it names?
    Trunk,
    /// A call that [`Question::Trunk`] let in found the device gone: where is it now?
    Moved,
}

impl Question {
    /// Reads the word that the dialplan uses, and whether it asks a second time.
    pub fn parse(word: &str) -> Option<(Self, bool)> {
        match word {
            "route" => Some((Self::Route, false)),
            "again" => Some((Self::Route, true)),
            "trunk" => Some((Self::Trunk, false)),
            "moved" => Some((Self::Moved, true)),
            _ => None,
        }
    }
}

/// One call that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ask {
    /// What is asked.
    pub question: Question,
    /// What was dialled; for [`Question::Trunk`] and [`Question::Moved`] the user part with its capability.
    pub dialled: String,
    /// The device that calls, where it is one of the federation's.
    pub device: Option<DeviceId>,
    /// The number that calls.
    pub number: Option<String>,
    /// The dialplan asks a second time, because a call that was ringing ended as one does that was taken back.
    pub again: bool,
}

/// What varies from call to call but comes from outside the map.
pub struct Moment<'a> {
    /// Now, in Unix seconds.
    pub unix_s: u32,
    /// A number not used before by this node within the life of a capability; called once for each capability.
    pub nonce: &'a mut dyn FnMut() -> u32,
    /// Capabilities already used here.
    pub used: &'a mut ReplayGuard,
    /// The capability that this call spends, for whoever keeps the list.
    pub spent: Option<Spent>,
    /// The map may be behind: phones may have registered here of which it does not know yet.
    pub stale: bool,
}

/// One thing to dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Leg {
    /// The registrations of a device at this Asterisk, whatever they are when the call is placed.
    Registered(DeviceId),
    /// A device at another node.
    There {
        /// The device.
        device: DeviceId,
        /// The dial string.
        dial: String,
    },
}

impl Leg {
    /// The device that rings.
    #[must_use]
    pub const fn device(&self) -> &DeviceId {
        match self {
            Self::Registered(device) | Self::There { device, .. } => device,
        }
    }
}

/// Legs that ring together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stage {
    /// What to dial.
    pub legs: Vec<Leg>,
    /// For how long, in seconds.
    pub timeout_s: u16,
    /// The stage, from 0, after which this one may follow.
    pub after: usize,
    /// How that stage must have ended.
    pub on: StageCondition,
}

/// What the dialplan is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Dial these stages; end with this Q.850 cause where nobody answers and Asterisk knows none.
    Dial {
        /// The stages in order.
        stages: Vec<Stage>,
        /// The cause.
        cause: u8,
    },
    /// Hang up with this Q.850 cause.
    Refuse {
        /// The cause.
        cause: u8,
        /// Why, for the log.
        why: String,
    },
}

/// Decides one call.
///
/// # Errors
/// Where the map cannot be read.
pub fn decide(view: &MapView<'_>, here: NodeId, ask: &Ask, moment: &mut Moment<'_>) -> Result<Decision, StoreError> {
    match ask.question {
        Question::Route => route(view, here, ask, moment),
        Question::Trunk => admit(view, here, ask, moment),
        Question::Moved => follow(view, here, ask, moment),
    }
}

/// What is to be asked next where a decision to dial came to nothing, because the phones it meant are registered here no more: the map
/// has moved on while the call was on its way. `None` where asking again would give the same answer.
pub fn in_vain(ask: &Ask) -> Option<Ask> {
    let question = match ask.question {
        Question::Route => Question::Route,
        Question::Trunk => Question::Moved,
        Question::Moved => return None,
    };
    Some(Ask {
        question,
        again: false,
        ..ask.clone()
    })
}

fn refuse(cause: Cause, why: String) -> Decision {
    Decision::Refuse {
        cause: cause.q850(),
        why,
    }
}

fn route(view: &MapView<'_>, here: NodeId, ask: &Ask, moment: &mut Moment<'_>) -> Result<Decision, StoreError> {
    let caller = Caller {
        device: ask.device.clone(),
        number: ask.number.clone(),
        hops: 0,
    };
    // Without an open session of its own (the others ended it while this node was cut off) the map knows of no registration here either.
    let alone = moment.stale || view.session_of(here)?.is_none();
    let plan = if alone {
        route::route_alone(view, here, &caller, &ask.dialled)?
    } else {
        route::route(view, here, &caller, &ask.dialled)?
    };
    let (stages, otherwise) = match plan.outcome {
        Outcome::Refuse(cause) => return Ok(refuse(cause, plan.explanation.join("; "))),
        Outcome::Ring { stages, otherwise } => (stages, otherwise),
    };
    let Some(key) = view.capability_key()? else {
        return Ok(no_key());
    };
    let mut elapsed = 0;
    let mut written = Vec::with_capacity(stages.len());
    for stage in stages {
        let mut legs = Vec::with_capacity(stage.targets.len());
        for target in stage.targets {
            match target.place {
                Place::Here => legs.push(Leg::Registered(target.device)),
                Place::There { node, sip_address } => {
                    let expires_unix_s = moment.unix_s.saturating_add(elapsed).saturating_add(CAPABILITY_SLACK_S);
                    let nonce = (moment.nonce)();
                    let claims = Claims {
                        device: target.device,
                        path: Path::default().then(here),
                        expires_unix_s,
                        nonce,
                        hops: caller.hops.saturating_add(1),
                    };
                    legs.push(crossing(&key, node, &sip_address, &claims));
                }
            }
        }
        elapsed += u32::from(stage.timeout_s);
        written.push(Stage {
            legs,
            timeout_s: stage.timeout_s,
            after: stage.after,
            on: stage.on,
        });
    }
    Ok(Decision::Dial {
        stages: written,
        cause: otherwise.q850(),
    })
}

/// A leg to a device at another node, with the capability that opens its door.
fn crossing(key: &[u8; 32], node: NodeId, sip_address: &str, claims: &Claims) -> Leg {
    let user = capability::mint(key, node, claims);
    Leg::There {
        device: claims.device.clone(),
        dial: format!("PJSIP/{}/sip:{user}@{sip_address}", trunk(node)),
    }
}

/// A call that another node sent: it rings the device's own registrations here.
///
/// Where there are none because the device moved while the call was on its way, it goes on to where the map says it is now, with one more
/// hop and this node in its capability ([`onward`] says what ends that).
fn admit(view: &MapView<'_>, here: NodeId, ask: &Ask, moment: &mut Moment<'_>) -> Result<Decision, StoreError> {
    let (key, claims) = match entitled(view, here, ask, moment, Uses::First)? {
        Ok(entitled) => entitled,
        Err(refused) => return Ok(refused),
    };
    let mut stages = vec![registered_stage(&claims.device)];
    // What rings here rings in any case; where nothing does, the call asks again, and is told why it goes no further.
    if let Onward::To(legs) = onward(view, here, ask, &key, &claims, moment)? {
        // Follows only where nothing is registered here: a stage of which nothing is left gives its place to the next.
        stages.push(Stage {
            legs,
            timeout_s: TRUNK_TIMEOUT_S,
            after: 0,
            on: StageCondition::NoAnswer,
        });
    }
    Ok(Decision::Dial {
        stages,
        cause: Cause::Offline.q850(),
    })
}

/// A call that was let in and found the device gone goes on to where it is now. Its capability was used when it was let in.
fn follow(view: &MapView<'_>, here: NodeId, ask: &Ask, moment: &mut Moment<'_>) -> Result<Decision, StoreError> {
    let (key, claims) = match entitled(view, here, ask, moment, Uses::Second)? {
        Ok(entitled) => entitled,
        Err(refused) => return Ok(refused),
    };
    let stage = match onward(view, here, ask, &key, &claims, moment)? {
        // Perhaps it came back.
        Onward::Nowhere => registered_stage(&claims.device),
        Onward::To(legs) => Stage {
            legs,
            timeout_s: TRUNK_TIMEOUT_S,
            after: 0,
            on: StageCondition::Always,
        },
        Onward::Refused(cause, why) => return Ok(refuse(cause, why)),
    };
    Ok(Decision::Dial {
        stages: vec![stage],
        cause: Cause::Offline.q850(),
    })
}

fn registered_stage(device: &DeviceId) -> Stage {
    Stage {
        legs: vec![Leg::Registered(device.clone())],
        timeout_s: TRUNK_TIMEOUT_S,
        after: 0,
        on: StageCondition::Always,
    }
}

/// Whether a call spends its capability or has done so already.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Uses {
    First,
    Second,
}

/// The capability's key and claims, where the call may ring the device it names.
fn entitled(
    view: &MapView<'_>,
    here: NodeId,
    ask: &Ask,
    moment: &mut Moment<'_>,
    uses: Uses,
) -> Result<Result<([u8; 32], Claims), Decision>, StoreError> {
    let Some(key) = view.capability_key()? else {
        return Ok(Err(no_key()));
    };
    let checked = capability::verify(&key, here, &ask.dialled, moment.unix_s).and_then(|claims| match uses {
        Uses::First => {
            moment.used.check(&claims, moment.unix_s)?;
            moment.spent = Some(Spent::of(&claims));
            Ok(claims)
        }
        Uses::Second => Ok(claims),
    });
    let claims = match checked {
        Ok(claims) => claims,
        Err(error @ (CapabilityError::Overloaded | CapabilityError::Doubtful)) => {
            return Ok(Err(refuse(Cause::Unavailable, error.to_string())));
        }
        Err(error) => {
            return Ok(Err(Decision::Refuse {
                cause: REJECTED,
                why: error.to_string(),
            }));
        }
    };
    let limit = view.hop_limit()?;
    if claims.hops > limit {
        return Ok(Err(refuse(
            Cause::TooManyHops,
            format!("the call has crossed {} nodes, the limit is {limit}", claims.hops),
        )));
    }
    if view.device(&claims.device)?.is_none() {
        return Ok(Err(refuse(
            Cause::UnknownUser,
            format!("there is no device {}", claims.device),
        )));
    }
    Ok(Ok((key, claims)))
}

fn no_key() -> Decision {
    refuse(
        Cause::Unavailable,
        "the setting capability_key is missing; run fed-node init, or set it".into(),
    )
}

/// Where a call from another node goes when the device is not registered here.
enum Onward {
    /// Nowhere else: the map says here, or nowhere.
    Nowhere,
    /// To where it is now.
    To(Vec<Leg>),
    /// It is elsewhere, but this call has gone far enough.
    Refused(Cause, String),
}

/// Where the map says the device is, when that is not here.
///
/// A node sends a call for a device on once. A call that comes back may ring, for the device may have come back too, but without having rung it is sent nowhere any
/// more: the nodes that sent it to each other do not agree on where the device is. So every circle ends where it closes, and every chase at the hop limit.
fn onward(
    view: &MapView<'_>,
    here: NodeId,
    ask: &Ask,
    key: &[u8; 32],
    claims: &Claims,
    moment: &mut Moment<'_>,
) -> Result<Onward, StoreError> {
    let bindings = view.live_bindings_of(&claims.device)?;
    if bindings.is_empty() || bindings.iter().any(|binding| binding.value.node == here) {
        return Ok(Onward::Nowhere);
    }
    if claims.path.holds(here) && !ask.again {
        let why = format!(
            "the call for {} goes in a circle: nodes {} sent it on, and node {here} is asked again; if it happens often, `fed-node check replicas`",
            claims.device, claims.path
        );
        return Ok(Onward::Refused(Cause::Loop, why));
    }
    let limit = view.hop_limit()?;
    if claims.hops >= limit {
        let why = format!(
            "the call for {} has crossed {} nodes (the last were {}), the limit",
            claims.device, claims.hops, claims.path
        );
        return Ok(Onward::Refused(Cause::TooManyHops, why));
    }
    let mut nodes: Vec<NodeId> = bindings.iter().map(|binding| binding.value.node).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let mut legs = Vec::with_capacity(nodes.len());
    for id in nodes {
        let Some(node) = view.node(id)? else { continue };
        let expires_unix_s = moment.unix_s.saturating_add(CAPABILITY_SLACK_S);
        let nonce = (moment.nonce)();
        let next = Claims {
            device: claims.device.clone(),
            path: claims.path.then(here),
            expires_unix_s,
            nonce,
            hops: claims.hops + 1,
        };
        legs.push(crossing(key, id, &node.value.sip_address, &next));
    }
    Ok(if legs.is_empty() {
        Onward::Nowhere
    } else {
        Onward::To(legs)
    })
}
