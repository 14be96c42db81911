//! The Asterisk beside this node, as the client API shows it.

use std::sync::Arc;

use async_trait::async_trait;
use fed_ari::bridge::{self, Bridge, BridgeFault, BridgeStatus, ObjectDrift, Phase, check_drift, check_objects};
use fed_ari::client::{AriClient, Capabilities};
use fed_ari::port::MapPort;
use fed_core::ids::{Revision, SessionId};
use fed_proto::client as pb;
use tokio::sync::watch;

use super::record::Told;
use crate::api::{AsteriskSide, Drift};
use crate::explain::Coded;

/// An Asterisk with its bridge.
pub(super) struct Bridged {
    pub(super) status: watch::Receiver<BridgeStatus>,
    /// Up to which revision everything is in Asterisk.
    pub(super) written: watch::Receiver<Option<Revision>>,
    pub(super) client: AriClient,
    pub(super) port: Arc<dyn MapPort>,
    /// The redirect server as that Asterisk reaches it.
    pub(super) redirect: String,
}

#[async_trait]
impl AsteriskSide for Bridged {
    fn status(&self) -> pb::AsteriskStatus {
        let status = self.status.borrow().clone();
        let mut trouble: Vec<String> = status.faults.iter().map(coded).collect();
        match status.phase {
            Phase::Down if trouble.is_empty() => trouble.push(format!(
                "not connected to {} yet; is Asterisk running?",
                self.client.config().base_url
            )),
            Phase::Reconciling if trouble.is_empty() => {
                trouble.push(format!(
                    "being compared with the map: {} of {} objects",
                    status.verified, status.desired
                ));
            }
            _ => {}
        }
        trouble.extend(waiting(
            &status.postponed.iter().map(|(_, id)| id.as_str()).collect::<Vec<_>>(),
        ));
        pb::AsteriskStatus {
            connected: matches!(status.phase, Phase::Reconciling | Phase::Up),
            version: status.version.map(|version| version.to_string()).unwrap_or_default(),
            trouble: trouble.join("; "),
            session: status.session.map_or(0, |SessionId(session)| session),
            since: None,
        }
    }

    async fn ready(&self, revision: Revision) -> Result<(), String> {
        let mut written = self.written.clone();
        let there = written
            .wait_for(|written| written.is_none_or(|written| written >= revision))
            .await;
        match there.map(|written| *written) {
            Ok(Some(_)) => Ok(()),
            Ok(None) | Err(_) => Err("its Asterisk is not connected".to_owned()),
        }
    }

    async fn drift(&self) -> Result<Drift, String> {
        let found = check_drift(&*self.port, &self.client)
            .await
            .map_err(|error| error.to_string())?;
        let objects = check_objects(&*self.port, &self.client, &self.redirect)
            .await
            .map_err(|error| error.to_string())?;
        let bindings = self
            .port
            .local()
            .view()
            .bindings_at(self.port.here())
            .map_err(|error| error.to_string())?;
        let mut differences: Vec<pb::Difference> = found.iter().map(difference).collect();
        differences.extend(objects.drift.iter().map(object_difference));
        Ok(Drift {
            compared: (bindings.len() + objects.wanted) as u64,
            differences,
        })
    }
}

/// A fault with its code, for `fed-node explain`.
/// Devices whose aors may not change while phones are registered to them: Asterisk would throw the registrations away.
fn waiting(devices: &[&str]) -> Option<String> {
    const SHOWN: usize = 3;
    let more = match devices {
        [] => return None,
        [_, _, _, rest @ ..] if !rest.is_empty() => format!(" and {} more", rest.len()),
        _ => String::new(),
    };
    let shown = devices[..devices.len().min(SHOWN)].join(", ");
    Some(format!(
        "what was changed of {shown}{more} waits until no phone is registered there: Asterisk would throw the registration away; to have it now, let the phones unregister"
    ))
}

