//! Counters for metrics.

use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// Live counters of one redirect server.
        #[derive(Debug, Default)]
        pub struct Stats { $(pub(super) $name: AtomicU64,)* }

        /// The counters at one moment, since the start of the server.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub struct Counts { $($(#[$doc])* pub $name: u64,)* }

        impl Stats {
            /// Reads all counters.
            pub fn counts(&self) -> Counts {
                Counts { $($name: self.$name.load(Ordering::Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Requests understood, ACK included.
    requests,
    /// `302`: sent on to the owner.
    redirected,
    /// `200`: OPTIONS and CANCEL.
    accepted,
    /// Any other answer.
    refused,
    /// Answers from a copy of the map that may be old.
    stale,
    /// Messages that deserved no answer.
    ignored,
    /// Messages dropped because their source, or this server, was over its limit.
    dropped,
    /// Datagrams and TCP connections of those who may not ask.
    strangers,
    /// TCP connections refused because there were too many.
    connections_refused,
    /// TCP connections that had said nothing and gave way to newer ones.
    connections_displaced,
}

impl Stats {
    /// The counters as metrics.
    #[must_use]
    pub fn metrics(&self) -> String {
        let counts = self.counts();
        format!(
            "# HELP fed_node_redirect_requests Requests that the redirect server understood.\n\
             # TYPE fed_node_redirect_requests counter\n\
             fed_node_redirect_requests_total {}\n\
             # HELP fed_node_redirect_unanswered Messages that the redirect server did not answer, by why.\n\
             # TYPE fed_node_redirect_unanswered counter\n\
             fed_node_redirect_unanswered_total{{why=\"garbage\"}} {}\n\
             fed_node_redirect_unanswered_total{{why=\"too many\"}} {}\n\
             fed_node_redirect_unanswered_total{{why=\"not allowed\"}} {}\n\
             # HELP fed_node_redirect_connections_closed TCP connections that the redirect server did not keep, by why.\n\
             # TYPE fed_node_redirect_connections_closed counter\n\
             fed_node_redirect_connections_closed_total{{why=\"refused\"}} {}\n\
             fed_node_redirect_connections_closed_total{{why=\"gave way\"}} {}\n",
            counts.requests,
            counts.ignored,
            counts.dropped,
            counts.strangers,
            counts.connections_refused,
            counts.connections_displaced
        )
    }
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
