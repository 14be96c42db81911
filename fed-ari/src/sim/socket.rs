//! The event socket of the simulated ARI.

use std::{collections::HashSet, sync::Arc};

use axum::{
    extract::{
        Query, State,
        ws::{Message, WebSocket, WebSocketUpgrade},
    },
    response::Response,
};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::mpsc;

use super::{Shared, announce::App, http::refuse};

#[derive(Deserialize)]
pub(crate) struct Listen {
    app: Option<String>,
    #[serde(rename = "subscribeAll", default)]
    subscribe_all: bool,
}

/// Opens the socket of an application; a second one takes it over from the first.
pub(crate) async fn open(
    State(shared): State<Arc<Shared>>,
    Query(query): Query<Listen>,
    upgrade: Result<WebSocketUpgrade, axum::extract::ws::rejection::WebSocketUpgradeRejection>,
) -> Response {
    let Some(app) = query.app.filter(|app| !app.is_empty()) else {
        return refuse(400, "Missing parameter 'app'");
    };
    let Ok(upgrade) = upgrade else {
        return refuse(426, "Upgrade Required");
    };
    // Before it is answered: whoever has the answer may subscribe at once (`websocket_attempted_cb` in res_ari).
    let (sender, events) = mpsc::unbounded_channel();
    let connection = enter(&shared, &app, query.subscribe_all, sender);
    let (failed, name) = (Arc::clone(&shared), app.clone());
    upgrade
        .on_failed_upgrade(move |_| leave(&failed, &name, connection))
        .on_upgrade(move |socket| serve(shared, app, connection, events, socket))
}

async fn serve(
    shared: Arc<Shared>,
    name: String,
    connection: u64,
    mut events: mpsc::UnboundedReceiver<String>,
    mut socket: WebSocket,
) {
    loop {
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => {
                    if socket.send(Message::Text(event.into())).await.is_err() {
                        break;
                    }
                }
                // Taken over, or Asterisk restarted.
                None => break,
            },
            message = socket.recv() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => break,
                Some(Ok(_)) => {}
            },
        }
    }
    leave(&shared, &name, connection);
}

/// The socket is gone; the application stays where another has taken it over.
fn leave(shared: &Shared, name: &str, connection: u64) {
    let mut world = shared.world.lock();
    if world.apps.get(name).is_some_and(|app| app.connection == connection) {
        world.apps.remove(name);
    }
}

/// Registers the socket. Subscriptions and filter of the one before it stay, as the application's.
fn enter(shared: &Shared, name: &str, all: bool, sender: mpsc::UnboundedSender<String>) -> u64 {
    let mut world = shared.world.lock();
    let connection = world.next();
    let (mut sources, mut allowed) = (HashSet::new(), None);
    if let Some(old) = world.apps.remove(name) {
        old.tell(name, &json!({ "type": "ApplicationReplaced" }));
        (sources, allowed) = (old.sources, old.allowed);
    }
    world.apps.insert(
        name.to_owned(),
        App {
            sender,
            sources,
            all,
            allowed,
            connection,
        },
    );
    connection
}
