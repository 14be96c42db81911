//! The decision: whom to ring, in which order, and what then.

use super::locate::places_of;
use super::resolve::{Dialled, resolve};
use super::{Caller, Cause, Outcome, Place, RoutePlan, Stage, StageCondition, Target};
use crate::ids::{DeviceId, NodeId, Number, UserId};
use crate::kv::StoreError;
use crate::map::MapView;
use crate::records::{RingStrategy, User};

/// How many forwards a call may follow, one after another.
pub const MOST_FORWARDS: usize = 5;

/// Decides where a call to `dialled` goes that `caller` makes at node `here`.
///
/// What is dialled may be a number, an alias, a user or a device. A user's forwards and do-not-disturb are
/// followed; a device that is dialled by its own id rings whatever its user wishes. The calling device does not ring
/// itself where there is another to ring.
///
/// A device that was registered here when this node's last session ended, and of which nothing was heard since, is taken to be here: a node
/// that comes back needs a moment until its registrations are confirmed. Such a target is a guess, as those of [`route_alone`].
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn route(view: &MapView<'_>, here: NodeId, caller: &Caller, dialled: &str) -> Result<RoutePlan, StoreError> {
    decide(view, here, caller, dialled, Knows::All)
}

/// As [`route`], at a node that is cut off from the others: a device may have registered at its Asterisk without the map
/// having heard of it, so every device that would ring rings here as well as where the map says.
///
/// A target [`Here`](super::Place::Here) is then a guess: who acts on the plan leaves out those of which nothing is registered here, and
/// takes what follows no answer where a whole stage falls away.
///
/// # Errors
/// As [`route`].
pub fn route_alone(view: &MapView<'_>, here: NodeId, caller: &Caller, dialled: &str) -> Result<RoutePlan, StoreError> {
    decide(view, here, caller, dialled, Knows::NotHere)
}

/// What the map knows of registrations.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Knows {
    All,
    /// Not those made here since the others were lost.
    NotHere,
}

fn decide(
    view: &MapView<'_>,
    here: NodeId,
    caller: &Caller,
    dialled: &str,
    knows: Knows,
) -> Result<RoutePlan, StoreError> {
    let mut router = Router {
        view,
        here,
        caller,
        knows,
        guesses: 0,
        stages: Vec::new(),
        chain: Vec::new(),
        explanation: Vec::new(),
    };
    let refused = router.call(dialled)?.err();
    let Router {
        stages,
        guesses,
        mut explanation,
        ..
    } = router;
    let outcome = match refused {
        Some(cause) => {
            explanation.push(format!("refused: {cause} (SIP {})", cause.sip_status()));
            Outcome::Refuse(cause)
        }
        None => Outcome::Ring {
            stages,
            otherwise: match guesses {
                0 if knows == Knows::All => Cause::NoAnswer,
                _ => Cause::Offline,
            },
        },
    };
    Ok(RoutePlan { outcome, explanation })
}

/// The stage that a stage follows, and how that one must have ended; `None` for the first.
type Follows = Option<(usize, StageCondition)>;

/// `Err` holds the cause for which nothing was added to the plan.
type Decided = Result<Result<(), Cause>, StoreError>;

struct Router<'r> {
    view: &'r MapView<'r>,
    here: NodeId,
    caller: &'r Caller,
    knows: Knows,
    /// Targets that are here only if Asterisk says so.
    guesses: usize,
    stages: Vec<Stage>,
    /// The users whose wishes led here, first to last.
    chain: Vec<UserId>,
    explanation: Vec<String>,
}

