//! The wires between the nodes of a cluster under test, and what can be done to them.
//!
//! Every *place* (a node, or the clients) is joined to every other by two wires, one for each direction. [`Wires`] says how each
//! is; a [`Network`] makes it so. There are three backends:
//!
//! - [`Backend::Switch`]: network namespaces on a user-space switch; everything a wire can suffer, from a seed. Needs root;
//! - [`Backend::Nftables`]: namespaces on a kernel bridge; cuts only, at the kernel's own speed. Needs root;
//! - [`Backend::Proxy`]: TCP proxies on loopback; cuts, clogs, delays and bandwidth. Needs nothing.

mod command;
mod namespace;
mod nftables;
mod proxy;
mod run_id;
mod switch;
mod traffic;
mod wires;

use std::net::SocketAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use namespace::Namespace;
pub use run_id::{RunId, sweep};
pub use wires::{Wire, Wires};

use crate::process::Addresses;
use nftables::Nftables;
use proxy::Proxies;
use switch::Switch;

/// What the wires are made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Backend {
    /// A user-space switch on TAP devices.
    #[default]
    Switch,
    /// A kernel bridge with nftables.
    Nftables,
    /// TCP proxies on loopback.
    Proxy,
}

/// The network of the test itself failed; says nothing about the product.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A command of the system failed.
    #[error("{command}: {why}")]
    Command {
        /// The command.
        command: String,
        /// What it said.
        why: String,
    },
    /// A file, device or socket.
    #[error("{what}: {source}")]
    Io {
        /// Which.
        what: String,
        /// Why.
        source: std::io::Error,
    },
    /// This backend cannot do that to a wire.
    #[error("the backend {backend:?} cannot make a wire {what}; the switch can")]
    Unsupported {
        /// The backend.
        backend: Backend,
        /// What was asked for.
        what: &'static str,
    },
}

impl NetworkError {
    fn io(what: impl Into<String>, source: impl Into<std::io::Error>) -> Self {
        NetworkError::Io {
            what: what.into(),
            source: source.into(),
        }
    }
}

/// What the faults of the wires of one run took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Packets lost because their wire was cut.
    pub cut: u64,
    /// Packets kept because their wire was clogged.
    pub clogged: u64,
}

/// Where one node runs.
#[derive(Clone, Debug)]
pub struct Place {
    /// Where it listens.
    pub listen: Addresses,
    /// Where the other nodes find it.
    pub advertised: SocketAddr,
    /// Words before a command that make it run there.
    pub through: Vec<String>,
}

/// The wires of one run. Dropping it removes everything it made.
pub struct Network {
    backend: Backend,
    wires: Wires,
    made: Made,
    folder: PathBuf,
}

enum Made {
    Switch(Switch),
    Nftables(Nftables),
    Proxies(Proxies),
}

impl Network {
    /// Makes places for `nodes` nodes and one more for the clients, all wires whole. `seed` decides every later chance. What
    /// dead runs of this backend left behind is removed first.
    ///
    /// # Errors
    /// [`NetworkError`]; nothing is left behind.
    pub fn make(backend: Backend, nodes: usize, seed: u64) -> Result<Self, NetworkError> {
        let run = RunId::new()?;
        if backend != Backend::Proxy {
            sweep()?;
        }
        let folder = run.folder();
        std::fs::create_dir_all(&folder).map_err(|error| NetworkError::io(folder.display().to_string(), error))?;
        let made = match backend {
            Backend::Switch => Made::Switch(Switch::make(&run, nodes, seed)?),
            Backend::Nftables => Made::Nftables(Nftables::make(&run, nodes)?),
            Backend::Proxy => Made::Proxies(Proxies::make(nodes)?),
        };
        Ok(Network {
            backend,
            wires: Wires::whole(nodes),
            made,
            folder,
        })
    }

    /// Where node number `node` runs, counted from 0.
    pub fn place(&self, node: usize) -> Place {
        match &self.made {
            Made::Switch(switch) => switch.place(node),
            Made::Nftables(nftables) => nftables.place(node),
            Made::Proxies(proxies) => proxies.place(node),
        }
    }

    /// A folder of this run, named like everything else of it. It is the caller's to remove.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Takes the calling thread, and every thread and runtime it makes from now on, to the clients' place: what they connect to
    /// goes over the clients' wires, which no fault touches. There is no way back.
    ///
    /// # Errors
    /// When the place cannot be entered.
    pub fn enter_clients_place(&self) -> Result<(), NetworkError> {
        match &self.made {
            Made::Switch(switch) => switch.clients().enter_for_good(),
            Made::Nftables(nftables) => nftables.clients().enter_for_good(),
            Made::Proxies(_) => Ok(()),
        }
    }

    /// What the faults of the wires took so far; `None` where the backend does not see each packet.
    pub fn tally(&self) -> Option<Tally> {
        match &self.made {
            Made::Switch(switch) => Some(switch.tally()),
            Made::Nftables(_) | Made::Proxies(_) => None,
        }
    }

    /// How the wires are.
    pub fn wires(&self) -> &Wires {
        &self.wires
    }

    /// Makes all wires as told, at one moment.
    ///
    /// # Errors
    /// [`NetworkError::Unsupported`] if the backend cannot, or what failed.
    pub fn set(&mut self, wires: Wires) -> Result<(), NetworkError> {
        self.backend_can(&wires)?;
        match &mut self.made {
            Made::Switch(switch) => switch.set(&wires),
            Made::Nftables(nftables) => nftables.set(&wires)?,
            Made::Proxies(proxies) => proxies.set(&wires),
        }
        self.wires = wires;
        Ok(())
    }

    /// Who may be told the process id behind a place, so that its connections are known to be its own. Only proxies ask.
    pub fn learn_process(&mut self, node: usize, pid: Option<u32>) {
        if let Made::Proxies(proxies) = &self.made {
            proxies.learn_process(node, pid);
        }
    }

    fn backend_can(&self, wires: &Wires) -> Result<(), NetworkError> {
        let unsupported = match self.backend {
            Backend::Switch => None,
            Backend::Nftables => wires.find(|wire| Wire { cut: false, ..*wire } != Wire::default()),
            Backend::Proxy => {
                wires.find(|wire| wire.loss_percent + wire.duplicate_percent + wire.reorder_percent > 0.0)
            }
        };
        match unsupported {
            None => Ok(()),
            Some(_) if self.backend == Backend::Proxy => Err(NetworkError::Unsupported {
                backend: self.backend,
                what: "lose, double or reorder packets",
            }),
            Some(_) => Err(NetworkError::Unsupported {
                backend: self.backend,
                what: "anything but cut or whole",
            }),
        }
    }
}
