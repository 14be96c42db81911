//! Names in the addresses of trunks: Asterisk asks what one leads to when the object is written, and never again.
//!
//! So each is looked up here now and then, as this machine would; where it leads to an address that Asterisk does not hold, the object is taken away, and the
//! applier writes it anew. Asterisk may hold more than that (it asks for SRV records too), so an address that went away alone stays until the next write.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
    time::Duration,
};

use fed_core::kv::StoreError;
use tokio::{net::lookup_host, time::timeout};

use crate::{
    client::{AriClient, AriError, AsteriskVersion, Capabilities, ObjectType},
    port::MapPort,
    render::{Key, Scope, Target, one_address, render_scope},
};

/// Longest wait for what one name leads to.
const PATIENCE: Duration = Duration::from_secs(5);

type Addresses = BTreeSet<IpAddr>;

/// Times that an object is written anew for the same reason. A name may lead this machine and its Asterisk to different places for good.
const ATTEMPTS: u32 = 3;

/// What was written anew lately, and why.
#[derive(Default)]
pub(super) struct Names(BTreeMap<Key, Attempts>);

#[derive(Default)]
struct Attempts {
    now: Addresses,
    held: Addresses,
    times: u32,
}

impl Attempts {
    /// Whether it may be written once more, which then counts.
    fn allows(&mut self, now: &Addresses, held: &Addresses) -> bool {
        if (&self.now, &self.held) != (now, held) {
            *self = Self {
                now: now.clone(),
                held: held.clone(),
                times: 0,
            };
        }
        self.times += 1;
        self.times <= ATTEMPTS
    }
}

impl Names {
    /// Deletes the identifies of trunks whose name leads elsewhere by now, and says which. Nothing is deleted for a name that leads nowhere: whoever answered
    /// may be ill.
    ///
    /// # Errors
    /// [`NamesError`].
    pub(super) async fn renew(
        &mut self,
        port: &dyn MapPort,
        client: &AriClient,
        redirect: &str,
    ) -> Result<Vec<Key>, NamesError> {
        let mut renewed = Vec::new();
        for (key, names) in named(port, redirect)? {
            let mut now = Addresses::new();
            for name in &names {
                now.extend(led_to(name).await);
            }
            let Some(fields) = client.get_object(key.0, &key.1).await? else {
                continue;
            };
            let held = fields
                .all("match")
                .flat_map(|list| list.split(','))
                .filter_map(one_address);
            let held: Addresses = held.collect();
            if now.is_subset(&held) || !self.0.entry(key.clone()).or_default().allows(&now, &held) {
                continue;
            }
            tracing::info!(
                "{} leads to {} by now, and {} {} in Asterisk to something else: it is written anew",
                names.join(" and "),
                now.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", "),
                key.0,
                key.1
            );
            client.delete_object(key.0, &key.1).await?;
            renewed.push(key);
        }
        Ok(renewed)
    }
}

/// Why the names could not be compared.
#[derive(Debug, thiserror::Error)]
pub(super) enum NamesError {
    #[error(transparent)]
    Map(#[from] StoreError),
    #[error(transparent)]
    Asterisk(#[from] AriError),
}

/// The identifies that the map wants here, with the names in their addresses; those without any are left out.
fn named(port: &dyn MapPort, redirect: &str) -> Result<Vec<(Key, Vec<String>)>, StoreError> {
    let snapshot = port.local();
    let view = snapshot.view();
    let target = Target {
        here: port.here(),
        // No version differs in an identify.
        capabilities: Capabilities::of_version(AsteriskVersion::new(0, 0, 0)),
        redirect: redirect.to_owned(),
    };
    let mut found = Vec::new();
    let nodes = view.nodes()?.into_iter().map(|node| Scope::Node(node.value.id));
    for scope in nodes.chain([Scope::Peers]) {
        let objects = render_scope(&view, &target, &scope)?.objects.into_values();
        for object in objects.filter(|object| object.kind == ObjectType::Identify) {
            let names = names(object.get("match").unwrap_or_default());
            if !names.is_empty() {
                found.push((object.key(), names));
            }
        }
    }
    Ok(found)
}

/// The names among addresses, networks and names.
fn names(addresses: &str) -> Vec<String> {
    let all = addresses
        .split(',')
        .map(str::trim)
        .filter(|address| !address.is_empty());
    let names = all.filter(|address| !address.contains('/') && address.parse::<IpAddr>().is_err());
    names.map(str::to_owned).collect()
}

async fn led_to(name: &str) -> Addresses {
    match timeout(PATIENCE, lookup_host((name, 0))).await {
        Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
        Ok(Err(error)) => {
            tracing::debug!(name, %error, "a trunk's name leads nowhere now");
            Addresses::new()
        }
        Err(_) => Addresses::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_not_written_anew_for_ever() {
        let at = |ip: [u8; 4]| Addresses::from([IpAddr::from(ip)]);
        let (here, there) = (at([192, 0, 2, 1]), at([192, 0, 2, 2]));
        let mut attempts = Attempts::default();
        let tried = [(); 5].map(|()| attempts.allows(&here, &there));
        assert_eq!(tried, [true, true, true, false, false]);
        assert!(attempts.allows(&there, &here), "it leads elsewhere again");
    }

    #[test]
    fn names_are_told_from_addresses_and_networks() {
        assert_eq!(
            names("192.0.2.1,pbx.example, 2001:db8::1,10.0.0.0/24,,b2"),
            ["pbx.example", "b2"]
        );
        assert!(names("").is_empty());
    }
}