fn coded(fault: &BridgeFault) -> String {
    format!("{fault} [{}]", fault.code())
}

fn difference(drift: &bridge::Drift) -> pb::Difference {
    let (kind, device) = match drift {
        bridge::Drift::NotRegistered { device, .. } => ("binding_without_contact", device),
        bridge::Drift::NotBound { device, .. } => ("contact_without_binding", device),
        bridge::Drift::DeadBinding { device, .. } => ("dead_binding", device),
    };
    pb::Difference {
        kind: kind.to_owned(),
        object: device.clone(),
        detail: drift.to_string(),
    }
}

fn object_difference(drift: &ObjectDrift) -> pb::Difference {
    let kind = match drift {
        ObjectDrift::Missing(_) => "object_missing",
        ObjectDrift::Differs { .. } => "object_differs",
        ObjectDrift::Unknown(_) => "object_unknown",
        ObjectDrift::Global(_) => "variable_differs",
    };
    let object = match (drift, drift.key()) {
        (ObjectDrift::Global(name), _) => name.clone(),
        (_, Some((object, id))) => format!("{object}/{id}"),
        (_, None) => String::new(),
    };
    pb::Difference {
        kind: kind.to_owned(),
        object,
        detail: drift.to_string(),
    }
}

/// A node without an Asterisk.
pub(super) struct NoAsterisk;

#[async_trait]
impl AsteriskSide for NoAsterisk {
    fn status(&self) -> pb::AsteriskStatus {
        pb::AsteriskStatus {
            connected: false,
            version: "none".to_owned(),
            ..pb::AsteriskStatus::default()
        }
    }

    async fn ready(&self, _: Revision) -> Result<(), String> {
        Ok(())
    }

    async fn drift(&self) -> Result<Drift, String> {
        Ok(Drift::default())
    }
}

/// Tells the node's record what the bridge learns of its Asterisk.
pub(super) async fn tell(mut status: watch::Receiver<BridgeStatus>, told: watch::Sender<Told>) {
    loop {
        if let Some(version) = status.borrow_and_update().version {
            let capabilities = Capabilities::of_version(version)
                .names()
                .into_iter()
                .map(str::to_owned)
                .collect();
            let now = Told {
                version: Some(version.to_string()),
                capabilities,
            };
            told.send_if_modified(|before| {
                let changed = *before != now;
                *before = now;
                changed
            });
        }
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Says in the log what is wrong with the Asterisk, once each time it changes.
pub(super) async fn log(mut status: watch::Receiver<BridgeStatus>) {
    let mut before = BridgeStatus::default();
    loop {
        let now = status.borrow_and_update().clone();
        for fault in now.faults.iter().filter(|fault| !before.faults.contains(fault)) {
            tracing::warn!("{}", coded(fault));
        }
        if now.phase != before.phase {
            match now.phase {
                Phase::Up => {
                    let version = now.version.map(|version| version.to_string()).unwrap_or_default();
                    tracing::info!(version, objects = now.verified, "Asterisk and map agree");
                }
                Phase::Reconciling => tracing::info!("connected to Asterisk"),
                Phase::Down => tracing::warn!("not connected to Asterisk"),
                Phase::Stopped => {}
            }
        }
        before = now;
        if status.changed().await.is_err() {
            return;
        }
    }
}

/// Stops the bridge of a node that has one.
pub(super) async fn stop(bridge: Option<Bridge>) {
    if let Some(bridge) = bridge {
        bridge.stop().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_that_wait_for_phones_are_told_by_device() {
        assert_eq!(waiting(&[]), None);
        let told = |devices: &[&str]| waiting(devices).unwrap_or_default();
        assert!(told(&["alice"]).starts_with("what was changed of alice waits until no phone"));
        assert!(told(&["a", "b", "c"]).contains("of a, b, c waits"));
        assert!(told(&["a", "b", "c", "d", "e"]).contains("of a, b, c and 2 more waits"));
    }
}
