//! The map again, written the plainest way: lists that are searched from end to end.

use fed_core::command::{Command, Expect, Object, Refusal, Reply};
use fed_core::ids::{DeviceId, NodeId, Revision, SessionId, TokenId, UserId};
use fed_core::records::{Binding, Device, Node, Record, Role, SettingValue, Token, User};

#[derive(Clone, Default, PartialEq, Debug)]
pub(crate) struct Plain {
    /// Changes made, even those undone within a batch.
    writes: usize,
    pub(crate) users: Vec<Record<User>>,
    pub(crate) devices: Vec<Record<Device>>,
    pub(crate) bindings: Vec<Record<Binding>>,
    pub(crate) nodes: Vec<Record<Node>>,
    pub(crate) sessions: Vec<(SessionId, NodeId)>,
    pub(crate) settings: Vec<(String, Record<SettingValue>)>,
    pub(crate) tokens: Vec<Record<Token>>,
    /// The revisions that were made in somebody's name.
    pub(crate) audited: Vec<Revision>,
}

/// The map with what the applier keeps beside it.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) map: Plain,
    pub(crate) revision: Revision,
    answered: Vec<((u128, u64), Reply, Revision)>,
}

impl Model {
    pub(crate) fn request(&mut self, name: (u128, u64), command: &Command) -> (Reply, Revision) {
        if let Some((_, reply, revision)) = self.answered.iter().find(|known| known.0 == name) {
            return (reply.clone(), *revision);
        }
        let mut after = self.map.clone();
        let reply = after.run(self.revision.next(), command);
        if after != self.map && !refused(&reply) {
            self.revision = self.revision.next();
            self.map = after;
        }
        self.answered.push((name, reply.clone(), self.revision));
        (reply, self.revision)
    }
}

pub(crate) fn refused(reply: &Reply) -> bool {
    matches!(reply, Reply::Refused(_) | Reply::BindingRefused { .. })
}

type Result = std::result::Result<Reply, Refusal>;

impl Plain {
    fn run(&mut self, now: Revision, command: &Command) -> Reply {
        let before = self.clone();
        let result = match command.clone() {
            Command::PutUser { user, expect } => self.put_user(now, user, expect),
            Command::DeleteUser { id, expect } => self.delete_user(now, &id, expect),
            Command::PutDevice { device, expect } => self.put_device(now, device, expect),
            Command::DeleteDevice { id, expect } => self.delete_device(now, &id, expect),
            Command::Bind {
                device,
                contact,
                node,
                session,
                basis,
                user_agent,
                path,
            } => {
                let binding = Binding {
                    device,
                    contact,
                    node,
                    session,
                    user_agent,
                    path,
                };
                self.bind(now, binding, basis.is_some())
            }
            Command::Unbind { device, contact, node } => {
                self.bindings
                    .retain(|b| (&b.value.device, &b.value.contact, b.value.node) != (&device, &contact, node));
                self.done(now, &before)
            }
            Command::PutNode { node, expect } => self.put_node(now, node, expect),
            Command::DeleteNode { id } => self.delete_node(now, id),
            Command::OpenSession { node } => self.open_session(now, node),
            Command::EndSession { session } => {
                self.sessions.retain(|open| open.0 != session);
                self.done(now, &before)
            }
            Command::PutSetting { key, value, expect } => self.put_setting(now, key, value, expect),
            Command::DeleteSetting { key, expect } => self.delete_setting(now, key, expect),
            Command::Batch(commands) => self.batch(now, &commands),
            Command::PutToken { token, expect } => self.put_token(now, token, expect),
            Command::RevokeToken { id } => self.revoke_token(now, &id),
            Command::UseToken { id, expect } => self.use_token(now, &id, expect),
            Command::By { command, .. } if matches!(*command, Command::Note { .. }) => {
                self.audited.push(now);
                self.done(now, &before)
            }
            Command::Note { .. } => Err(Refusal::Invalid {
                object: Object::Batch,
                field: "note".to_owned(),
                why: "a note is made by itself, in somebody's name".to_owned(),
            }),
            Command::By { command, .. } => {
                let reply = self.run(now, &command);
                if self.writes > before.writes && !refused(&reply) {
                    self.audited.push(now);
                }
                Ok(reply)
            }
        };
        if *self != before {
            self.writes += 1;
        }
        result.unwrap_or_else(Reply::Refused)
    }

