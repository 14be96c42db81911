//! What was found, before anybody judges it. No secret is in it.

use std::net::IpAddr;

use fed_ari::client::AsteriskVersion;
use fed_ari::stanzas::Refreshes;
use fed_proto::client as pb;

use crate::cli::Compared;
use crate::config::Config;

/// Everything that was found.
#[derive(Debug)]
pub struct Facts {
    /// The node asked, where that is not the one of this host: then nothing of this host is judged.
    pub elsewhere: Option<String>,
    /// The configuration, or what is wrong with it.
    pub config: Result<Config, String>,
    /// This host.
    pub host: Host,
    /// What the node says, or why it does not.
    pub node: Result<NodeFacts, String>,
    /// The Asterisk beside this node; none where the node has none or the configuration cannot be read.
    pub asterisk: Option<AsteriskFacts>,
}

/// The host.
#[derive(Debug)]
pub struct Host {
    /// The data folder.
    pub folder: Folder,
    /// Files that hold secrets, with their permissions.
    pub secrets: Vec<(String, u32)>,
    /// Bytes free and in all where the data folder is; none: it could not be measured.
    pub space: Option<(u64, u64)>,
    /// File names that are still free there, and in all.
    pub inodes: Option<(u64, u64)>,
    /// Times of synced writes there, or why there are none.
    pub fsync: Option<Result<pb::Latency, String>>,
    /// What is to be listened on.
    pub ports: Vec<Port>,
    /// Whether the redirect server answered OPTIONS over UDP; none: it was not asked.
    pub redirect_answers: Option<bool>,
    /// Whether the system says that its clock follows others; none: it does not say.
    pub time_synced: Option<bool>,
    /// This host's name, and what it leads to.
    pub name: String,
    /// See `name`.
    pub name_leads_to: Result<Vec<IpAddr>, String>,
    /// What the address told to the other nodes leads to.
    pub advertised_leads_to: Result<Vec<IpAddr>, String>,
    /// Bytes of memory available and in all.
    pub memory: Option<(u64, u64)>,
    /// The node's certificate, or what is wrong with it; none: the node needs none.
    pub certificate: Option<Result<CertificateFacts, String>>,
}

impl Default for Folder {
    fn default() -> Self {
        Self {
            mode: None,
            identity: Ok(None),
        }
    }
}

/// A node's certificate.
#[derive(Debug, Clone, Copy)]
pub struct CertificateFacts {
    /// Seconds until it ends; negative: since it ended.
    pub left_s: i64,
    /// Whether the authority is the administrator's own, so that nothing renews it by itself.
    pub own_authority: bool,
}

/// The data folder.
#[derive(Debug)]
pub struct Folder {
    /// Its permissions; none: it is not there or cannot be looked at.
    pub mode: Option<u32>,
    /// The node it belongs to, or what is wrong with it.
    pub identity: Result<Option<u64>, String>,
}

/// An address to listen on.
#[derive(Debug, Clone)]
pub struct Port {
    /// The key of the configuration.
    pub key: &'static str,
    /// The address.
    pub address: String,
    /// Something answers there.
    pub answers: bool,
    /// It could be listened on.
    pub free: bool,
}

/// What the node says.
#[derive(Debug, Clone)]
pub struct NodeFacts {
    /// Its status.
    pub status: pb::StatusReply,
    /// What every member says of itself.
    pub nodes: Vec<pb::NodeAnswer>,
    /// The settings; secret ones without their value.
    pub settings: Vec<pb::SettingRecord>,
    /// Differences between map and Asterisk here, or why they were not looked for.
    pub drift: Result<usize, String>,
    /// What users' fields name that is not there, or why it was not looked for.
    pub loose_ends: Result<Vec<String>, String>,
    /// Who has a name that the dialplan keeps for itself, or why it was not looked for.
    pub reserved_names: Result<Vec<String>, String>,
    /// Phones registered from the address of another server or SIP peer, or why they were not looked for.
    pub phones_at_trunks: Result<Vec<String>, String>,
    /// The comparison of the replicas, or why there is none.
    pub replicas: Result<Compared, String>,
}

impl Default for Host {
    fn default() -> Self {
        Self {
            folder: Folder::default(),
            secrets: Vec::new(),
            space: None,
            inodes: None,
            fsync: None,
            ports: Vec::new(),
            redirect_answers: None,
            time_synced: None,
            name: String::new(),
            name_leads_to: Ok(Vec::new()),
            advertised_leads_to: Ok(Vec::new()),
            memory: None,
            certificate: None,
        }
    }
}

/// The Asterisk beside this node.
#[derive(Debug, Clone, Default)]
pub struct AsteriskFacts {
    /// Its version, or what ARI said instead.
    pub version: Option<Result<AsteriskVersion, String>>,
    /// Whether the ARI user may change something.
    pub may_write: Option<Result<(), String>>,
    /// Modules that run, or why they are not known.
    pub modules: Option<Result<Vec<String>, String>>,
    /// Each file of Asterisk's that fed-node adds to, and whether something is missing there.
    pub files: Option<Result<Vec<(String, bool)>, String>>,
    /// How its `pjsip.conf` stands to telling of refreshed registrations; none: the files were not looked at.
    pub refreshes: Option<Refreshes>,
    /// What is to be known of the HTTP server's address.
    pub http_warning: Option<String>,
    /// Over what the redirect server is asked, and whether that is TCP.
    pub redirect_over_tcp: Option<(bool, String)>,
    /// Whether it answers SIP where the other Asterisks are told that it does; none: it was not asked.
    pub sip: Option<Sip>,
}

