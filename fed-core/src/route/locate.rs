//! Where one device is registered.

use super::{Located, Place};
use crate::ids::{DeviceId, NodeId};
use crate::kv::StoreError;
use crate::map::MapView;
use crate::records::{Binding, Record};

/// Where `device` is, seen from node `here`: here if it is registered here, else where it registered last.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn locate(view: &MapView<'_>, here: NodeId, device: &DeviceId) -> Result<Located, StoreError> {
    Ok(match places(view, here, device)?.into_iter().next() {
        Some(Place::Here) => Located::Here,
        Some(Place::There { node, sip_address }) => Located::There { node, sip_address },
        None if view.device(device)?.is_some() => Located::Offline,
        None => Located::Unknown,
    })
}

/// The live places of `device`, seen from node `here`: here first, then by how lately it registered there. Each node
/// once.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn places(view: &MapView<'_>, here: NodeId, device: &DeviceId) -> Result<Vec<Place>, StoreError> {
    places_of(view, here, view.live_bindings_of(device)?)
}

/// The places of live bindings, in the order of [`places`].
pub(super) fn places_of(
    view: &MapView<'_>,
    here: NodeId,
    mut live: Vec<Record<Binding>>,
) -> Result<Vec<Place>, StoreError> {
    live.sort_by_key(|binding| {
        (
            binding.value.node != here,
            std::cmp::Reverse(binding.modified),
            binding.value.node,
        )
    });
    let mut nodes = Vec::with_capacity(live.len());
    for binding in live {
        if !nodes.contains(&binding.value.node) {
            nodes.push(binding.value.node);
        }
    }
    nodes.into_iter().map(|node| place(view, here, node)).collect()
}

fn place(view: &MapView<'_>, here: NodeId, node: NodeId) -> Result<Place, StoreError> {
    if node == here {
        return Ok(Place::Here);
    }
    // A session is opened only for a node that exists, and ends with it.
    let record = view
        .node(node)?
        .ok_or_else(|| StoreError::Inconsistent(format!("node {node} has an open session but does not exist")))?;
    Ok(Place::There {
        node,
        sip_address: record.value.sip_address,
    })
}
