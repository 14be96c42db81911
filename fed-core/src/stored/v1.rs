//! Version 1 of what is stored. Frozen: nothing here may change.

mod audit;

use serde::{Deserialize, Serialize};

pub(crate) use audit::{Entry, Head};

use super::{Count as CountNow, revisions};
use crate::ids::{self, ContactUri, DeviceId, NodeId, SessionId, TokenId, UserId};
use crate::records;

#[derive(Serialize, Deserialize)]
pub(crate) struct Record<T> {
    pub(crate) created: u64,
    pub(crate) modified: u64,
    pub(crate) value: T,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct User {
    id: String,
    display_name: String,
    numbers: Vec<String>,
    service_class: Option<String>,
    ring: Ring,
    ring_timeout_s: u16,
    forward_always: Option<String>,
    forward_busy: Option<String>,
    forward_no_answer: Option<String>,
    forward_offline: Option<String>,
    do_not_disturb: bool,
    mailbox: Option<String>,
    preferred_nodes: Vec<u64>,
}

#[derive(Serialize, Deserialize)]
enum Ring {
    All,
    Sequential,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Device {
    id: String,
    user: String,
    technology: Technology,
    realm: String,
    md5_ha1: String,
    codecs: Vec<String>,
    transport: Transport,
    max_contacts: u8,
}

#[derive(Serialize, Deserialize)]
enum Technology {
    Pjsip,
    Sip,
    Iax2,
}

#[derive(Serialize, Deserialize)]
enum Transport {
    Any,
    Udp,
    Tcp,
    Tls,
    WebRtc,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Bindings(Vec<Record<Binding>>);

#[derive(Serialize, Deserialize)]
struct Binding {
    device: String,
    contact: String,
    node: u64,
    session: u64,
    user_agent: Option<String>,
    path: Option<String>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Node {
    id: u64,
    name: String,
    peer_address: String,
    client_address: String,
    sip_address: String,
    asterisk_version: Option<String>,
    capabilities: Vec<String>,
    state: NodeState,
    weight: u16,
    zone: Option<String>,
}

#[derive(Serialize, Deserialize)]
enum NodeState {
    Up,
    Draining,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Token {
    id: String,
    name: String,
    role: Role,
    secret_hash: [u8; 32],
    expires_at_unix: u64,
    one_use: bool,
    node: Option<u64>,
}

#[derive(Serialize, Deserialize)]
enum Role {
    Reader,
    Registrar,
    Operator,
    Admin,
    Node,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Session {
    id: u64,
    node: u64,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Setting(String);

#[derive(Serialize, Deserialize)]
pub(crate) struct UserName(String);

#[derive(Serialize, Deserialize)]
pub(crate) struct NodeNumber(u64);

#[derive(Serialize, Deserialize)]
pub(crate) struct SessionNumber(u64);

#[derive(Serialize, Deserialize)]
pub(crate) struct Count(u64);

/// An enum of the program and its frozen twin, whose variants have the same names.
macro_rules! twins {
    ($now:path, $frozen:ident, $($variant:ident),+) => {
        impl From<$now> for $frozen {
            fn from(now: $now) -> Self {
                match now {
                    $(<$now>::$variant => Self::$variant,)+
                }
            }
        }

        impl From<$frozen> for $now {
            fn from(frozen: $frozen) -> Self {
                match frozen {
                    $($frozen::$variant => Self::$variant,)+
                }
            }
        }
    };
}

twins!(records::RingStrategy, Ring, All, Sequential);
twins!(records::Technology, Technology, Pjsip, Sip, Iax2);
twins!(records::TransportProfile, Transport, Any, Udp, Tcp, Tls, WebRtc);
twins!(records::NodeState, NodeState, Up, Draining);
twins!(records::Role, Role, Reader, Registrar, Operator, Admin, Node);

fn texts<T: Clone + Into<String>>(ids: &[T]) -> Vec<String> {
    ids.iter().cloned().map(Into::into).collect()
}

fn text<T: Clone + Into<String>>(id: Option<&T>) -> Option<String> {
    id.cloned().map(Into::into)
}

impl From<&records::Record<records::User>> for Record<User> {
    fn from(record: &records::Record<records::User>) -> Self {
        let user = &record.value;
        revisions(
            record,
            User {
                id: user.id.clone().into(),
                display_name: user.display_name.clone(),
                numbers: texts(&user.numbers),
                service_class: user.service_class.clone(),
                ring: user.ring.into(),
                ring_timeout_s: user.ring_timeout_s,
                forward_always: text(user.forwards.always.as_ref()),
                forward_busy: text(user.forwards.busy.as_ref()),
                forward_no_answer: text(user.forwards.no_answer.as_ref()),
                forward_offline: text(user.forwards.offline.as_ref()),
                do_not_disturb: user.do_not_disturb,
                mailbox: user.mailbox.clone(),
                preferred_nodes: user.preferred_nodes.iter().map(|node| node.0).collect(),
            },
        )
    }
}

impl From<Record<User>> for records::Record<records::User> {
    fn from(record: Record<User>) -> Self {
        let number = ids::Number::stored;
        record.into_record(|user| records::User {
            id: UserId::stored(user.id),
            display_name: user.display_name,
            numbers: user.numbers.into_iter().map(number).collect(),
            service_class: user.service_class,
            ring: user.ring.into(),
            ring_timeout_s: user.ring_timeout_s,
            forwards: records::Forwards {
                always: user.forward_always.map(number),
                busy: user.forward_busy.map(number),
                no_answer: user.forward_no_answer.map(number),
                offline: user.forward_offline.map(number),
            },
            do_not_disturb: user.do_not_disturb,
            mailbox: user.mailbox,
            preferred_nodes: user.preferred_nodes.into_iter().map(NodeId).collect(),
        })
    }
}

impl From<&records::Record<records::Device>> for Record<Device> {
    fn from(record: &records::Record<records::Device>) -> Self {
        let device = &record.value;
        revisions(
            record,
            Device {
                id: device.id.clone().into(),
                user: device.user.clone().into(),
                technology: device.technology.into(),
                realm: device.credentials.realm.clone(),
                md5_ha1: device.credentials.md5_ha1.clone(),
                codecs: device.codecs.clone(),
                transport: device.transport.into(),
                max_contacts: device.max_contacts,
            },
        )
    }
}

impl From<Record<Device>> for records::Record<records::Device> {
    fn from(record: Record<Device>) -> Self {
        record.into_record(|device| records::Device {
            id: DeviceId::stored(device.id),
            user: UserId::stored(device.user),
            technology: device.technology.into(),
            credentials: records::DigestCredentials {
                realm: device.realm,
                md5_ha1: device.md5_ha1,
            },
            codecs: device.codecs,
            transport: device.transport.into(),
            max_contacts: device.max_contacts,
        })
    }
}

impl From<&super::Bindings> for Bindings {
    fn from(bindings: &super::Bindings) -> Self {
        let frozen = |record: &records::Record<records::Binding>| {
            let binding = &record.value;
            revisions(
                record,
                Binding {
                    device: binding.device.clone().into(),
                    contact: binding.contact.clone().into(),
                    node: binding.node.0,
                    session: binding.session.0,
                    user_agent: binding.user_agent.clone(),
                    path: binding.path.clone(),
                },
            )
        };
        Self(bindings.iter().map(frozen).collect())
    }
}

impl From<Bindings> for super::Bindings {
    fn from(bindings: Bindings) -> Self {
        let now = |record: Record<Binding>| {
            record.into_record(|binding| records::Binding {
                device: DeviceId::stored(binding.device),
                contact: ContactUri::stored(binding.contact),
                node: NodeId(binding.node),
                session: SessionId(binding.session),
                user_agent: binding.user_agent,
                path: binding.path,
            })
        };
        bindings.0.into_iter().map(now).collect()
    }
}

impl From<&records::Record<records::Node>> for Record<Node> {
    fn from(record: &records::Record<records::Node>) -> Self {
        let node = &record.value;
        revisions(
            record,
            Node {
                id: node.id.0,
                name: node.name.clone(),
                peer_address: node.peer_address.clone(),
                client_address: node.client_address.clone(),
                sip_address: node.sip_address.clone(),
                asterisk_version: node.asterisk_version.clone(),
                capabilities: node.capabilities.clone(),
                state: node.state.into(),
                weight: node.weight,
                zone: node.zone.clone(),
            },
        )
    }
}

impl From<Record<Node>> for records::Record<records::Node> {
    fn from(record: Record<Node>) -> Self {
        record.into_record(|node| records::Node {
            id: NodeId(node.id),
            name: node.name,
            peer_address: node.peer_address,
            client_address: node.client_address,
            sip_address: node.sip_address,
            asterisk_version: node.asterisk_version,
            capabilities: node.capabilities,
            state: node.state.into(),
            weight: node.weight,
            zone: node.zone,
        })
    }
}

impl From<&records::Record<records::SettingValue>> for Record<Setting> {
    fn from(record: &records::Record<records::SettingValue>) -> Self {
        revisions(record, Setting(record.value.as_str().to_owned()))
    }
}

impl From<Record<Setting>> for records::Record<records::SettingValue> {
    fn from(record: Record<Setting>) -> Self {
        record.into_record(|setting| setting.0.into())
    }
}

impl From<&records::Record<records::Token>> for Record<Token> {
    fn from(record: &records::Record<records::Token>) -> Self {
        let token = &record.value;
        revisions(
            record,
            Token {
                id: token.id.clone().into(),
                name: token.name.clone(),
                role: token.role.into(),
                secret_hash: token.secret_hash.0,
                expires_at_unix: token.expires_at_unix,
                one_use: token.one_use,
                node: token.node.map(|node| node.0),
            },
        )
    }
}

impl From<Record<Token>> for records::Record<records::Token> {
    fn from(record: Record<Token>) -> Self {
        record.into_record(|token| records::Token {
            id: TokenId::stored(token.id),
            name: token.name,
            role: token.role.into(),
            secret_hash: records::SecretHash(token.secret_hash),
            expires_at_unix: token.expires_at_unix,
            one_use: token.one_use,
            node: token.node.map(NodeId),
        })
    }
}

impl From<&records::Session> for Session {
    fn from(session: &records::Session) -> Self {
        Self {
            id: session.id.0,
            node: session.node.0,
        }
    }
}

impl From<Session> for records::Session {
    fn from(session: Session) -> Self {
        Self {
            id: SessionId(session.id),
            node: NodeId(session.node),
        }
    }
}

impl From<&UserId> for UserName {
    fn from(id: &UserId) -> Self {
        Self(id.clone().into())
    }
}

impl From<UserName> for UserId {
    fn from(name: UserName) -> Self {
        Self::stored(name.0)
    }
}

/// A number of the program and its frozen twin.
macro_rules! numbers {
    ($now:ident, $frozen:ident) => {
        impl From<&$now> for $frozen {
            fn from(now: &$now) -> Self {
                Self(now.0)
            }
        }

        impl From<$frozen> for $now {
            fn from(frozen: $frozen) -> Self {
                Self(frozen.0)
            }
        }
    };
}

numbers!(NodeId, NodeNumber);
numbers!(SessionId, SessionNumber);
numbers!(CountNow, Count);
