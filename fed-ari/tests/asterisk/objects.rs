//! The simulated Asterisk's configuration objects and registrations, through the real client.

use std::time::Duration;

use fed_ari::{
    client::{AriClient, AriError, ObjectType},
    sim::{RegisterOutcome, Registration, SimAsterisk, SimConfig, SimVersion},
};

use crate::common::{add_device, eventually, put, sim};

const ALICE_PHONE: &str = "sip:alice@192.0.2.1:5060";

async fn registered(version: SimVersion) -> (SimAsterisk, AriClient) {
    let (sim, client) = sim(version).await;
    add_device(&client, "alice").await;
    assert_eq!(sim.register("alice", ALICE_PHONE), RegisterOutcome::Ok);
    (sim, client)
}

#[tokio::test]
async fn an_aor_names_its_live_contacts_and_each_has_details() {
    for version in [SimVersion::V16, SimVersion::V22] {
        let (sim, client) = registered(version).await;
        let phone = Registration {
            user_agent: "Desk 1".into(),
            ..Registration::new("alice", "sip:alice@192.0.2.2:5060")
        };
        assert_eq!(sim.register_with(phone), RegisterOutcome::Ok);
        let mut found = client
            .live_contacts(["alice".to_owned(), "nobody".to_owned()])
            .await
            .expect("lists");
        found.sort_by(|a, b| a.uri.cmp(&b.uri));
        assert_eq!(
            found.iter().map(|c| c.uri.as_str()).collect::<Vec<_>>(),
            [ALICE_PHONE, "sip:alice@192.0.2.2:5060"]
        );
        assert_eq!(found[1].user_agent.as_deref(), Some("Desk 1"));
        assert!(found[0].expires_unix_s.is_some());
    }
}

#[tokio::test]
async fn a_static_contact_is_no_registration() {
    let (_sim, client) = registered(SimVersion::V22).await;
    assert_eq!(
        client.contact_uris("alice-fed").await.expect("reads").map(|c| c.len()),
        Some(1)
    );
    assert!(
        client
            .live_contacts(["alice-fed".to_owned()])
            .await
            .expect("lists")
            .is_empty()
    );
}

#[tokio::test]
async fn a_put_on_an_aor_with_live_contacts_makes_them_static() {
    let (sim, client) = registered(SimVersion::V16).await;
    put(&client, ObjectType::Aor, "alice", &[("max_contacts", "3")]).await;
    sim.unregister("alice", ALICE_PHONE);
    assert_eq!(
        client.contact_uris("alice").await.expect("reads"),
        Some(vec![ALICE_PHONE.to_owned()])
    );
    assert!(
        client
            .live_contacts(["alice".to_owned()])
            .await
            .expect("lists")
            .is_empty()
    );
}

#[tokio::test]
async fn deleting_an_aor_drops_its_registrations() {
    let (sim, client) = registered(SimVersion::V22).await;
    assert!(client.delete_object(ObjectType::Aor, "alice").await.expect("deletes"));
    assert_eq!(client.get_contact("alice", ALICE_PHONE).await.expect("reads"), None);
    assert!(sim.registrations("alice").is_empty());
}

#[tokio::test]
async fn deleting_a_contact_removes_one_registration() {
    let (sim, client) = registered(SimVersion::V22).await;
    assert!(client.delete_contact("alice", ALICE_PHONE).await.expect("deletes"));
    assert!(
        !client
            .delete_contact("alice", ALICE_PHONE)
            .await
            .expect("deletes nothing")
    );
    assert!(sim.registrations("alice").is_empty());
}

#[tokio::test]
async fn a_registration_expires() {
    let (sim, _client) = registered(SimVersion::V22).await;
    let short = Registration {
        expires: Duration::from_millis(100),
        ..Registration::new("alice", "sip:alice@192.0.2.9:5060")
    };
    assert_eq!(sim.register_with(short), RegisterOutcome::Ok);
    eventually("the short registration to expire", || {
        sim.registrations("alice") == [ALICE_PHONE]
    })
    .await;
}

#[tokio::test]
async fn the_limit_of_contacts_refuses_or_replaces() {
    let (sim, client) = sim(SimVersion::V16).await;
    add_device(&client, "alice").await;
    for port in 1..=3 {
        assert_eq!(
            sim.register("alice", &format!("sip:alice@192.0.2.1:{port}")),
            RegisterOutcome::Ok
        );
    }
    assert_eq!(
        sim.register("alice", "sip:alice@192.0.2.1:4"),
        RegisterOutcome::Forbidden
    );
    client.delete_object(ObjectType::Aor, "alice").await.expect("deletes");
    put(
        &client,
        ObjectType::Aor,
        "alice",
        &[("max_contacts", "1"), ("remove_existing", "yes")],
    )
    .await;
    assert_eq!(sim.register("alice", "sip:alice@192.0.2.1:1"), RegisterOutcome::Ok);
    assert_eq!(sim.register("alice", "sip:alice@192.0.2.1:2"), RegisterOutcome::Ok);
    assert_eq!(sim.registrations("alice"), ["sip:alice@192.0.2.1:2"]);
}

