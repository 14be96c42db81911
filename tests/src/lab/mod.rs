//! The lab: hosts as network namespaces on a bridge, each with a real Asterisk and a fed-node, and a network of phones.
//!
//! Everything is named after the process that made it, is removed with the [`Lab`], and what a dead run left behind is removed by the
//! next one. Logs stay when a test failed, and the failure says where.

mod asterisk;
pub mod cases;
mod command;
mod customer;
mod daemon;
mod federation;
mod http;
mod locate;
mod namespace;
mod network;
mod node;
mod roots;
mod run_id;
mod server;

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use anyhow::Result;

pub use asterisk::Asterisk;
pub use command::{Following, capture, finish, run};
pub use customer::CONTEXT;
pub use daemon::Daemon;
pub use federation::{all_objects, leader};
pub use http::request as http_request;
pub use locate::{Asker, Located};
pub use namespace::Namespace;
pub use network::Network;
pub use node::{FedNode, binary as fed_node_binary};
pub use roots::{Version, available, checkout};
pub use server::Server;

use crate::phone::{Phone, Transport};
use asterisk::Place;
use run_id::RunId;

/// A file whose presence keeps the folder of a failed run.
const KEPT: &str = "kept-for-its-logs";
/// How long an Asterisk may take to boot; three at once on two busy cores need a while.
const BOOT: Duration = Duration::from_secs(60);

/// One host: a namespace with an Asterisk in it.
#[derive(Debug)]
pub struct Host {
    /// `h1`, `h2`, ..: its host name and its port on the bridge.
    pub name: String,
    /// Its address.
    pub ip: IpAddr,
    /// `host:port` at which the other nodes call its Asterisk.
    pub advertised: String,
    /// Its network.
    pub namespace: Namespace,
    /// Its Asterisk.
    pub asterisk: Asterisk,
    node: Option<FedNode>,
    /// Where its logs and data lie.
    pub folder: PathBuf,
}

impl Host {
    /// Where its Asterisk listens for SIP.
    pub fn sip(&self) -> SocketAddr {
        SocketAddr::new(self.ip, 5060)
    }
}

/// How the other nodes reach a host's Asterisk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reached {
    /// By its IPv4 address.
    #[default]
    V4,
    /// By its IPv6 address.
    V6,
    /// By a name, which stands in the `/etc/hosts` of every Asterisk.
    Name,
}

/// What a host is to be.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    version: Version,
    reached: Reached,
    /// Whether its customer has phones and trunks that are none of the federation's.
    own_phones: bool,
}

impl From<Version> for Wanted {
    fn from(version: Version) -> Self {
        Self {
            version,
            reached: Reached::V4,
            own_phones: true,
        }
    }
}

/// Hosts, wires and phones of one run.
#[derive(Debug)]
pub struct Lab {
    /// The hosts, in the order asked for.
    pub hosts: Vec<Host>,
    /// The wires between them.
    pub network: Network,
    phones: Namespace,
    phones_ip: IpAddr,
    folder: PathBuf,
    keep: bool,
}

impl Lab {
    /// Makes the hosts and boots their Asterisks.
    ///
    /// # Errors
    /// When anything cannot be made or an Asterisk does not boot; what was made until then is removed again.
    pub fn start(versions: &[Version]) -> Result<Self> {
        Self::make(versions.iter().copied().map(Wanted::from), |_| Ok(()))
    }

    /// As [`Lab::start`], with a fed-node beside each Asterisk, all one federation, everything up.
    ///
    /// # Errors
    /// As [`Lab::start`], or when the federation cannot be founded.
    pub fn start_federated(versions: &[Version]) -> Result<Self> {
        Self::start_asking(versions, &[])
    }

    /// As [`Lab::start_federated`]; the hosts of these numbers, from 0, have a dialplan that asks by Stasis.
    ///
    /// # Errors
    /// As [`Lab::start_federated`].
    pub fn start_asking(versions: &[Version], by_stasis: &[usize]) -> Result<Self> {
        Self::make_federated(versions.iter().copied().map(Wanted::from), by_stasis)
    }

    /// As [`Lab::start_federated`]; the Asterisks are as just installed, without a phone or a trunk of their customer's own.
    ///
    /// # Errors
    /// As [`Lab::start_federated`].
    pub fn start_bare(versions: &[Version]) -> Result<Self> {
        let bare = |version: &Version| Wanted {
            own_phones: false,
            ..Wanted::from(*version)
        };
        Self::make_federated(versions.iter().map(bare), &[])
    }

