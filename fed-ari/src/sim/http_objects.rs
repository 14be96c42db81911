//! REST calls on configuration objects and endpoints.

use std::{sync::Arc, time::SystemTime};

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, announce, http::refuse, schema, world::World};

/// Bytes that a body may have; more is refused as Asterisk refuses it.
const LARGEST_BODY: usize = 40_960;

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    fields: Vec<Field>,
}

#[derive(Deserialize)]
struct Field {
    attribute: String,
    #[serde(default)]
    value: String,
}

type Address = Path<(String, String, String)>;

/// Refuses addresses that lead nowhere.
fn address(world: &World, class: &str, type_: &str) -> Option<Response> {
    if class != "res_pjsip" {
        return Some(refuse(404, &format!("configClass '{class}' not found")));
    }
    if type_ != "contact" && schema::of(world.version, type_).is_none() {
        return Some(refuse(404, &format!("objectType '{type_}' not found")));
    }
    None
}

fn fields_of(world: &World, type_: &str, id: &str) -> Option<Vec<(String, String)>> {
    if type_ == "contact" {
        return world.read_registration(id);
    }
    let live = if type_ == "aor" {
        world.live_uris(id)
    } else {
        Vec::new()
    };
    world.object(type_, id).map(|object| object.read(world.version, &live))
}

fn answer(world: &World, type_: &str, id: &str) -> Response {
    match fields_of(world, type_, id) {
        Some(fields) => {
            let tuples: Vec<Value> = fields
                .iter()
                .map(|(a, v)| json!({ "attribute": a, "value": v }))
                .collect();
            Json(tuples).into_response()
        }
        None => refuse(404, &format!("Object with id '{id}' not found")),
    }
}

pub(crate) async fn read(State(shared): State<Arc<Shared>>, Path((class, type_, id)): Address) -> Response {
    let mut world = shared.world.lock();
    // Its contacts are among what is read, and what has run out is cleared away for that.
    if type_ == "aor" {
        world.expire(SystemTime::now());
    }
    address(&world, &class, &type_).unwrap_or_else(|| answer(&world, &type_, &id))
}

pub(crate) async fn write(
    State(shared): State<Arc<Shared>>,
    Path((class, type_, id)): Address,
    body: Bytes,
) -> Response {
    if body.len() > LARGEST_BODY {
        return refuse(413, "Request body too large");
    }
    // What is no object of fields counts as no fields at all.
    let fields = serde_json::from_slice::<Body>(&body)
        .map(|b| b.fields)
        .unwrap_or_default();
    let fields: Vec<(String, String)> = fields.into_iter().map(|f| (f.attribute, f.value)).collect();
    let mut world = shared.world.lock();
    if let Some(refused) = address(&world, &class, &type_) {
        return refused;
    }
    if type_ == "contact" {
        if !world.faults.refuse_registrations && world.write_registration(&id, &fields) {
            return answer(&world, &type_, &id);
        }
        return refuse(400, &format!("Creation of object '{id}' failed field value validation"));
    }
    match world.put(&type_, &id, &fields) {
        Ok(()) => answer(&world, &type_, &id),
        Err(refusal) => refuse(refusal.status, &refusal.message),
    }
}

pub(crate) async fn remove(State(shared): State<Arc<Shared>>, Path((class, type_, id)): Address) -> Response {
    let mut world = shared.world.lock();
    if let Some(refused) = address(&world, &class, &type_) {
        return refused;
    }
    if world.delete(&type_, &id) {
        return StatusCode::NO_CONTENT.into_response();
    }
    refuse(404, &format!("Object with id '{id}' not found"))
}

fn describe(world: &World, name: &str) -> Option<Value> {
    let online = world.online.get(name)?;
    let prefix = format!("PJSIP/{name}-");
    let channels: Vec<String> = world
        .channels
        .values()
        .filter(|c| c.name.starts_with(&prefix))
        .map(|c| c.id.clone())
        .collect();
    Some(announce::endpoint(
        name,
        if *online { "online" } else { "offline" },
        &channels,
    ))
}

pub(crate) async fn endpoints(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let world = shared.world.lock();
    Json(world.online.keys().filter_map(|name| describe(&world, name)).collect())
}

pub(crate) async fn endpoints_of(State(shared): State<Arc<Shared>>, Path(technology): Path<String>) -> Response {
    if technology != "PJSIP" {
        return refuse(404, &format!("No Endpoints found - invalid tech {technology}"));
    }
    endpoints(State(shared)).await.into_response()
}

pub(crate) async fn endpoint(
    State(shared): State<Arc<Shared>>,
    Path((technology, name)): Path<(String, String)>,
) -> Response {
    let world = shared.world.lock();
    match describe(&world, &name).filter(|_| technology == "PJSIP") {
        Some(found) => Json(found).into_response(),
        None => refuse(404, "Endpoint not found"),
    }
}