#[tokio::test]
async fn only_the_right_password_of_a_known_device_registers() {
    let (sim, client) = sim(SimVersion::V22).await;
    assert_eq!(sim.register("alice", ALICE_PHONE), RegisterOutcome::Unauthorized);
    add_device(&client, "alice").await;
    let wrong = Registration {
        ha1: Some("f".repeat(32)),
        ..Registration::new("alice", ALICE_PHONE)
    };
    assert_eq!(sim.register_with(wrong), RegisterOutcome::Unauthorized);
    let right = Registration {
        ha1: Some("0".repeat(32)),
        ..Registration::new("alice", ALICE_PHONE)
    };
    assert_eq!(sim.register_with(right), RegisterOutcome::Ok);
}

#[tokio::test]
async fn a_type_without_a_sorcery_mapping_is_refused_with_the_remedy() {
    let mut config = SimConfig::new(SimVersion::V22);
    config.writable.retain(|t| t != "aor");
    let sim = SimAsterisk::start(config).await.expect("starts");
    let client = AriClient::new(sim.ari_config("fed")).expect("a client");
    let refused = client
        .put_object(ObjectType::Aor, "alice", &[("max_contacts", "1")])
        .await
        .expect_err("refused");
    assert!(matches!(refused, AriError::Refused { status: 403, .. }), "{refused}");
    assert!(
        refused.to_string().contains("aor \"alice\"") && refused.to_string().contains("sorcery.conf"),
        "{refused}"
    );
}

#[tokio::test]
async fn an_attribute_of_a_newer_version_is_refused_and_named() {
    let (_sim, client) = sim(SimVersion::V16).await;
    let refused = client
        .put_object(ObjectType::Aor, "alice", &[("qualify_2xx_only", "yes")])
        .await
        .expect_err("refused");
    assert!(
        matches!(&refused, AriError::Refused { status: 400, body, .. } if body.contains("failed field value validation")),
        "{refused}"
    );
    assert_eq!(client.get_object(ObjectType::Aor, "alice").await.expect("reads"), None);
}

#[tokio::test]
async fn values_read_back_normalised() {
    let (_sim, client) = sim(SimVersion::V22).await;
    let answered = put(
        &client,
        ObjectType::Aor,
        "alice",
        &[("remove_existing", "yes"), ("qualify_timeout", "3")],
    )
    .await;
    assert_eq!(
        (answered.get("remove_existing"), answered.get("qualify_timeout")),
        (Some("true"), Some("3.000000"))
    );
    let read = client.get_object(ObjectType::Aor, "alice").await.expect("reads");
    assert_eq!(read, Some(answered));
}

#[tokio::test]
async fn ids_with_any_characters_reach_their_object() {
    let (_sim, client) = sim(SimVersion::V22).await;
    for id in ["a;b@c", "a b", "a%2Fb", "ä"] {
        put(&client, ObjectType::Aor, id, &[("max_contacts", "1")]).await;
        assert!(
            client.get_object(ObjectType::Aor, id).await.expect("reads").is_some(),
            "{id}"
        );
        assert!(
            client.delete_object(ObjectType::Aor, id).await.expect("deletes"),
            "{id}"
        );
    }
}

#[tokio::test]
async fn a_restart_forgets_objects_but_udp_registrations_return_with_their_aor() {
    let (sim, client) = registered(SimVersion::V16).await;
    assert_eq!(
        sim.register("alice", "sip:alice@192.0.2.3:5060;transport=tcp"),
        RegisterOutcome::Ok
    );
    sim.restart().await.expect("restarts");
    assert_eq!(client.get_object(ObjectType::Aor, "alice").await.expect("reads"), None);
    add_device(&client, "alice").await;
    let found = client.live_contacts(["alice".to_owned()]).await.expect("lists");
    assert_eq!(found.iter().map(|c| c.uri.as_str()).collect::<Vec<_>>(), [ALICE_PHONE]);
    // Created anew, not merged: nothing became static.
    sim.unregister("alice", ALICE_PHONE);
    assert_eq!(client.contact_uris("alice").await.expect("reads"), Some(vec![]));
}

#[tokio::test]
async fn endpoints_are_listed_with_their_state() {
    let (_sim, client) = registered(SimVersion::V22).await;
    let listed = client.endpoints("PJSIP").await.expect("lists");
    assert_eq!(
        listed.iter().map(|e| e.resource.as_str()).collect::<Vec<_>>(),
        ["alice"]
    );
    assert!(client.endpoints("IAX2").await.expect("lists").is_empty());
    assert_eq!(client.endpoint("PJSIP", "bob").await.expect("reads"), None);
}
