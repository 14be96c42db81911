//! What a member may have the leader propose: default deny, every command named.
//!
//! A node proposes two kinds of things. What it observes, bare: its own registrations, its own session, its own record.
//! And what somebody asked it for, in their name ([`Command::By`]), so that it is in the audit log whoever it was. In its own name it
//! founds a federation, and no more. A member that was taken over can still say that its administrator asked for something:
//! but not without an entry that names the member.

use std::fmt::Display;

use crate::audit::{Actor, Origin};
use crate::command::{Command, Expect};
use crate::ids::NodeId;
use crate::kv::ReadStore;
use crate::map::MapView;
use crate::records::{User, setting};

/// From this feature level on every member names who asked for a change.
const NAMED: u32 = 2;

/// What the founder of a federation sets in its own name, once.
const FOUNDED: [&str; 2] = [setting::REALM, setting::CAPABILITY_KEY];

/// A member on whose behalf commands come in.
pub(super) struct Powers<'s> {
    pub(super) member: NodeId,
    /// The feature level of the cluster.
    pub(super) level: u32,
    /// The map as the leader has it.
    pub(super) store: &'s dyn ReadStore,
}

type Judged = Result<(), String>;

impl Powers<'_> {
    /// Whether the member may propose this.
    pub(super) fn judge(&self, command: &Command) -> Judged {
        match command {
            Command::By { origin, command } => self.named(origin, command),
            Command::Batch(commands) => commands.iter().try_for_each(|command| self.judge(command)),
            command if self.observes(command) => self.observed(command),
            // Members of before name nobody.
            command if self.level < NAMED => self.asked(command),
            command => Err(format!(
                "node {} may not propose {} in nobody's name",
                self.member,
                kind(command)
            )),
        }
    }

    /// What a node tells of itself.
    fn observes(&self, command: &Command) -> bool {
        match command {
            Command::Bind { .. }
            | Command::Unbind { .. }
            | Command::OpenSession { .. }
            | Command::EndSession { .. } => true,
            Command::PutNode { node, .. } => node.id == self.member,
            Command::PutUser { .. }
            | Command::DeleteUser { .. }
            | Command::PutDevice { .. }
            | Command::DeleteDevice { .. }
            | Command::DeleteNode { .. }
            | Command::PutSetting { .. }
            | Command::DeleteSetting { .. }
            | Command::PutToken { .. }
            | Command::RevokeToken { .. }
            | Command::UseToken { .. }
            | Command::Note { .. }
            | Command::Batch(_)
            | Command::By { .. } => false,
        }
    }

    fn observed(&self, command: &Command) -> Judged {
        match command {
            Command::Bind { node, contact, .. } => {
                self.own(*node, "tell the registrations of")?;
                sound(contact.check())
            }
            Command::Unbind { node, .. } => self.own(*node, "tell the registrations of"),
            Command::OpenSession { node } => self.own(*node, "open a session of"),
            Command::EndSession { session } => {
                let owner = MapView::new(self.store).session(*session);
                match owner.map_err(|error| error.to_string())? {
                    Some(session) => self.own(session.node, "end a session of"),
                    // Ended already: nothing would happen.
                    None => Ok(()),
                }
            }
            Command::PutNode { node, .. } => self.own(node.id, "put the record of"),
            other => Err(format!("node {} does not observe {}", self.member, kind(other))),
        }
    }

    /// A change in somebody's name.
    fn named(&self, origin: &Origin, command: &Command) -> Judged {
        self.own(origin.via, "speak as")?;
        match origin.who {
            Actor::Node(node) => {
                self.own(node, "speak as")?;
                self.by_itself(command)
            }
            Actor::Local | Actor::Token(_) | Actor::Anyone => self.asked(command),
        }
    }

    /// What a node does in its own name.
    fn by_itself(&self, command: &Command) -> Judged {
        match command {
            Command::PutSetting { key, expect, .. } if FOUNDED.contains(&key.as_str()) && *expect == Expect::Absent => {
                Ok(())
            }
            command if self.observes(command) => self.observed(command),
            other => Err(format!(
                "node {} may not propose {} in its own name",
                self.member,
                kind(other)
            )),
        }
    }

    /// What somebody who may can ask a node for.
    fn asked(&self, command: &Command) -> Judged {
        match command {
            Command::PutUser { user, .. } => as_of_today(user),
            Command::PutToken { token, .. } => sound(token.check()),
            Command::PutSetting { key, .. } | Command::DeleteSetting { key, .. } => {
                if key == setting::SEAL_KEY {
                    return Err(format!("node {} may not set {key}: the leader does", self.member));
                }
                Ok(())
            }
            Command::DeleteUser { .. }
            | Command::PutDevice { .. }
            | Command::DeleteDevice { .. }
            // Put back when its removal was refused.
            | Command::PutNode { .. }
            | Command::DeleteNode { .. }
            | Command::RevokeToken { .. }
            | Command::Note { .. } => Ok(()),
            Command::Bind { .. } | Command::Unbind { .. } | Command::OpenSession { .. } | Command::EndSession { .. } => {
                self.observed(command)
            }
            Command::Batch(commands) => commands.iter().try_for_each(|command| self.asked(command)),
            // The leader lets nodes in.
            Command::UseToken { .. } => Err(format!("node {} may not use tokens up", self.member)),
            Command::By { .. } => Err("a change has one origin".to_owned()),
        }
    }

    fn own(&self, node: NodeId, what: &str) -> Judged {
        if node == self.member {
            return Ok(());
        }
        Err(format!("node {} may not {what} node {node}", self.member))
    }
}

/// The map takes older names and numbers; new ones do not come in beside the API.
fn as_of_today(user: &User) -> Judged {
    let forwards = &user.forwards;
    let targets = [&forwards.always, &forwards.busy, &forwards.no_answer, &forwards.offline];
    let mut all = user.numbers.iter().chain(targets.into_iter().flatten());
    all.try_for_each(|number| sound(number.check()))?;
    sound(user.check())
}

fn sound(checked: Result<(), impl Display>) -> Judged {
    checked.map_err(|why| why.to_string())
}

fn kind(command: &Command) -> &'static str {
    match command {
        Command::PutUser { .. } => "a user",
        Command::DeleteUser { .. } => "the deletion of a user",
        Command::PutDevice { .. } => "a device",
        Command::DeleteDevice { .. } => "the deletion of a device",
        Command::Bind { .. } => "a registration",
        Command::Unbind { .. } => "the end of a registration",
        Command::PutNode { .. } => "the record of another node",
        Command::DeleteNode { .. } => "the deletion of a node",
        Command::OpenSession { .. } => "a session",
        Command::EndSession { .. } => "the end of a session",
        Command::PutSetting { .. } => "a setting",
        Command::DeleteSetting { .. } => "the deletion of a setting",
        Command::Batch(_) => "several changes",
        Command::PutToken { .. } => "a token",
        Command::RevokeToken { .. } => "the revocation of a token",
        Command::UseToken { .. } => "the use of a token",
        Command::By { .. } => "a change in somebody's name",
        Command::Note { .. } => "an entry of the audit log",
    }
}
