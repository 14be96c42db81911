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
    /// TCP connections refused because there were too many.
    connections_refused,
}

pub(super) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}
