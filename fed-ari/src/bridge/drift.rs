//! The drift check: every binding of the map against every registration in Asterisk. It only looks; the bridge mends.

use std::collections::BTreeSet;

use fed_core::{
    ids::{DeviceId, NodeId},
    kv::StoreError,
    map::MapView,
};

use crate::{
    client::{AriClient, AriError, Contact},
    port::MapPort,
};

/// One disagreement between the map and an Asterisk.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// The map says that a device is registered at this node; its Asterisk does not know.
    NotRegistered {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
        /// The contact in the map.
        contact: String,
    },
    /// A phone is registered at this node's Asterisk; the map does not know.
    NotBound {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
        /// The contact in Asterisk.
        contact: String,
    },
    /// The binding belongs to a session that has ended, although the node is up: it does not count.
    DeadBinding {
        /// The node.
        node: NodeId,
        /// The device.
        device: String,
        /// The contact.
        contact: String,
    },
}

impl std::fmt::Display for Drift {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotRegistered { node, device, contact } => {
                write!(
                    f,
                    "the map binds {device} ({contact}) at node {node}, where it is not registered"
                )
            }
            Self::NotBound { node, device, contact } => {
                write!(
                    f,
                    "{device} ({contact}) is registered at node {node} but not bound in the map"
                )
            }
            Self::DeadBinding { node, device, contact } => {
                write!(
                    f,
                    "the binding of {device} ({contact}) at node {node} belongs to a session that has ended"
                )
            }
        }
    }
}

/// Compares one node's bindings with the registrations at its Asterisk. Pure.
///
/// # Errors
/// Where the map cannot be read.
pub fn drift(view: &MapView<'_>, node: NodeId, contacts: &[Contact]) -> Result<Vec<Drift>, StoreError> {
    let session = view.session_of(node)?;
    let registered: BTreeSet<(&str, &str)> = contacts.iter().map(|c| (c.aor.as_str(), c.uri.as_str())).collect();
    let mut bound = BTreeSet::new();
    let mut found = Vec::new();
    for binding in view.bindings_at(node)? {
        let binding = binding.value;
        let (device, contact) = (binding.device.to_string(), binding.contact.to_string());
        let there = registered.contains(&(device.as_str(), contact.as_str()));
        match session {
            // A node that is down has no live binding to be wrong.
            None => {}
            Some(open) if there && binding.session != open => {
                found.push(Drift::DeadBinding {
                    node,
                    device: device.clone(),
                    contact: contact.clone(),
                });
            }
            Some(open) if !there && binding.session == open => {
                found.push(Drift::NotRegistered {
                    node,
                    device: device.clone(),
                    contact: contact.clone(),
                });
            }
            Some(_) => {}
        }
        bound.insert((device, contact));
    }
    for contact in contacts {
        if !bound.contains(&(contact.aor.clone(), contact.uri.clone())) {
            found.push(Drift::NotBound {
                node,
                device: contact.aor.clone(),
                contact: contact.uri.clone(),
            });
        }
    }
    found.sort();
    Ok(found)
}

/// Why a drift check could not be made.
#[derive(Debug, Clone, thiserror::Error)]
pub enum DriftError {
    /// Asterisk could not be asked.
    #[error(transparent)]
    Ari(#[from] AriError),
    /// The map could not be read.
    #[error("the map cannot be read: {0}")]
    Store(#[from] StoreError),
}

/// Asks this node's Asterisk for every registration and compares. What was only under way while it looked is not reported:
/// a disagreement counts when it is there twice.
///
/// # Errors
/// [`DriftError`].
pub async fn check_drift(port: &dyn MapPort, client: &AriClient) -> Result<Vec<Drift>, DriftError> {
    let first = once(port, client).await?;
    if first.is_empty() {
        return Ok(first);
    }
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let second = once(port, client).await?;
    Ok(second.into_iter().filter(|drift| first.contains(drift)).collect())
}

async fn once(port: &dyn MapPort, client: &AriClient) -> Result<Vec<Drift>, DriftError> {
    let aors = device_ids(&port.local().view())?;
    let listing = client.live_contacts(aors).await?;
    if let Some((_, error)) = listing.unread.into_iter().next() {
        return Err(error.into());
    }
    Ok(drift(&port.local().view(), port.here(), &listing.contacts)?)
}

/// Every device's id.
pub(super) fn device_ids(view: &MapView<'_>) -> Result<Vec<String>, StoreError> {
    const PAGE: usize = 1_000;
    let mut ids = Vec::new();
    let mut after: Option<DeviceId> = None;
    loop {
        let page = view.devices(after.as_ref(), PAGE)?;
        ids.extend(page.iter().map(|device| device.value.id.to_string()));
        match page.last() {
            Some(last) if page.len() == PAGE => after = Some(last.value.id.clone()),
            _ => return Ok(ids),
        }
    }
}
