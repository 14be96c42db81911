//! What a killed and restarted Asterisk still knows.

use std::collections::BTreeSet;

use fed_ari::client::{Link, ObjectType};
use fed_tests::phone::Transport;

use super::{handset::Handset, subject::subjects};
use crate::common::{connected, next};

#[tokio::test]
async fn a_restart_forgets_objects_and_variables_and_registrations_return_with_their_aor() {
    for s in subjects("conf-restart").await {
        let (before, _) = s.client.capabilities().await.expect("tells");
        s.device("resta", "3").await;
        let phones = [Transport::Udp, Transport::Tcp].map(|transport| s.handset("resta", transport));
        for phone in &phones {
            phone.register(true).await;
        }
        let (_connection, connected_as) = s.register_connection("resta").await;
        let live = s.client.get_contact("resta", &connected_as).await.expect("reads");
        assert!(live.is_some(), "{}", s.name);
        s.client.set_global("FED_CONF", "x").await.expect("sets");
        let mut events = s.client.events(&["endpoint:PJSIP"]);
        connected(&mut events).await;
        if !s.restart().await {
            continue;
        }
        while !matches!(next(&mut events).await, Link::Disconnected { .. }) {}
        let unknown = loop {
            if let Link::Connected { unknown } = next(&mut events).await {
                break unknown;
            }
        };
        // Nor does it know a technology without endpoints. (Of their own these Asterisks have none.)
        assert_eq!(unknown, ["endpoint:PJSIP"], "{}", s.name);
        let (after, _) = s.client.capabilities().await.expect("tells");
        assert_ne!(before.started, after.started, "{}", s.name);
        for type_ in [ObjectType::Auth, ObjectType::Aor, ObjectType::Endpoint] {
            let read = s.client.get_object(type_, "resta").await.expect("reads");
            assert_eq!(read, None, "{}: {type_}", s.name);
        }
        assert_eq!(s.client.get_global("FED_CONF").await.expect("reads"), "", "{}", s.name);
        // Made as in the first place, without deleting first: that would take the registrations away.
        s.create("resta", "3").await;
        assert!(s.client.subscribe("endpoint:PJSIP").await.expect("asks"), "{}", s.name);
        let found = s.client.live_contacts(["resta".to_owned()]).await.expect("lists");
        let found: BTreeSet<String> = found.contacts.into_iter().map(|contact| contact.uri).collect();
        // Over TCP as well, even where the contact is the connection itself (without rewrite_contact).
        let contacts: Vec<String> = phones.iter().map(Handset::contact).chain([connected_as]).collect();
        assert_eq!(found, contacts.iter().cloned().collect(), "{}", s.name);
        // Created anew, not merged: nothing became static.
        for contact in &contacts {
            assert_eq!(s.register("resta", contact, 0).await, 200, "{}", s.name);
        }
        let left = s.client.contact_uris("resta").await.expect("reads");
        assert_eq!(left, Some(vec![]), "{}", s.name);
        s.remove("resta").await;
    }
}
