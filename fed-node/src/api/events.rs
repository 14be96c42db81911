//! Changes of the map for watchers.

use fed_core::event::{Change, UnboundWhy};
use fed_core::ids::Revision;
use fed_core::records::Binding;
use fed_proto::client as pb;

/// The changes of one revision.
pub(super) fn events(revision: Revision, changes: Vec<Change>) -> pb::Events {
    pb::Events {
        revision: revision.0,
        events: changes.into_iter().map(|change| event(revision, change)).collect(),
    }
}

fn event(revision: Revision, change: Change) -> pb::Event {
    let (kind, object) = (change.kind(), change.object());
    let why = match &change {
        Change::Unbound { why, .. } => unbound_why(*why),
        _ => "",
    };
    let binding = match change {
        Change::Bound { binding } => Some(as_it_was(revision, binding, true)),
        Change::Unbound { binding, .. } => Some(as_it_was(revision, binding, false)),
        _ => None,
    };
    pb::Event {
        kind: kind.to_owned(),
        object,
        binding,
        why: why.to_owned(),
    }
}

fn unbound_why(why: UnboundWhy) -> &'static str {
    match why {
        UnboundWhy::Unregistered => "unregistered",
        UnboundWhy::Superseded => "superseded",
        UnboundWhy::DeviceDeleted => "device_deleted",
        UnboundWhy::NodeDeleted => "node_deleted",
        UnboundWhy::Dead => "dead",
    }
}

/// An event tells what was, so it names the node by its id alone: its name may have changed since.
pub(super) fn as_it_was(revision: Revision, binding: Binding, live: bool) -> pb::Binding {
    pb::Binding {
        device: binding.device.into(),
        contact: binding.contact.into(),
        node: binding.node.0,
        node_name: String::new(),
        session: binding.session.0,
        live,
        user_agent: binding.user_agent.unwrap_or_default(),
        path: binding.path.unwrap_or_default(),
        revision: revision.0,
    }
}
