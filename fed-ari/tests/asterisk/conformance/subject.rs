//! The Asterisks that the conformance statements are about: simulated ones always, real ones where they are named.

use std::{net::SocketAddr, path::PathBuf, sync::Arc};

use fed_ari::{
    client::{AriClient, AriConfig, ObjectType},
    sim::{RegisterOutcome, Registration, SimAsterisk, SimConfig, SimVersion},
};
use fed_tests::phone::Transport;
use tokio::{
    io::AsyncReadExt,
    net::{TcpStream, UnixStream},
    time::{Instant, timeout},
};

use super::{
    handset::{Handset, Placed},
    register,
};
use crate::common::{PATIENCE, put};

/// The contexts that the statements about calls need.
const DIALPLAN: &str = include_str!("dialplan.conf");

/// Nobody is there.
const NOBODY: &str = "127.0.0.1:5999";

/// Where phones register.
enum Registrar {
    Sim(Arc<SimAsterisk>),
    Real {
        sip: SocketAddr,
        /// Whoever connects there restarts it.
        restarts: Option<PathBuf>,
    },
}

/// An Asterisk to make statements about.
pub(crate) struct Subject {
    pub(crate) name: String,
    pub(crate) config: AriConfig,
    pub(crate) client: AriClient,
    registrar: Registrar,
}

impl Subject {
    /// Registers, or with 0 unregisters; answers the SIP status.
    pub(crate) async fn register(&self, device: &str, contact: &str, expires: u32) -> u16 {
        match &self.registrar {
            Registrar::Real { sip, .. } => register::register(*sip, device, contact, expires).await,
            Registrar::Sim(sim) => {
                let expires = std::time::Duration::from_secs(expires.into());
                let registration = Registration {
                    expires,
                    ha1: Some(register::ha1(device)),
                    ..Registration::new(device, contact)
                };
                match sim.register_with(registration) {
                    RegisterOutcome::Ok => 200,
                    RegisterOutcome::Unauthorized => 401,
                    RegisterOutcome::Forbidden => 403,
                    RegisterOutcome::NotFound => 404,
                }
            }
        }
    }

    /// A device with both aors, made anew.
    pub(crate) async fn device(&self, id: &str, max_contacts: &str) {
        self.device_redirected(id, max_contacts, NOBODY).await;
    }

    /// The same, with a redirect server.
    pub(crate) async fn device_redirected(&self, id: &str, max_contacts: &str, redirect: &str) {
        self.remove(id).await;
        self.create_redirected(id, max_contacts, redirect).await;
    }

    /// A device that is not there yet.
    pub(crate) async fn create(&self, id: &str, max_contacts: &str) {
        self.create_redirected(id, max_contacts, NOBODY).await;
    }

    async fn create_redirected(&self, id: &str, max_contacts: &str, redirect: &str) {
        let second = format!("{id}-fed");
        let aors = format!("{id},{second}");
        put(
            &self.client,
            ObjectType::Auth,
            id,
            &[
                ("auth_type", "md5"),
                ("username", id),
                ("realm", "federated"),
                ("md5_cred", &register::ha1(id)),
            ],
        )
        .await;
        put(&self.client, ObjectType::Aor, id, &[("max_contacts", max_contacts)]).await;
        put(
            &self.client,
            ObjectType::Aor,
            &second,
            &[("contact", &format!("sip:{id}@{redirect}"))],
        )
        .await;
        put(
            &self.client,
            ObjectType::Endpoint,
            id,
            &[
                ("auth", id),
                ("aors", &aors),
                ("context", "conformance"),
                ("disallow", "all"),
                ("allow", "ulaw"),
                ("redirect_method", "uri_pjsip"),
            ],
        )
        .await;
    }

    pub(crate) async fn remove(&self, id: &str) {
        for (type_, id) in [
            (ObjectType::Endpoint, id.to_owned()),
            (ObjectType::Aor, id.to_owned()),
            (ObjectType::Aor, format!("{id}-fed")),
            (ObjectType::Auth, id.to_owned()),
        ] {
            self.client.delete_object(type_, &id).await.expect("deletes");
        }
    }
}

impl Subject {
    /// A device with a phone that is registered.
    pub(crate) async fn phone(&self, device: &str) -> Handset {
        self.device(device, "1").await;
        let phone = self.handset(device, Transport::Udp);
        phone.register(true).await;
        phone
    }

    /// The phone of a device, not registered.
    pub(crate) fn handset(&self, device: &str, transport: Transport) -> Handset {
        match &self.registrar {
            Registrar::Sim(sim) => Handset::sim(Arc::clone(sim), device, transport),
            Registrar::Real { sip, .. } => Handset::real(*sip, device, transport),
        }
    }