    fn done(&self, now: Revision, before: &Self) -> Result {
        Ok(Reply::Done {
            revision: if self == before { now.previous() } else { now },
        })
    }

    fn batch(&mut self, now: Revision, commands: &[Command]) -> Result {
        let mut replies = Vec::new();
        for (index, command) in commands.iter().enumerate() {
            let reply = self.run(now, command);
            let why = match reply {
                Reply::Refused(why) => why,
                Reply::BindingRefused { by } => Refusal::BoundElsewhere {
                    device: by.device,
                    node: by.node,
                },
                reply => {
                    replies.push(reply);
                    continue;
                }
            };
            return Err(Refusal::InBatch {
                index: index as u32,
                why: Box::new(why),
            });
        }
        Ok(Reply::Batch(replies))
    }

    /// Refuses `name` for `user` if it leads to another; `device` is not asked about itself.
    fn free(&self, name: &str, user: &UserId, device: Option<&DeviceId>) -> std::result::Result<(), Refusal> {
        let by_number = self
            .users
            .iter()
            .filter(|u| u.value.numbers.iter().any(|n| n.as_str() == name));
        let by_id = self.users.iter().filter(|u| u.value.id.as_str() == name);
        let holders = by_number.chain(by_id).map(|u| &u.value.id);
        let devices = self
            .devices
            .iter()
            .filter(|d| d.value.id.as_str() == name && Some(&d.value.id) != device);
        let other = holders
            .chain(devices.map(|d| &d.value.user))
            .find(|holder| *holder != user);
        match other {
            Some(other) => Err(Refusal::NumberTaken {
                number: name.to_owned(),
                user: other.clone(),
            }),
            None => Ok(()),
        }
    }

    fn put_user(&mut self, now: Revision, user: User, expect: Expect) -> Result {
        let old = self.users.iter().find(|u| u.value.id == user.id).cloned();
        met(expect, Object::User(user.id.clone()), old.as_ref().map(|u| u.modified))?;
        user.validate()?;
        if old.as_ref().is_some_and(|u| u.value == user) {
            return Ok(Reply::Done {
                revision: now.previous(),
            });
        }
        self.free(user.id.as_str(), &user.id, None)?;
        for number in &user.numbers {
            self.free(number.as_str(), &user.id, None)?;
        }
        self.users.retain(|u| u.value.id != user.id);
        self.users.push(record(now, old.map(|u| u.created), user));
        Ok(Reply::Done { revision: now })
    }

    fn delete_user(&mut self, now: Revision, id: &UserId, expect: Expect) -> Result {
        let old = self.users.iter().find(|u| u.value.id == *id).map(|u| u.modified);
        met_to_delete(expect, Object::User(id.clone()), old)?;
        let gone: Vec<DeviceId> = self
            .devices
            .iter()
            .filter(|d| d.value.user == *id)
            .map(|d| d.value.id.clone())
            .collect();
        self.bindings.retain(|b| !gone.contains(&b.value.device));
        self.devices.retain(|d| d.value.user != *id);
        self.users.retain(|u| u.value.id != *id);
        Ok(Reply::Done { revision: now })
    }

    fn put_device(&mut self, now: Revision, device: Device, expect: Expect) -> Result {
        let old = self.devices.iter().find(|d| d.value.id == device.id).cloned();
        met(
            expect,
            Object::Device(device.id.clone()),
            old.as_ref().map(|d| d.modified),
        )?;
        device.validate()?;
        if old.as_ref().is_some_and(|d| d.value == device) {
            return Ok(Reply::Done {
                revision: now.previous(),
            });
        }
        if !self.users.iter().any(|u| u.value.id == device.user) {
            return Err(Refusal::UserMissing {
                device: device.id,
                user: device.user,
            });
        }
        self.free(device.id.as_str(), &device.user, Some(&device.id))?;
        self.devices.retain(|d| d.value.id != device.id);
        self.devices.push(record(now, old.map(|d| d.created), device));
        Ok(Reply::Done { revision: now })
    }

    fn delete_device(&mut self, now: Revision, id: &DeviceId, expect: Expect) -> Result {
        let old = self.devices.iter().find(|d| d.value.id == *id).map(|d| d.modified);
        met_to_delete(expect, Object::Device(id.clone()), old)?;
        self.bindings.retain(|b| b.value.device != *id);
        self.devices.retain(|d| d.value.id != *id);
        Ok(Reply::Done { revision: now })
    }

