//! Who is let in: from what a call shows to a [`Caller`]. It decides; [`super::gate`] acts.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};

use fed_core::audit::Actor;
use fed_core::ids::{NodeId, TokenId};
use fed_core::kv::StoreError;
use fed_core::records::{Record, Role, SecretHash, Token};
use tonic::Status;

use super::caller::{Caller, denied};
use super::failure::damaged;
use super::limits::Limits;
use super::refusals::Refusals;
use super::rules::{is_change, rule};
use crate::security::{LocalToken, TokenText, same};

/// Looks a token up in the map as this node has it: that also works without a quorum.
pub(crate) type LookUp = Box<dyn Fn(&TokenId) -> Result<Option<Record<Token>>, StoreError> + Send + Sync>;

/// Decides who may come in.
pub struct Door {
    here: NodeId,
    guard: Option<Guard>,
    limits: Arc<Limits>,
    refusals: Arc<Refusals>,
}

/// What tokens are held against.
pub struct Guard {
    /// That of whoever may read the data folder.
    pub local: LocalToken,
    /// Those of the map.
    pub look_up: LookUp,
}

impl Door {
    /// A door of this node; without a guard everybody comes in as an administrator.
    #[must_use]
    pub fn new(here: NodeId, guard: Option<Guard>, limits: Arc<Limits>, refusals: Arc<Refusals>) -> Self {
        Self {
            here,
            guard,
            limits,
            refusals,
        }
    }

    /// Somebody who came in was refused a part of a call for want of the right to it.
    pub(super) fn refused_inside(&self, who: &Actor, path: &str) {
        if let Some(text) = self.refusals.worth_logging(who, path) {
            tracing::info!(%who, "{text}");
        }
        self.refused(who, path);
    }

    /// Somebody was refused for want of the right to a call: what would have been a change is noted in the audit log.
    fn refused(&self, who: &Actor, path: &str) {
        self.limits.denied.fetch_add(1, Ordering::Relaxed);
        if is_change(path) {
            self.refusals.tell(who, path.rsplit('/').next().unwrap_or(path));
        }
    }

    /// The map refused a change, in these words.
    pub(super) fn refused_by_map(&self, who: &Actor, refused: String) {
        self.limits.by_map.fetch_add(1, Ordering::Relaxed);
        self.refusals.tell_by_map(who, &refused);
    }

    /// Somebody was given digests.
    pub(super) fn read_digests(&self, who: &Actor) {
        self.refusals.tell_read(who, "digests");
    }

    /// Somebody did what is no change, and is to be found in the audit log all the same.
    pub(super) fn did(&self, who: &Actor, what: &str) {
        self.refusals.note(who, what.to_owned());
    }

    /// The counters of this door.
    #[must_use]
    pub fn limits(&self) -> &Arc<Limits> {
        &self.limits
    }

    /// Whether a call of `path` may come in with what its `authorization` says, and who makes it.
    ///
    /// # Errors
    /// The status to answer: without a token, with a wrong one (late), without the role, too often, or with too many under way.
    pub async fn admit(&self, path: &str, authorization: Option<&str>, source: IpAddr) -> Result<Caller, Status> {
        let mut caller = match self.identify(authorization) {
            Ok(caller) => caller,
            Err(Unknown::Nothing) => {
                self.limits.unauthenticated.fetch_add(1, Ordering::Relaxed);
                return Err(Status::unauthenticated(
                    "this node asks who calls: show a token (--token-file, FED_TOKEN_FILE; on the node's own machine as a user who may read its data folder)",
                ));
            }
            Err(Unknown::Wrong) => {
                self.limits.unauthenticated.fetch_add(1, Ordering::Relaxed);
                if let Some(text) = self.refusals.guess_worth_logging(source) {
                    tracing::info!(%source, path, "{text}");
                }
                self.limits.slow_down(source).await?;
                // Not whether its id, its secret or its time was wrong: there is nothing to learn by guessing.
                return Err(Status::unauthenticated(
                    "this token is not known here, was revoked or has expired: ask an administrator for another (`fed-node token create`)",
                ));
            }
            Err(Unknown::Elsewhere(id, node)) => {
                let who = Actor::Token(id);
                self.limits.spend(&who, 1)?;
                self.refused(&who, path);
                return Err(Status::permission_denied(format!(
                    "this token holds at node {node} alone, this is node {}",
                    self.here
                )));
            }
            Err(Unknown::Failed(error)) => return Err(damaged(&error)),
        };
        // First of all: what is refused costs as much as what is done.
        caller.spends(1)?;
        let checked = match rule(path) {
            Some(least) if caller.role.holds(least) => Ok(()),
            Some(least) => Err(denied(caller.role, least, path.rsplit('/').next().unwrap_or(path))),
            None => Err(Status::permission_denied(
                "there is no rule for this call: nobody may make it",
            )),
        };
        if let Err(status) = checked {
            if let Some(text) = self.refusals.worth_logging(&caller.who, path) {
                tracing::info!(who = %caller.who, role = %caller.role, %source, "{text}");
            }
            self.refused(&caller.who, path);
            return Err(status);
        }
        caller.place = self.limits.begin(&caller.who)?;
        Ok(caller)
    }