impl Router<'_> {
    fn call(&mut self, dialled: &str) -> Decided {
        let limit = self.view.hop_limit()?;
        if self.caller.hops >= limit {
            self.explain(format!("the call has crossed {} nodes, the limit", self.caller.hops));
            return Ok(Err(Cause::TooManyHops));
        }
        self.dial(dialled, None)
    }

    fn dial(&mut self, dialled: &str, follows: Follows) -> Decided {
        match resolve(self.view, dialled)? {
            Some(Dialled::User(id)) => {
                self.explain(format!("{dialled} leads to user {id}"));
                self.user(id, follows)
            }
            Some(Dialled::Device(id)) => {
                self.explain(format!("{dialled} is a device: it rings, whatever its user wishes"));
                self.device(&id, follows)
            }
            None => {
                let shown: String = dialled.chars().take(60).collect();
                self.explain(format!("{} is no number, user or device", shown.escape_debug()));
                Ok(Err(Cause::UnknownUser))
            }
        }
    }

    fn user(&mut self, id: UserId, follows: Follows) -> Decided {
        if self.chain.contains(&id) {
            self.explain(format!("the forwards lead back to user {id}"));
            return Ok(Err(Cause::Loop));
        }
        if self.chain.len() > MOST_FORWARDS {
            self.explain(format!("more than {MOST_FORWARDS} forwards, one after another"));
            return Ok(Err(Cause::Loop));
        }
        let user = self
            .view
            .user(&id)?
            .ok_or_else(|| StoreError::Inconsistent(format!("a number leads to user {id}, who does not exist")))?;
        self.chain.push(id);
        let decided = self.wishes(&user.value, follows);
        self.chain.pop();
        decided
    }

    fn wishes(&mut self, user: &User, follows: Follows) -> Decided {
        let (id, forwards) = (&user.id, &user.forwards);
        if let Some(to) = &forwards.always {
            return self.forward(id, "all calls", to, follows);
        }
        if user.do_not_disturb {
            self.explain(format!("user {id} does not want to be disturbed"));
            return match &forwards.busy {
                Some(to) => self.forward(id, "calls when busy", to, follows),
                None => Ok(Err(Cause::DoNotDisturb)),
            };
        }
        let guesses = self.guesses;
        let Some(last) = self.ring(user, follows)? else {
            return match &forwards.offline {
                Some(to) => self.forward(id, "calls when offline", to, follows),
                None => Ok(Err(Cause::Offline)),
            };
        };
        // Whether the user is offline shows only when the call is put through.
        let may_be_offline = self.guesses > guesses && !self.is_registered(id)?;
        let offline = forwards.offline.as_ref().filter(|_| may_be_offline);
        for (to, what, on) in [
            (forwards.busy.as_ref(), "calls when busy", StageCondition::Busy),
            (
                forwards.no_answer.as_ref(),
                "unanswered calls",
                StageCondition::NoAnswer,
            ),
            (offline, "calls when offline", StageCondition::NoAnswer),
        ] {
            // The user rings in any case: a forward that leads nowhere takes nothing away.
            if let Some(to) = to
                && let Err(cause) = self.forward(id, what, to, Some((last, on)))?
            {
                self.explain(format!("the forward to {to} is left out: {cause}"));
            }
        }
        Ok(Ok(()))
    }

    /// Whether the map knows of a live registration of the user.
    fn is_registered(&self, user: &UserId) -> Result<bool, StoreError> {
        for device in self.view.device_ids_of(user)? {
            if !self.view.live_bindings_of(&device)?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn forward(&mut self, user: &UserId, what: &str, to: &Number, follows: Follows) -> Decided {
        self.explain(format!("user {user} forwards {what} to {to}"));
        self.dial(to.as_str(), follows)
    }

    /// Rings the devices of a user; the last stage of it, `None` when none can be reached.
    fn ring(&mut self, user: &User, follows: Follows) -> Result<Option<usize>, StoreError> {
        let mut devices = Vec::new();
        for device in self.view.device_ids_of(&user.id)? {
            let targets = self.targets(&device)?;
            if !targets.is_empty() {
                devices.push((device, targets));
            }
        }
        if devices.len() > 1
            && let Some(own) = &self.caller.device
            && let Some(at) = devices.iter().position(|(device, _)| device == own)
        {
            devices.remove(at);
            self.explain(format!("device {own} is calling: it does not ring itself"));
        }
        if devices.is_empty() {
            self.explain(format!("no device of user {} is registered at a live node", user.id));
            return Ok(None);
        }
        let timeout_s = user.ring_timeout_s;
        let mut follows = follows;
        let mut last = 0;
        for targets in self.order(user, devices) {
            last = self.stage(targets, timeout_s, follows)?;
            follows = Some((last, StageCondition::Always));
        }
        Ok(Some(last))
    }

    /// The targets of a user's devices, stage by stage.
    fn order(&self, user: &User, devices: Vec<(DeviceId, Vec<Target>)>) -> Vec<Vec<Target>> {
        match user.ring {
            RingStrategy::All => {
                vec![devices.into_iter().flat_map(|(_, targets)| targets).collect()]
            }
            RingStrategy::Sequential => {
                let mut stages: Vec<_> = devices.into_iter().map(|(_, targets)| targets).collect();
                stages.sort_by_key(|targets| {
                    let ranks = targets.iter().filter_map(|target| {
                        let node = target.place.node(self.here);
                        user.preferred_nodes.iter().position(|preferred| *preferred == node)
                    });
                    ranks.min().unwrap_or(usize::MAX)
                });
                stages
            }
        }
    }

    fn device(&mut self, id: &DeviceId, follows: Follows) -> Decided {
        let targets = self.targets(id)?;
        if targets.is_empty() {
            return Ok(Err(Cause::Offline));
        }
        let device = self.view.device(id)?;
        let user = device.map_or(Ok(None), |device| self.view.user(&device.value.user))?;
        let timeout_s = user
            .map(|user| user.value.ring_timeout_s)
            .ok_or_else(|| StoreError::Inconsistent(format!("device {id} is registered but has no user")))?;
        self.stage(targets, timeout_s, follows)?;
        Ok(Ok(()))
    }

    fn stage(&mut self, targets: Vec<Target>, timeout_s: u16, follows: Follows) -> Result<usize, StoreError> {
        let index = self.stages.len();
        let (after, on) = follows.unwrap_or((index, StageCondition::Always));
        let whom: Vec<String> = targets
            .iter()
            .map(|target| self.whom(target))
            .collect::<Result<_, _>>()?;
        let when = match (follows, on) {
            (None, _) => "first".to_owned(),
            (_, StageCondition::Always) => format!("after stage {}", after + 1),
            (_, StageCondition::Busy) => format!("when stage {} is busy", after + 1),
            (_, StageCondition::NoAnswer) => format!("when stage {} does not answer", after + 1),
        };
        let whom = whom.join(", ");
        self.explain(format!("stage {}, {when}: ring {whom} for {timeout_s} s", index + 1));
        self.stages.push(Stage {
            targets,
            timeout_s,
            on,
            after,
        });
        Ok(index)
    }

    fn whom(&self, target: &Target) -> Result<String, StoreError> {
        Ok(match &target.place {
            Place::Here => format!("{} here", target.device),
            Place::There { node, sip_address } => {
                format!("{} at {} ({sip_address})", target.device, self.called(*node)?)
            }
        })
    }

    /// A node by its name.
    fn called(&self, node: NodeId) -> Result<String, StoreError> {
        let record = self.view.node(node)?.filter(|record| !record.value.name.is_empty());
        Ok(record.map_or_else(|| format!("node {node}"), |record| record.value.name))
    }

    /// Where a device can be rung, by place.
    fn targets(&mut self, device: &DeviceId) -> Result<Vec<Target>, StoreError> {
        let bindings = self.view.bindings_of(device)?;
        if bindings.is_empty() {
            self.explain(format!("device {device} is not registered"));
        }
        let mut live = Vec::with_capacity(bindings.len());
        let mut unconfirmed_here = false;
        for binding in bindings {
            if self.view.session(binding.value.session)?.is_some() {
                live.push(binding);
            } else if binding.value.node == self.here {
                unconfirmed_here = true;
            } else {
                let node = self.called(binding.value.node)?;
                self.explain(format!(
                    "device {device} is left out at {node}: not confirmed since that node was down"
                ));
            }
        }
        let places = places_of(self.view, self.here, live)?;
        let target = |place| Target {
            device: device.clone(),
            place,
        };
        let mut targets: Vec<Target> = places.into_iter().map(target).collect();
        let why_here = match self.knows {
            Knows::NotHere => Some("cut off, the map cannot say"),
            // The others ended this node's session: its Asterisk may have kept serving all the while.
            Knows::All if unconfirmed_here && targets.is_empty() => Some("not confirmed since this node was down"),
            Knows::All => None,
        };
        if let Some(why) = why_here
            && targets.iter().all(|target| target.place != Place::Here)
        {
            self.explain(format!("device {device} may be registered here: {why}"));
            self.guesses += 1;
            targets.push(target(Place::Here));
        }
        targets.sort();
        Ok(targets)
    }

    fn explain(&mut self, step: String) {
        self.explanation.push(step);
    }
}
