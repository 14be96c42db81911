//! The Asterisks that the conformance statements are about: simulated ones always, real ones where they are named.

use std::net::SocketAddr;

use fed_ari::{
    client::{AriClient, AriConfig, ObjectType},
    sim::{RegisterOutcome, Registration, SimAsterisk, SimConfig, SimVersion},
};

use crate::{common::put, phone};

/// Where phones register.
enum Registrar {
    Sim(Box<SimAsterisk>),
    Real(SocketAddr),
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
            Registrar::Real(address) => phone::register(*address, device, contact, expires).await,
            Registrar::Sim(sim) => {
                let expires = std::time::Duration::from_secs(expires.into());
                let registration = Registration {
                    expires,
                    ha1: Some(phone::ha1(device)),
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
        self.remove(id).await;
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
                ("md5_cred", &phone::ha1(id)),
            ],
        )
        .await;
        put(&self.client, ObjectType::Aor, id, &[("max_contacts", max_contacts)]).await;
        put(
            &self.client,
            ObjectType::Aor,
            &second,
            &[("contact", &format!("sip:{id}@127.0.0.1:5999"))],
        )
        .await;
        put(
            &self.client,
            ObjectType::Endpoint,
            id,
            &[("auth", id), ("aors", &aors), ("disallow", "all"), ("allow", "ulaw")],
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

/// All of them; each statement under its own application name.
pub(crate) async fn subjects(app: &str) -> Vec<Subject> {
    let mut subjects = Vec::new();
    for version in [SimVersion::V16, SimVersion::V22] {
        let sim = SimAsterisk::start(SimConfig::new(version)).await.expect("starts");
        let config = sim.ari_config(app);
        subjects.push((format!("simulated {version:?}"), config, Registrar::Sim(Box::new(sim))));
    }
    for real in std::env::var("FED_REAL_ASTERISKS")
        .unwrap_or_default()
        .split_whitespace()
    {
        let parts: Vec<&str> = real.split(',').collect();
        let [url, sip, user, password] = parts.as_slice() else {
            panic!("{real:?} is not URL,SIP,USER,PASSWORD")
        };
        let sip = sip.parse().expect("the SIP address");
        subjects.push((
            format!("real {url}"),
            AriConfig::new(*url, *user, *password, app),
            Registrar::Real(sip),
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
