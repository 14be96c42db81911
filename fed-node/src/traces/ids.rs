//! The names of traces and of their first spans, which every node derives for itself. Pure.

use fed_core::ids::Revision;
use opentelemetry::trace::{SpanId, TraceId};
use sha2::{Digest, Sha256};

/// The trace of a revision of this cluster's map, and the span that all others of it are below.
pub(super) fn of(cluster: u128, revision: Revision) -> (TraceId, SpanId) {
    let mut hash = Sha256::new();
    hash.update(b"fed-node trace");
    hash.update(cluster.to_be_bytes());
    hash.update(revision.0.to_be_bytes());
    let hash = hash.finalize();
    let mut trace = [0; 16];
    let mut span = [0; 8];
    trace.copy_from_slice(&hash[..16]);
    span.copy_from_slice(&hash[16..24]);
    (TraceId::from_bytes(trace), SpanId::from_bytes(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_has_one_name_everywhere_and_no_other_has_it() {
        let names = [
            of(1, Revision(7)),
            of(1, Revision(7)),
            of(1, Revision(8)),
            of(2, Revision(7)),
        ];
        assert_eq!(names[0], names[1]);
        assert!(names[0].0 != names[2].0 && names[0].0 != names[3].0 && names[0].1 != names[2].1);
    }
}
