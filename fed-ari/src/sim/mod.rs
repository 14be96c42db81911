//! A simulated Asterisk that speaks real ARI over HTTP and WebSocket, for tests and for machines without Asterisk.
//!
//! It behaves like 16.28 and 22.10 do, as far as the federation depends on it; each behaviour was seen on both before it was
//! written here, and the lab runs the same scenarios against both. What it has: dynamic configuration objects with their merge, traps and
//! refusals; the registrar; events; Stasis; the installed dialplan, run by an interpreter of the subset it uses; `Dial` with scripted
//! phones at this server and real SIP (UDP; TCP where a URI says so; one request at a time) to everywhere else; SIP that comes in over UDP; restarts, lost events, slow and failing answers.

mod agi;
mod announce;
mod call;
mod cause;
mod channel;
mod config;
mod dial;
mod dialplan;
mod door;
mod http;
mod http_channels;
mod http_objects;
mod incoming;
mod journal;
mod line;
mod message;
mod notation;
mod object;
mod phone;
mod profile;
mod registrar;
mod schema;
mod sip;
mod socket;
mod world;

use std::{
    collections::HashSet,
    io,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use parking_lot::Mutex;
use tokio::net::{TcpListener, UdpSocket};
use tokio_util::task::AbortOnDropHandle;

pub use call::{Call, CallOutcome};
pub use config::SimConfig;
pub use journal::Request;
pub use phone::PhoneScript;
pub use profile::SimVersion;
pub use registrar::{RegisterOutcome, Registration};

use self::{dialplan::Dialplan, door::Door, world::World};
use crate::client::AriConfig;

/// A running simulated Asterisk; dropping it is a kill.
pub struct SimAsterisk {
    shared: Arc<Shared>,
    config: SimConfig,
    inner: SocketAddr,
    address: SocketAddr,
    door: tokio::sync::Mutex<Option<Door>>,
    _tasks: Vec<AbortOnDropHandle<()>>,
}

/// What its parts share.
pub(crate) struct Shared {
    pub(crate) world: Mutex<World>,
    pub(crate) credentials: Mutex<String>,
    pub(crate) dialplan: Mutex<Dialplan>,
    pub(crate) sip_address: SocketAddr,
    /// False while it is stopped: no calls begin, no packets are read.
    pub(crate) running: tokio::sync::watch::Sender<bool>,
}

impl SimAsterisk {
    /// Starts it.
    ///
    /// # Errors
    /// Where an address cannot be had.
    pub async fn start(config: SimConfig) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let inner = listener.local_addr()?;
        let sip = Arc::new(UdpSocket::bind(config.sip).await?);
        let writable: HashSet<String> = config.writable.iter().cloned().collect();
        let mut world = World::new(config.version, writable);
        world.refresh_events = config.refresh_events;
        let shared = Arc::new(Shared {
            world: Mutex::new(world),
            credentials: Mutex::new(format!("{}:{}", config.username, config.password)),
            dialplan: Mutex::new(Dialplan::parse(&config.dialplan)),
            sip_address: sip.local_addr()?,
            running: tokio::sync::watch::Sender::new(true),
        });
        let app = http::router(Arc::clone(&shared));
        let door = Door::open(config.http, inner).await?;
        let tasks = vec![
            AbortOnDropHandle::new(tokio::spawn(async move {
                // Ends only with this task.
                let _ = axum::serve(listener, app).await;
            })),
            AbortOnDropHandle::new(tokio::spawn(expire(Arc::clone(&shared), config.expiry_check))),
            AbortOnDropHandle::new(tokio::spawn(incoming::serve(Arc::clone(&shared), sip))),
        ];
        let address = door.address();
        Ok(Self {
            shared,
            config,
            inner,
            address,
            door: tokio::sync::Mutex::new(Some(door)),
            _tasks: tasks,
        })
    }

    /// Address of its HTTP server, for `AriConfig`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A client configuration with its user, for an application name.
    pub fn ari_config(&self, app: &str) -> AriConfig {
        AriConfig::new(self.url(), &self.config.username, &self.config.password, app)
    }

    /// Where it takes SIP.
    pub fn sip_address(&self) -> SocketAddr {
        self.shared.sip_address
    }

    /// The version it behaves like.
    pub fn version(&self) -> SimVersion {
        self.config.version
    }

    /// A phone registers as this device with this contact.
    pub fn register(&self, device: &str, contact: &str) -> RegisterOutcome {
        self.register_with(Registration::new(device, contact))
    }

    /// A phone registers with all it can say.
    pub fn register_with(&self, registration: Registration) -> RegisterOutcome {
        self.shared.world.lock().register(registration)
    }

    /// A phone registers while Asterisk has much to do: the contacts that this one takes the place of go so much later.
    pub async fn register_slowly(&self, device: &str, contact: &str, between: Duration) -> RegisterOutcome {
        let (outcome, superseded) = self.shared.world.lock().take_in(Registration::new(device, contact));
        tokio::time::sleep(between).await;
        self.shared.world.lock().let_go(&superseded);
        outcome
    }

    /// A phone unregisters this contact.
    pub fn unregister(&self, device: &str, contact: &str) -> RegisterOutcome {
        let registration = Registration {
            expires: Duration::ZERO,
            ..Registration::new(device, contact)
        };
        self.register_with(registration)
    }

    /// URIs of the device's registrations.
    pub fn registrations(&self, device: &str) -> Vec<String> {
        self.shared.world.lock().live_uris(device)
    }

    /// Every field of an object as ARI reads it; `None` where there is none.
    pub fn object(&self, type_: &str, id: &str) -> Option<Vec<(String, String)>> {
        let world = self.shared.world.lock();
        world.object(type_, id).map(|o| o.read(world.version, &[]))
    }

    /// What an object goes by for one attribute, also where ARI does not tell.
    pub fn holds(&self, type_: &str, id: &str, attribute: &str) -> Option<String> {
        let world = self.shared.world.lock();
        let object = world.object(type_, id)?;
        Some(object.value(world.version, attribute).to_owned())
    }

    /// Ids of all objects of a type.
    pub fn object_ids(&self, type_: &str) -> Vec<String> {
        self.shared
            .world
            .lock()
            .objects
            .keys()
            .filter(|(t, _)| t == type_)
            .map(|(_, id)| id.clone())
            .collect()
    }

    /// A global variable, where it is set.
    pub fn global(&self, name: &str) -> Option<String> {
        self.shared.world.lock().globals.get(name).cloned()
    }

    /// What the phones of a device do when called; before this they answer.
    pub fn phone(&self, device: &str, script: PhoneScript) {
        self.shared.world.lock().phones.insert(device.to_owned(), script);
    }

    /// Devices and contacts whose phones rang so far, in order.
    pub fn rings(&self) -> Vec<(String, String)> {
        self.shared.world.lock().rings.clone()
    }

    /// Replaces the dialplan, as a reload of `extensions.conf`.
    pub fn load_dialplan(&self, text: &str) {
        *self.shared.dialplan.lock() = Dialplan::parse(text);
    }

    /// A device calls: its endpoint's context is entered at the extension dialled.
    pub fn call(&self, device: &str, dialled: &str) -> Call {
        call::originate(&self.shared, device, dialled)
    }

    /// Ends the process: connections break, nothing answers, memory is forgotten. Registrations are on its disk, but for those that are a connection.
    pub async fn stop(&self) {
        self.shared.running.send_replace(false);
        if let Some(door) = self.door.lock().await.take() {
            door.shut().await;
        }
        self.shared.world.lock().forget();
    }

    /// Starts again after [`SimAsterisk::stop`], at the same ports.
    ///
    /// # Errors
    /// Where the port has been taken by somebody else.
    pub async fn start_again(&self) -> io::Result<()> {
        let mut door = self.door.lock().await;
        if door.is_none() {
            *door = Some(Door::open(self.address, self.inner).await?);
        }
        self.shared.running.send_replace(true);
        Ok(())
    }

    /// Stops and starts.
    ///
    /// # Errors
    /// As [`SimAsterisk::start_again`].
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await;
        self.start_again().await
    }

    /// Loses the database as well: no registration is left.
    pub fn lose_database(&self) {
        self.shared.world.lock().bindings.clear();
    }

    /// Cuts every event socket; the server runs on.
    pub fn drop_sockets(&self) {
        self.shared.world.lock().apps.clear();
    }

    /// From now on events get lost, or no longer.
    pub fn lose_events(&self, lose: bool) {
        self.shared.world.lock().faults.lose_events = lose;
    }

    /// From now on events wait, as those of a busy Asterisk do, or no longer: then they go out in their order.
    pub fn hold_events(&self, hold: bool) {
        let mut world = self.shared.world.lock();
        let held = std::mem::replace(&mut world.faults.held_events, hold.then(Vec::new));
        for (sources, event) in held.into_iter().flatten() {
            world.announce(&sources, &event);
        }
    }

    /// Tells of a registration as of one that was just made, whether it is there or not.
    pub fn tell_of(&self, device: &str, contact: &str) {
        self.shared
            .world
            .lock()
            .announce_contact(device, device, contact, "NonQualified");
    }

    /// From now on events of refreshes are told (`send_contact_status_on_update_registration`), or no longer.
    pub fn tell_refreshes(&self, tell: bool) {
        self.shared.world.lock().refresh_events = tell;
    }

    /// From now on no registration can be changed over ARI, only removed.
    pub fn take_no_change_of_contacts(&self) {
        self.shared.world.lock().faults.refuse_registrations = true;
    }

    /// The next registration that is changed over ARI is renewed by its phone in the same moment: the registrar had read it before, and writes it
    /// after.
    pub fn renew_what_is_written_next(&self) {
        self.shared.world.lock().faults.renew_what_is_written = true;
    }

    /// Every REST answer takes this much longer.
    pub fn slow_down(&self, delay: Duration) {
        self.shared.world.lock().faults.delay = delay;
    }

    /// The next `times` REST calls answer `status` and do nothing.
    pub fn fail_next(&self, times: usize, status: u16) {
        for _ in 0..times {
            self.fail_next_of("", status);
        }
    }

    /// The next REST call whose `METHOD /path` has this in it answers `status` and does nothing.
    pub fn fail_next_of(&self, call: &str, status: u16) {
        self.shared.world.lock().faults.failures.push((call.to_owned(), status));
    }

    /// Another password from now on: those with the old one get 401.
    pub fn change_password(&self, password: &str) {
        *self.shared.credentials.lock() = format!("{}:{password}", self.config.username);
    }

    /// The REST calls so far, the oldest first.
    pub fn requests(&self) -> Vec<Request> {
        self.shared.world.lock().journal.all()
    }

    /// How many REST calls there were.
    pub fn request_count(&self) -> u64 {
        self.shared.world.lock().journal.total()
    }

    /// Forgets the calls so far.
    pub fn clear_requests(&self) {
        self.shared.world.lock().journal.clear();
    }

    /// True while an application has its event socket open.
    pub fn is_connected(&self, app: &str) -> bool {
        self.shared.world.lock().apps.contains_key(app)
    }

    /// Channels that exist now.
    pub fn channel_count(&self) -> usize {
        self.shared.world.lock().channels.len()
    }
}

async fn expire(shared: Arc<Shared>, every: Duration) {
    let mut ticks = tokio::time::interval(every);
    loop {
        ticks.tick().await;
        shared.world.lock().expire(SystemTime::now());
    }
}