    /// As [`Lab::start_asking`]; each host is reached in its own way.
    ///
    /// # Errors
    /// As [`Lab::start_federated`].
    pub fn start_reached(hosts: &[(Version, Reached)], by_stasis: &[usize]) -> Result<Self> {
        let reached = |(version, reached): &(Version, Reached)| Wanted {
            reached: *reached,
            ..Wanted::from(*version)
        };
        Self::make_federated(hosts.iter().map(reached), by_stasis)
    }

    fn make_federated(wanted: impl Iterator<Item = Wanted>, by_stasis: &[usize]) -> Result<Self> {
        let lab = Self::make(wanted, |lab| lab.federate(by_stasis))?;
        lab.wait_healthy(Duration::from_secs(30))?;
        Ok(lab)
    }

    fn make(wanted: impl Iterator<Item = Wanted>, before_boot: impl FnOnce(&mut Self) -> Result<()>) -> Result<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        run_id::sweep()?;
        let run = RunId::new(NEXT.fetch_add(1, Ordering::Relaxed))?;
        let folder = run.folder();
        fs::create_dir_all(&folder)?;
        run_id::remove_on_signal(&run);
        let network = Network::make(&run)?;
        let (phones, phones_ip) = network.attach("phones", 200)?;
        let mut lab = Self {
            hosts: Vec::new(),
            network,
            phones,
            phones_ip,
            folder,
            keep: true,
        };
        let wanted: Vec<Wanted> = wanted.collect();
        let hosts = u8::try_from(wanted.len())?;
        for (number, wanted) in (1..=hosts).zip(wanted) {
            let host = lab.make_host(number, hosts, wanted)?;
            lab.hosts.push(host);
        }
        before_boot(&mut lab)?;
        for host in &mut lab.hosts {
            host.asterisk.start()?;
        }
        for host in &mut lab.hosts {
            host.asterisk.wait_ready(BOOT)?;
        }
        lab.keep = false;
        Ok(lab)
    }

    fn make_host(&self, number: u8, hosts: u8, wanted: Wanted) -> Result<Host> {
        let name = format!("h{number}");
        let (namespace, ip) = self.network.attach(&name, 10 + number)?;
        namespace.ip(&[
            "addr",
            "add",
            &format!("{}/24", customer::static_ip(number)),
            "dev",
            "eth0",
        ])?;
        let v6 = customer::ipv6(number);
        namespace.ip(&["addr", "add", &format!("{v6}/64"), "dev", "eth0", "nodad"])?;
        let folder = self.folder.join(&name);
        fs::create_dir_all(&folder)?;
        let place = Place {
            name: &name,
            number,
            hosts,
            namespace: &namespace,
            ip,
            folder: &folder,
            own_phones: wanted.own_phones,
        };
        let asterisk = Asterisk::prepare(wanted.version, &place)?;
        let advertised = match wanted.reached {
            Reached::V4 => format!("{ip}:5060"),
            Reached::V6 => format!("[{v6}]:5060"),
            Reached::Name => format!("{}:5060", customer::host_name(number)),
        };
        Ok(Host {
            name,
            ip,
            advertised,
            namespace,
            asterisk,
            node: None,
            folder,
        })
    }

    /// A phone for that device.
    ///
    /// # Errors
    /// When its sockets cannot be opened.
    pub fn phone(&self, id: &str, password: &str, transport: Transport) -> Result<Phone> {
        Phone::new(&self.phones, self.phones_ip, id, password, transport)
    }

    /// One more place on the network, for SIP software that is neither a host nor a phone. It is removed with the value given.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn extra_place(&self, name: &str, last: u8) -> Result<(Namespace, IpAddr)> {
        self.network.attach(name, last)
    }

    /// Where the phones are.
    pub fn phones(&self) -> &Namespace {
        &self.phones
    }

    /// The phones' address.
    pub fn phones_ip(&self) -> IpAddr {
        self.phones_ip
    }

    /// Where everything of this run lies.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps the folder when the lab goes: something failed, and the logs tell what.
    pub fn keep_logs(&mut self) {
        self.keep = true;
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for host in &mut self.hosts {
            let _ = host.node.as_mut().map(FedNode::kill);
            let _ = host.asterisk.kill();
        }
        if self.keep {
            let _ = fs::write(self.folder.join(KEPT), "");
            eprintln!("lab: the logs are in {}", self.folder.display());
        } else {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// The password the lab gives a device.
pub fn password_of(device: &str) -> String {
    format!("pw-of-{device}")
}
