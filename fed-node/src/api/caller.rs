//! Who makes a call, as the gate found out: handlers ask it what they may answer.

use std::sync::Arc;

use fed_core::audit::Actor;
use fed_core::ids::{NodeId, Revision};
use fed_core::records::Role;
use tonic::{Request, Status};

use super::limits::Limits;
use super::places::Place;

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Who.
    pub who: Actor,
    /// What they may do.
    pub role: Role,
    /// The only node at which it holds, where there is one.
    pub node: Option<NodeId>,
    /// The revision that made the token; none where there is no token in the map.
    pub(super) token_at: Option<Revision>,
    /// Seconds since 1970 after which the token is refused.
    pub(super) expires_at_unix: u64,
    pub(super) limits: Arc<Limits>,
    /// Held for as long as anything of the call is left; none where nobody counts.
    pub(super) place: Option<Arc<Place>>,
}

impl Caller {
    /// Who made this call.
    ///
    /// # Errors
    /// When no gate let them in: nobody is anybody by default.
    pub(super) fn of<T>(request: &Request<T>) -> Result<Self, Status> {
        let known = request.extensions().get::<Self>().cloned();
        known.ok_or_else(|| Status::permission_denied("nobody knows who makes this call"))
    }

    /// # Errors
    /// When this role does not hold `least`.
    pub(super) fn needs(&self, least: Role, what: &str) -> Result<(), Status> {
        if self.role.holds(least) {
            return Ok(());
        }
        Err(denied(self.role, least, what))
    }

    /// Takes `cost` calls of those that this caller may make.
    ///
    /// # Errors
    /// When there are none left: after which time to come again.
    pub(super) fn spends(&self, cost: u32) -> Result<(), Status> {
        self.limits.spend(&self.who, cost)
    }
}

/// The role does not suffice.
pub(super) fn denied(role: Role, least: Role, what: &str) -> Status {
    Status::permission_denied(format!(
        "{what} needs the role {least}, this token has the role {role}: ask an administrator for a token (`fed-node token create --role {least}`)"
    ))
}
