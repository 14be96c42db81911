//! The REST half of the simulated ARI: who may ask, what is recorded, and where each path leads.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, Request as HttpRequest, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, http_channels, http_objects, journal::Request, socket};
use crate::client::MODULES_NEEDED;

/// The whole ARI.
pub(crate) fn router(shared: Arc<Shared>) -> Router {
    let ari = Router::new()
        .route("/asterisk/info", get(info))
        .route("/asterisk/ping", get(ping))
        .route("/asterisk/modules", get(modules))
        .route("/asterisk/modules/{module}", put(reload))
        .route("/asterisk/variable", get(get_global).post(set_global))
        .route(
            "/asterisk/config/dynamic/{class}/{type_}/{id}",
            get(http_objects::read)
                .put(http_objects::write)
                .delete(http_objects::remove),
        )
        .route("/endpoints", get(http_objects::endpoints))
        .route("/endpoints/{technology}", get(http_objects::endpoints_of))
        .route("/endpoints/{technology}/{resource}", get(http_objects::endpoint))
        .route("/applications", get(http_channels::applications))
        .route("/applications/{app}", get(http_channels::application))
        .route(
            "/applications/{app}/subscription",
            post(http_channels::subscribe).delete(http_channels::unsubscribe),
        )
        .route("/applications/{app}/eventFilter", put(http_channels::filter))
        .route("/channels", get(http_channels::list))
        .route(
            "/channels/{id}",
            get(http_channels::read).delete(http_channels::hang_up),
        )
        .route("/channels/{id}/continue", post(http_channels::go_on))
        .route(
            "/channels/{id}/variable",
            get(http_channels::get_variable).post(http_channels::set_variable),
        )
        .route("/deviceStates", get(|| async { Json(json!([])) }))
        .route("/events", get(socket::open))
        .fallback(|| async { refuse(404, "Resource not found") })
        .method_not_allowed_fallback(|| async { refuse(405, "Invalid method") })
        .layer(middleware::from_fn_with_state(Arc::clone(&shared), guard));
    Router::new().nest("/ari", ari).with_state(shared)
}

/// An error answer as Asterisk writes it.
pub(crate) fn refuse(status: u16, message: &str) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    // Failed allocations are the one kind with another field.
    let body = if status.as_u16() == 500 {
        json!({ "error": message })
    } else {
        json!({ "message": message })
    };
    (status, Json(body)).into_response()
}

/// Waits, fails, authenticates and records, in this order.
async fn guard(State(shared): State<Arc<Shared>>, request: HttpRequest, next: Next) -> Response {
    let method = request.method().to_string();
    let path = request.uri().to_string();
    let (delay, failure) = {
        let mut world = shared.world.lock();
        let failures = &mut world.faults.failures;
        let call = format!("{method} {path}");
        let failure = failures.iter().position(|(within, _)| call.contains(within));
        let failure = failure.map(|at| failures.remove(at).1);
        (world.faults.delay, failure)
    };
    tokio::time::sleep(delay).await;
    let response = match failure {
        Some(status) => refuse(status, "a fault that was asked for"),
        None if shared.may(&request) => next.run(request).await,
        None => unauthorized(),
    };
    shared.world.lock().journal.record(Request {
        method,
        path,
        status: response.status().as_u16(),
    });
    response
}

#[derive(Deserialize)]
struct Key {
    api_key: Option<String>,
}

impl Shared {
    /// Checks user and password, from the header or from `api_key`.
    fn may(&self, request: &HttpRequest) -> bool {
        let key = || {
            Query::<Key>::try_from_uri(request.uri())
                .ok()
                .and_then(|Query(key)| key.api_key)
        };
        basic(request.headers()).or_else(key).as_deref() == Some(self.credentials.lock().as_str())
    }
}

fn unauthorized() -> Response {
    let mut response = refuse(401, "Authentication required");
    let realm = header::HeaderValue::from_static("Basic realm=\"Asterisk REST Interface\"");
    response.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    response
}

fn basic(headers: &HeaderMap) -> Option<String> {
    let value = headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Basic ")?;
    String::from_utf8(data_encoding::BASE64.decode(value.trim().as_bytes()).ok()?).ok()
}

async fn info(State(shared): State<Arc<Shared>>) -> Json<Value> {
    let world = shared.world.lock();
    let started = world
        .started
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_micros();
    Json(json!({
        "build": { "os": "Linux", "kernel": "unknown", "machine": "unknown", "options": "", "date": "", "user": "nobody" },
        "system": { "version": world.version.text(), "entity_id": "00:00:00:00:00:00" },
        "config": { "name": "sim", "default_language": "en", "setid": { "user": "", "group": "" } },
        "status": { "startup_time": started.to_string(), "last_reload_time": started.to_string() },
    }))
}

async fn ping() -> Json<Value> {
    Json(json!({ "ping": "pong", "timestamp": "", "asterisk_id": "00:00:00:00:00:00" }))
}

/// Modules that run here: those that the federation needs, and the one for a dialplan that asks by Stasis.
fn running() -> impl Iterator<Item = &'static str> {
    MODULES_NEEDED.into_iter().chain(["app_stasis.so"])
}

async fn modules() -> Json<Value> {
    let all = running().map(
        |name| json!({ "name": name, "description": "", "use_count": 0, "status": "Running", "support_level": "core" }),
    );
    Json(all.collect())
}

async fn reload(axum::extract::Path(module): axum::extract::Path<String>) -> Response {
    if running().any(|name| name == module) {
        return StatusCode::NO_CONTENT.into_response();
    }
    refuse(404, "Module not found in running modules")
}

/// Name and value of a variable in a query.
#[derive(Deserialize)]
pub(crate) struct Variable {
    #[serde(default)]
    pub(crate) variable: String,
    #[serde(default)]
    pub(crate) value: String,
}

async fn get_global(State(shared): State<Arc<Shared>>, Query(query): Query<Variable>) -> Response {
    if query.variable.is_empty() {
        return refuse(400, "Variable name is required");
    }
    let value = shared
        .world
        .lock()
        .globals
        .get(&query.variable)
        .cloned()
        .unwrap_or_default();
    Json(json!({ "value": value })).into_response()
}

async fn set_global(State(shared): State<Arc<Shared>>, Query(query): Query<Variable>) -> Response {
    if query.variable.is_empty() {
        return refuse(400, "Variable name is required");
    }
    shared.world.lock().globals.insert(query.variable, query.value);
    StatusCode::NO_CONTENT.into_response()
}
