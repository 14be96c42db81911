//! `user export`: the map as CSV.

use std::collections::HashMap;

use fed_proto::client as pb;

use super::row::Row;
use crate::cli::{Client, Failure, Outcome, all_devices, all_users, emit};
use crate::talk;

/// Prints every user and device, as [`import`](super::import()) takes them. Holds digests, which are as good as passwords.
///
/// # Errors
/// When the node cannot be asked or stdout not be written.
pub async fn export(client: &Client) -> Outcome {
    let users = all_users(client)
        .await?
        .into_iter()
        .filter_map(|record| record.user)
        .collect::<Vec<_>>();
    let devices = all_devices(client, "", true)
        .await?
        .into_iter()
        .filter_map(|record| record.device)
        .collect::<Vec<_>>();
    talk!(
        "{} users, {} devices; the digests are as good as passwords: keep the file secret",
        users.len(),
        devices.len()
    );
    emit(write(&users, &devices).map_err(Failure::failed)?.trim_end())
}

/// The file.
pub(super) fn write(users: &[pb::User], devices: &[pb::Device]) -> Result<String, csv::Error> {
    let mut of_user: HashMap<&str, Vec<&pb::Device>> = HashMap::new();
    for device in devices {
        of_user.entry(&device.user).or_default().push(device);
    }
    let mut writer = csv::Writer::from_writer(Vec::new());
    for user in users {
        match of_user.get(user.id.as_str()) {
            Some(devices) => {
                for device in devices {
                    writer.serialize(Row::of(user, Some(device)))?;
                }
            }
            None => writer.serialize(Row::of(user, None))?,
        }
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