/// What was found where an Asterisk is to be reached by SIP.
#[derive(Debug, Clone)]
pub struct Sip {
    /// `sip.advertise`.
    pub address: String,
    /// Something answers SIP over UDP, or takes connections.
    pub answers: bool,
    /// Its `pjsip.conf` has a transport; an error: that cannot be read.
    pub has_transport: Result<bool, String>,
}

#[cfg(test)]
pub(super) mod testing {
    use fed_core::records::setting;

    use super::*;
    use crate::cli::status_fixture;
    use crate::config::{ConfigFlags, load_with};

    /// Everything is well: node 1 of three.
    pub(crate) fn facts() -> Facts {
        let config = load_with(None, [], &ConfigFlags::default()).unwrap();
        let local = IpAddr::from([192, 0, 2, 1]);
        let keys = [
            "peer.listen",
            "client.listen",
            "redirect.listen",
            "agi.listen",
            "metrics.listen",
        ];
        let ports = keys.map(|key| Port {
            key,
            address: "127.0.0.1:7400".to_owned(),
            answers: true,
            free: false,
        });
        let latency = pb::Latency {
            samples: 60,
            p50_us: 800,
            p99_us: 2_000,
            max_us: 3_000,
        };
        Facts {
            elsewhere: None,
            config: Ok(config),
            host: Host {
                folder: Folder {
                    mode: Some(0o700),
                    identity: Ok(Some(1)),
                },
                secrets: vec![("/var/lib/fed-node/security/node.key".to_owned(), 0o600)],
                space: Some((60_000 << 20, 100_000 << 20)),
                inodes: Some((900_000, 1_000_000)),
                fsync: Some(Ok(latency)),
                ports: ports.to_vec(),
                redirect_answers: Some(true),
                time_synced: Some(true),
                name: "pbx1".to_owned(),
                name_leads_to: Ok(vec![local]),
                advertised_leads_to: Ok(vec![local]),
                memory: Some((4 << 30, 8 << 30)),
                certificate: Some(Ok(CertificateFacts {
                    left_s: 6 * 24 * 3600,
                    own_authority: false,
                })),
            },
            node: Ok(node()),
            asterisk: Some(asterisk()),
        }
    }

    fn node() -> NodeFacts {
        let about = |id: u64| pb::NodeAnswer {
            id,
            name: format!("n{id}"),
            about: Some(pb::About {
                node: id,
                node_name: format!("n{id}"),
                version: "0.1.0".to_owned(),
                feature_level: 1,
                open_files: 100,
                open_files_limit: 65_536,
                resident_bytes: 100 << 20,
                ..pb::About::default()
            }),
            ..pb::NodeAnswer::default()
        };
        let is_set = |key: &str| pb::SettingRecord {
            key: key.to_owned(),
            set: true,
            ..pb::SettingRecord::default()
        };
        let replica = |node: u64| pb::Replica {
            node,
            node_name: format!("n{node}"),
            kept: vec![pb::HashAt {
                revision: 7,
                index: 0,
                hash: "a".to_owned(),
            }],
            ..pb::Replica::default()
        };
        NodeFacts {
            status: pb::StatusReply {
                asterisk: Some(pb::AsteriskStatus {
                    connected: true,
                    ..pb::AsteriskStatus::default()
                }),
                ..status_fixture::reply(["up"; 3])
            },
            nodes: [1, 2, 3].map(about).to_vec(),
            settings: [setting::REALM, setting::CAPABILITY_KEY].map(is_set).to_vec(),
            drift: Ok(0),
            loose_ends: Ok(Vec::new()),
            reserved_names: Ok(Vec::new()),
            phones_at_trunks: Ok(Vec::new()),
            replicas: Ok(crate::cli::compare(&[1, 2, 3].map(replica))),
        }
    }

    fn asterisk() -> AsteriskFacts {
        let files = fed_ari::stanzas::FILES;
        AsteriskFacts {
            version: Some(Ok(AsteriskVersion::new(22, 10, 1))),
            may_write: Some(Ok(())),
            modules: Some(Ok(fed_ari::client::MODULES_NEEDED.map(str::to_owned).to_vec())),
            files: Some(Ok(files.map(|file| (file.to_owned(), false)).to_vec())),
            refreshes: Some(Refreshes::Told),
            http_warning: None,
            redirect_over_tcp: Some((true, "pjsip.conf has a TCP transport".to_owned())),
            sip: Some(Sip {
                address: "192.0.2.1:5060".to_owned(),
                answers: true,
                has_transport: Ok(true),
            }),
        }
    }
}