    /// A phone of no server: real in any case, reached by its contact alone.
    pub(crate) fn far_phone(&self, device: &str) -> Handset {
        let near = match &self.registrar {
            Registrar::Sim(sim) => sim.sip_address(),
            Registrar::Real { sip, .. } => *sip,
        };
        Handset::real(near, device, Transport::Udp)
    }

    /// A phone registers its connection as its contact; the connection stands as long as what is given.
    pub(crate) async fn register_connection(&self, device: &str) -> (Option<TcpStream>, String) {
        match &self.registrar {
            Registrar::Sim(sim) => {
                let contact = format!("sip:{device}@192.0.2.9:40000;transport=tcp");
                let registration = Registration {
                    via: ("192.0.2.9".to_owned(), 40_000),
                    ..Registration::new(device, &contact)
                };
                assert_eq!(sim.register_with(registration), RegisterOutcome::Ok);
                (None, contact)
            }
            Registrar::Real { sip, .. } => {
                let (stream, contact) = register::register_connection(*sip, device).await;
                (Some(stream), contact)
            }
        }
    }

    /// Calls; what the last `Dial` ended with is forgotten.
    pub(crate) async fn call(&self, from: &Handset, dialled: &str) -> Placed {
        self.client.set_global("CONF_ENDED", "").await.expect("sets");
        from.call(dialled).await
    }

    /// `DIALSTATUS` and `HANGUPCAUSE` after the `Dial` of the last call.
    pub(crate) async fn ended(&self) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let ended = self.client.get_global("CONF_ENDED").await.expect("reads");
            if !ended.is_empty() {
                return ended;
            }
            assert!(Instant::now() < deadline, "{}: no Dial has ended", self.name);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Waits until no channel of these devices is left.
    pub(crate) async fn quiet(&self, devices: &[&str]) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let channels = self.client.channels().await.expect("lists");
            let of = |name: &str| devices.iter().any(|d| name.starts_with(&format!("PJSIP/{d}-")));
            if !channels.iter().any(|c| of(&c.name)) {
                return;
            }
            assert!(Instant::now() < deadline, "{}: still there: {channels:?}", self.name);
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    /// Kills it and starts it again; false where nobody here can.
    pub(crate) async fn restart(&self) -> bool {
        match &self.registrar {
            Registrar::Sim(sim) => sim.restart().await.expect("restarts"),
            Registrar::Real { restarts: None, .. } => {
                println!(
                    "{}: NOT asked about restarts, for it has no socket to ask for one",
                    self.name
                );
                return false;
            }
            Registrar::Real {
                restarts: Some(socket), ..
            } => {
                // Its database is written once a second, and nothing tells when: three times that. What was registered just before a
                // kill is lost with it.
                tokio::time::sleep(std::time::Duration::from_secs(3)).await;
                let mut stream = UnixStream::connect(socket).await.expect("somebody who restarts it");
                let mut said = String::new();
                timeout(3 * PATIENCE, stream.read_to_string(&mut said))
                    .await
                    .expect("restarted in time")
                    .expect("an answer");
                assert_eq!(said, "restarted", "{}", self.name);
            }
        }
        true
    }
}

/// All of them; each statement under its own application name.
pub(crate) async fn subjects(app: &str) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for version in [SimVersion::V16, SimVersion::V22] {
        let sim = SimAsterisk::start(SimConfig::new(version)).await.expect("starts");
        sim.load_dialplan(DIALPLAN);
        let config = sim.ari_config(app);
        subjects.push((format!("simulated {version:?}"), config, Registrar::Sim(Arc::new(sim))));
    }
    for real in std::env::var("FED_REAL_ASTERISKS")
        .unwrap_or_default()
        .split_whitespace()
    {
        let parts: Vec<&str> = real.split(',').collect();
        let [url, sip, user, password, restarts @ ..] = parts.as_slice() else {
            panic!("{real:?} is not URL,SIP,USER,PASSWORD[,SOCKET]")
        };
        let sip = sip.parse().expect("the SIP address");
        let restarts = restarts.first().map(PathBuf::from);
        subjects.push((
            format!("real {url}"),
            AriConfig::new(*url, *user, *password, app),
            Registrar::Real { sip, restarts },
        ));
    }
    subjects
        .into_iter()
        .map(|(name, config, registrar)| Subject {
            name,
            client: AriClient::new(config.clone()).expect("a client"),
            config,
            registrar,
        })
        .collect()
}
