//! REST calls on channels and applications.

use std::{collections::HashSet, sync::Arc};

use axum::{
    Json,
    extract::{Path, Query, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::Value;

use super::{
    Shared,
    channel::{Channel, Place},
    dialplan,
    http::{Variable, refuse},
    world::World,
};

/// Status and words of a refusal.
type Refused = (u16, &'static str);

fn channel(shared: &Shared, id: &str) -> Result<Arc<Channel>, Refused> {
    shared
        .world
        .lock()
        .channels
        .get(id)
        .cloned()
        .ok_or((404, "Channel not found"))
}

/// A channel that an application holds: only such a one can be told anything.
fn held(shared: &Shared, id: &str) -> Result<Arc<Channel>, Refused> {
    let channel = channel(shared, id)?;
    let held = channel.app.lock().is_some();
    if held {
        Ok(channel)
    } else {
        Err((409, "Channel not in Stasis application"))
    }
}

pub(crate) async fn list(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(shared.world.lock().channels.values().map(|c| c.describe()).collect())
}

pub(crate) async fn read(State(shared): State<Arc<Shared>>, Path(id): Path<String>) -> Response {
    match channel(&shared, &id) {
        Ok(channel) => Json(channel.describe()).into_response(),
        Err((status, words)) => refuse(status, words),
    }
}

#[derive(Deserialize)]
pub(crate) struct Reason {
    reason: Option<String>,
}

pub(crate) async fn hang_up(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(query): Query<Reason>,
) -> Response {
    let channel = match channel(&shared, &id) {
        Ok(channel) => channel,
        Err((status, words)) => return refuse(status, words),
    };
    let named = match query.reason.as_deref() {
        Some("busy") => 17,
        Some("congestion") => 34,
        Some("no_answer") => 19,
        Some("normal_unspecified") => 31,
        _ => 16,
    };
    channel.hang_up(named);
    StatusCode::NO_CONTENT.into_response()
}

#[derive(Deserialize)]
pub(crate) struct Target {
    context: Option<String>,
    extension: Option<String>,
    priority: Option<usize>,
}

pub(crate) async fn go_on(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(query): Query<Target>,
) -> Response {
    let channel = match held(&shared, &id) {
        Ok(channel) => channel,
        Err((status, words)) => return refuse(status, words),
    };
    let here = channel.place.lock().clone();
    let elsewhere = query.context.is_some() || query.extension.is_some() || query.priority.is_some();
    let place = elsewhere.then(|| Place {
        context: query.context.unwrap_or(here.context),
        exten: query.extension.unwrap_or(here.exten),
        priority: query.priority.unwrap_or(1),
    });
    channel.way_out.send_replace(Some(place));
    StatusCode::NO_CONTENT.into_response()
}

pub(crate) async fn get_variable(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(query): Query<Variable>,
) -> Response {
    let channel = match held(&shared, &id) {
        Ok(channel) => channel,
        Err((status, words)) => return refuse(status, words),
    };
    let name = &query.variable;
    let value = if name.contains('(') {
        Some(dialplan::expand(&format!("${{{name}}}"), &channel, &shared))
    } else {
        channel.get(name)
    };
    match value {
        Some(value) => Json(serde_json::json!({ "value": value })).into_response(),
        None => refuse(404, "Provided variable was not found"),
    }
}

pub(crate) async fn set_variable(
    State(shared): State<Arc<Shared>>,
    Path(id): Path<String>,
    Query(query): Query<Variable>,
) -> Response {
    match held(&shared, &id) {
        Ok(channel) => {
            channel.set(&query.variable, &query.value);
            StatusCode::NO_CONTENT.into_response()
        }
        Err((status, words)) => refuse(status, words),
    }
}

pub(crate) async fn applications(State(shared): State<Arc<Shared>>) -> Json<Value> {
    Json(
        shared
            .world
            .lock()
            .apps
            .iter()
            .map(|(name, app)| app.describe(name))
            .collect(),
    )
}

pub(crate) async fn application(State(shared): State<Arc<Shared>>, Path(name): Path<String>) -> Response {
    match shared.world.lock().apps.get(&name) {
        Some(app) => Json(app.describe(&name)).into_response(),
        None => refuse(404, "Application not found"),
    }
}

#[derive(Deserialize)]
pub(crate) struct Sources {
    #[serde(rename = "eventSource", default)]
    event_source: String,
}

pub(crate) async fn subscribe(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<Sources>,
) -> Response {
    change(&shared, &name, &query.event_source, true)
}

pub(crate) async fn unsubscribe(
    State(shared): State<Arc<Shared>>,
    Path(name): Path<String>,
    Query(query): Query<Sources>,
) -> Response {
    change(&shared, &name, &query.event_source, false)
}

fn change(shared: &Shared, name: &str, sources: &str, on: bool) -> Response {
    let mut world = shared.world.lock();
    let World {
        apps,
        online,
        knows_technology,
        ..
    } = &mut *world;
    let Some(app) = apps.get_mut(name) else {
        return refuse(404, "Application not found");
    };
    let is_there = |what: &str| match what.strip_prefix("PJSIP/") {
        Some(endpoint) => online.contains_key(endpoint),
        None => what == "PJSIP" && *knows_technology,
    };
    for source in sources.split(',') {
        match source.split_once(':') {
            Some(("endpoint", what)) if !is_there(what) => return refuse(422, "Event source does not exist"),
            Some(("endpoint" | "deviceState" | "channel" | "bridge", _)) => {
                if on {
                    app.sources.insert(source.to_owned());
                } else {
                    app.sources.remove(source);
                }
            }
            _ => return refuse(400, "Invalid event source URI scheme"),
        }
    }
    Json(app.describe(name)).into_response()
}

#[derive(Deserialize)]
pub(crate) struct Filter {
    #[serde(default)]
    allowed: Vec<FilteredType>,
}

#[derive(Deserialize)]
struct FilteredType {
    #[serde(rename = "type")]
    type_: String,
}

/// Only the allowing half: an empty list lets everything through.
pub(crate) async fn filter(state: State<Arc<Shared>>, path: Path<String>, Json(filter): Json<Filter>) -> Response {
    if let Some(app) = state.world.lock().apps.get_mut(&path.0) {
        let allowed: HashSet<String> = filter.allowed.into_iter().map(|entry| entry.type_).collect();
        app.allowed = (!allowed.is_empty()).then_some(allowed);
    }
    application(state, path).await
}
