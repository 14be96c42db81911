//! What a change would do, tried on a view of the map that is thrown away afterwards: the same code as for the real thing, so it
//! refuses what that would refuse.

use fed_core::command::{Command, Reply};
use fed_core::event::Change;
use fed_core::ids::Revision;
use fed_core::kv::{Overlay, ReadStore, StoreError};
use fed_core::machine::Machine;
use fed_core::map::{FederationMap, MapView};
use fed_core::records::{Device, User};
use fed_proto::client as pb;
use fed_raft::Snapshot;
use tonic::Status;

use super::failure::{damaged, refused_together};
use super::{convert, difference, settings};

/// Tries the command.
///
/// # Errors
/// The refusal that the real thing would meet.
pub(super) fn would(snapshot: &Snapshot, command: Command) -> Result<pb::Would, Status> {
    let mut overlay = Overlay::new(snapshot);
    let mut events = Vec::new();
    let reply = FederationMap.apply(snapshot.revision().next(), command, &mut overlay, &mut events);
    if let Reply::Refused(refusal) = reply.map_err(|error| damaged(&error))? {
        return Err(refused_together(&refusal));
    }
    let changes = differences(&MapView::new(snapshot), &MapView::new(&overlay), events);
    Ok(pb::Would {
        changes: changes.map_err(|error| damaged(&error))?,
        revision: snapshot.revision().0,
    })
}

/// Tries commands one after the other; the reply of each that would change nothing, with the map in `store`, of the revision `at`.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub(super) fn in_vain(
    store: &dyn ReadStore,
    at: Revision,
    commands: &[Command],
) -> Result<Vec<Option<Reply>>, StoreError> {
    let mut overlay = Overlay::new(store);
    let tried = commands.iter().map(|command| {
        let mut events = Vec::new();
        let reply = FederationMap.apply(at.next(), command.clone(), &mut overlay, &mut events)?;
        let changes = !matches!(reply, Reply::Refused(_)) && !events.is_empty();
        Ok((!changes).then_some(reply))
    });
    tried.collect()
}

fn differences(
    before: &MapView<'_>,
    after: &MapView<'_>,
    events: Vec<Change>,
) -> Result<Vec<pb::WouldChange>, StoreError> {
    let mut found: Vec<pb::WouldChange> = Vec::new();
    for event in events {
        let change = match &event {
            Change::UserPut { id } | Change::UserDeleted { id } => {
                let (before, after) = (before.user(id)?, after.user(id)?);
                let out = |record: fed_core::records::Record<User>| convert::user_out(record.value);
                difference::user(before.map(out).as_ref(), after.map(out).as_ref())
            }
            Change::DevicePut { id } | Change::DeviceDeleted { id } => {
                let (before, after) = (before.device(id)?, after.device(id)?);
                let out = |record: fed_core::records::Record<Device>| {
                    // Sealed or not: it is only compared.
                    let digest = record.value.credentials.md5_ha1.clone();
                    convert::device_out(record.value, Some(digest))
                };
                difference::device(before.map(out).as_ref(), after.map(out).as_ref())
            }
            Change::SettingPut { key } | Change::SettingDeleted { key } => {
                let secret = settings::known(key).is_some_and(|known| known.secret);
                let (before, after) = (before.setting(key)?, after.setting(key)?);
                let value = |record: &fed_core::records::Record<fed_core::records::SettingValue>| {
                    record.value.as_str().to_owned()
                };
                let (before, after) = (before.as_ref().map(value), after.as_ref().map(value));
                difference::setting(key, secret, before.as_deref(), after.as_deref())
            }
            Change::Bound { binding } => difference::other(place(binding), "made"),
            Change::Unbound { binding, .. } => difference::other(place(binding), "ended"),
            Change::NodePut { id } => difference::other(format!("node {id}"), "changed"),
            Change::NodeDeleted { id } => difference::other(format!("node {id}"), "deleted"),
            Change::TokenPut { id } => difference::other(format!("token {id}"), "made"),
            Change::TokenDeleted { id } => difference::other(format!("token {id}"), "deleted"),
            Change::SessionOpened { node, .. } => difference::other(format!("session of node {node}"), "made"),
            Change::SessionEnded { node, .. } => difference::other(format!("session of node {node}"), "ended"),
        };
        // An object that is written twice is told once: both times the whole way from before to after.
        if difference::is_one(&change) && !found.iter().any(|known| known.object == change.object) {
            found.push(change);
        }
    }
    Ok(found)
}

fn place(binding: &fed_core::records::Binding) -> String {
    format!(
        "registration of device {} at node {} ({})",
        binding.device, binding.node, binding.contact
    )
}
