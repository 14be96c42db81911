//! `ListAudit`.

use fed_core::audit::{Actor, Entry};
use fed_core::kv::StoreError;
use fed_core::map::MapView;
use fed_proto::client as pb;

use super::read::PAGE;

/// A page of the audit log.
pub(super) fn list(
    view: &MapView<'_>,
    asked: &pb::ListAuditRequest,
    freshness: pb::Freshness,
) -> Result<pb::ListAuditReply, StoreError> {
    let limit = match asked.limit as usize {
        0 => PAGE,
        limit => limit.min(PAGE),
    };
    let head = view.audit_head()?;
    let found = view.audit(asked.after, limit)?;
    let next = found
        .last()
        .filter(|_| found.len() == limit)
        .map_or(0, |last| last.sequence);
    let entries = found
        .into_iter()
        .filter(|entry| entry.revision.0 > asked.since)
        .map(entry);
    Ok(pb::ListAuditReply {
        entries: entries.collect(),
        next,
        first: head.first,
        before_first: head.before_first.to_string(),
        last: head.next - 1,
        last_hash: head.last.to_string(),
        freshness: Some(freshness),
    })
}

fn entry(entry: Entry) -> pb::AuditEntry {
    let (who, who_id) = match &entry.origin.who {
        Actor::Local => ("local", String::new()),
        Actor::Anyone => ("anyone", String::new()),
        Actor::Token(id) => ("token", id.to_string()),
        Actor::Node(id) => ("node", id.to_string()),
    };
    pb::AuditEntry {
        sequence: entry.sequence,
        revision: entry.revision.0,
        who: who.to_owned(),
        who_id,
        via: entry.origin.via.0,
        at_unix: entry.origin.at_unix,
        what: entry.what,
        hash: entry.hash.to_string(),
    }
}
