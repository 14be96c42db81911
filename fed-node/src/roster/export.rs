//! `user export`: the map as CSV.

use std::collections::HashMap;

use fed_proto::client as pb;
use serde::Serialize;

use super::row::Row;
use crate::cli::{Client, Failure, Outcome, Output, Show, all_devices, all_users, print};
use crate::talk;

/// Prints every user and device, as [`import`](super::import()) takes them. Holds digests, which are as good as passwords.
///
/// # Errors
/// When the node cannot be asked or stdout not be written.
pub async fn export(client: &Client, output: Output) -> Outcome {
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
    let rows = rows(&users, &devices);
    let csv = write(&rows).map_err(Failure::failed)?;
    print(output, &Export { rows, csv })
}

/// The file, and the same as an array of objects for `-o json`.
#[derive(Serialize)]
#[serde(transparent)]
struct Export {
    rows: Vec<Row>,
    #[serde(skip)]
    csv: String,
}

impl Show for Export {
    fn text(&self) -> String {
        self.csv.trim_end().to_owned()
    }
}

/// A line for each device, and one for each user without.
pub(super) fn rows(users: &[pb::User], devices: &[pb::Device]) -> Vec<Row> {
    let mut of_user: HashMap<&str, Vec<&pb::Device>> = HashMap::new();
    for device in devices {
        of_user.entry(&device.user).or_default().push(device);
    }
    let lines = |user: &pb::User| match of_user.get(user.id.as_str()) {
        Some(devices) => devices.iter().map(|device| Row::of(user, Some(device))).collect(),
        None => vec![Row::of(user, None)],
    };
    users.iter().flat_map(lines).collect()
}

/// The file.
pub(super) fn write(rows: &[Row]) -> Result<String, csv::Error> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    for row in rows {
        writer.serialize(row)?;
    }
    let bytes = writer
        .into_inner()
        .map_err(|error| csv::Error::from(error.into_error()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}
