//! Who has a name that Asterisk's dialplan keeps for itself, from before nobody could get one.

use fed_proto::client as pb;
use tonic::{Code, Response, Status};

use crate::api::reserved::RESERVED;
use crate::cli::{Client, Failure};

/// Each in words, or why it was not looked for.
pub(super) async fn reserved(client: &Client) -> Result<Vec<String>, String> {
    let mut held = Vec::new();
    for name in RESERVED {
        // A number, a user or a device; one question where there is none of them.
        let Some(place) = there(client.api.clone().r#where(get(name)).await)? else {
            continue;
        };
        let leads_to = place.user;
        let user = there(client.api.clone().get_user(get(&leads_to)).await)?.and_then(|record| record.user);
        if user.is_some_and(|user| user.numbers.iter().any(|number| number == name)) {
            held.push(format!("number {name} of user {leads_to}"));
        }
        if there(client.api.clone().get_user(get(name)).await)?.is_some() {
            held.push(format!("user {name}"));
        }
        let device = there(client.api.clone().get_device(get(name)).await)?.and_then(|record| record.device);
        held.extend(device.map(|device| format!("device {name} of user {}", device.user)));
    }
    Ok(held)
}

fn get(id: &str) -> pb::GetRequest {
    pb::GetRequest {
        id: id.to_owned(),
        consistency: pb::Consistency::Local as i32,
        ..pb::GetRequest::default()
    }
}

fn there<T>(answer: Result<Response<T>, Status>) -> Result<Option<T>, String> {
    match answer {
        Ok(found) => Ok(Some(found.into_inner())),
        Err(status) if status.code() == Code::NotFound => Ok(None),
        Err(status) => Err(Failure::from(status).to_string()),
    }
}
