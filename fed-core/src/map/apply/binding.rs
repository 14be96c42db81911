//! Bindings: registrations on their way into the map and out of it.
//!
//! A `Bind` reads the session, the device and the row of the device's bindings, and the sessions of its other
//! bindings: a handful of point reads, however many bindings the map holds.

use std::collections::BTreeSet;

use super::placement::{Candidate, Placement, Seen, place};
use super::{Applied, Applier, Stop};
use crate::command::{Object, Refusal, Reply};
use crate::event::{Change, UnboundWhy};
use crate::ids::{ContactUri, DeviceId, NodeId, Revision};
use crate::map::keys::{self, Counted};
use crate::map::rows;
use crate::records::{Binding, Record};
use crate::stored::Bindings;

/// What a device says of itself is cut at this many characters.
const LONGEST_DETAIL: usize = 255;

impl Applier<'_> {
    pub(super) fn bind(&mut self, mut binding: Binding, basis: Option<Revision>) -> Applied {
        let (session, node) = (binding.session, binding.node);
        if self.view().session(session)?.is_none_or(|open| open.node != node) {
            return Err(Refusal::SessionEnded { session, node }.into());
        }
        let Some(device) = self.view().device(&binding.device)? else {
            let object = Object::Device(binding.device);
            return Err(Refusal::NotFound { object }.into());
        };
        binding.user_agent = binding.user_agent.as_deref().and_then(clean);
        binding.path = binding.path.as_deref().and_then(clean);
        let before = self.view().bindings_of(&binding.device)?;
        let candidates = self.candidates(&before, &binding)?;
        let seen = if basis.is_some() {
            Seen::Happening
        } else {
            Seen::Standing
        };
        let limit = usize::from(device.value.max_contacts);
        match place(binding, seen, limit, candidates, self.revision) {
            Placement::Unchanged(revision) => Ok(Reply::Bound {
                revision,
                superseded: Vec::new(),
            }),
            Placement::Refused { by } => Ok(Reply::BindingRefused { by }),
            Placement::Placed { placed, kept, gone } => {
                let id = placed.value.device.clone();
                let event = Change::Bound {
                    binding: placed.value.clone(),
                };
                let mut row = kept;
                row.push(placed);
                self.write_bindings(&id, &before, row)?;
                let superseded = gone.iter().filter(|(_, why)| *why == UnboundWhy::Superseded);
                let superseded = superseded.map(|(binding, _)| binding.clone()).collect();
                let gone = gone.into_iter().map(|(binding, why)| Change::Unbound { binding, why });
                self.events.extend(gone);
                self.events.push(event);
                Ok(Reply::Bound {
                    revision: self.revision,
                    superseded,
                })
            }
        }
    }

    pub(super) fn unbind(&mut self, device: &DeviceId, contact: &ContactUri, node: NodeId) -> Applied {
        let before = self.view().bindings_of(device)?;
        let ended = |record: &Record<Binding>| record.value.contact == *contact && record.value.node == node;
        let Some(gone) = before.iter().find(|record| ended(record)).cloned() else {
            return self.nothing_to_do();
        };
        let after = before.iter().filter(|record| !ended(record)).cloned().collect();
        self.write_bindings(device, &before, after)?;
        let why = UnboundWhy::Unregistered;
        self.events.push(Change::Unbound {
            binding: gone.value,
            why,
        });
        self.done()
    }

    /// Removes the bindings at a node.
    pub(super) fn unbind_node(&mut self, node: NodeId) -> Result<(), Stop> {
        for device in self.view().devices_bound_at(node)? {
            let before = self.view().bindings_of(&device)?;
            let (gone, after): (Bindings, Bindings) =
                before.iter().cloned().partition(|record| record.value.node == node);
            self.write_bindings(&device, &before, after)?;
            let why = UnboundWhy::NodeDeleted;
            let gone = gone.into_iter().map(|record| record.value);
            self.events.extend(gone.map(|binding| Change::Unbound { binding, why }));
        }
        Ok(())
    }

    /// Replaces the row of a device's bindings, with its index by node and its count.
    pub(super) fn write_bindings(
        &mut self,
        device: &DeviceId,
        before: &Bindings,
        mut after: Bindings,
    ) -> Result<(), Stop> {
        let (old, new) = (nodes(before), nodes(&after));
        for &node in old.difference(&new) {
            self.store
                .delete(keys::BINDINGS_AT_NODE, keys::binding_at_node(node, device));
        }
        for &node in new.difference(&old) {
            let key = keys::binding_at_node(node, device);
            self.store.put(keys::BINDINGS_AT_NODE, key, Vec::new());
        }
        self.count(Counted::Bindings, before.len(), after.len())?;
        if after.is_empty() {
            self.store.delete(keys::BINDINGS, keys::text(device));
        } else {
            after.sort_by(|a, b| a.value.contact.cmp(&b.value.contact));
            rows::write(self.store, keys::BINDINGS, keys::text(device), &after)?;
        }
        Ok(())
    }

    /// The device's bindings with what is known of their sessions. The new one's session is open.
    fn candidates(&self, before: &Bindings, new: &Binding) -> Result<Vec<Candidate>, Stop> {
        let mut candidates = Vec::with_capacity(before.len());
        for record in before {
            let session = record.value.session;
            let live = session == new.session || self.view().session(session)?.is_some();
            candidates.push(Candidate {
                record: record.clone(),
                live,
            });
        }
        Ok(candidates)
    }
}

fn nodes(bindings: &Bindings) -> BTreeSet<NodeId> {
    bindings.iter().map(|record| record.value.node).collect()
}

/// What a device says of itself, without what could break a line or a terminal.
fn clean(text: &str) -> Option<String> {
    let text: String = text.chars().filter(|c| !c.is_control()).take(LONGEST_DETAIL).collect();
    let text = text.trim();
    (!text.is_empty()).then(|| text.to_owned())
}