    fn live(&self, binding: &Record<Binding>) -> bool {
        self.sessions.iter().any(|open| open.0 == binding.value.session)
    }

    fn bind(&mut self, now: Revision, mut new: Binding, seen: bool) -> Result {
        if !self.sessions.contains(&(new.session, new.node)) {
            return Err(Refusal::SessionEnded {
                session: new.session,
                node: new.node,
            });
        }
        let Some(device) = self.devices.iter().find(|d| d.value.id == new.device) else {
            return Err(Refusal::NotFound {
                object: Object::Device(new.device),
            });
        };
        let limit = usize::from(device.value.max_contacts);
        let mut rest: Vec<_> = self
            .bindings
            .iter()
            .filter(|b| b.value.device == new.device)
            .cloned()
            .collect();
        let mut superseded = Vec::new();
        let mut created = now;
        let mut stood = false;
        if let Some(at) = rest.iter().position(|b| b.value.contact == new.contact) {
            let same = rest.remove(at);
            let live = self.live(&same);
            if same.value.node == new.node {
                new.user_agent = new.user_agent.or(same.value.user_agent.clone());
                new.path = new.path.or(same.value.path.clone());
                if new == same.value {
                    return Ok(Reply::Bound {
                        revision: same.modified,
                        superseded,
                    });
                }
                created = same.created;
                stood = live;
            } else if live && !seen {
                return Ok(Reply::BindingRefused { by: same.value });
            } else if live {
                superseded.push(same.value);
            }
        }
        rest.sort_by_key(|b| (b.modified, b.value.contact.clone()));
        while (seen || !stood) && rest.iter().filter(|b| self.live(b)).count() + 1 > limit {
            let goes = |b: &Record<Binding>| self.live(b) && (seen || b.value.node == new.node);
            match rest.iter().position(goes) {
                Some(at) => superseded.push(rest.remove(at).value),
                None => {
                    let by = rest.iter().rfind(|b| self.live(b)).unwrap().value.clone();
                    return Ok(Reply::BindingRefused { by });
                }
            }
        }
        while rest.len() + 1 > limit
            && let Some(dead) = rest.iter().position(|b| !self.live(b))
        {
            rest.remove(dead);
        }
        self.bindings.retain(|b| b.value.device != new.device);
        self.bindings.extend(rest);
        self.bindings.push(record(now, Some(created), new));
        Ok(Reply::Bound {
            revision: now,
            superseded,
        })
    }

    fn put_node(&mut self, now: Revision, node: Node, expect: Expect) -> Result {
        let old = self.nodes.iter().find(|n| n.value.id == node.id).cloned();
        met(expect, Object::Node(node.id), old.as_ref().map(|n| n.modified))?;
        node.validate()?;
        if old.as_ref().is_some_and(|n| n.value == node) {
            return Ok(Reply::Done {
                revision: now.previous(),
            });
        }
        let twin = self
            .nodes
            .iter()
            .find(|n| n.value.name == node.name && n.value.id != node.id);
        if let Some(twin) = twin {
            return Err(Refusal::InUse {
                name: node.name,
                by: Object::Node(twin.value.id),
            });
        }
        self.nodes.retain(|n| n.value.id != node.id);
        self.nodes.push(record(now, old.map(|n| n.created), node));
        Ok(Reply::Done { revision: now })
    }

    fn delete_node(&mut self, now: Revision, id: NodeId) -> Result {
        self.node_exists(id)?;
        self.nodes.retain(|n| n.value.id != id);
        self.sessions.retain(|open| open.1 != id);
        self.bindings.retain(|b| b.value.node != id);
        Ok(Reply::Done { revision: now })
    }

    fn open_session(&mut self, now: Revision, node: NodeId) -> Result {
        self.node_exists(node)?;
        let session = SessionId(now.0);
        if self.sessions.iter().any(|open| open.0 == session) {
            return Err(Refusal::Invalid {
                object: Object::Batch,
                field: "commands".to_owned(),
                why: "a batch opens at most one session, since its revision names the session".to_owned(),
            });
        }
        self.sessions.retain(|open| open.1 != node);
        self.sessions.push((session, node));
        Ok(Reply::SessionOpened { session })
    }

    fn node_exists(&self, id: NodeId) -> std::result::Result<(), Refusal> {
        let there = self.nodes.iter().any(|n| n.value.id == id);
        there.then_some(()).ok_or(Refusal::NotFound {
            object: Object::Node(id),
        })
    }

