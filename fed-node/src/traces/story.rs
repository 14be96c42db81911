//! Which spans there are: those of what was committed from here, once the map confirms that it made the revision, and those of what
//! was applied here. Pure.

use std::collections::BTreeMap;
use std::time::SystemTime;

use fed_core::command::Command;
use fed_core::event::Change;
use fed_core::ids::{ContactUri, DeviceId, NodeId, Revision};
use fed_core::records::Binding;
use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

use super::ids;

/// Revisions and commits that are remembered for each other.
const REMEMBERED: usize = 4_096;

/// What a trace is about: which registration was made or ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Subject {
    device: DeviceId,
    contact: ContactUri,
    node: NodeId,
    bound: bool,
}

impl Subject {
    /// None for what is no registration.
    pub(super) fn of(command: &Command) -> Option<Self> {
        let (device, contact, node, bound) = match command {
            Command::Bind {
                device, contact, node, ..
            } => (device, contact, node, true),
            Command::Unbind { device, contact, node } => (device, contact, node, false),
            _ => return None,
        };
        Some(Self {
            device: device.clone(),
            contact: contact.clone(),
            node: *node,
            bound,
        })
    }

    /// A move is the binding at the new place; that the old one ends is part of it.
    fn of_changes(changes: &[Change]) -> Option<Self> {
        let made = |change: &Change| match change {
            Change::Bound { binding } => Some(Self::of_binding(binding, true)),
            _ => None,
        };
        let ended = |change: &Change| match change {
            Change::Unbound { binding, .. } => Some(Self::of_binding(binding, false)),
            _ => None,
        };
        let mut changes = changes.iter();
        changes.clone().find_map(made).or_else(|| changes.find_map(ended))
    }

    fn of_binding(binding: &Binding, bound: bool) -> Self {
        Self {
            device: binding.device.clone(),
            contact: binding.contact.clone(),
            node: binding.node,
            bound,
        }
    }

    fn name(&self) -> &'static str {
        if self.bound {
            "registration"
        } else {
            "end of a registration"
        }
    }
}

/// A command that was answered.
#[derive(Debug, Clone)]
pub(super) struct Committed {
    pub(super) revision: Revision,
    pub(super) subject: Subject,
    /// When Asterisk told it; none where a comparison found it.
    pub(super) seen: Option<SystemTime>,
    pub(super) proposed: SystemTime,
    pub(super) committed: SystemTime,
}

/// What this node has seen lately.
pub(super) struct Story {
    cluster: u128,
    node: u64,
    applied: BTreeMap<Revision, Subject>,
    waiting: BTreeMap<Revision, Committed>,
}