    fn identify(&self, authorization: Option<&str>) -> Result<Caller, Unknown> {
        let Some(guard) = &self.guard else {
            return Ok(self.caller(Actor::Anyone, Role::Admin, None));
        };
        let text = authorization.ok_or(Unknown::Nothing)?;
        let text = text.strip_prefix("Bearer ").ok_or(Unknown::Wrong)?;
        let shown = TokenText::parse(text).ok_or(Unknown::Wrong)?;
        if LocalToken::is_named(&shown.id) {
            let right = guard.local.is(&shown.secret);
            return if right {
                Ok(self.caller(Actor::Local, Role::Admin, None))
            } else {
                Err(Unknown::Wrong)
            };
        }
        let found = (guard.look_up)(&shown.id).map_err(Unknown::Failed)?;
        // One that is not there takes as long as one that is.
        let hash = found
            .as_ref()
            .map_or(SecretHash([0; 32]), |found| found.value.secret_hash);
        let right = same(&hash, &shown.secret.hash());
        let Some(found) = found.filter(|found| right && opens(&found.value, now_unix())) else {
            return Err(Unknown::Wrong);
        };
        if let Some(node) = found.value.node.filter(|node| *node != self.here) {
            return Err(Unknown::Elsewhere(shown.id, node));
        }
        let mut caller = self.caller(Actor::Token(shown.id), found.value.role, Some(found.modified));
        (caller.node, caller.expires_at_unix) = (found.value.node, found.value.expires_at_unix);
        Ok(caller)
    }

    fn caller(&self, who: Actor, role: Role, token_at: Option<fed_core::ids::Revision>) -> Caller {
        Caller {
            who,
            role,
            node: None,
            token_at,
            expires_at_unix: u64::MAX,
            limits: self.limits.clone(),
            place: None,
        }
    }

    /// Whether somebody who came in may stay: asked now and then by what lasts long.
    #[must_use]
    pub fn may_stay(&self, caller: &Caller) -> bool {
        let (Some(guard), Actor::Token(id)) = (&self.guard, &caller.who) else {
            return true;
        };
        let found = (guard.look_up)(id).ok().flatten();
        caller.expires_at_unix > now_unix() && found.is_some_and(|found| Some(found.modified) == caller.token_at)
    }
}

enum Unknown {
    Nothing,
    Wrong,
    Elsewhere(TokenId, NodeId),
    Failed(StoreError),
}

/// Whether a token opens the client API. One that is used up by its use, or a node's, is for joining.
fn opens(token: &Token, now_unix: u64) -> bool {
    token.expires_at_unix > now_unix && !token.one_use && token.role != Role::Node
}

/// Seconds since 1970 by this machine's clock.
pub(super) fn now_unix() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}

/// The end of a stream whose caller may no longer stay.
pub(super) fn sent_away() -> Status {
    Status::unauthenticated("the token of this stream was revoked or has expired")
}

#[cfg(test)]
#[path = "door_tests.rs"]
mod tests;
