//! What a node measures of itself, in a registry of its own: nothing is global, so several nodes in one process, and
//! a host program with metrics of its own, do not meet.
//!
//! What happens is counted where it happens; what merely is (indexes, lags, queues) is read from the node when
//! somebody asks. The names are in the crate's DESIGN.md, and a test holds it to them.

mod gauges;
mod leaders;

use std::time::Instant;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

pub(crate) use leaders::count_leaders;

use crate::error::ProposeError;
use crate::read::Consistency;
use gauges::Gauges;

/// Every name begins with it.
const PREFIX: &str = "fed_raft";

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Result_ {
    result: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mode {
    consistency: &'static str,
}

/// How long something took, counted.
type Seconds = Histogram;
type SecondsBy<L> = Family<L, Histogram, fn() -> Histogram>;

/// Counters and histograms of one node, and what is read off it.
#[derive(Debug)]
pub(crate) struct Metrics {
    registry: parking_lot::Mutex<Registry>,
    gauges: Gauges,
    pub(crate) leader_changes: Counter,
    pub(crate) sessions_ended: Counter,
    pub(crate) snapshot_sent_bytes: Counter,
    pub(crate) batch_requests: Histogram,
    pub(crate) batch_bytes: Histogram,
    pub(crate) fsync: Seconds,
    pub(crate) commit: Seconds,
    pub(crate) apply: Seconds,
    pub(crate) snapshot_build: Seconds,
    pub(crate) snapshot_install: Seconds,
    pub(crate) disk_probe: Seconds,
    propose: SecondsBy<Result_>,
    read: SecondsBy<Mode>,
}

/// 50 µs to 13 s, each bucket twice the one before.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(50e-6, 2.0, 19))
}

const RESULTS: [&str; 5] = ["applied", "unknown", "no_leader", "overloaded", "refused"];
const MODES: [&str; 3] = ["linearizable", "at_least", "local"];

impl Metrics {
    pub(crate) fn new() -> Self {
        let mut registry = Registry::with_prefix(PREFIX);
        let metrics = Self {
            gauges: Gauges::register(&mut registry),
            leader_changes: Counter::default(),
            sessions_ended: Counter::default(),
            snapshot_sent_bytes: Counter::default(),
            batch_requests: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            batch_bytes: Histogram::new(exponential_buckets(128.0, 2.0, 14)),
            fsync: seconds(),
            commit: seconds(),
            apply: seconds(),
            snapshot_build: seconds(),
            snapshot_install: seconds(),
            disk_probe: seconds(),
            propose: Family::new_with_constructor(seconds),
            read: Family::new_with_constructor(seconds),
            registry: parking_lot::Mutex::new(Registry::default()),
        };
        metrics.register(&mut registry);
        *metrics.registry.lock() = registry;
        metrics
    }

    fn register(&self, registry: &mut Registry) {
        // The library appends `_total` to counters.
        let counters = [
            (
                "leader_changes",
                "Leaders this node has come to know",
                &self.leader_changes,
            ),
            (
                "sessions_ended",
                "Sessions that ran out while this node led",
                &self.sessions_ended,
            ),
            (
                "snapshot_sent_bytes",
                "Bytes of snapshots sent to other nodes",
                &self.snapshot_sent_bytes,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(name, help, counter.clone());
        }
        let histograms = [
            (
                "batch_requests",
                "Requests in an entry that this node put into the log as leader",
                &self.batch_requests,
            ),
            ("batch_bytes", "Bytes of such an entry", &self.batch_bytes),
            ("fsync_seconds", "One sync of the log", &self.fsync),
            (
                "commit_seconds",
                "From handing an entry to the log, as leader, until it is applied here",
                &self.commit,
            ),
            (
                "apply_seconds",
                "One write to the state, of one or more entries",
                &self.apply,
            ),
            ("snapshot_build_seconds", "Making one snapshot", &self.snapshot_build),
            (
                "snapshot_install_seconds",
                "Installing one snapshot from another node",
                &self.snapshot_install,
            ),
            (
                "disk_probe_seconds",
                "One small file written and synced in the data folder",
                &self.disk_probe,
            ),
        ];
        for (name, help, histogram) in histograms {
            registry.register(name, help, histogram.clone());
        }
        for result in RESULTS {
            drop(self.propose.get_or_create(&Result_ { result }));
        }
        for consistency in MODES {
            drop(self.read.get_or_create(&Mode { consistency }));
        }
        registry.register(
            "propose_seconds",
            "A proposal at this node, until its answer",
            self.propose.clone(),
        );
        registry.register(
            "read_seconds",
            "A read at this node, until its answer",
            self.read.clone(),
        );
    }

    /// A proposal was answered.
    pub(crate) fn proposed<T>(&self, since: Instant, answer: &Result<T, ProposeError>) {
        let result = match answer {
            Ok(_) => "applied",
            Err(ProposeError::OutcomeUnknown { .. }) => "unknown",
            Err(ProposeError::NoLeader | ProposeError::Stopped(_)) => "no_leader",
            Err(ProposeError::Overloaded { .. }) => "overloaded",
            Err(_) => "refused",
        };
        self.propose
            .get_or_create(&Result_ { result })
            .observe(since.elapsed().as_secs_f64());
    }

    /// A read was answered.
    pub(crate) fn read(&self, since: Instant, consistency: Consistency) {
        let consistency = match consistency {
            Consistency::Linearizable => "linearizable",
            Consistency::AtLeast(_) => "at_least",
            Consistency::Local => "local",
        };
        self.read
            .get_or_create(&Mode { consistency })
            .observe(since.elapsed().as_secs_f64());
    }
}

/// Observes how long `work` takes.
pub(crate) fn timed<T>(histogram: &Histogram, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let done = work();
    histogram.observe(begun.elapsed().as_secs_f64());
    done
}
