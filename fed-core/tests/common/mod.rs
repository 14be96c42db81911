//! A federation in memory, for tests.
#![allow(dead_code, reason = "each test file uses a part of it")]

use fed_core::audit::{Actor, Origin};
use fed_core::command::{Command, Expect, Reply};
use fed_core::event::Change;
use fed_core::ids::{ClientId, ContactUri, DeviceId, NodeId, Number, Revision, SessionId, TokenId, UserId};
use fed_core::kv::MemStore;
use fed_core::machine::{Outcome, Request, apply_batch};
use fed_core::map::{FederationMap, MapView};
use fed_core::records::{Device, DigestCredentials, Node, NodeState, Role, SecretHash, Token, User};

pub(crate) fn user_id(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

pub(crate) fn device_id(text: &str) -> DeviceId {
    DeviceId::new(text).unwrap()
}

pub(crate) fn number(text: &str) -> Number {
    Number::new(text).unwrap()
}

pub(crate) fn contact(text: &str) -> ContactUri {
    ContactUri::new(text).unwrap()
}

pub(crate) fn user(id: &str, numbers: &[&str]) -> User {
    let numbers = numbers.iter().map(|text| number(text)).collect();
    User {
        numbers,
        ..User::new(user_id(id))
    }
}

pub(crate) fn device(id: &str, user: &str) -> Device {
    let credentials = DigestCredentials {
        realm: "federated".to_owned(),
        md5_ha1: "0123456789abcdef0123456789abcdef".to_owned(),
    };
    Device::new(device_id(id), user_id(user), credentials)
}

pub(crate) fn token(id: &str) -> Token {
    Token {
        id: TokenId::new(id).unwrap(),
        name: String::new(),
        role: Role::Operator,
        secret_hash: SecretHash([1; 32]),
        expires_at_unix: 1_000,
        one_use: true,
        node: None,
    }
}

/// The command in the name of whoever reads the data folder of that node.
pub(crate) fn by(via: u64, command: Command) -> Command {
    Command::By {
        origin: Origin {
            who: Actor::Local,
            via: NodeId(via),
            at_unix: 1_000,
        },
        command: Box::new(command),
    }
}

pub(crate) fn node(id: u64) -> Node {
    Node {
        id: NodeId(id),
        name: format!("n{id}"),
        peer_address: format!("10.0.0.{id}:7401"),
        client_address: "127.0.0.1:7400".to_owned(),
        sip_address: format!("10.0.0.{id}:5060"),
        asterisk_version: Some("22.10.1".to_owned()),
        capabilities: vec!["redirect".to_owned()],
        state: NodeState::Up,
        weight: 1,
        zone: None,
    }
}

/// A map that takes commands one by one.
#[derive(Default)]
pub(crate) struct Federation {
    pub(crate) store: MemStore,
    sequence: u64,
    pub(crate) events: Vec<Change>,
}

impl Federation {
    /// Nodes 1 to `nodes`, each with an open session.
    pub(crate) fn of(nodes: u64) -> Self {
        let mut federation = Self::default();
        for id in 1..=nodes {
            federation.done(Command::PutNode {
                node: node(id),
                expect: Expect::Any,
            });
            federation.open(id);
        }
        federation
    }

    pub(crate) fn view(&self) -> MapView<'_> {
        MapView::new(&self.store)
    }

    /// Applies a command; its events are in `events` afterwards.
    pub(crate) fn run(&mut self, command: Command) -> Outcome<Reply, Change> {
        self.sequence += 1;
        let request = Request {
            client: ClientId(1),
            sequence: self.sequence,
            command,
        };
        let mut outcomes = apply_batch(&FederationMap, &mut self.store, vec![request]).unwrap();
        let outcome = outcomes.pop().unwrap();
        self.events.clone_from(&outcome.events);
        outcome
    }

    pub(crate) fn reply(&mut self, command: Command) -> Reply {
        self.run(command).reply
    }

    /// Applies a command that must not be refused.
    pub(crate) fn done(&mut self, command: Command) -> Revision {
        let outcome = self.run(command);
        assert!(
            !matches!(outcome.reply, Reply::Refused(_) | Reply::BindingRefused { .. }),
            "{:?}",
            outcome.reply
        );
        outcome.revision
    }

    pub(crate) fn open(&mut self, node: u64) -> SessionId {
        match self.reply(Command::OpenSession { node: NodeId(node) }) {
            Reply::SessionOpened { session } => session,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn end(&mut self, node: u64) {
        let session = self.session(node);
        self.done(Command::EndSession { session });
    }

    pub(crate) fn session(&self, node: u64) -> SessionId {
        self.view().session_of(NodeId(node)).unwrap().unwrap()
    }

    pub(crate) fn put_user(&mut self, user: User) -> Revision {
        self.done(Command::PutUser {
            user,
            expect: Expect::Any,
        })
    }

    pub(crate) fn put_device(&mut self, device: Device) -> Revision {
        self.done(Command::PutDevice {
            device,
            expect: Expect::Any,
        })
    }

    /// A user with one device of the same name.
    pub(crate) fn provision(&mut self, id: &str, numbers: &[&str]) {
        self.put_user(user(id, numbers));
        self.put_device(device(id, id));
    }

    /// A registration at `node`, seen happening.
    pub(crate) fn register(&mut self, device: &str, node: u64) -> Reply {
        let contact = format!("sip:{device}@192.0.2.{node}:5060");
        let bind = self.bind(device, &contact, node, true);
        self.reply(bind)
    }

    /// The command for a binding in the open session of `node`.
    pub(crate) fn bind(&self, device: &str, uri: &str, node: u64, seen: bool) -> Command {
        Command::Bind {
            device: device_id(device),
            contact: contact(uri),
            node: NodeId(node),
            session: self.session(node),
            basis: seen.then_some(Revision(0)),
            user_agent: None,
            path: None,
        }
    }

    /// The nodes at which a device counts as registered.
    pub(crate) fn live_at(&self, device: &str) -> Vec<u64> {
        let live = self.view().live_bindings_of(&device_id(device)).unwrap();
        live.into_iter().map(|binding| binding.value.node.0).collect()
    }
}
