//! What a node is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use fed_core::ids::NodeId;

use crate::disk::Faults;
use crate::error::ConfigError;
use crate::security::Security;

/// How one node of a cluster runs. [`Config::new`] gives the defaults; change fields before starting.
#[derive(Debug, Clone)]
pub struct Config {
    /// The folder with everything this node knows. One process at a time.
    pub data_dir: PathBuf,
    /// `host:port` to serve peers on; port 0 picks a free one.
    pub listen: String,
    /// `host:port` under which the other nodes reach this one (name, IPv4 or `[IPv6]`). Empty: as `listen`, with
    /// the port really bound.
    pub advertise: String,
    /// How the peers' connections are protected. Default [`Security::Plaintext`].
    pub security: Security,
    /// When set, the folder must belong to this node, or the start is refused.
    pub expect_node: Option<NodeId>,

    /// How often the leader lets the others hear from it. Default 150 ms.
    pub heartbeat: Duration,
    /// A follower that heard nothing for a random time between these two starts an election. Defaults 600 and
    /// 1,000 ms: ordinary VM disks stall for 100 ms and more. At least three heartbeats and more than `election_min`.
    pub election_min: Duration,
    /// See [`Config::election_min`].
    pub election_max: Duration,
    /// How many voters the leader aims at: it promotes learners that have caught up while there are fewer.
    /// 1, 3, 5 or 7; default 3.
    pub target_voters: usize,
    /// A voter that has not answered the leader for this long is replaced by a learner that has caught up, when there
    /// is one: it then is a learner itself, and may come back. Zero = never. Default 5 min.
    pub replace_dead_after: Duration,
    /// A session without a keep-alive for this long is ended. Default 1.5 s.
    pub session_ttl: Duration,

    /// How long [`Cluster::propose`](crate::Cluster::propose) tries before it answers. Default 5 s.
    pub propose_timeout: Duration,
    /// Requests waiting to be proposed at this node, and linearizable reads waiting to be confirmed; one more is
    /// [`ProposeError::Overloaded`](crate::ProposeError::Overloaded) or [`ReadError::Overloaded`](crate::ReadError::Overloaded).
    /// Default 16,384.
    pub queue_requests: usize,
    /// Most requests in one log entry. Default 1,024.
    pub batch_requests: usize,
    /// Most bytes of requests in one log entry; also the largest single request. Default 256 KiB.
    pub batch_bytes: usize,

    /// A snapshot is made when this many bytes were logged since the last one. Default 64 MiB.
    pub snapshot_bytes: u64,
    /// A snapshot is also made when this many entries were logged since the last one. 0, the default: by bytes alone.
    pub snapshot_entries: u64,
    /// Log entries kept after a snapshot, so that a node that was away for a while needs no snapshot.
    /// Default 20,000.
    pub keep_entries: u64,
    /// Bytes of log kept after a snapshot, whichever is less. A node that has none of it, or lacks more, gets a
    /// snapshot, which it takes over faster than it applies the log. Default 32 MiB.
    pub keep_bytes: u64,
    /// Revisions whose events are kept for watchers that resume. Default 65,536.
    pub watch_events: usize,

    /// With less free space than this in the data folder's file system, commands are refused unless they shrink the
    /// state ([`Machine::shrinks`](fed_core::machine::Machine::shrinks)). 0 = never. Default 512 MiB: room for the
    /// log and snapshots that the node writes to get out of it.
    pub min_free_bytes: u64,
    /// How often a small file is written and synced in the data folder. Default 1 s.
    pub disk_probe_every: Duration,
    /// A probe that takes longer makes this node give up leading. Default 2 s.
    pub disk_late: Duration,
    /// A probe that takes longer stops this node, as [`Config::on_failure`] says. Default 10 s.
    pub disk_dead: Duration,

    /// What to do when the log can no longer be written, or the state no longer be trusted. Default
    /// [`OnFailure::ExitProcess`].
    pub on_failure: OnFailure,
    /// For tests: every sync of the log is acknowledged this much later. Default zero; only read with the
    /// feature `testing`.
    pub delay_sync: Duration,
    /// For tests: disk trouble to order; only read with the feature `testing`.
    pub faults: Faults,
}

/// What follows when a node must not go on (a failed fsync, a damaged state).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// Log the reason and end the process with status 70, so that its supervisor starts it anew.
    ExitProcess,
    /// Stop this node only; every call answers that it stopped, with the reason.
    StopNode,
}