    fn put_setting(&mut self, now: Revision, key: String, value: SettingValue, expect: Expect) -> Result {
        let old = self.settings.iter().find(|s| s.0 == key).map(|s| s.1.clone());
        met(expect, Object::Setting(key.clone()), old.as_ref().map(|s| s.modified))?;
        if old.as_ref().is_some_and(|s| s.value == value) {
            return Ok(Reply::Done {
                revision: now.previous(),
            });
        }
        self.keeps_realm(&key, value.as_str())?;
        self.settings.retain(|s| s.0 != key);
        self.settings.push((key, record(now, old.map(|s| s.created), value)));
        Ok(Reply::Done { revision: now })
    }

    fn delete_setting(&mut self, now: Revision, key: String, expect: Expect) -> Result {
        let old = self.settings.iter().find(|s| s.0 == key).map(|s| s.1.modified);
        met_to_delete(expect, Object::Setting(key.clone()), old)?;
        self.keeps_realm(&key, "federated")?;
        self.settings.retain(|s| s.0 != key);
        Ok(Reply::Done { revision: now })
    }

    fn put_token(&mut self, now: Revision, token: Token, expect: Expect) -> Result {
        let old = self.tokens.iter().find(|t| t.value.id == token.id).cloned();
        let object = Object::Token(token.id.clone());
        met(expect, object.clone(), old.as_ref().map(|t| t.modified))?;
        if token.role == Role::Registrar && token.node.is_none() {
            return Err(Refusal::Invalid {
                object,
                field: "node".to_owned(),
                why: "name the node whose registrations it may tell".to_owned(),
            });
        }
        if old.as_ref().is_some_and(|t| t.value == token) {
            return Ok(Reply::Done {
                revision: now.previous(),
            });
        }
        self.tokens.retain(|t| t.value.id != token.id);
        self.tokens.push(record(now, old.map(|t| t.created), token));
        Ok(Reply::Done { revision: now })
    }

    fn revoke_token(&mut self, now: Revision, id: &TokenId) -> Result {
        if self.tokens.iter().all(|t| t.value.id != *id) {
            let object = Object::Token(id.clone());
            return Err(Refusal::NotFound { object });
        }
        self.tokens.retain(|t| t.value.id != *id);
        Ok(Reply::Done { revision: now })
    }

    fn use_token(&mut self, now: Revision, id: &TokenId, expect: Revision) -> Result {
        let object = Object::Token(id.clone());
        let Some(old) = self.tokens.iter().find(|t| t.value.id == *id).cloned() else {
            return Err(Refusal::NotFound { object });
        };
        met(Expect::Revision(expect), object.clone(), Some(old.modified))?;
        if !old.value.one_use {
            return Err(Refusal::Invalid {
                object,
                field: "one_use".to_owned(),
                why: "it may be shown any number of times, and is not used up".to_owned(),
            });
        }
        self.revoke_token(now, id)
    }

    fn keeps_realm(&self, key: &str, next: &str) -> std::result::Result<(), Refusal> {
        let stored = self.settings.iter().find(|s| s.0 == "realm");
        let realm = stored.map_or("federated", |s| s.1.value.as_str());
        if key != "realm" || realm == next || self.devices.is_empty() {
            return Ok(());
        }
        Err(Refusal::RealmBound {
            realm: realm.to_owned(),
            devices: self.devices.len() as u64,
        })
    }
}

fn record<T>(now: Revision, created: Option<Revision>, value: T) -> Record<T> {
    Record {
        created: created.unwrap_or(now),
        modified: now,
        value,
    }
}

fn met(expected: Expect, object: Object, actual: Option<Revision>) -> std::result::Result<(), Refusal> {
    match (expected, actual) {
        (Expect::Any, _) | (Expect::Absent, None) => Ok(()),
        (Expect::Revision(r), Some(at)) if r == at => Ok(()),
        _ => Err(Refusal::Conflict {
            object,
            expected,
            actual,
        }),
    }
}

fn met_to_delete(expected: Expect, object: Object, actual: Option<Revision>) -> std::result::Result<(), Refusal> {
    match (expected, actual) {
        (Expect::Any | Expect::Absent, None) => Err(Refusal::NotFound { object }),
        _ => met(expected, object, actual),
    }
}
