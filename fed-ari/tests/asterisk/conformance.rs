//! The same statements about the simulated and about real Asterisks, so that the simulation cannot drift from the truth.
//!
//! The simulation is always asked. Real ones are asked as well where `FED_REAL_ASTERISKS` names them, separated by blanks, each as
//! `http://HOST:PORT,SIPHOST:PORT,USER,PASSWORD`, with writable sorcery mappings and a UDP transport.

use std::time::{Duration, Instant};

use fed_ari::client::{AriClient, AriError, AriEvent, ContactStatus, Feature, HangupReason, ObjectType};

use crate::{
    common::{connected, next_event, put},
    subject::subjects,
};

#[tokio::test]
async fn registrations_are_listed_from_their_aor() {
    for s in subjects("conf-list").await {
        s.device("conf1", "2").await;
        let contacts = ["sip:conf1@127.0.0.1:6001", "sip:conf1@127.0.0.1:6002"];
        for contact in contacts {
            assert_eq!(s.register("conf1", contact, 300).await, 200, "{}", s.name);
        }
        assert_eq!(
            s.register("conf1", "sip:conf1@127.0.0.1:6003", 300).await,
            403,
            "{}: over the limit",
            s.name
        );
        let mut found = s
            .client
            .live_contacts(["conf1".to_owned(), "conf1-fed".to_owned()])
            .await
            .expect("lists");
        found.sort_by(|a, b| a.uri.cmp(&b.uri));
        assert_eq!(
            found.iter().map(|c| c.uri.as_str()).collect::<Vec<_>>(),
            contacts,
            "{}",
            s.name
        );
        assert!(
            found
                .iter()
                .all(|c| c.expires_unix_s.is_some() && c.user_agent.is_some()),
            "{}: {found:?}",
            s.name
        );
        assert!(
            s.client.delete_contact("conf1", contacts[0]).await.expect("deletes"),
            "{}",
            s.name
        );
        assert_eq!(
            s.client.get_contact("conf1", contacts[0]).await.expect("reads"),
            None,
            "{}",
            s.name
        );
        s.remove("conf1").await;
        // The real one deletes an aor's contacts in a task of its own, after its answer.
        let deadline = Instant::now() + Duration::from_secs(5);
        while let Some(contact) = s.client.get_contact("conf1", contacts[1]).await.expect("reads") {
            assert!(
                Instant::now() < deadline,
                "{}: not gone with the aor: {contact:?}",
                s.name
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        assert_eq!(
            s.register("conf1", contacts[0], 300).await,
            401,
            "{}: no such device",
            s.name
        );
    }
}

#[tokio::test]
async fn a_put_copies_live_contacts_into_an_aor() {
    for s in subjects("conf-trap").await {
        s.device("conf2", "2").await;
        let contact = "sip:conf2@127.0.0.1:6004";
        assert_eq!(s.register("conf2", contact, 300).await, 200, "{}", s.name);
        put(&s.client, ObjectType::Aor, "conf2", &[("max_contacts", "2")]).await;
        assert_eq!(s.register("conf2", contact, 0).await, 200, "{}", s.name);
        assert_eq!(
            s.client.contact_uris("conf2").await.expect("reads"),
            Some(vec![contact.to_owned()]),
            "{}",
            s.name
        );
        assert!(
            s.client
                .live_contacts(["conf2".to_owned()])
                .await
                .expect("lists")
                .is_empty(),
            "{}",
            s.name
        );
        s.remove("conf2").await;
    }
}

#[tokio::test]
async fn objects_merge_and_lists_add_up() {
    for s in subjects("conf-merge").await {
        for id in ["conf3", "conf3i"] {
            s.remove(id).await;
        }
        s.client
            .delete_object(ObjectType::Identify, "conf3i")
            .await
            .expect("deletes");
        put(
            &s.client,
            ObjectType::Aor,
            "conf3",
            &[("max_contacts", "2"), ("contact", "sip:a@127.0.0.1")],
        )
        .await;
        put(&s.client, ObjectType::Aor, "conf3", &[("contact", "sip:b@127.0.0.1")]).await;
        let read = put(&s.client, ObjectType::Aor, "conf3", &[("contact", "")]).await;
        assert_eq!(
            (read.get("max_contacts"), read.all("contact").count()),
            (Some("2"), 2),
            "{}",
            s.name
        );
        put(
            &s.client,
            ObjectType::Identify,
            "conf3i",
            &[("endpoint", "x"), ("match", "10.0.0.1")],
        )
        .await;
        let read = put(&s.client, ObjectType::Identify, "conf3i", &[("match", "10.0.0.1")]).await;
        assert_eq!(
            read.all("match").collect::<Vec<_>>(),
            ["10.0.0.1/255.255.255.255"; 2],
            "{}",
            s.name
        );
        s.client
            .delete_object(ObjectType::Identify, "conf3i")
            .await
            .expect("deletes");
        s.remove("conf3").await;
    }
}

#[tokio::test]
async fn refusals_leave_nothing_behind() {
    for s in subjects("conf-refuse").await {
        for (type_, fields) in [
            (ObjectType::Aor, vec![("max_contacts", "1"), ("no_such_thing", "1")]),
            (ObjectType::Aor, vec![("max_contacts", "many")]),
            (ObjectType::Aor, vec![("contact", "nonsense")]),
            (ObjectType::Endpoint, vec![("redirect_method", "nonsense")]),
            (ObjectType::Endpoint, vec![("allow", "nonsense")]),
            (ObjectType::Auth, vec![("auth_type", "md5"), ("md5_cred", "short")]),
            (ObjectType::Identify, vec![]),
        ] {
            let refused = s.client.put_object(type_, "conf4", &fields).await.expect_err("refused");
            assert!(
                matches!(refused, AriError::Refused { status: 400, .. }),
                "{}: {type_} {fields:?}: {refused}",
                s.name
            );
            assert_eq!(
                s.client.get_object(type_, "conf4").await.expect("reads"),
                None,
                "{}",
                s.name
            );
        }
        assert!(
            !s.client
                .delete_object(ObjectType::Aor, "conf4")
                .await
                .expect("deletes nothing"),
            "{}",
            s.name
        );
        let mut wrong = s.config.clone();
        wrong.password = "wrong".to_owned();
        let refused = AriClient::new(wrong)
            .expect("a client")
            .ping()
            .await
            .expect_err("refused");
        assert!(
            matches!(refused, AriError::Unauthorized { status: 401, .. }),
            "{}: {refused}",
            s.name
        );
    }
}

#[tokio::test]
async fn what_versions_differ_in_shows() {
    for s in subjects("conf-versions").await {
        let (info, capabilities) = s.client.capabilities().await.expect("tells");
        s.remove("conf5").await;
        let newer = s
            .client
            .put_object(ObjectType::Aor, "conf5", &[("qualify_2xx_only", "yes")])
            .await;
        assert_eq!(
            newer.is_ok(),
            capabilities.has(Feature::Qualify2xxOnly),
            "{} {}",
            s.name,
            info.version
        );
        let endpoint = put(
            &s.client,
            ObjectType::Endpoint,
            "conf5",
            &[("allow", "!all,ulaw,alaw"), ("redirect_method", "uri_pjsip")],
        )
        .await;
        assert_eq!(
            endpoint.get("redirect_method").is_some(),
            capabilities.has(Feature::RedirectMethodReadable),
            "{}",
            s.name
        );
        assert_eq!(endpoint.get("allow"), Some("(ulaw|alaw)"), "{}", s.name);
        let digest = [
            ("auth_type", "digest"),
            ("username", "conf5"),
            ("password_digest", "MD5:00000000000000000000000000000000"),
        ];
        let digest = s.client.put_object(ObjectType::Auth, "conf5", &digest).await;
        assert_eq!(digest.is_ok(), capabilities.has(Feature::PasswordDigest), "{}", s.name);
        s.remove("conf5").await;
    }
}

#[tokio::test]
async fn events_of_a_device_with_two_aors_are_its_contacts() {
    for s in subjects("conf-events").await {
        s.device("conf6", "1").await;
        let mut events = s.client.events(&["endpoint:PJSIP", "endpoint:NOSUCH"]);
        connected(&mut events).await;
        let contact = "sip:conf6@127.0.0.1:6005";
        assert_eq!(s.register("conf6", contact, 300).await, 200, "{}", s.name);
        assert_eq!(s.register("conf6", contact, 300).await, 200, "{}: refresh", s.name);
        assert_eq!(s.register("conf6", contact, 0).await, 200, "{}", s.name);
        let mut seen = Vec::new();
        while seen.len() < 2 {
            match next_event(&mut events).await {
                AriEvent::ContactStatusChange {
                    aor,
                    uri,
                    status,
                    endpoint,
                } if aor == "conf6" => {
                    assert_eq!((endpoint.as_str(), uri.as_str()), ("conf6", contact), "{}", s.name);
                    seen.push(status);
                }
                _ => {}
            }
        }
        assert_eq!(
            seen,
            [ContactStatus::NonQualified, ContactStatus::Removed],
            "{}",
            s.name
        );
        s.remove("conf6").await;
    }
}

#[tokio::test]
async fn variables_modules_and_lists_answer() {
    for s in subjects("conf-system").await {
        s.client.set_global("FED_CONF", "a b&c").await.expect("sets");
        assert_eq!(
            s.client.get_global("FED_CONF").await.expect("reads"),
            "a b&c",
            "{}",
            s.name
        );
        assert_eq!(
            s.client.get_global("FED_NOTHING").await.expect("reads"),
            "",
            "{}",
            s.name
        );
        assert!(
            s.client.endpoints("NOSUCH").await.expect("lists").is_empty(),
            "{}",
            s.name
        );
        assert_eq!(
            s.client.endpoint("PJSIP", "conf-nobody").await.expect("reads"),
            None,
            "{}",
            s.name
        );
        assert!(
            !s.client
                .hangup("no-such-channel", HangupReason::Normal)
                .await
                .expect("nothing to hang up"),
            "{}",
            s.name
        );
        assert!(
            s.client
                .modules()
                .await
                .expect("lists")
                .iter()
                .any(|m| m.name == "res_pjsip.so"),
            "{}",
            s.name
        );
        assert!(
            s.client.reload_module("nope.so").await.is_err_and(|e| e.is_not_found()),
            "{}",
            s.name
        );
    }
}