impl Config {
    /// The defaults, for the folder and the address given.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>, listen: impl Into<String>) -> Self {
        Self {
            data_dir: data_dir.into(),
            listen: listen.into(),
            advertise: String::new(),
            security: Security::Plaintext,
            expect_node: None,
            heartbeat: Duration::from_millis(150),
            election_min: Duration::from_millis(600),
            election_max: Duration::from_millis(1000),
            target_voters: 3,
            replace_dead_after: Duration::from_secs(300),
            session_ttl: Duration::from_millis(1500),
            propose_timeout: Duration::from_secs(5),
            queue_requests: 16_384,
            batch_requests: 1024,
            batch_bytes: 256 << 10,
            snapshot_bytes: 64 << 20,
            snapshot_entries: 0,
            keep_entries: 20_000,
            keep_bytes: 32 << 20,
            watch_events: 65_536,
            min_free_bytes: 512 << 20,
            disk_probe_every: Duration::from_secs(1),
            disk_late: Duration::from_secs(2),
            disk_dead: Duration::from_secs(10),
            on_failure: OnFailure::ExitProcess,
            delay_sync: Duration::ZERO,
            faults: Faults::default(),
        }
    }

    /// Checks what the fields promise each other.
    ///
    /// # Errors
    /// [`ConfigError`] naming the first field that is wrong, and the rule.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |field: &'static str, rule: &'static str| Err(ConfigError { field, rule });
        if self.data_dir.as_os_str().is_empty() {
            return wrong("data_dir", "name a folder");
        }
        if !has_port(&self.listen) {
            return wrong("listen", "write host:port, [IPv6]:port for IPv6");
        }
        if !self.advertise.is_empty() && !has_port(&self.advertise) {
            return wrong("advertise", "write host:port, [IPv6]:port for IPv6");
        }
        if self.heartbeat < Duration::from_millis(5) {
            return wrong("heartbeat", "at least 5 ms");
        }
        if self.election_min < self.heartbeat * 3 {
            return wrong("election_min", "at least three heartbeats");
        }
        if self.election_max <= self.election_min {
            return wrong("election_max", "more than election_min");
        }
        if !matches!(self.target_voters, 1 | 3 | 5 | 7) {
            return wrong("target_voters", "1, 3, 5 or 7");
        }
        if self.session_ttl < self.heartbeat * 3 {
            return wrong("session_ttl", "at least three heartbeats");
        }
        if self.propose_timeout.is_zero() {
            return wrong("propose_timeout", "more than zero");
        }
        if self.queue_requests == 0 || self.batch_requests == 0 {
            return wrong("queue_requests, batch_requests", "at least 1");
        }
        if !(1 << 10..=1 << 20).contains(&self.batch_bytes) {
            return wrong("batch_bytes", "1 KiB to 1 MiB");
        }
        if self.disk_probe_every.is_zero() || self.disk_late.is_zero() {
            return wrong("disk_probe_every, disk_late", "more than zero");
        }
        if self.disk_dead <= self.disk_late {
            return wrong("disk_dead", "more than disk_late");
        }
        if self.watch_events == 0 {
            return wrong("watch_events", "at least 1");
        }
        Ok(())
    }
}

fn has_port(address: &str) -> bool {
    address.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty()
            && port.parse::<u16>().is_ok()
            && (!host.contains(':') || (host.starts_with('[') && host.ends_with(']')))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(Config::new("/somewhere", "127.0.0.1:0").check(), Ok(()));
    }

    #[test]
    fn a_wrong_field_is_named_with_its_rule() {
        let mut config = Config::new("/somewhere", "127.0.0.1:7401");
        config.election_min = Duration::from_millis(200);
        let text = config.check().expect_err("too short").to_string();
        assert!(
            text.contains("election_min") && text.contains("three heartbeats"),
            "{text}"
        );
    }

    #[test]
    fn addresses_may_be_names_and_both_kinds_of_ip() {
        for good in ["host.example:7401", "10.0.0.1:1", "[::1]:7401"] {
            assert!(has_port(good), "{good}");
        }
        for bad in ["host", "::1:7401", ":7401", "host:", "host:99999"] {
            assert!(!has_port(bad), "{bad}");
        }
    }
}
