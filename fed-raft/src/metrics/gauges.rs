//! What is read off the node when somebody asks.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use fed_core::ids::NodeId;
use fed_core::machine::Machine;
use openraft::async_runtime::watch::WatchReceiver;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use super::Metrics;
use crate::node::Node;

type Number = Gauge<u64, AtomicU64>;
type Fraction = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PeerLabel {
    peer: u64,
}

/// A table of names: what each one is, and where it is kept.
macro_rules! gauges {
    ($($field:ident: $help:literal,)*) => {
        #[derive(Debug, Default)]
        pub(super) struct Gauges {
            $($field: Number,)*
            peer_lag_entries: Family<PeerLabel, Number>,
            peer_silent_seconds: Family<PeerLabel, Fraction>,
        }

        impl Gauges {
            pub(super) fn register(registry: &mut Registry) -> Self {
                let gauges = Self::default();
                $(registry.register(stringify!($field), $help, gauges.$field.clone());)*
                registry.register(
                    "peer_lag_entries",
                    "Log entries that a peer lacks; at the leader only",
                    gauges.peer_lag_entries.clone(),
                );
                registry.register(
                    "peer_silent_seconds",
                    "How long ago a peer last answered; at the leader only",
                    gauges.peer_silent_seconds.clone(),
                );
                gauges
            }
        }
    };
}

gauges! {
    term: "The Raft term",
    is_leader: "Whether this node leads",
    last_index: "The last log entry here",
    committed_index: "The last log entry known here to be committed",
    applied_index: "The last log entry applied to the state here",
    snapshot_index: "The last log entry in a snapshot here",
    purged_index: "The last entry no longer in the log here",
    revision: "The revision of the state here",
    queue_requests: "Requests waiting at this node to be proposed",
    watchers: "Watches under way at this node",
    watch_lag_revisions: "What the slowest of them has not been given yet",
    sessions: "Open sessions in the state",
    members: "Members of the cluster",
    voters: "Voters among them",
    quorum: "Whether this node is in touch with a majority",
    low_space: "Whether this node refuses to grow because its disk is nearly full",
    free_bytes: "Bytes free in the data folder's file system",
}

impl<M: Machine> Node<M> {
    /// All metrics in the OpenMetrics text format, without the `# EOF` that ends a page.
    pub(crate) fn render_metrics(&self) -> String {
        let registry = self.metrics.registry.lock();
        self.read_off(&self.metrics);
        let mut page = String::new();
        // Writing to a string does not fail.
        let _ = text::encode_registry(&mut page, &registry);
        page
    }

    fn read_off(&self, metrics: &Metrics) {
        let set = &metrics.gauges;
        let index = |id: Option<crate::raft::LogId>| id.map_or(0, |id| id.index);
        {
            let raft = self.raft.metrics();
            let raft = raft.borrow_watched();
            set.term.set(raft.current_term);
            set.is_leader.set(u64::from(raft.state.is_leader()));
            set.last_index.set(raft.last_log_index.unwrap_or(0));
            set.committed_index.set(index(raft.cluster_committed));
            set.snapshot_index.set(index(raft.snapshot));
            set.purged_index.set(index(raft.purged));
            set.voters.set(raft.membership_config.voter_ids().count() as u64);
        }
        set.quorum.set(u64::from(!self.is_cut_off()));
        let view = self.state.view();
        set.applied_index.set(view.index());
        set.revision.set(view.revision().0);
        set.queue_requests.set(self.queue.length() as u64);
        let (watchers, lag) = self.state.hub.watchers();
        set.watchers.set(watchers as u64);
        set.watch_lag_revisions.set(lag);
        // A store that cannot be read stops the node with the next apply.
        let sessions = self.state.machine.open_sessions(&*view);
        set.sessions.set(sessions.map_or(0, |open| open.len() as u64));
        set.low_space.set(u64::from(self.disk.is_low()));
        set.free_bytes.set(self.disk.free_bytes());
        let members = self.members();
        set.members.set(members.len() as u64);
        set.peer_lag_entries.clear();
        set.peer_silent_seconds.clear();
        for member in members.iter().filter(|m| m.id != self.id()) {
            self.read_off_peer(set, member.id, member.lag, member.silent);
        }
    }

    fn read_off_peer(&self, set: &Gauges, NodeId(peer): NodeId, lag: Option<u64>, silent: Option<Duration>) {
        let label = PeerLabel { peer };
        if let Some(lag) = lag {
            set.peer_lag_entries.get_or_create(&label).set(lag);
        }
        if let Some(silent) = silent {
            set.peer_silent_seconds.get_or_create(&label).set(silent.as_secs_f64());
        }
    }
}
