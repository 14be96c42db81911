//! Nodes and their sessions.

use super::{Applied, Applier, Stop};
use crate::command::{Expect, Object, Refusal, Reply};
use crate::event::Change;
use crate::ids::{NodeId, SessionId};
use crate::map::keys::{self, Counted};
use crate::map::rows;
use crate::records::{Node, Session};

impl Applier<'_> {
    pub(super) fn put_node(&mut self, node: Node, expect: Expect) -> Applied {
        let before = self.view().node(node.id)?;
        expect.check(Object::Node(node.id), before.as_ref().map(|record| record.modified))?;
        node.validate()?;
        if before.as_ref().is_some_and(|record| record.value == node) {
            return self.nothing_to_do();
        }
        if let Some(holder) = self.view().node_by_name(&node.name)?
            && holder.value.id != node.id
        {
            let by = Object::Node(holder.value.id);
            return Err(Refusal::InUse { name: node.name, by }.into());
        }
        let created = before.as_ref().map(|record| record.created);
        if let Some(before) = before
            && before.value.name != node.name
        {
            self.store.delete(keys::NODE_NAMES, keys::text(&before.value.name));
        }
        rows::write(self.store, keys::NODE_NAMES, keys::text(&node.name), &node.id)?;
        self.count(Counted::Nodes, usize::from(created.is_some()), 1)?;
        let id = node.id;
        let record = self.record(created, node);
        rows::write(self.store, keys::NODES, keys::node(id), &record)?;
        self.events.push(Change::NodePut { id });
        self.done()
    }

    pub(super) fn delete_node(&mut self, id: NodeId) -> Applied {
        let Some(before) = self.view().node(id)? else {
            return Err(Refusal::NotFound {
                object: Object::Node(id),
            }
            .into());
        };
        if let Some(session) = self.view().session_of(id)? {
            self.drop_session(Session { id: session, node: id })?;
        }
        self.unbind_node(id)?;
        self.store.delete(keys::NODE_NAMES, keys::text(&before.value.name));
        self.store.delete(keys::NODES, keys::node(id));
        self.count(Counted::Nodes, 1, 0)?;
        self.events.push(Change::NodeDeleted { id });
        self.done()
    }

    pub(super) fn open_session(&mut self, node: NodeId) -> Applied {
        if self.view().node(node)?.is_none() {
            return Err(Refusal::NotFound {
                object: Object::Node(node),
            }
            .into());
        }
        let session = SessionId(self.revision.0);
        if self.view().session(session)?.is_some() {
            return Err(Refusal::Invalid {
                object: Object::Batch,
                field: "commands".to_owned(),
                why: "a batch opens at most one session, since its revision names the session".to_owned(),
            }
            .into());
        }
        if let Some(previous) = self.view().session_of(node)? {
            self.drop_session(Session { id: previous, node })?;
        }
        let open = Session { id: session, node };
        rows::write(self.store, keys::SESSIONS, keys::session(session), &open)?;
        rows::write(self.store, keys::SESSION_OF_NODE, keys::node(node), &session)?;
        self.count(Counted::Sessions, 0, 1)?;
        self.events.push(Change::SessionOpened { session, node });
        Ok(Reply::SessionOpened { session })
    }

    pub(super) fn end_session(&mut self, session: SessionId) -> Applied {
        let Some(open) = self.view().session(session)? else {
            return self.nothing_to_do();
        };
        self.drop_session(open)?;
        self.done()
    }

    fn drop_session(&mut self, session: Session) -> Result<(), Stop> {
        self.store.delete(keys::SESSIONS, keys::session(session.id));
        self.store.delete(keys::SESSION_OF_NODE, keys::node(session.node));
        self.count(Counted::Sessions, 1, 0)?;
        self.events.push(Change::SessionEnded {
            session: session.id,
            node: session.node,
        });
        Ok(())
    }
}
