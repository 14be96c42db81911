//! The one table of keys. The file, the environment, the flags, the example file and the help all come from it.

use super::types::host_name;
use super::value::{check_filter, interval, networks, number, set, set_advertised, set_filled, set_option, set_plain};
use super::{Config, RedirectTransport, Secret};

/// One key of the configuration.
#[derive(Debug)]
pub struct Key {
    /// Dotted name, as in the file: `peer.listen`.
    pub name: &'static str,
    /// Placeholder for the value in help.
    pub value: &'static str,
    /// Default as it would be written; empty = not set.
    pub default: &'static str,
    /// What it is for, its unit and range.
    pub help: &'static str,
    /// Parses a value into its place.
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Key {
    /// The environment variable: `FED_PEER_LISTEN`.
    #[must_use]
    pub fn env(&self) -> String {
        format!("FED_{}", self.name.replace('.', "_").to_uppercase())
    }

    /// The flag without its dashes: `peer-listen`.
    #[must_use]
    pub fn flag(&self) -> String {
        self.name.replace(['.', '_'], "-")
    }
}

/// Every key there is.
pub static KEYS: &[Key] = &[
    Key {
        name: "data_dir",
        value: "DIR",
        default: "/var/lib/fed-node",
        help: "Folder of this node's identity, log and map. One folder belongs to one node, for good.",
        set: |c, v| set(&mut c.data_dir, v),
    },
    Key {
        name: "node.name",
        value: "NAME",
        default: "",
        help: "What this node is called; unique in the federation. Default: this host's name.",
        set: |c, v| {
            c.node.name = if v.is_empty() { host_name() } else { v.to_owned() };
            let known = |x: char| x.is_ascii_alphanumeric() || "-._".contains(x);
            let fine = c.node.name.len() <= 40 && c.node.name.chars().all(known);
            fine.then_some(())
                .ok_or_else(|| "must be 1 to 40 letters, digits, '-', '.' or '_'".to_owned())
        },
    },
    Key {
        name: "node.weight",
        value: "1..1000",
        default: "100",
        help: "Share of work this node should get against the others.",
        set: |c, v| {
            c.node.weight = number(v, 1..=1000)?;
            Ok(())
        },
    },
    Key {
        name: "node.zone",
        value: "ZONE",
        default: "",
        help: "Site or failure domain this node is in.",
        set: |c, v| set_option(&mut c.node.zone, v),
    },
    Key {
        name: "node.id",
        value: "ID",
        default: "",
        help: "Id that the data folder must hold, so that another node's folder is refused. Default: whatever it holds.",
        set: |c, v| {
            c.node.id = if v.is_empty() {
                None
            } else {
                Some(number(v, 1..=u64::MAX)?)
            };
            Ok(())
        },
    },
    Key {
        name: "peer.listen",
        value: "ADDRESS",
        default: "0.0.0.0:7401",
        help: "Where to listen for the other nodes. [::]:7401 for IPv6 and IPv4.",
        set: |c, v| set(&mut c.peer.listen, v),
    },
    Key {
        name: "peer.advertise",
        value: "ADDRESS",
        default: "",
        help: "What the other nodes are told. Default: peer.listen, with this host's name in place of 0.0.0.0 or ::.",
        set: |c, v| set_advertised(&mut c.peer.advertise, v),
    },
    Key {
        name: "client.listen",
        value: "ADDRESS",
        default: "127.0.0.1:7400",
        help: "Where to listen for the command line and other clients. Clients show a token: the command line on this machine the node's own, others one of `token create`.",
        set: |c, v| set(&mut c.client.listen, v),
    },
    Key {
        name: "client.calls_per_s",
        value: "0..1000000",
        default: "2000",
        help: "Calls a second that the bearer of one token may make, with twice as many at once; more are refused with the time to wait. 0: any number.",
        set: |c, v| {
            c.client.calls_per_s = number(v, 0..=1_000_000)?;
            Ok(())
        },
    },
    Key {
        name: "client.calls_at_once",
        value: "0..1000000",
        default: "1024",
        help: "Calls of one token that may be under way at this node at a time, watches and other streams among them, over all connections; more are refused as overloaded. 0: any number.",
        set: |c, v| {
            c.client.calls_at_once = number(v, 0..=1_000_000)?;
            Ok(())
        },
    },
    Key {
        name: "client.advertise",
        value: "ADDRESS",
        default: "",
        help: "What the map says about the client API of this node. Default: client.listen.",
        set: |c, v| set_advertised(&mut c.client.advertise, v),
    },
    Key {
        name: "sip.advertise",
        value: "ADDRESS",
        default: "",
        help: "Where the other Asterisks send calls for this one. Default: the host of peer.advertise, port 5060.",
        set: |c, v| set_advertised(&mut c.sip.advertise, v),
    },
    Key {
        name: "redirect.listen",
        value: "ADDRESS",
        default: "127.0.0.1:5070",
        help: "The SIP redirect server, UDP and TCP. Its port is written into every endpoint: choose it before the first user.",
        set: |c, v| set(&mut c.redirect.listen, v),
    },
    Key {
        name: "redirect.allow",
        value: "NETWORKS",
        default: "",
        help: "Addresses and networks, separated by commas, that may ask the redirect server beside this machine: it tells where a user is, and gives out the right to call there. Nobody else hears anything of it, on whatever address it listens.",
        set: |c, v| {
            c.redirect.allow = networks(v)?;
            Ok(())
        },
    },
    Key {
        name: "redirect.transport",
        value: "auto|udp|tcp",
        default: "auto",
        help: "Over what Asterisk asks the redirect server. auto: TCP where pjsip.conf in asterisk.config_dir has a TCP transport. Over UDP, Dial(PJSIP/..) of somebody registered elsewhere waits 32 s while fed-node is down.",
        set: |c, v| {
            c.redirect.transport = match v {
                "auto" => RedirectTransport::Auto,
                "udp" => RedirectTransport::Udp,
                "tcp" => RedirectTransport::Tcp,
                _ => return Err("must be auto, udp or tcp".to_owned()),
            };
            Ok(())
        },
    },
    Key {
        name: "redirect.budget_ms",
        value: "1..5000",
        default: "100",
        help: "Longest wait, in milliseconds, for an answer that is certainly fresh before a call is located from the local map.",
        set: |c, v| {
            c.redirect.budget_ms = number(v, 1..=5000)?;
            Ok(())
        },
    },
    Key {
        name: "agi.listen",
        value: "ADDRESS",
        default: "127.0.0.1:4573",
        help: "The FastAGI server that the generated dialplan asks.",
        set: |c, v| set(&mut c.agi.listen, v),
    },
    Key {
        name: "metrics.listen",
        value: "ADDRESS",
        default: "127.0.0.1:7402",
        help: "Where Prometheus finds this node's metrics, by HTTP under /metrics. Nobody is asked for a password. Empty: nowhere.",
        set: |c, v| set_option(&mut c.metrics.listen, v),
    },
    Key {
        name: "security.plaintext",
        value: "true|false",
        default: "false",
        help: "true: nobody is asked who they are and nothing is encrypted, for trying things out; only where every listener is on loopback, and the same at every node. false: nodes and clients prove who they are, everything is encrypted, and a node joins with a token.",
        set: |c, v| {
            c.security.plaintext = v.parse().map_err(|_| "must be true or false".to_owned())?;
            Ok(())
        },
    },
    Key {
        name: "tls.ca",
        value: "FILE",
        default: "",
        help: "Certificates (PEM) of an authority of your own; tls.cert and tls.key belong to it. Nothing is signed by this program then. Files that change are read again. Default: the built-in authority, in the folder security of data_dir.",
        set: |c, v| set_option(&mut c.tls.ca, v),
    },
    Key {
        name: "tls.cert",
        value: "FILE",
        default: "",
        help: "This node's certificate (PEM) by that authority, with those between them; it must name the node as the request node.csr, which init and join write, does.",
        set: |c, v| set_option(&mut c.tls.cert, v),
    },
    Key {
        name: "tls.key",
        value: "FILE",
        default: "",
        help: "The key (PEM) of tls.cert; nobody but its owner and group may read it.",
        set: |c, v| set_option(&mut c.tls.key, v),
    },
    Key {
        name: "asterisk.enabled",
        value: "true|false",
        default: "true",
        help: "false: a node without an Asterisk of its own; it votes and answers questions.",
        set: |c, v| {
            c.asterisk.enabled = v.parse().map_err(|_| "must be true or false".to_owned())?;
            Ok(())
        },
    },
    Key {
        name: "asterisk.url",
        value: "URL",
        default: "http://127.0.0.1:8088",
        help: "Base of this Asterisk's ARI, without /ari. On loopback only: ARI is plain text, and passwords go over it.",
        set: |c, v| {
            c.asterisk.url = v.trim_end_matches('/').to_owned();
            let rest = v
                .strip_prefix("http://")
                .ok_or_else(|| "must start with http://: ARI belongs on loopback".to_owned())?;
            let authority = rest.split('/').next().unwrap_or_default();
            if authority.contains('@') {
                return Err("must have no name and no password in it: asterisk.username and asterisk.password_file are for those".to_owned());
            }
            let port_is_fine = match authority.rsplit_once(':') {
                Some((host, port)) if !authority.ends_with(']') => !host.is_empty() && port.parse::<u16>().is_ok(),
                _ => !authority.is_empty(),
            };
            (port_is_fine && v.parse::<axum::http::Uri>().is_ok())
                .then_some(())
                .ok_or_else(|| "must be http://HOST:PORT, such as http://127.0.0.1:8088".to_owned())
        },
    },
    Key {
        name: "asterisk.username",
        value: "NAME",
        default: "fed",
        help: "ARI user of this node.",
        set: |c, v| {
            // The name of a section, and that one has a meaning of its own.
            if v.eq_ignore_ascii_case("general") || v.contains(|c: char| c.is_control() || "[];".contains(c)) {
                return Err("must be the name of an ARI user: neither `general` nor with [ ] ; in it".to_owned());
            }
            set_filled(&mut c.asterisk.username, v)
        },
    },
    Key {
        name: "asterisk.password",
        value: "PASSWORD",
        default: "",
        help: "ARI password. Better in asterisk.password_file; a configuration file with it in is refused where everybody may read it.",
        set: |c, v| {
            c.asterisk.password = Secret::new(v);
            Ok(())
        },
    },
    Key {
        name: "asterisk.password_file",
        value: "FILE",
        default: "",
        help: "File whose first line is the ARI password; nobody but its owner and group may read it. Default: ari-password in data_dir, where `asterisk-config --write` made one.",
        set: |c, v| set_option(&mut c.asterisk.password_file, v),
    },
    Key {
        name: "asterisk.app",
        value: "NAME",
        default: "fed",
        help: "Name of the Stasis application: letters, digits, - and _; only one fed-node may use it at one Asterisk.",
        set: |c, v| set_plain(&mut c.asterisk.app, v),
    },
    Key {
        name: "asterisk.timeout_ms",
        value: "100..60000",
        default: "5000",
        help: "Longest wait, in milliseconds, for one ARI request.",
        set: |c, v| {
            c.asterisk.timeout_ms = number(v, 100..=60_000)?;
            Ok(())
        },
    },
    Key {
        name: "asterisk.config_dir",
        value: "DIR",
        default: "/etc/asterisk",
        help: "Where `asterisk-config --write` installs its stanzas.",
        set: |c, v| set(&mut c.asterisk.config_dir, v),
    },
    Key {
        name: "backup.every",
        value: "0 or 30m|6h|1d",
        default: "0",
        help: "How often the node that leads saves the whole map, encrypted, into backup.dir. 0: never. The same at every node.",
        set: |c, v| {
            c.backup.every = interval(v)?;
            Ok(())
        },
    },
    Key {
        name: "backup.keep",
        value: "1..100000",
        default: "14",
        help: "How many backups made by backup.every are kept; the oldest go.",
        set: |c, v| {
            c.backup.keep = number(v, 1..=100_000)?;
            Ok(())
        },
    },
    Key {
        name: "backup.dir",
        value: "DIR",
        default: "/var/backups/fed-node",
        help: "Where backups made by backup.every are kept; best on another disk, shared by all nodes.",
        set: |c, v| set(&mut c.backup.dir, v),
    },
    Key {
        name: "backup.key_file",
        value: "FILE",
        default: "",
        help: "File whose first line is the key of all backups; nobody but its owner and group may read it. Keep a copy elsewhere: without it no backup can be opened.",
        set: |c, v| set_option(&mut c.backup.key_file, v),
    },
    Key {
        name: "disk.min_free_mb",
        value: "0..1048576",
        default: "512",
        help: "With less free space than this around data_dir, in MiB, changes are refused unless they delete something. 0: never.",
        set: |c, v| {
            c.disk.min_free_mb = number(v, 0..=1_048_576)?;
            Ok(())
        },
    },
    Key {
        name: "raft.voters",
        value: "1|3|5|7",
        default: "3",
        help: "How many nodes are to vote: while there are fewer, one that has caught up is promoted. The same at every node.",
        set: |c, v| {
            let voters = v.parse().ok().filter(|n| matches!(n, 1 | 3 | 5 | 7));
            c.raft.voters = voters.ok_or_else(|| "must be 1, 3, 5 or 7".to_owned())?;
            Ok(())
        },
    },
    Key {
        name: "raft.replace_dead_after_s",
        value: "0..86400",
        default: "300",
        help: "Silence of a voting node, in seconds, after which a node that does not vote yet takes its place. 0: never.",
        set: |c, v| {
            c.raft.replace_dead_after_s = number(v, 0..=86_400)?;
            Ok(())
        },
    },
    Key {
        name: "raft.heartbeat_ms",
        value: "10..10000",
        default: "150",
        help: "Milliseconds between the leader's heartbeats. The same at every node.",
        set: |c, v| {
            c.raft.heartbeat_ms = number(v, 10..=10_000)?;
            Ok(())
        },
    },
    Key {
        name: "raft.election_min_ms",
        value: "50..60000",
        default: "600",
        help: "Shortest silence of the leader, in milliseconds, before an election.",
        set: |c, v| {
            c.raft.election_min_ms = number(v, 50..=60_000)?;
            Ok(())
        },
    },
    Key {
        name: "raft.election_max_ms",
        value: "50..60000",
        default: "1000",
        help: "Longest silence of the leader, in milliseconds, before an election.",
        set: |c, v| {
            c.raft.election_max_ms = number(v, 50..=60_000)?;
            Ok(())
        },
    },
    Key {
        name: "raft.session_ttl_ms",
        value: "200..60000",
        default: "1500",
        help: "Silence of a node, in milliseconds, after which its registrations stop counting. The same at every node.",
        set: |c, v| {
            c.raft.session_ttl_ms = number(v, 200..=60_000)?;
            Ok(())
        },
    },
    Key {
        name: "raft.write_timeout_ms",
        value: "100..60000",
        default: "5000",
        help: "Longest wait, in milliseconds, for a write to be acknowledged; after it the outcome is reported as unknown.",
        set: |c, v| {
            c.raft.write_timeout_ms = number(v, 100..=60_000)?;
            Ok(())
        },
    },
    Key {
        name: "raft.snapshot_entries",
        value: "0 or 10..100000000",
        default: "0",
        help: "A snapshot is made when so many log entries came since the last one; 0: by the size of the log alone.",
        set: |c, v| {
            let entries = number(v, 0..=100_000_000)?;
            if (1..10).contains(&entries) {
                return Err("must be 0, or from 10 to 100000000".to_owned());
            }
            c.raft.snapshot_entries = entries;
            Ok(())
        },
    },
    Key {
        name: "raft.keep_entries",
        value: "1..100000000",
        default: "20000",
        help: "Log entries kept after a snapshot, so that a node that was away for a while needs no snapshot.",
        set: |c, v| {
            c.raft.keep_entries = number(v, 1..=100_000_000)?;
            Ok(())
        },
    },
    Key {
        name: "log.level",
        value: "FILTER",
        default: "info,openraft=warn",
        help: "error, warn, info, debug, trace, or a filter such as info,fed_ari=debug.",
        set: |c, v| {
            check_filter(v)?;
            set_filled(&mut c.log.level, v)
        },
    },
    Key {
        name: "log.format",
        value: "text|json",
        default: "text",
        help: "How log lines look on stderr.",
        set: |c, v| set(&mut c.log.format, v),
    },
];