impl Story {
    pub(super) fn new(cluster: u128, node: u64) -> Self {
        Self {
            cluster,
            node,
            applied: BTreeMap::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// A revision was applied at this node.
    pub(super) fn applied(&mut self, revision: Revision, changes: &[Change], at: SystemTime) -> Vec<SpanData> {
        let Some(subject) = Subject::of_changes(changes) else {
            return Vec::new();
        };
        let (_, root) = ids::of(self.cluster, revision);
        let mut spans = vec![self.span(revision, "apply", random(), root, (at, at), &subject)];
        match self.waiting.remove(&revision) {
            Some(committed) if committed.subject == subject => spans.extend(self.whole(&committed)),
            _ => remember(&mut self.applied, revision, subject),
        }
        spans
    }

    /// A command from here was answered. An answer that names a revision which another command made, for this one changed nothing,
    /// is no part of that one's trace; and each is told once.
    pub(super) fn committed(&mut self, committed: Committed) -> Vec<SpanData> {
        match self.applied.get(&committed.revision) {
            Some(made) if *made == committed.subject => {
                self.applied.remove(&committed.revision);
                self.whole(&committed)
            }
            Some(_) => Vec::new(),
            None => {
                remember(&mut self.waiting, committed.revision, committed);
                Vec::new()
            }
        }
    }

    fn whole(&self, committed: &Committed) -> Vec<SpanData> {
        let (_, root) = ids::of(self.cluster, committed.revision);
        let subject = &committed.subject;
        let span = |name, id, parent, from| {
            self.span(
                committed.revision,
                name,
                id,
                parent,
                (from, committed.committed),
                subject,
            )
        };
        let began = committed.seen.unwrap_or(committed.proposed);
        vec![
            span(subject.name(), root, SpanId::INVALID, began),
            span("commit", random(), root, committed.proposed),
        ]
    }

    fn span(
        &self,
        revision: Revision,
        name: &'static str,
        id: SpanId,
        parent: SpanId,
        (from, to): (SystemTime, SystemTime),
        subject: &Subject,
    ) -> SpanData {
        let (trace, _) = ids::of(self.cluster, revision);
        let number = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent,
            parent_span_is_remote: name == "apply",
            span_kind: SpanKind::Internal,
            name: name.into(),
            start_time: from,
            end_time: to,
            attributes: vec![
                KeyValue::new("fed.device", subject.device.to_string()),
                KeyValue::new("fed.revision", number(revision.0)),
                KeyValue::new("fed.node", number(self.node)),
            ],
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: InstrumentationScope::builder("fed-node").build(),
        }
    }
}

fn remember<T>(kept: &mut BTreeMap<Revision, T>, revision: Revision, item: T) {
    kept.insert(revision, item);
    if kept.len() > REMEMBERED {
        kept.pop_first();
    }
}

fn random() -> SpanId {
    SpanId::from_bytes(rand::random::<[u8; 8]>())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use fed_core::ids::SessionId;

    use super::*;

    fn binding(device: &str) -> Binding {
        Binding {
            device: DeviceId::new(device).unwrap(),
            node: NodeId(1),
            contact: ContactUri::new("sip:alice@192.0.2.1").unwrap(),
            session: SessionId(1),
            user_agent: None,
            path: None,
        }
    }

    fn bound(device: &str) -> Vec<Change> {
        let binding = binding(device);
        vec![Change::Bound { binding }]
    }

    fn committed(device: &str) -> Committed {
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(100);
        Committed {
            revision: Revision(7),
            subject: Subject::of_binding(&binding(device), true),
            seen: Some(began),
            proposed: began + Duration::from_millis(1),
            committed: began + Duration::from_millis(5),
        }
    }

    fn names(spans: &[SpanData]) -> Vec<&str> {
        spans.iter().map(|span| &*span.name).collect()
    }

    #[test]
    fn event_commit_and_each_apply_are_one_trace_below_one_span() {
        let (mut here, mut there) = (Story::new(9, 1), Story::new(9, 2));
        let now = SystemTime::now();
        let mut spans = here.applied(Revision(7), &bound("alice"), now);
        spans.extend(here.committed(committed("alice")));
        spans.extend(there.applied(Revision(7), &bound("alice"), now));
        assert_eq!(names(&spans), ["apply", "registration", "commit", "apply"]);
        let root = &spans[1];
        assert_eq!(root.parent_span_id, SpanId::INVALID);
        assert_eq!(
            root.end_time.duration_since(root.start_time).unwrap(),
            Duration::from_millis(5)
        );
        for span in &spans {
            assert_eq!(span.span_context.trace_id(), root.span_context.trace_id());
            let is_root = std::ptr::eq(span, root);
            assert!(
                is_root || span.parent_span_id == root.span_context.span_id(),
                "{span:?}"
            );
        }
    }

    #[test]
    fn an_answer_that_comes_before_the_change_is_seen_waits_for_it() {
        let mut here = Story::new(9, 1);
        assert!(here.committed(committed("alice")).is_empty());
        let spans = here.applied(Revision(7), &bound("alice"), SystemTime::now());
        assert_eq!(names(&spans), ["apply", "registration", "commit"]);
    }

    #[test]
    fn a_command_that_changed_nothing_does_not_join_the_trace_of_another() {
        let mut here = Story::new(9, 1);
        here.applied(Revision(7), &bound("bob"), SystemTime::now());
        assert!(here.committed(committed("alice")).is_empty());
        assert!(here.applied(Revision(8), &[], SystemTime::now()).is_empty());
        assert_eq!(
            names(&here.applied(Revision(9), &bound("alice"), SystemTime::now())),
            ["apply"]
        );
    }

    #[test]
    fn a_commit_is_told_once() {
        let mut here = Story::new(9, 1);
        here.applied(Revision(7), &bound("alice"), SystemTime::now());
        assert_eq!(here.committed(committed("alice")).len(), 2);
        assert!(here.committed(committed("alice")).is_empty(), "it was bound already");
    }

    #[test]
    fn what_another_node_did_about_the_same_device_is_not_told_from_here() {
        let mut here = Story::new(9, 2);
        here.applied(Revision(7), &bound("alice"), SystemTime::now());
        let mut refused = committed("alice");
        refused.subject.node = NodeId(2);
        assert!(here.committed(refused).is_empty());
    }
}
