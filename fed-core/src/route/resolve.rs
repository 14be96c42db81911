//! What a dialled text names.

use crate::ids::{DeviceId, Number, UserId};
use crate::kv::StoreError;
use crate::map::MapView;

/// What a dialled text names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialled {
    /// A user, by number, alias or id.
    User(UserId),
    /// A device that is not also the name of a user.
    Device(DeviceId),
}

/// What `dialled` names: a number or alias before a user before a device. `None`: nothing, or it is no text that
/// could name anything.
///
/// # Errors
/// [`StoreError`] when the store fails.
pub fn resolve(view: &MapView<'_>, dialled: &str) -> Result<Option<Dialled>, StoreError> {
    if let Ok(number) = Number::new(dialled)
        && let Some(user) = view.number(&number)?
    {
        return Ok(Some(Dialled::User(user)));
    }
    if let Ok(user) = UserId::new(dialled)
        && view.user(&user)?.is_some()
    {
        return Ok(Some(Dialled::User(user)));
    }
    if let Ok(device) = DeviceId::new(dialled)
        && view.device(&device)?.is_some()
    {
        return Ok(Some(Dialled::Device(device)));
    }
    Ok(None)
}
