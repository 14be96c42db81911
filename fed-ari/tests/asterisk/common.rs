//! What the tests of client and simulation share.

use std::time::Duration;

use fed_ari::{
    client::{AriClient, AriEvent, EventStream, Fields, Link, ObjectType},
    sim::{SimAsterisk, SimConfig, SimVersion},
};
use tokio::time::{Instant, timeout};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A simulated Asterisk and a client for it.
pub(crate) async fn sim(version: SimVersion) -> (SimAsterisk, AriClient) {
    let sim = SimAsterisk::start(SimConfig::new(version)).await.expect("starts");
    let client = AriClient::new(sim.ari_config("fed")).expect("a client");
    (sim, client)
}

/// Puts an object that must be taken.
pub(crate) async fn put(client: &AriClient, type_: ObjectType, id: &str, fields: &[(&str, &str)]) -> Fields {
    client.put_object(type_, id, fields).await.expect("the object is taken")
}

/// A device as fed-node makes it: auth, its own aor, the second one, the endpoint.
pub(crate) async fn add_device(client: &AriClient, id: &str) {
    add_device_redirected(client, id, "127.0.0.1:5070").await;
}

/// The same, with the address of a redirect server.
pub(crate) async fn add_device_redirected(client: &AriClient, id: &str, redirect: &str) {
    let zeros = "0".repeat(32);
    put(
        client,
        ObjectType::Auth,
        id,
        &[
            ("auth_type", "md5"),
            ("username", id),
            ("realm", "federated"),
            ("md5_cred", &zeros),
        ],
    )
    .await;
    put(client, ObjectType::Aor, id, &[("max_contacts", "3")]).await;
    put(
        client,
        ObjectType::Aor,
        &format!("{id}-fed"),
        &[("contact", &format!("sip:{id}@{redirect}"))],
    )
    .await;
    let aors = format!("{id},{id}-fed");
    put(
        client,
        ObjectType::Endpoint,
        id,
        &[
            ("auth", id),
            ("aors", &aors),
            ("context", "fed-users"),
            ("disallow", "all"),
            ("allow", "ulaw"),
            ("redirect_method", "uri_pjsip"),
        ],
    )
    .await;
}

/// The next link item, in time.
pub(crate) async fn next(events: &mut EventStream) -> Link {
    timeout(PATIENCE, events.next())
        .await
        .expect("something happens on the link")
}

/// The next event, passing over connections and losses.
pub(crate) async fn next_event(events: &mut EventStream) -> AriEvent {
    loop {
        if let Link::Event(event) = next(events).await {
            return event;
        }
    }
}

/// Waits until connected, passing over everything else.
pub(crate) async fn connected(events: &mut EventStream) {
    while !matches!(next(events).await, Link::Connected { .. }) {}
}

/// Waits for a state, with a deadline.
pub(crate) async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited in vain for {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
