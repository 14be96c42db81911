//! Objects, registrations and what versions differ in.

use std::time::{Duration, Instant};

use fed_ari::client::{AriClient, AriError, EndpointState, Feature, HangupReason, ObjectType};

use super::subject::subjects;
use crate::common::{PATIENCE, put};

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
            .expect("lists")
            .contacts;
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
                .contacts
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

#[tokio::test]
async fn a_full_aor_gives_way_where_it_is_told_to() {
    for s in subjects("conf-replace").await {
        s.device("confr", "1").await;
        s.client.delete_object(ObjectType::Aor, "confr").await.expect("deletes");
        let fields = [("max_contacts", "1"), ("remove_existing", "yes")];
        put(&s.client, ObjectType::Aor, "confr", &fields).await;
        let contacts = ["sip:confr@127.0.0.1:6021", "sip:confr@127.0.0.1:6022"];
        for contact in contacts {
            assert_eq!(s.register("confr", contact, 300).await, 200, "{}", s.name);
        }
        let uris = s.client.contact_uris("confr").await.expect("reads");
        assert_eq!(uris, Some(vec![contacts[1].to_owned()]), "{}", s.name);
        s.remove("confr").await;
    }
}

#[tokio::test]
async fn only_the_right_password_registers() {
    for s in subjects("conf-password").await {
        s.device("confp", "1").await;
        let contact = "sip:confp@127.0.0.1:6023";
        let another = [("auth_type", "md5"), ("md5_cred", "ffffffffffffffffffffffffffffffff")];
        put(&s.client, ObjectType::Auth, "confp", &another).await;
        assert_eq!(s.register("confp", contact, 300).await, 401, "{}", s.name);
        let live = s.client.live_contacts(["confp".to_owned()]).await.expect("lists");
        assert_eq!(live.contacts, [], "{}", s.name);
        s.remove("confp").await;
    }
}

#[tokio::test]
async fn values_read_back_normalised() {
    for s in subjects("conf-values").await {
        s.remove("confv").await;
        let fields = [("remove_existing", "yes"), ("qualify_timeout", "3")];
        let answered = put(&s.client, ObjectType::Aor, "confv", &fields).await;
        assert_eq!(
            (answered.get("remove_existing"), answered.get("qualify_timeout")),
            (Some("true"), Some("3.000000")),
            "{}",
            s.name
        );
        let read = s.client.get_object(ObjectType::Aor, "confv").await.expect("reads");
        assert_eq!(read, Some(answered), "{}", s.name);
        s.remove("confv").await;
    }
}

#[tokio::test]
async fn ids_with_any_characters_reach_their_object() {
    for s in subjects("conf-ids").await {
        for id in ["a;b@c", "a b", "a%2Fb", "ä"] {
            put(&s.client, ObjectType::Aor, id, &[("max_contacts", "1")]).await;
            let read = s.client.get_object(ObjectType::Aor, id).await.expect("reads");
            assert!(read.is_some(), "{}: {id}", s.name);
            let gone = s.client.delete_object(ObjectType::Aor, id).await.expect("deletes");
            assert!(gone, "{}: {id}", s.name);
        }
    }
}

#[tokio::test]
async fn endpoints_are_listed() {
    for s in subjects("conf-endpoints").await {
        s.device("confe", "1").await;
        let listed = s.client.endpoints("PJSIP").await.expect("lists");
        assert_eq!(listed.iter().filter(|e| e.resource == "confe").count(), 1, "{}", s.name);
        // Its second aor has a contact that is always there; Asterisk works the state out beside making the object.
        let deadline = Instant::now() + PATIENCE;
        loop {
            let one = s.client.endpoint("PJSIP", "confe").await.expect("reads");
            let state = one.expect("is there").state;
            if state == EndpointState::Online {
                break;
            }
            assert!(Instant::now() < deadline, "{}: {state:?}", s.name);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        s.remove("confe").await;
    }
}
